/** Servers and gateways that ignore `stream`, and answer with one JSON value. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { FakeServer } from "../../src/testing/index.ts"
import { firstOutcome, request, setups, start } from "../support/setups.ts"
import { record } from "../support/transcript.ts"

const usage = { prompt_tokens: 8, completion_tokens: 3, total_tokens: 11 }
const message = {
  role: "assistant",
  content: "The sky\nis blue 🌈",
  reasoning_content: "Hm",
  tool_calls: [{ id: "x", type: "function", function: { name: "f", arguments: '{"a":1}' } }]
}
const completion = {
  id: "chatcmpl-1",
  object: "chat.completion",
  model: "m:7b",
  choices: [{ index: 0, message, logprobs: null, finish_reason: "tool_calls" }],
  usage
}
const read = {
  pieces: '(Hm)The sky\nis blue 🌈[0#x f({"a":1}]|',
  calls: [{ id: "x", name: "f", arguments: { a: 1 } }],
  final: { model: "m:7b", finishReason: "tool-calls", usage: [8, 3, 11] }
}
const plain = {
  object: "text_completion",
  model: "m:7b",
  choices: [{ index: 0, text: "Once upon", finish_reason: "length" }],
  usage
}

const types = ["application/json", "application/json; charset=utf-8", "text/event-stream", "text/plain", ""]

const reply = (body: string, type = "application/json", drip?: number): FakeServer.Reply => ({
  status: 200,
  headers: type === "" ? {} : { "content-type": type },
  body,
  ...(drip === undefined ? {} : { drip: { bytes: drip } })
})

const openAi = setups.filter(({ provider }) => provider !== "Ollama")
const other = setups.filter(({ provider }) => provider === "Ollama")

describe.concurrent.each(openAi)("$provider over $client", (setup) => {
  it.live.each(types)("a whole chat completion, sent as %j, is read", (type) =>
    Effect.gen(function* () {
      for (const [space, drip] of [[0], [2], [0, 7], [2, 1]]) {
        const body = JSON.stringify(completion, null, space)
        const { provider } = yield* start(setup, reply(body, type, drip))
        expect(yield* record(provider.stream(request))).toEqual(read)
      }
    })
  )

  it.live.each(types)("a whole plain completion, sent as %j, is read", (type) =>
    Effect.gen(function* () {
      const { provider } = yield* start(setup, reply(`\n\n${JSON.stringify(plain)}\n`, type))
      expect(yield* record(provider.stream({ model: "m", prompt: "Tell" }))).toEqual({
        pieces: "Once upon|",
        final: { model: "m:7b", finishReason: "length", usage: [8, 3, 11] }
      })
    })
  )

  it.live("a whole completion that is longer than the bound fails", () =>
    Effect.gen(function* () {
      const body = JSON.stringify({ ...completion, x: "x".repeat(5000) })
      const { provider } = yield* start(setup, reply(body), { maxLineBytes: 1000 })
      expect((yield* record(provider.stream(request))).failure).toEqual({ _tag: "LineTooLong", limit: 1000 })
    })
  )

  it.live.each([{ status: "ok" }, { choices: [] }, [1], [completion], { result: { text: "Hi" } }])(
    "%j fails, with the text in the detail",
    (value) =>
      Effect.gen(function* () {
        const text = JSON.stringify(value)
        const { provider } = yield* start(setup, reply(text))
        expect((yield* record(provider.stream(request))).failure).toMatchObject({ _tag: "ApiError", detail: text })
      })
  )

  it.live("an error counts at once, though the body stays open", () =>
    Effect.gen(function* () {
      const { provider } = yield* start(setup, { ...reply('{"error":{"message":"boom"}}'), holdOpen: true })
      expect((yield* record(provider.stream(request))).failure).toMatchObject({ _tag: "StreamError", detail: "boom" })
    })
  )

  it.live("a stream without an end marker is complete after a grace, though the body stays open", () =>
    Effect.gen(function* () {
      const events = [{ choices: [{ delta: { content: "Hi" } }] }, { choices: [{ delta: {}, finish_reason: "stop" }] }]
      const body = events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("")
      const { provider, server } = yield* start(setup, { ...reply(body), holdOpen: true })
      expect(yield* provider.complete(request)).toMatchObject({ content: "Hi", finishReason: "stop" })
      expect(yield* firstOutcome(server)).toBe("cut-by-client")
    })
  )

  it.live.each([{ idle: 500 }, { total: 500 }])(
    "a deadline that passes within the grace ends the grace: %j",
    (deadlines) =>
      Effect.gen(function* () {
        const events = [
          { choices: [{ delta: { content: "Hi" } }] },
          { choices: [{ delta: {}, finish_reason: "stop" }] }
        ]
        const body = events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join("")
        const { provider, server } = yield* start(setup, { ...reply(body), holdOpen: true })
        const since = performance.now()
        expect(yield* provider.complete({ ...request, deadlines })).toMatchObject({
          content: "Hi",
          finishReason: "stop"
        })
        expect(performance.now() - since).toBeLessThan(2500)
        expect(yield* firstOutcome(server)).toBe("cut-by-client")
      })
  )

  it.live("half of a completion is not an answer", () =>
    Effect.gen(function* () {
      const { provider } = yield* start(setup, reply(JSON.stringify(completion).slice(0, -5)))
      const { failure, pieces } = yield* record(provider.stream(request))
      expect({ pieces, tag: failure?._tag }).toEqual({ pieces: "", tag: "StreamTruncated" })
    })
  )

  it.live("chunks without data fields are not an answer, even if the first one is whole", () =>
    Effect.gen(function* () {
      const line = JSON.stringify({ choices: [{ delta: { content: "Hi" } }] })
      const { provider } = yield* start(setup, reply(`${line}\n${line}\n`))
      expect((yield* record(provider.stream(request))).failure).toMatchObject({ _tag: "ParseError" })
    })
  )
})

describe.concurrent.each(other)("$provider over $client", (setup) => {
  it.live.each(["application/json", "application/x-ndjson", ""])("a whole answer, sent as %j, is read", (type) =>
    Effect.gen(function* () {
      const body = JSON.stringify({ model: "m:7b", message: { content: "Hi" }, done: true, done_reason: "stop" })
      const { provider } = yield* start(setup, reply(body, type, 3))
      expect(yield* record(provider.stream(request))).toEqual({
        pieces: "Hi",
        final: { model: "m:7b", finishReason: "stop" }
      })
    })
  )
})
