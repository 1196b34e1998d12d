import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { FakeServer } from "../../src/testing/index.ts"

const ask = (url: string, path: string, body?: object): Promise<Response> =>
  fetch(url + path, body === undefined ? {} : { method: "POST", body: JSON.stringify(body) })

const read = (url: string, path: string, body?: object): Effect.Effect<string> =>
  Effect.promise(() => ask(url, path, body).then((response) => response.text()))

const chat = { model: "m", stream_options: { include_usage: true } }

/** Reads what comes within one turn of a server that waits for its clock. */
const makeReader = (response: Response) => {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  return Effect.promise(async () => (await reader?.read())?.value)
}

describe("FakeServer", () => {
  it.effect("writes the records of Ollama", () =>
    Effect.gen(function* () {
      const toolCalls = [{ id: "call_1", name: "f", arguments: { a: 1 } }]
      const { url } = yield* FakeServer.make({ thinking: "Hm", text: "The sky", toolCalls })
      const lines = (yield* read(url, "/api/chat", chat)).trimEnd().split("\n")
      const head = { model: "m", created_at: "2026-01-02T03:04:05.678Z" }
      const call = { id: "call_1", function: { index: 0, name: "f", arguments: { a: 1 } } }
      expect(lines.map((line) => JSON.parse(line))).toEqual([
        { ...head, message: { role: "assistant", content: "", thinking: "Hm" }, done: false },
        { ...head, message: { role: "assistant", content: "The" }, done: false },
        { ...head, message: { role: "assistant", content: " sky" }, done: false },
        { ...head, message: { role: "assistant", content: "", tool_calls: [call] }, done: false },
        {
          ...head,
          message: { role: "assistant", content: "" },
          done: true,
          done_reason: "stop",
          total_duration: 900_000_000,
          load_duration: 50_000_000,
          prompt_eval_count: 10,
          prompt_eval_duration: 30_000_000,
          eval_count: 4,
          eval_duration: 800_000_000
        }
      ])
      expect(yield* read(url, "/api/generate", chat)).toContain('"response":" sky","done":false')
    })
  )

  it.effect("writes the events of LM Studio", () =>
    Effect.gen(function* () {
      const { url } = yield* FakeServer.make({ text: "The sky", finishReason: "length" })
      const events = (yield* read(url, "/v1/chat/completions", chat)).split("\n\n")
      expect(events.slice(-2)).toEqual(["data: [DONE]", ""])
      expect(events.slice(0, -2).map((event) => JSON.parse(event.replace(/^data: /, "")))).toMatchObject([
        { choices: [{ delta: { role: "assistant", content: "The" }, logprobs: null, finish_reason: null }] },
        { choices: [{ delta: { content: " sky" }, logprobs: null, finish_reason: null }] },
        { choices: [{ delta: {}, logprobs: null, finish_reason: "length" }] },
        { choices: [], usage: { prompt_tokens: 10, completion_tokens: 2, total_tokens: 12 } }
      ])
      const plain = yield* read(url, "/v1/completions", { model: "m" })
      expect(plain).toContain('"choices":[{"index":0,"text":"The","logprobs":null,"finish_reason":null}]')
      expect(plain).not.toContain("usage")
    })
  )

  it.effect.each([
    ["GET", "/", 200, "Ollama is running"],
    ["GET", "/api/version", 200, '{"version":"0.33.0"}'],
    ["GET", "/lmstudio-greeting", 200, '{"lmstudio":true}'],
    [
      "GET",
      "/v1/models",
      200,
      '{"object":"list","data":[{"id":"a","object":"model","owned_by":"organization_owner"}]}'
    ],
    ["GET", "/nothing", 404, "404 page not found"],
    ["GET", "/api/chat", 405, "405 method not allowed"],
    ["POST", "/api/tags", 405, "405 method not allowed"],
    ["POST", "/v1/nothing", 200, '{"error":"Unexpected endpoint or method. (POST /v1/nothing)"}'],
    ["GET", "/v1/completions", 200, '{"error":"Unexpected endpoint or method. (GET /v1/completions)"}']
  ] as const)("answers %s %s as the real servers do", ([method, path, status, text]) =>
    Effect.gen(function* () {
      const { url } = yield* FakeServer.make({}, { models: ["a"] })
      const response = yield* Effect.promise(() => fetch(url + path, { method }))
      expect([response.status, yield* Effect.promise(() => response.text())]).toEqual([status, text])
    })
  )

  it.effect("calls the script with the request and records it", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(({ body, headers, index }) =>
        Effect.succeed({ status: 418, body: { index, body, accept: headers.accept } })
      )
      expect(yield* read(server.url, "/any?thing=1", { a: [1] })).toBe('{"index":0,"body":{"a":[1]},"accept":"*/*"}')
      yield* server.setScript({ status: 200, body: Uint8Array.of(65, 10) })
      expect(yield* read(server.url, "/api/tags")).toBe("A\n")
      yield* server.setScript(() => {
        throw new Error("mistake")
      })
      expect(yield* read(server.url, "/")).toContain("Error: mistake")
      expect((yield* server.state).requests).toMatchObject([
        { index: 0, method: "POST", path: "/any?thing=1", body: { a: [1] }, outcome: "completed", bytesWritten: 43 },
        { index: 1, method: "GET", path: "/api/tags", body: undefined, outcome: "completed", bytesWritten: 2 },
        { index: 2, method: "GET", path: "/", outcome: "completed", bytesWritten: 0 }
      ])
    })
  )

  it.effect("follows the clock of the test", () =>
    Effect.gen(function* () {
      const delay = { headers: "1 minute", first: "1 hour", between: "1 day" } as const
      const server = yield* FakeServer.make({ pieces: ["a", { wait: "10 days" }, "b"], delay, usage: false })
      let response: Response | undefined
      const asking = ask(server.url, "/v1/completions", chat).then((it) => (response = it))
      yield* server.until(({ requests }) => requests.length === 1)
      yield* TestClock.adjust("59 seconds")
      expect(response).toBe(undefined)
      yield* TestClock.adjust("1 second")
      const next = makeReader(yield* Effect.promise(() => asking))
      const fiber = yield* Effect.forkChild(next)
      yield* TestClock.adjust("1 hour")
      expect(yield* Fiber.join(fiber)).toContain('"text":"a"')
      yield* TestClock.adjust("10 days")
      yield* TestClock.adjust("1 day")
      expect(yield* next).toContain('"text":"b"')
    })
  )

  it.effect("sends the headers when the real servers do", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ delay: { first: "1 minute" } })
      yield* Effect.promise(() => ask(server.url, "/v1/chat/completions", chat))
      const early = ask(server.url, "/api/chat", chat).then(() => "headers")
      const timer = new Promise((resolve) => setTimeout(() => resolve("nothing yet"), 50))
      expect(yield* Effect.promise(() => Promise.race([early, timer]))).toBe("nothing yet")
      yield* TestClock.adjust("1 minute")
      expect(yield* Effect.promise(() => early)).toBe("headers")
    })
  )

  it.live("drips", () =>
    Effect.gen(function* () {
      const { url } = yield* FakeServer.make({ status: 200, body: "Größe", drip: { bytes: 1, every: "5 millis" } })
      const next = makeReader(yield* Effect.promise(() => ask(url, "/")))
      const pieces = yield* Effect.all([next, next, next])
      expect(pieces).toEqual(["G", "r", "ö"])
    })
  )

  it.live.each([
    ["end", "cut-by-server", "The sk"],
    ["close", "cut-by-server", "failed"],
    ["reset", "cut-by-server", "failed"]
  ] as const)("cuts after some bytes: %s", ([how, outcome, expected]) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ status: 200, body: "The sky is blue", cut: { how, afterBytes: 6 } })
      const text = yield* Effect.promise(() =>
        ask(server.url, "/")
          .then((response) => response.text())
          .catch(() => "failed")
      )
      expect(text).toBe(expected)
      const { requests } = yield* server.until(({ requests }) => requests[0]?.outcome !== "answering")
      expect(requests[0]).toMatchObject({ outcome, bytesWritten: 6 })
    })
  )

  it.live.each([
    ["no headers", FakeServer.silence],
    ["a stall", { text: "The sky", cut: { how: "stall" } }],
    ["an endless answer", { pieces: FakeServer.endless("x") }],
    ["an answer held open", { text: "The sky", holdOpen: true }],
    ["a stream that stands still", { pieces: Stream.never }]
  ] as const)("sees its client go: %s", ([, script]) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(script)
      const controller = new AbortController()
      const request = { method: "POST", signal: controller.signal, body: "{}" }
      const asking = fetch(`${server.url}/api/chat`, request).then(
        (response) => response.text(),
        () => ""
      )
      yield* server.until(({ openConnections, requests }) => openConnections === 1 && requests.length === 1)
      controller.abort()
      const { requests } = yield* server.until(({ openConnections }) => openConnections === 0)
      expect(requests[0]?.outcome).toBe("cut-by-client")
      yield* Effect.exit(Effect.tryPromise(() => asking))
    })
  )

  it.live("closes everything at the end of its scope", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const server = yield* Scope.provide(FakeServer.make(FakeServer.silence), scope)
      const asking = yield* Effect.forkChild(Effect.exit(Effect.tryPromise(() => ask(server.url, "/"))))
      yield* server.until(({ requests }) => requests.length === 1)
      yield* Scope.close(scope, Exit.void)
      expect(Exit.isFailure(yield* Fiber.join(asking))).toBe(true)
      const state = yield* server.until(({ openConnections }) => openConnections === 0)
      expect(state.requests[0]?.outcome).toBe("cut-by-server")
      expect(Exit.isFailure(yield* Effect.exit(Effect.tryPromise(() => ask(server.url, "/"))))).toBe(true)
    })
  )

  it.live.each<[FakeServer.Answer, string]>([
    [{ text: "a", drip: { bytes: 0 } }, "drip.bytes"],
    [{ text: "a", drip: { bytes: Number.NaN } }, "drip.bytes"],
    [{ status: 200, body: "a", cut: { how: "end", afterBytes: -1 } }, "cut.afterBytes"],
    [{ text: "a", cut: { how: "reset", afterBytes: Number.NaN } }, "cut.afterBytes"]
  ])("reports a number in a script that has no meaning", ([answer, field]) =>
    Effect.gen(function* () {
      const { url } = yield* FakeServer.make(answer)
      const response = yield* Effect.promise(() => ask(url, "/api/chat", chat))
      expect(response.status).toBe(500)
      expect(yield* Effect.promise(() => response.text())).toContain(
        `the script of the fake server failed: RangeError: ${field}`
      )
    })
  )
})
