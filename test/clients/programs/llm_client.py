"""PyPI: `llm` with its plugin `llm-ollama`."""

import base64
import json
import os
import tempfile
from functools import cache

# Where it keeps what it knows of models.
os.environ["LLM_USER_PATH"] = tempfile.mkdtemp()

import llm
from llm.plugins import load_plugins

from run import closed, facts, failure_of, many, read, run


def weather(city: str) -> str:
    """The weather of a city"""
    return facts["toolResult"]


def cases(target):
    os.environ["OLLAMA_HOST"] = target["url"]
    load_plugins()

    # Each time it lists the models.
    @cache
    def model(name):
        return llm.get_model(f"ollama/{name}")

    def whole(name, prompt=facts["question"], **options):
        return model(name).prompt(prompt, stream=False, **options).text()

    def stream(name):
        return read(lambda: ((text, None) for text in model(name).prompt(facts["question"])))

    def chat_whole():
        response = model("echo").prompt(facts["question"], stream=False)
        text = response.text()
        usage = response.usage()
        return {"text": text, "tokens": [usage.input, usage.output]}

    def tools():
        calls = []

        def note(tool, call):
            calls.append({"name": call.name, "arguments": call.arguments})

        return {"text": model("caller").chain(facts["question"], tools=[weather], before_call=note).text(), "calls": calls}

    def tools_streamed():
        calls = model("caller").prompt(facts["question"], tools=[weather]).tool_calls()
        return {"calls": [{"name": call.name, "arguments": call.arguments} for call in calls]}

    def thinking():
        response = model("thinker").prompt(facts["question"], think=True, stream=False)
        events = list(response.stream_events())
        thoughts = [event.chunk for event in events if event.type == "reasoning"]
        return {"thinking": "".join(thoughts), "text": response.text()}

    def image():
        attachment = llm.Attachment(type="image/png", content=base64.b64decode(facts["image"]))
        return {"text": whole("seer", attachments=[attachment])}

    def embeddings():
        return {"vectors": [list(vector) for vector in llm.get_embedding_model("ollama/counter").embed_multi(facts["texts"])]}

    def cancel():
        parts = iter(model("endless").prompt(facts["question"]))
        next(parts)
        parts.close()
        return closed(target, "endless")

    return {
        "list": lambda: {
            "models": [
                model.model_id.removeprefix("ollama/") for model in [*llm.get_models(), *llm.get_embedding_models()]
            ]
        },
        "whole": chat_whole,
        "streamed": lambda: stream("echo"),
        "tools": tools,
        "toolsStreamed": tools_streamed,
        "thinking": thinking,
        "schema": lambda: {"value": json.loads(whole("poet", schema=facts["schema"]))},
        "embeddings": embeddings,
        "image": image,
        "missing": lambda: {"whole": failure_of(lambda: whole("missing")), "streamed": stream("missing")},
        "breaks": lambda: stream("breaks"),
        "dies": lambda: stream("dies"),
        "ends": lambda: stream("ends"),
        "breaksWhole": lambda: failure_of(lambda: whole("breaks")),
        "cancel": cancel,
        "many": lambda: many(lambda prompt: whole("echo", prompt)),
    }


run({"llm": cases})
