/** When an answer is over: finish reasons, `[DONE]`, the end of the body, and bodies that stay open. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as OllamaProtocol from "../../src/protocol/ollama/endpoints.ts"
import { dialect as llamaServer } from "../../src/servers/llamaServer.ts"
import { dialect as lmStudio } from "../../src/servers/lmStudio.ts"
import * as Endpoints from "../../src/protocol/openai/endpoints.ts"
import * as Lines from "../../src/http/lines.ts"
import { ProviderError, StreamTruncated } from "../../src/ProviderError.ts"
import { encode } from "../support/bytes.ts"
import type { Protocol } from "../support/decoding.ts"
import { check } from "../support/decoding.ts"
import type { Row } from "../support/openaiEvents.ts"
import {
  calls,
  checkRow,
  chunk,
  DONE,
  failure,
  final,
  finish,
  fragment,
  text,
  toBody,
  usage,
  usageChunk
} from "../support/openaiEvents.ts"
import { record } from "../support/transcript.ts"

const tolerant: Endpoints.Dialect = { ...lmStudio, hasFinishReason: false }
const chat = Endpoints.chat(lmStudio)
const noWords = [
  "",
  " ",
  "null",
  "NULL",
  " Null ",
  "None",
  "none",
  "NONE",
  "undefined",
  "nil",
  "false",
  null,
  false,
  {}
]
const noReason = failure("StreamTruncated", { missing: "finish-reason" })

describe.each([
  ["chat", chat, (content: string, finish_reason: unknown) => ({ choices: [{ delta: { content }, finish_reason }] })],
  [
    "completion",
    Endpoints.completion(lmStudio),
    (text: string, finish_reason: unknown) => ({ choices: [{ text, finish_reason }] })
  ]
] as const)("words that are no finish reason, %s", (_, route, piece) => {
  it.effect.each(noWords)("%j", (word) =>
    Effect.gen(function* () {
      yield* checkRow({ events: [piece("Hi", word)], pieces: "Hi|", failure: failure("StreamTruncated") }, route)
      yield* checkRow({ events: [piece("Hi", word), DONE], pieces: "Hi|", failure: noReason }, route)
      // They do not hide one either.
      const events = [piece("Hi", word), piece("!", "stop"), piece("", word), DONE]
      yield* checkRow({ events, pieces: "Hi|!|", final: final() }, route)
    })
  )

  it.effect.each(["Stop", "STOP", " stop "])("%j is one", (word) =>
    checkRow({ events: [piece("Hi", word)], pieces: "Hi|", final: final() }, route)
  )
})

describe("words of Ollama that are no finish reason", () => {
  it.effect.each(noWords)("%j", (done_reason) =>
    Effect.gen(function* () {
      const line = (more: object) => `${JSON.stringify({ message: { content: "Hi" }, done_reason, ...more })}\n`
      yield* check(OllamaProtocol.chat, line({}), { pieces: "Hi|", failure: failure("StreamTruncated") })
      yield* check(OllamaProtocol.chat, line({ done: true }), {
        pieces: "Hi",
        final: final({ finishReason: "other" })
      })
    })
  )
})

const all = (content: string) => chunk({ content }, "stop", usage)
const role = chunk({ role: "assistant", content: "" }, "stop", usage)

const early: Readonly<Record<string, Row>> = {
  "finish reason and usage on every chunk, the first empty": {
    events: [role, all("a"), all("b"), DONE],
    pieces: "a|b|",
    final: final({ usage: [8, 3, 11] })
  },
  "finish reason and usage on every chunk, without [DONE]": {
    events: [role, all("a"), all(""), all("b")],
    pieces: "a|b|",
    final: final({ usage: [8, 3, 11] })
  },
  "an empty chunk with both in the middle": {
    events: [text("a"), role, text("b"), finish("length"), DONE],
    pieces: "a|b|",
    final: final({ finishReason: "length", usage: [8, 3, 11] })
  },
  "usage alone in the middle, after a finish reason": {
    events: [text("a"), finish(), usageChunk, text("b"), finish(), DONE],
    pieces: "a|b|",
    final: final({ usage: [8, 3, 11] })
  },
  "thinking and a call after both": {
    events: [role, chunk({ reasoning: "Hm" }), calls(fragment("{}", { id: "x" }, "f")), DONE],
    pieces: "(Hm)|[0#x f({}]|",
    calls: [{ id: "x", name: "f", arguments: {} }],
    final: final({ finishReason: "tool-calls", usage: [8, 3, 11] })
  },
  "an error after both": {
    events: [text("a"), finish("stop", usage), { error: { message: "boom" } }],
    pieces: "a|",
    failure: failure("StreamError", { detail: "boom" })
  }
}

describe("nothing ends an answer while more can follow", () => {
  for (const [what, row] of Object.entries(early)) it.effect(what, () => checkRow(row, chat))
})

describe("[DONE] without a finish reason", () => {
  const call = calls(fragment("{}", { id: "x" }, "f"))
  const strict = { lmStudio, llamaServer }
  for (const [name, dialect] of Object.entries(strict)) {
    it.effect(`is a truncated answer for ${name}`, () =>
      checkRow({ events: [text("Hi"), usageChunk, DONE], pieces: "Hi|", failure: noReason }, Endpoints.chat(dialect))
    )
  }
  const table: Readonly<Record<string, Row>> = {
    "completes text": {
      events: [text("Hi"), usageChunk, DONE],
      pieces: "Hi|",
      final: final({ finishReason: "other", usage: [8, 3, 11] })
    },
    "completes calls": {
      events: [call, DONE],
      pieces: "[0#x f({}]|",
      calls: [{ id: "x", name: "f", arguments: {} }],
      final: final({ finishReason: "tool-calls" })
    },
    "does not complete half a call": {
      events: [calls(fragment('{"a', { id: "x" }, "f")), DONE],
      pieces: '[0#x f({"a]|',
      failure: failure("ParseError")
    },
    "does not complete an answer without content": { events: [DONE], failure: noReason },
    "does not complete thinking": {
      events: [chunk({ reasoning: "Hm" }), DONE],
      pieces: "(Hm)|",
      failure: noReason
    },
    "the end of the body does not complete text": {
      events: [text("Hi")],
      pieces: "Hi|",
      failure: failure("StreamTruncated")
    }
  }
  for (const [what, row] of Object.entries(table)) {
    it.effect(`${what} where servers send none`, () => checkRow(row, Endpoints.chat(tolerant)))
  }

  it("has a message that says so", () => {
    const message = "the answer ended without a finish reason, so it is incomplete"
    expect(
      new ProviderError({ provider: "p", reason: new StreamTruncated({ missing: "finish-reason" }) }).message
    ).toContain(message)
  })
})

describe.each(["tool_calls", "function_call", "TOOL_CALLS"])("the finish reason %s without a call", (word) => {
  const request = { model: "asked", prompt: "x" }
  const withBody = (body: object): Protocol => ({
    ...chat,
    decoder: (context) => chat.decoder(context, { request, body: { ...body } })
  })
  const tools = [{ type: "function", function: { name: "f" } }]
  const ollamaBody = [
    { message: { content: "Hi" }, done: false },
    { done: true, done_reason: word }
  ]
    .map((line) => `${JSON.stringify(line)}\n`)
    .join("")

  it.effect.each([{}, { tools: [] }, { tools, tool_choice: "none" }])(
    "is stop after text, for the request %j",
    (body) => checkRow({ events: [text("Hi"), finish(word), DONE], pieces: "Hi|", final: final() }, withBody(body))
  )
  it.effect.each([{ tools }, { functions: tools }])("fails for the request %j", (body) =>
    checkRow(
      { events: [text("Hi"), finish(word), DONE], pieces: "Hi|", failure: failure("ParseError") },
      withBody(body)
    )
  )
  it.effect("fails without text", () =>
    checkRow({ events: [finish(word), DONE], failure: failure("ParseError") }, withBody({}))
  )
  it.effect("fails after a call in a form that is not read", () =>
    checkRow(
      {
        events: [text("Hi"), calls({ name: "f", arguments: "{}" }), finish(word), DONE],
        pieces: "Hi|[0(]|",
        failure: failure("ParseError")
      },
      withBody({})
    )
  )
  it.effect("is the same for Ollama", () =>
    Effect.gen(function* () {
      yield* check(OllamaProtocol.chat, ollamaBody, { pieces: "Hi|", final: final() })
      const asked: Protocol = {
        framing: "ndjson",
        decoder: (context) => OllamaProtocol.chat.decoder(context, { request, body: { tools } })
      }
      yield* check(asked, ollamaBody, { pieces: "Hi|", failure: failure("ParseError") })
    })
  )
})

describe("a record that is cut off after the finish reason", () => {
  const answer = toBody([text("Hi"), finish()])
  it.effect.each([
    'data: {"choices":[{"delta":{"content":"and mo',
    'data: {"choices":[],"usage":{"prompt_to',
    "data: {"
  ])("%s may have a part of the answer", (rest) =>
    check(chat, answer + rest, {
      pieces: "Hi|",
      failure: failure("StreamTruncated", {})
    })
  )
  it.effect.each(["data: [DON", "data: [", "data:", "dat", ": pin"])("%s has none", (rest) =>
    check(chat, answer + rest, { pieces: "Hi|", final: final() })
  )
})

/** What is read from a body that stays open after these events, and how long that took. */
const readOpen = (events: ReadonlyArray<unknown>, then: Stream.Stream<string> = Stream.never) =>
  Effect.gen(function* () {
    const since = performance.now()
    const seen = yield* record(
      Lines.decode(Stream.map(Stream.concat(Stream.make(toBody(events)), then), encode), {
        framing: "sse",
        decoder: chat.decoder({ model: "asked", endpoint: "POST /test", maxLineBytes: 10_000 }),
        maxLineBytes: 10_000,
        toReason: (reason) => reason,
        isAborted: () => false,
        onComplete: () => undefined
      }).pipe(Stream.mapError((reason) => new ProviderError({ provider: "test", reason })))
    )
    return { seen, seconds: (performance.now() - since) / 1000 }
  })

const repeated = (body: string) => Stream.fromEffect(Effect.delay(Effect.succeed(body), 200)).pipe(Stream.forever)
const later = (seconds: number, ...events: ReadonlyArray<unknown>) =>
  Stream.concat(Stream.fromEffect(Effect.delay(Effect.succeed(toBody(events)), seconds * 1000)), Stream.never)

describe.concurrent("a body that stays open after the finish reason", () => {
  const answer = [text("Hi"), finish()]
  const complete = { pieces: "Hi|", final: final() }
  const table: Readonly<Record<string, readonly [events: ReadonlyArray<unknown>, then?: Stream.Stream<string>]>> = {
    "and is silent": [answer],
    "with comments": [answer, repeated(": ping\n\n")],
    "with pings": [answer, repeated("event: ping\ndata: {}\n\n")],
    "with chunks that add nothing": [answer, repeated(toBody([chunk({}), { choices: [] }]))],
    "with the finish reason on the last text": [[chunk({ content: "Hi" }, "stop")]],
    "with a whole message": [[{ choices: [{ message: { content: "Hi" }, finish_reason: "stop" }] }]]
  }
  for (const [what, [events, then]] of Object.entries(table)) {
    it.live(`${what}, is complete after a grace of a few seconds`, () =>
      Effect.gen(function* () {
        const { seconds, seen } = yield* readOpen(events, then)
        expect(seen).toEqual(complete)
        expect(seconds).toBeGreaterThan(2)
        expect(seconds).toBeLessThan(6)
      })
    )
  }

  it.live("usage within the grace is on the final chunk", () =>
    Effect.map(readOpen(answer, later(1, usageChunk)), ({ seen }) => {
      expect(seen).toEqual({ pieces: "Hi|", final: final({ usage: [8, 3, 11] }) })
    })
  )

  it.live("[DONE] ends the answer at once", () =>
    Effect.map(readOpen(answer, later(0.1, DONE)), ({ seconds, seen }) => {
      expect(seen).toEqual(complete)
      expect(seconds).toBeLessThan(2)
    })
  )

  it.live("text within the grace shows that the finish reason was none", () =>
    Effect.map(
      readOpen([text("a"), finish()], Stream.concat(Stream.take(later(1, text("b")), 1), later(4, text("c"), DONE))),
      ({ seen }) => {
        expect(seen).toEqual({ pieces: "a|b|c|", final: final() })
      }
    )
  )

  it.live("there is no grace before the first part of an answer", () =>
    Effect.map(readOpen([role], later(4, all("a"), DONE)), ({ seen }) => {
      expect(seen).toEqual({ pieces: "a|", final: final({ usage: [8, 3, 11] }) })
    })
  )

  it.live(
    "a slow consumer does not use up the grace",
    () =>
      Effect.gen(function* () {
        const body = Stream.make(toBody([text("a"), finish()]), toBody([text("b"), finish(), DONE]))
        const chunks = yield* Lines.decode(Stream.map(body, encode), {
          framing: "sse",
          decoder: chat.decoder({ model: "asked", endpoint: "POST /test", maxLineBytes: 10_000 }),
          maxLineBytes: 10_000,
          toReason: (reason: never) => reason,
          isAborted: () => false,
          onComplete: () => undefined
        }).pipe(
          Stream.mapEffect(({ content }) => Effect.delay(Effect.succeed(content), 3500)),
          Stream.runCollect
        )
        expect(chunks).toEqual(["a", "b", ""])
      }),
    20_000
  )
})
