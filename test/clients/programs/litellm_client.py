"""PyPI: `litellm` as a client, in three protocols."""

import gc
import json
import os

# Otherwise it requests its table of prices.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm

from run import closed, facts, failure_of, many, read, run

litellm.suppress_debug_info = True
TOOLS = [{"type": "function", "function": facts["tool"]}]


def cases(target, provider, path="", thinking_options={}):
    options = {"api_base": f"{target['url']}{path}", "api_key": "none", "max_retries": 0}
    messages = [{"role": "user", "content": facts["question"]}]

    def whole(model, messages=messages, **rest):
        return litellm.completion(model=f"{provider}/{model}", messages=messages, **options, **rest)

    def message_of(*args, **rest):
        return whole(*args, **rest).choices[0].message

    def stream(model):
        def parts():
            for part in whole(model, stream=True):
                for choice in part.choices:
                    yield choice.delta.content, choice.finish_reason

        return read(parts)

    def chat_whole():
        response = whole("echo")
        choice = response.choices[0]
        tokens = [response.usage.prompt_tokens, response.usage.completion_tokens]
        return {"text": choice.message.content, "finish": choice.finish_reason, "tokens": tokens}

    def to_call(call):
        return {"name": call.function.name, "arguments": json.loads(call.function.arguments)}

    def tools():
        first = message_of("caller", tools=TOOLS)
        calls = first.tool_calls or []
        results = [{"role": "tool", "tool_call_id": call.id, "content": facts["toolResult"]} for call in calls]
        second = message_of("caller", [*messages, first, *results], tools=TOOLS)
        return {"calls": [to_call(call) for call in calls], "text": second.content}

    def tools_streamed():
        response = litellm.stream_chunk_builder(list(whole("caller", tools=TOOLS, stream=True)))
        return {"calls": [to_call(call) for call in response.choices[0].message.tool_calls or []]}

    def thinking():
        message = message_of("thinker", **thinking_options)
        return {"thinking": message.reasoning_content, "text": message.content}

    def schema():
        form = {"name": "answer", "schema": facts["schema"], "strict": True}
        message = message_of("poet", response_format={"type": "json_schema", "json_schema": form})
        return {"value": json.loads(message.content)}

    def embeddings():
        response = litellm.embedding(model=f"{provider.removesuffix('_chat')}/counter", input=facts["texts"], **options)
        return {"vectors": [item["embedding"] for item in response.data]}

    def image():
        url = f"data:image/png;base64,{facts['image']}"
        content = [{"type": "text", "text": facts["question"]}, {"type": "image_url", "image_url": {"url": url}}]
        return {"text": message_of("seer", [{"role": "user", "content": content}]).content}

    def cancel():
        response = whole("endless", stream=True)
        next(response)
        # Its wrapper of the stream cannot be closed, and what logs it may still have it.
        close = getattr(response.completion_stream, "close", None)
        if close is not None:
            close()
        del response, close
        gc.collect()
        return closed(target, "endless")

    return {
        "whole": chat_whole,
        "streamed": lambda: stream("echo"),
        "length": lambda: stream("long"),
        "tools": tools,
        "toolsStreamed": tools_streamed,
        "thinking": thinking,
        **({} if provider == "anthropic" else {"schema": schema, "embeddings": embeddings}),
        "image": image,
        "missing": lambda: {"whole": failure_of(lambda: whole("missing")), "streamed": stream("missing")},
        "breaks": lambda: stream("breaks"),
        "dies": lambda: stream("dies"),
        "ends": lambda: stream("ends"),
        "breaksWhole": lambda: failure_of(lambda: whole("breaks")),
        "cancel": cancel,
        "many": lambda: many(lambda content: message_of("echo", [{"role": "user", "content": content}]).content),
    }


# It does not know whether the model can think.
budget = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "allowed_openai_params": ["thinking"]}

run(
    {
        "litellm (openai)": lambda target: cases(target, "openai", "/v1"),
        "litellm (ollama_chat)": lambda target: cases(target, "ollama_chat", "", {"reasoning_effort": "high"}),
        "litellm (anthropic)": lambda target: cases(target, "anthropic", "", budget),
    }
)
