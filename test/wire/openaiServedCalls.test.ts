/** Tool calls as OpenAI's clients get them, whichever way a provider reports them. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Chunks from "../../src/protocol/openai/servedChunks.ts"
import { openAiCompatible } from "../../src/servers/openAiCompatible.ts"
import type { StreamingChunk, ToolCall, ToolCallDelta } from "../../src/StreamingChunk.ts"
import { summarize } from "../support/answers.ts"
import { encode } from "../support/bytes.ts"
import { decode } from "../support/decoding.ts"

const fragment = (index: number, argumentsDelta: string, more: object = {}): ToolCallDelta => ({
  index,
  argumentsDelta,
  ...more
})

const deltas = (...toolCallDeltas: ReadonlyArray<ToolCallDelta>): StreamingChunk => ({
  content: "",
  isFinal: false,
  toolCallDeltas
})
const whole = (...toolCalls: ReadonlyArray<ToolCall>): StreamingChunk => ({ content: "", isFinal: false, toolCalls })
const final = (...toolCalls: ReadonlyArray<ToolCall>): StreamingChunk => ({
  content: "",
  isFinal: true,
  model: "m",
  finishReason: "tool-calls",
  toolCalls
})

const call = (id: string, name = "f", value: unknown = {}): ToolCall => ({ id, name, arguments: value })

/** A call that begins, and more of its arguments. */
const begin = (index: number, id: string, text: string, name = "f") => ({
  index,
  id,
  type: "function",
  function: { name, arguments: text }
})
const more = (index: number, text: string) => ({ index, function: { arguments: text } })

interface Row {
  readonly chunks: ReadonlyArray<StreamingChunk>
  readonly written: ReadonlyArray<object>
  /** What our client reads. Default: the calls of the final chunk. */
  readonly calls?: ReadonlyArray<ToolCall>
}

const rows: { readonly [name: string]: Row } = {
  "fragments, and not again when the call is whole": {
    chunks: [
      deltas(fragment(0, "", { id: "a", name: "f" })),
      deltas(fragment(0, '{"x"')),
      deltas(fragment(0, "")),
      deltas(fragment(0, ":1}")),
      final(call("a", "f", { x: 1 }))
    ],
    written: [begin(0, "a", ""), more(0, '{"x"'), more(0, ":1}")]
  },
  "whole calls, one chunk each": {
    chunks: [whole(call("a")), whole(call("b", "g", [1])), final()],
    written: [begin(0, "a", "{}"), begin(1, "b", "[1]", "g")],
    calls: [call("a"), call("b", "g", [1])]
  },
  "whole calls on the final chunk": {
    chunks: [final(call("a"), call("b"))],
    written: [begin(0, "a", "{}"), begin(1, "b", "{}")]
  },
  "fragments without ids": {
    chunks: [
      deltas(fragment(0, "{}", { name: "f" })),
      deltas(fragment(1, "{}", { name: "f" })),
      final(call("call_0"), call("call_1"))
    ],
    written: [begin(0, "call_0", "{}"), begin(1, "call_1", "{}")]
  },
  "a name after the id": {
    chunks: [deltas(fragment(0, "", { id: "a" })), deltas(fragment(0, "{}", { name: "f" })), final(call("a"))],
    written: [begin(0, "a", "{}")]
  },
  "a name after the arguments": {
    chunks: [
      deltas(fragment(0, "{", { id: "a" }), fragment(0, "}")),
      deltas(fragment(0, "", { name: "f" })),
      final(call("a"))
    ],
    written: [begin(0, "a", "{}")]
  },
  "a name in parts, and repeated": {
    chunks: [
      deltas(fragment(0, "", { id: "a", name: "get_" })),
      deltas(fragment(0, "", { name: "weather" })),
      deltas(fragment(0, "{}", { name: "get_weather" })),
      final(call("a", "get_weather"))
    ],
    written: [begin(0, "a", "", "get_"), { index: 0, function: { name: "weather", arguments: "" } }, more(0, "{}")]
  },
  "an id that comes late": {
    chunks: [deltas(fragment(0, "{", { name: "f" })), deltas(fragment(0, "}", { id: "late" })), final(call("late"))],
    written: [begin(0, "call_0", "{"), more(0, "}")],
    calls: [call("call_0")]
  },
  "calls with the same id": {
    chunks: [whole(call("a"), call("a"), call("a", "g")), final()],
    written: [begin(0, "a", "{}"), begin(1, "call_1", "{}"), begin(2, "call_2", "{}", "g")],
    calls: [call("a"), call("call_1"), call("call_2", "g")]
  },
  "fragments of two calls in turns": {
    chunks: [
      deltas(fragment(0, "", { id: "a", name: "f" }), fragment(1, "", { id: "b", name: "g" })),
      deltas(fragment(0, "{"), fragment(1, "[")),
      deltas(fragment(1, "1]"), fragment(0, "}")),
      final(call("a"), call("b", "g", [1]))
    ],
    written: [begin(0, "a", ""), begin(1, "b", "", "g"), more(0, "{"), more(1, "["), more(1, "1]"), more(0, "}")]
  },
  "fragments of the second call alone": {
    chunks: [deltas(fragment(1, "{}", { id: "b", name: "g" })), final(call("a"), call("b", "g"))],
    written: [begin(0, "a", "{}"), begin(1, "b", "{}", "g")]
  },
  "arguments with characters that JSON escapes": {
    chunks: [final(call("a", "f", { "ü\u2028": '"\n😀' }))],
    written: [begin(0, "a", '{"ü\u2028":"\\"\\n😀"}')]
  },
  "arguments that are nothing, or null": {
    chunks: [final(call("a", "f", undefined), call("b", "f", null))],
    written: [begin(0, "a", "{}"), begin(1, "b", "null")],
    calls: [call("a"), call("b", "f", null)]
  }
}

const context = { model: "m", id: "x", createdAt: 0 }

describe("tool calls", () => {
  it.effect.each(Object.entries(rows))("%s", ([, { calls, chunks, written }]) =>
    Effect.gen(function* () {
      const writer = Chunks.makeWriter(Chunks.chat, context, false)
      const body = chunks.map(writer.chunk).join("")
      const events = body.split("\n\n").filter((event) => event.startsWith("data: {"))
      const seen = events.flatMap((event) => JSON.parse(event.slice(6)).choices[0].delta.tool_calls ?? [])
      expect(seen).toEqual(written)
      const read = yield* Stream.runCollect(decode(openAiCompatible.endpoints.chat, [encode(body)]))
      expect(summarize(read).calls).toEqual(calls ?? chunks.at(-1)?.toolCalls)
    })
  )
})

describe("chunks with nothing in them", () => {
  const nothing: StreamingChunk = { content: "", isFinal: false }
  const progress: StreamingChunk = { ...nothing, promptProgress: { processed: 1, total: 2 } }
  const text: StreamingChunk = { content: "Hi", isFinal: false }

  it.each(Object.entries({ chat: Chunks.chat, completion: Chunks.completion }))("%s", (_, form) => {
    const writer = Chunks.makeWriter(form, context, false)
    expect([nothing, progress].map(writer.chunk)).toEqual(["", ""])
    expect(writer.chunk(text)).toContain('"Hi"')
    const record = JSON.parse(writer.chunk(nothing).slice(6))
    expect(record.choices).toEqual([{ index: 0, ...writeEmpty[form.prefix], logprobs: null, finish_reason: null }])
  })

  const writeEmpty: { readonly [prefix: string]: object } = {
    "chatcmpl-": { delta: { content: "" } },
    "cmpl-": { text: "" }
  }
})
