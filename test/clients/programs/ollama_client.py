"""PyPI: `ollama`."""

import json

import ollama

from run import closed, facts, failure_of, many, read, run

TOOLS = [{"type": "function", "function": facts["tool"]}]


def cases(target):
    client = ollama.Client(host=target["url"])
    messages = [{"role": "user", "content": facts["question"]}]

    def whole(model, messages=messages, **options):
        return client.chat(model=model, messages=messages, **options)

    def stream(model):
        def parts():
            for part in client.chat(model=model, messages=messages, stream=True):
                yield part.message.content, part.done_reason

        return read(parts)

    def show():
        shown = client.show("echo")
        length = next((value for key, value in shown.modelinfo.items() if key.endswith("context_length")), None)
        return {"capabilities": shown.capabilities, "contextLength": length}

    def chat_whole():
        response = whole("echo")
        tokens = [response.prompt_eval_count, response.eval_count]
        return {"text": response.message.content, "finish": response.done_reason, "tokens": tokens}

    def to_call(call):
        return {"name": call.function.name, "arguments": dict(call.function.arguments)}

    def tools():
        first = whole("caller", tools=TOOLS).message
        result = {"role": "tool", "content": facts["toolResult"], "tool_name": facts["tool"]["name"]}
        second = whole("caller", [*messages, first, result], tools=TOOLS).message
        return {"calls": [to_call(call) for call in first.tool_calls or []], "text": second.content}

    def tools_streamed():
        parts = client.chat(model="caller", messages=messages, tools=TOOLS, stream=True)
        return {"calls": [to_call(call) for part in parts for call in part.message.tool_calls or []]}

    def thinking():
        message = whole("thinker", think=True).message
        return {"thinking": message.thinking, "text": message.content}

    def image():
        message = {"role": "user", "content": facts["question"], "images": [facts["image"]]}
        return {"text": whole("seer", [message]).message.content}

    def cancel():
        parts = client.chat(model="endless", messages=messages, stream=True)
        next(parts)
        parts.close()
        return closed(target, "endless")

    return {
        "list": lambda: {"models": [model.model for model in client.list().models]},
        "show": show,
        "whole": chat_whole,
        "streamed": lambda: stream("echo"),
        "length": lambda: stream("long"),
        "prompt": lambda: {"text": client.generate(model="echo", prompt=facts["question"]).response},
        "tools": tools,
        "toolsStreamed": tools_streamed,
        "thinking": thinking,
        "schema": lambda: {"value": json.loads(whole("poet", format=facts["schema"]).message.content)},
        "embeddings": lambda: {"vectors": client.embed(model="counter", input=facts["texts"]).embeddings},
        "image": image,
        "missing": lambda: {"whole": failure_of(lambda: whole("missing")), "streamed": stream("missing")},
        "breaks": lambda: stream("breaks"),
        "dies": lambda: stream("dies"),
        "ends": lambda: stream("ends"),
        "breaksWhole": lambda: failure_of(lambda: whole("breaks")),
        "cancel": cancel,
        "many": lambda: many(lambda content: whole("echo", [{"role": "user", "content": content}]).message.content),
    }


run({"ollama (Python)": cases})
