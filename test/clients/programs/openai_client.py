"""PyPI: `openai`, with its two APIs."""

import json

import openai

from run import closed, facts, failure_of, many, read, run, to_finish

FUNCTION = {**facts["tool"], "strict": True}
TOOLS = [{"type": "function", "function": FUNCTION}]
IMAGE = f"data:image/png;base64,{facts['image']}"


def make_client(target):
    return openai.OpenAI(base_url=f"{target['url']}/v1", api_key="none", max_retries=0)


def chat(target):
    client = make_client(target)
    messages = [{"role": "user", "content": facts["question"]}]

    def whole(model, messages=messages, **options):
        return client.chat.completions.create(model=model, messages=messages, **options)

    def message_of(*args, **options):
        return whole(*args, **options).choices[0].message

    def stream(model):
        def parts():
            options = {"include_usage": True}
            for part in client.chat.completions.create(
                model=model, messages=messages, stream=True, stream_options=options
            ):
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
        with client.chat.completions.stream(model="caller", messages=messages, tools=TOOLS) as events:
            final = events.get_final_completion()
        return {"calls": [to_call(call) for call in final.choices[0].message.tool_calls or []]}

    def thinking():
        message = message_of("thinker", reasoning_effort="high")
        return {"thinking": message.reasoning_content, "text": message.content}

    def schema():
        form = {"name": "answer", "schema": facts["schema"], "strict": True}
        message = message_of("poet", response_format={"type": "json_schema", "json_schema": form})
        return {"value": json.loads(message.content)}

    def embeddings():
        # The client requests base64 and decodes it.
        response = client.embeddings.create(model="counter", input=facts["texts"])
        return {"vectors": [item.embedding for item in response.data]}

    def image():
        content = [{"type": "text", "text": facts["question"]}, {"type": "image_url", "image_url": {"url": IMAGE}}]
        return {"text": message_of("seer", [{"role": "user", "content": content}]).content}

    def cancel():
        parts = client.chat.completions.create(model="endless", messages=messages, stream=True)
        next(parts)
        parts.close()
        return closed(target, "endless")

    return {
        "list": lambda: {"models": [model.id for model in client.models.list().data]},
        "show": lambda: {"id": client.models.retrieve("echo").id},
        "whole": chat_whole,
        "streamed": lambda: stream("echo"),
        "length": lambda: stream("long"),
        "prompt": lambda: {
            "text": client.completions.create(model="echo", prompt=facts["question"]).choices[0].text
        },
        "tools": tools,
        "toolsStreamed": tools_streamed,
        "thinking": thinking,
        "schema": schema,
        "embeddings": embeddings,
        "image": image,
        "missing": lambda: {"whole": failure_of(lambda: whole("missing")), "streamed": stream("missing")},
        "breaks": lambda: stream("breaks"),
        "dies": lambda: stream("dies"),
        "ends": lambda: stream("ends"),
        "breaksWhole": lambda: failure_of(lambda: whole("breaks")),
        "cancel": cancel,
        "many": lambda: many(lambda content: message_of("echo", [{"role": "user", "content": content}]).content),
    }


def responses(target):
    client = make_client(target)
    tool_list = [{"type": "function", **FUNCTION}]

    def whole(model, input=facts["question"], **options):
        return client.responses.create(model=model, input=input, store=False, **options)

    def stream(model):
        """What a program sees that iterates: failures are events."""

        def parts():
            for event in client.responses.create(model=model, input=facts["question"], stream=True):
                if event.type == "response.output_text.delta":
                    yield event.delta, None
                if event.type in ("response.completed", "response.failed"):
                    yield None, event.response.status
                if event.type == "response.incomplete":
                    reason = event.response.incomplete_details.reason
                    yield None, "length" if reason == "max_output_tokens" else reason

        return read(parts)

    def response_whole():
        response = whole("echo")
        tokens = [response.usage.input_tokens, response.usage.output_tokens]
        return {"text": response.output_text, "finish": to_finish(response.status), "tokens": tokens}

    def to_calls(output):
        return [
            {"name": item.name, "arguments": json.loads(item.arguments)}
            for item in output
            if item.type == "function_call"
        ]

    def tools():
        first = whole("caller", tools=tool_list)
        results = [
            {"type": "function_call_output", "call_id": item.call_id, "output": facts["toolResult"]}
            for item in first.output
            if item.type == "function_call"
        ]
        question = {"role": "user", "content": facts["question"]}
        second = whole("caller", [question, *first.output, *results], tools=tool_list)
        return {"calls": to_calls(first.output), "text": second.output_text}

    def tools_streamed():
        with client.responses.stream(model="caller", input=facts["question"], tools=tool_list) as events:
            return {"calls": to_calls(events.get_final_response().output)}

    def thinking():
        response = whole("thinker", reasoning={"effort": "high"})
        texts = [
            part.text
            for item in response.output
            if item.type == "reasoning"
            for part in [*(item.content or []), *item.summary]
        ]
        return {"thinking": "".join(texts), "text": response.output_text}

    def schema():
        form = {"type": "json_schema", "name": "answer", "schema": facts["schema"], "strict": True}
        return {"value": json.loads(whole("poet", text={"format": form}).output_text)}

    def image():
        content = [{"type": "input_text", "text": facts["question"]}, {"type": "input_image", "image_url": IMAGE}]
        return {"text": whole("seer", [{"role": "user", "content": content}]).output_text}

    def cancel():
        events = client.responses.create(model="endless", input="again", stream=True)
        while next(events).type != "response.output_text.delta":
            pass
        events.close()
        return closed(target, "endless")

    return {
        "whole": response_whole,
        "streamed": lambda: stream("echo"),
        "length": lambda: stream("long"),
        "tools": tools,
        "toolsStreamed": tools_streamed,
        "thinking": thinking,
        "schema": schema,
        "image": image,
        "missing": lambda: {"whole": failure_of(lambda: whole("missing")), "streamed": stream("missing")},
        "breaks": lambda: stream("breaks"),
        "dies": lambda: stream("dies"),
        "ends": lambda: stream("ends"),
        "breaksWhole": lambda: failure_of(lambda: whole("breaks")),
        "cancel": cancel,
        "many": lambda: many(lambda input: whole("echo", input).output_text),
    }


run({"openai (Python)": chat, "openai (Python, Responses)": responses})
