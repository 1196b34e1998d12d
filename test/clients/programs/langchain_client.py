"""PyPI: `langchain-ollama`."""

from functools import cache

from langchain_core.messages import AIMessageChunk, HumanMessage, ToolMessage
from langchain_ollama import ChatOllama, OllamaEmbeddings

from run import closed, facts, failure_of, many, read, run

TOOLS = [{"type": "function", "function": facts["tool"]}]


def calls_of(message):
    return [{"name": call["name"], "arguments": call["args"]} for call in message.tool_calls]


def cases(target):
    # Each makes its own HTTP clients, which takes time.
    @cache
    def model(name, **options):
        return ChatOllama(model=name, base_url=target["url"], **options)

    def whole(name, content=facts["question"]):
        return model(name).invoke(content)

    def stream(name):
        def parts():
            for chunk in model(name).stream(facts["question"]):
                yield chunk.text, chunk.response_metadata.get("done_reason")

        return read(parts)

    def chat_whole():
        message = whole("echo")
        usage = message.usage_metadata
        tokens = [usage["input_tokens"], usage["output_tokens"]]
        return {"text": message.text, "finish": message.response_metadata["done_reason"], "tokens": tokens}

    def tools():
        caller = model("caller").bind_tools(TOOLS)
        question = HumanMessage(facts["question"])
        first = caller.invoke([question])
        results = [ToolMessage(facts["toolResult"], tool_call_id=call["id"]) for call in first.tool_calls]
        return {"calls": calls_of(first), "text": caller.invoke([question, first, *results]).text}

    def tools_streamed():
        message = AIMessageChunk("")
        for chunk in model("caller").bind_tools(TOOLS).stream(facts["question"]):
            message += chunk
        return {"calls": calls_of(message)}

    def thinking():
        message = model("thinker", reasoning=True).invoke(facts["question"])
        return {"thinking": message.additional_kwargs["reasoning_content"], "text": message.text}

    def schema():
        poet = model("poet").with_structured_output({"title": "answer", **facts["schema"]}, method="json_schema")
        return {"value": poet.invoke(facts["question"])}

    def embeddings():
        client = OllamaEmbeddings(model="counter", base_url=target["url"])
        return {"vectors": client.embed_documents(facts["texts"])}

    def image():
        url = f"data:image/png;base64,{facts['image']}"
        content = [{"type": "text", "text": facts["question"]}, {"type": "image_url", "image_url": {"url": url}}]
        return {"text": whole("seer", [HumanMessage(content=content)]).text}

    def cancel():
        chunks = model("endless").stream(facts["question"])
        next(chunks)
        chunks.close()
        return closed(target, "endless")

    return {
        "whole": chat_whole,
        "streamed": lambda: stream("echo"),
        "length": lambda: stream("long"),
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
        "many": lambda: many(lambda question: whole("echo", question).text),
    }


run({"langchain-ollama": cases})
