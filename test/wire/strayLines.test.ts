/** Text of a server that is not where its protocol has it: errors in other forms, and records that would be lost. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { dialect as lmStudio } from "../../src/servers/lmStudio.ts"
import * as OpenAi from "../../src/protocol/openai/endpoints.ts"
import * as Ollama from "../../src/protocol/ollama/endpoints.ts"
import { cutBy, encode } from "../support/bytes.ts"
import type { Protocol } from "../support/decoding.ts"
import { decode, read } from "../support/decoding.ts"
import { chunk, DONE, failure, final, finish, text, toBody, usageChunk } from "../support/openaiEvents.ts"
import { record } from "../support/transcript.ts"

const chat = OpenAi.chat(lmStudio)

const overflow = {
  code: 400,
  message: "the request exceeds the available context size, try increasing it",
  type: "exceed_context_size_error",
  n_prompt_tokens: 99,
  n_ctx: 64
}
const json = JSON.stringify(overflow)
const pretty = JSON.stringify({ error: overflow }, null, 2)
const isOverflow = failure("ContextOverflow", { promptTokens: 99, contextLength: 64 })
const boom = failure("StreamError", { detail: "boom" })

/** Any cut of the bytes and any line end give the same. */
const readAll = (protocol: Protocol, body: string) =>
  Effect.gen(function* () {
    const expected = yield* read(protocol, body)
    for (const lineEnd of ["\n", "\r\n", "\r"]) {
      for (const lengths of [[10_000], [1], [2, 3], [1, 61, 2, 211]]) {
        const bytes = encode(body.replaceAll("\n", lineEnd))
        const seen = yield* record(decode(protocol, cutBy(bytes, lengths)))
        // An excerpt has the text as it came.
        expect({ ...seen, failure: seen.failure?._tag }).toEqual({ ...expected, failure: expected.failure?._tag })
      }
    }
    return expected
  })

const hi = toBody([text("Hi")])

describe("an error in a body of server-sent events", () => {
  const errors: Readonly<Record<string, readonly [body: string, failure: object]>> = {
    "in the field `error`": [`error: ${json}\n\n`, isOverflow],
    "without the space": [`error:${json}\n\n`, isOverflow],
    "without an empty line": [`error: ${json}\n`, isOverflow],
    "without a line end": [`error: ${json}`, isOverflow],
    "with the error inside once more": [`error: {"error":${json}}\n\n`, isOverflow],
    "before `[DONE]`": [`error: ${json}\n\n${DONE}\n\n`, isOverflow],
    "as text": ["error: boom\n\n", boom],
    "as JSON text": ['error: "boom"\n\n', boom],
    "in capitals": [`Error: ${json}\n\n`, isOverflow],
    "over several lines": [`error: ${JSON.stringify(overflow, null, 2)}\n\n`, isOverflow],
    "over several lines of the field": [
      `${JSON.stringify(overflow, null, 2).replaceAll(/^/gm, "error: ")}\n\n`,
      isOverflow
    ],
    "over several lines, cut off": ['error: {\n  "message": "boom",\n', failure("StreamError")],
    "pretty-printed": [`${pretty}\n\n`, isOverflow],
    "pretty-printed, without a line end": [pretty, isOverflow],
    "pretty-printed, with empty lines inside": [`${pretty.replaceAll("\n", "\n\n")}\n`, isOverflow],
    "pretty-printed with tabs, and more after it": [
      `${JSON.stringify({ error: overflow }, null, "\t")}\n\n${DONE}\n\n`,
      isOverflow
    ],
    "pretty-printed, as vLLM has it": [
      JSON.stringify({ object: "error", message: "boom", code: 500 }, null, 2),
      failure("StreamError", { detail: "boom" })
    ],
    "pretty-printed after `data:`": [`data: ${pretty}\n\n`, isOverflow],
    "pretty-printed after `data:`, with empty lines inside": [
      `data: ${pretty.replaceAll("\n", "\n\n")}\n\n`,
      isOverflow
    ],
    "pretty-printed in several fields": [`${pretty.replaceAll(/^/gm, "data: ")}\n\n`, isOverflow],
    "pretty-printed, cut off": [pretty.slice(0, -5), failure("StreamTruncated")],
    "in a list, as Google has it": [`data: [{"error":${json}}]\n\n`, isOverflow],
    "in a list without a field": [`[{"error":${json}}]\n\n`, isOverflow],
    "in a list, pretty-printed": [JSON.stringify([{ error: overflow }], null, 2), isOverflow],
    "on one line, with spaces before it": [`  {"error":${json}}\n\n`, isOverflow],
    "a page of a proxy": [
      "<html><head><title>502 Bad Gateway</title></head>\n<body></body></html>\n",
      failure("StreamError", { description: "an HTML page in place of an answer" })
    ]
  }

  it.effect.each(Object.entries(errors))("%s", ([, [body, failure]]) =>
    Effect.gen(function* () {
      expect((yield* readAll(chat, body)).failure).toMatchObject(failure)
      expect(yield* readAll(chat, hi + body)).toMatchObject({ pieces: "Hi|", failure })
      const afterFinish = yield* readAll(chat, hi + toBody([finish()]) + body)
      expect(afterFinish).toMatchObject({ pieces: "Hi|", failure })
    })
  )

  it.effect.each(["", "null", "false", "0", '""'])("is none if the field has %j", (value) =>
    Effect.gen(function* () {
      const seen = yield* readAll(chat, `${hi}error: ${value}\n\n${toBody([finish(), DONE])}`)
      expect(seen).toEqual({ pieces: "Hi|", final: final() })
    })
  )
})

describe("between two parts of an answer of server-sent events", () => {
  const lost = JSON.stringify(text("lost"))
  const isLost = ["ParseError", "Hi|"] as const

  const withText = [
    ` data: ${lost}`,
    `\tdata: ${lost}`,
    `DATA: ${lost}`,
    `Data: ${lost}`,
    `data : ${lost}`,
    `\ufeffdata: ${lost}`,
    `\u200bdata: ${lost}`,
    `"data": ${lost}`,
    `data=${lost}`,
    `data ${lost}`,
    `- data: ${lost}`,
    `data\u00a0: ${lost}`,
    `payload: ${lost}`,
    `message: {"content":"lost"}`,
    `[info] ${lost}`,
    `event: ${lost}`,
    `'${lost}'`,
    `callback(${lost});`,
    lost,
    ` ${lost}`,
    `\ufeff${lost}`,
    JSON.stringify(text("lost"), null, 2),
    JSON.stringify({ choices: [{ message: { content: "lost" }, finish_reason: "stop" }] }),
    `[${lost}]`,
    `[\n${lost}\n]`,
    '["lost"]',
    '"lost"',
    '"lost: text"',
    `foo: {"tool_calls":[{"function":{"name":"f"}}]}`,
    `foo: ${JSON.stringify(chunk({}, "stop"))}`,
    `foo: {"error":"boom"}`,
    `foo: [{"error":{"message":"boom"}}]`
  ]
  it.effect.each(withText)("%j is a ParseError after the text before it", (line) =>
    Effect.gen(function* () {
      for (const end of ["\n\n", "\n"]) {
        const seen = yield* readAll(chat, `${hi}${line}${end}${toBody([text("!"), finish(), DONE])}`)
        expect([seen.failure?._tag, seen.pieces]).toEqual(isLost)
      }
    })
  )

  const ignored = [
    ": comment",
    `: ${lost}`,
    ":",
    "id: 1",
    "id",
    "retry: 10",
    'id: {"a":1}',
    "foo",
    "foo: bar",
    'foo: {"a":1}',
    `foo: ${JSON.stringify(usageChunk)}`,
    'foo: "text"',
    "foo: [1]",
    "foo: {",
    "[",
    "[\n1,",
    "foo: }",
    "[DONE]",
    "[info] started",
    "[]",
    '""',
    "null",
    "1",
    "}",
    "DATA: [DONE]",
    "event: ping",
    'event: {"a":1}'
  ]
  it.effect.each(ignored)("%j is ignored", (line) =>
    Effect.gen(function* () {
      const seen = yield* readAll(chat, `${hi}${line}\n\n${toBody([text("!"), finish(), DONE])}`)
      expect(seen).toEqual({ pieces: "Hi|!|", final: final() })
    })
  )

  it.effect.each(["{", `[\n${lost}`, '{"a":1,', 'data: {\n"a":1,\ndata: x'])(
    "%j without its end fails at once",
    (line) =>
      Effect.gen(function* () {
        const seen = yield* readAll(chat, `${hi}${line}\n${toBody([text("!"), finish(), DONE])}`)
        expect([seen.failure?._tag, seen.pieces]).toEqual(isLost)
      })
  )
})

describe("a record over several lines, where each line should be a record", () => {
  const part = { message: { content: "Hi" } }
  const last = { message: { content: "!" }, done: true, done_reason: "stop" }
  const line = `${JSON.stringify(part)}\n`
  const printed = (value: object): string => `${JSON.stringify(value, null, 2)}\n`
  const missing = { error: "model 'asked' not found, try pulling it first" }

  it.effect("is an error of the server", () =>
    Effect.gen(function* () {
      for (const body of [printed(missing), printed(missing).trim(), printed(missing).replaceAll("\n", "\n\n")]) {
        const seen = yield* readAll(Ollama.chat, line + body)
        expect(seen).toMatchObject({ pieces: "Hi|", failure: { _tag: "ModelNotAvailable" } })
      }
    })
  )

  it.effect("is a part of the answer", () =>
    Effect.gen(function* () {
      const seen = yield* readAll(Ollama.chat, line + printed(part) + line + printed(last))
      expect(seen).toMatchObject({ pieces: "Hi|Hi|Hi|!" })
    })
  )

  it.effect("is truncated if its end is missing", () =>
    Effect.gen(function* () {
      const body = printed(last)
      for (let end = 1; end < body.trimEnd().length; end++) {
        const seen = yield* read(Ollama.chat, line + body.slice(0, end))
        expect(seen).toEqual({ pieces: "Hi|", failure: { _tag: "StreamTruncated" } })
      }
    })
  )

  it.effect.each(["{\n", '{"message":{}\n', "[\n", "<html>\n", "Bad Gateway\n", '{"message":\n'])(
    "%j before another record is a ParseError",
    (bad) =>
      Effect.gen(function* () {
        const seen = yield* readAll(Ollama.chat, `${line}${bad}{"x":1}\n${line}${line}`)
        expect([seen.pieces, seen.failure?._tag]).toEqual(["Hi|", "ParseError"])
      })
  )
})

describe("JSON over several lines", () => {
  it.effect.each([chat, Ollama.chat])("may have as many bytes as one line", (protocol) =>
    Effect.gen(function* () {
      const body = encode(`{\n${'"a": 1,\n'.repeat(1000)}`)
      const seen = yield* record(decode(protocol, [body], { maxLineBytes: 5000 }))
      expect(seen.failure).toEqual({ _tag: "LineTooLong", limit: 5000 })
    })
  )
})
