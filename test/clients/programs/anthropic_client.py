"""PyPI: `anthropic`."""

import json

import anthropic

from run import closed, facts, failure_of, many, read, run, to_finish

TOOLS = [
    {
        "name": facts["tool"]["name"],
        "description": facts["tool"]["description"],
        "input_schema": facts["tool"]["parameters"],
    }
]


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def calls_of(message):
    return [{"name": block.name, "arguments": block.input} for block in message.content if block.type == "tool_use"]


def cases(target):
    client = anthropic.Anthropic(base_url=target["url"], api_key="none", max_retries=0)
    messages = [{"role": "user", "content": facts["question"]}]

    def whole(model, messages=messages, **options):
        return client.messages.create(model=model, messages=messages, max_tokens=4096, **options)

    def stream(model):
        def parts():
            for event in whole(model, stream=True):
                if event.type == "content_block_delta" and event.delta.type == "text_delta":
                    yield event.delta.text, None
                if event.type == "message_delta":
                    yield None, event.delta.stop_reason

        return read(parts)

    def final(model, **options):
        with client.messages.stream(model=model, messages=messages, max_tokens=4096, **options) as events:
            return events.get_final_message()

    def chat_whole():
        message = whole("echo")
        tokens = [message.usage.input_tokens, message.usage.output_tokens]
        return {"text": text_of(message), "finish": to_finish(message.stop_reason), "tokens": tokens}

    def tools():
        first = whole("caller", tools=TOOLS)
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": facts["toolResult"]}
            for block in first.content
            if block.type == "tool_use"
        ]
        history = [{"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
        return {"calls": calls_of(first), "text": text_of(whole("caller", [*messages, *history], tools=TOOLS))}

    def thinking():
        message = whole("thinker", thinking={"type": "enabled", "budget_tokens": 1024})
        thoughts = [block.thinking for block in message.content if block.type == "thinking"]
        return {"thinking": "".join(thoughts), "text": text_of(message)}

    def schema():
        form = {"type": "json_schema", "schema": facts["schema"]}
        return {"value": json.loads(text_of(whole("poet", output_config={"format": form})))}

    def image():
        source = {"type": "base64", "media_type": "image/png", "data": facts["image"]}
        content = [{"type": "image", "source": source}, {"type": "text", "text": facts["question"]}]
        return {"text": text_of(whole("seer", [{"role": "user", "content": content}]))}

    def count():
        return {"isNumber": client.messages.count_tokens(model="echo", messages=messages).input_tokens > 0}

    def cancel():
        events = whole("endless", stream=True)
        while next(events).type != "content_block_delta":
            pass
        events.close()
        return closed(target, "endless")

    return {
        "list": lambda: {"models": [model.id for model in client.models.list().data]},
        "show": lambda: {"id": client.models.retrieve("echo").id},
        "whole": chat_whole,
        "streamed": lambda: stream("echo"),
        "length": lambda: stream("long"),
        "tools": tools,
        "toolsStreamed": lambda: {"calls": calls_of(final("caller", tools=TOOLS))},
        "thinking": thinking,
        "schema": schema,
        "image": image,
        "count": count,
        "missing": lambda: {"whole": failure_of(lambda: whole("missing")), "streamed": stream("missing")},
        "breaks": lambda: stream("breaks"),
        "dies": lambda: stream("dies"),
        "ends": lambda: stream("ends"),
        "breaksFinal": lambda: failure_of(lambda: final("breaks")),
        "breaksWhole": lambda: failure_of(lambda: whole("breaks")),
        "cancel": cancel,
        "many": lambda: many(lambda content: text_of(whole("echo", [{"role": "user", "content": content}]))),
    }


run({"anthropic (Python)": cases})
