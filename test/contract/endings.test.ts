import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { FakeServer } from "../../src/testing/index.ts"
import { connect, request, servers, setups, start } from "../support/setups.ts"
import { fieldsOf, record } from "../support/transcript.ts"

type Ending = readonly [what: string, answer: FakeServer.Completion, failure: object, pieces?: string]

const endings: ReadonlyArray<Ending> = [
  ["a clean end without end marker", { cut: { how: "end" } }, { _tag: "StreamTruncated" }],
  ["a closed connection", { cut: { how: "close" } }, { _tag: "NetworkError" }],
  ["a reset connection", { cut: { how: "reset" } }, { _tag: "NetworkError" }],
  [
    "an error record",
    { pieces: [{ error: "out of memory" }, "!"] },
    { _tag: "StreamError", description: "out of memory" }
  ],
  ["a bad record", { pieces: [{ record: '{"mess' }, "!"] }, { _tag: "ParseError", description: "not JSON" }],
  ["an endless line", { pieces: FakeServer.endless({ raw: "x".repeat(999) }) }, { _tag: "LineTooLong", limit: 5000 }],
  [
    "half a record, then a clean end",
    { pieces: [{ raw: '{"mess' }], cut: { how: "end" } },
    { _tag: "StreamTruncated" }
  ],
  ["half a record, then a reset", { pieces: [{ raw: 'data: {"ch' }], cut: { how: "reset" } }, { _tag: "NetworkError" }],
  ["nothing but headers", { text: "", cut: { how: "end", afterBytes: 0 } }, { _tag: "StreamTruncated" }, ""],
  ["a connection closed before headers", { cut: { how: "close", afterBytes: 0 } }, { _tag: "NetworkError" }, ""],
  ["a connection reset before headers", { cut: { how: "reset", afterBytes: 0 } }, { _tag: "NetworkError" }, ""]
]

describe.each(setups)("$provider over $client", (setup) => {
  const { body, last, whole } = servers[setup.provider]

  it.live.each(endings)("%s fails, after everything that came before", ([, answer, failure, pieces]) =>
    Effect.gen(function* () {
      const { provider } = yield* start(setup, { text: "The sky", ...answer }, { maxLineBytes: 5000 })
      const transcript = yield* record(provider.stream(request))
      expect(transcript).toMatchObject({ pieces: pieces ?? "The| sky|", failure })
      expect(yield* Effect.flip(provider.complete(request))).toMatchObject({ reason: failure })
    })
  )

  it.live("an answer is complete when its body ends after it", () =>
    Effect.gen(function* () {
      const { provider } = yield* start(setup, { pieces: ["Hi", last.piece], cut: { how: "end" } })
      expect(yield* record(provider.stream(request))).toMatchObject({
        pieces: `Hi|${last.text}`,
        final: { finishReason: last.finishReason }
      })
    })
  )

  it.live.each(["close", "reset"] as const)("a body that breaks (%s) before its end fails", (how) =>
    Effect.gen(function* () {
      const { provider } = yield* start(setup, { pieces: ["Hi", last.piece], cut: { how } })
      expect(yield* record(provider.stream(request))).toMatchObject({
        pieces: "Hi|",
        failure: { _tag: "NetworkError" }
      })
    })
  )

  it.live("a refused connection fails", () =>
    Effect.gen(function* () {
      const { url } = yield* Effect.scoped(FakeServer.make())
      const provider = yield* connect(setup, { baseUrl: url })
      for (const run of [Stream.runDrain(provider.stream(request)), provider.complete(request), provider.listModels]) {
        const { reason } = yield* Effect.flip(run)
        expect(reason).toMatchObject({ _tag: "NetworkError", description: expect.stringContaining("ECONNREFUSED") })
      }
    })
  )

  it.live("https to a server that speaks http fails with advice", () =>
    Effect.gen(function* () {
      const { url } = yield* FakeServer.make()
      const provider = yield* connect(setup, { baseUrl: url.replace("http:", "https:") })
      expect((yield* Effect.flip(provider.complete(request))).reason).toMatchObject({
        _tag: "NetworkError",
        description: expect.stringContaining("use http://")
      })
    })
  )

  it.live("an unknown host fails with its name", () =>
    Effect.gen(function* () {
      const provider = yield* connect(setup, { baseUrl: "http://nosuch.invalid:11434" })
      expect((yield* Effect.flip(provider.complete(request))).reason).toMatchObject({
        _tag: "NetworkError",
        description: expect.stringMatching(/^(ENOTFOUND|EAI_AGAIN) nosuch\.invalid \(the host name/)
      })
    })
  )

  it.live.each([
    [400, "bad", "InvalidRequest"],
    [401, "who", "AuthenticationError"],
    [403, "", "AuthenticationError"],
    [404, { error: "model 'm' not found" }, "ModelNotAvailable"],
    [404, "404 page not found", "Unsupported"],
    [405, "405 method not allowed", "Unsupported"],
    [413, "too large", "InvalidRequest"],
    [418, "teapot", "ApiError"],
    [422, { error: { message: "what" } }, "InvalidRequest"],
    [429, "slowly", "RateLimited"],
    [500, { error: "oh no" }, "ApiError"],
    [502, "<html><title>Bad Gateway</title></html>", "ApiError"],
    [503, { error: "server busy" }, "ApiError"],
    [204, undefined, "StreamTruncated"]
  ] as const)("status %i with %j is %s", ([status, body, tag]) =>
    Effect.gen(function* () {
      const { provider } = yield* start(setup, { status, body })
      expect((yield* Effect.flip(provider.complete(request))).reason._tag).toBe(tag)
    })
  )

  it.live.each([429, 503])("reports the Retry-After of a %i", (status) =>
    Effect.gen(function* () {
      const { provider } = yield* start(setup, { status, headers: { "retry-after": "7" } })
      const error = yield* Effect.flip(provider.complete(request))
      expect(error.isRetryable).toBe(true)
      expect(error.retryAfter).toMatchObject(Duration.seconds(7))
    })
  )

  it.live("a page in place of an answer fails, with its title in the detail", () =>
    Effect.gen(function* () {
      const { provider } = yield* start(setup, {
        status: 200,
        headers: { "content-type": "text/html" },
        body: "<!doctype html><title>Sign in</title>"
      })
      const page = {
        _tag: "ApiError",
        status: 200,
        description: expect.stringContaining("an HTML page"),
        detail: "Sign in"
      }
      expect(fieldsOf((yield* Effect.flip(provider.complete(request))).reason)).toMatchObject(page)
      expect(fieldsOf((yield* Effect.flip(provider.listModels)).reason)).toMatchObject(page)
    })
  )

  it.live("a list of models that is longer than the bound fails", () =>
    Effect.gen(function* () {
      const answer = { status: 200, body: { data: [{ id: "x".repeat(5000) }] }, holdOpen: true }
      const { provider } = yield* start(setup, answer, { maxLineBytes: 5000 })
      expect((yield* Effect.flip(provider.listModels)).reason).toMatchObject({ _tag: "LineTooLong", limit: 5000 })
    })
  )

  it.live("an error in a body with status 200 fails", () =>
    Effect.gen(function* () {
      const message = "Unexpected endpoint or method. (POST /v1/chat/completions)"
      const { provider } = yield* start(setup, { status: 200, body: { error: message } })
      expect(fieldsOf((yield* Effect.flip(provider.complete(request))).reason)).toMatchObject({
        _tag: "Unsupported",
        detail: message
      })
    })
  )

  it.live("a stream that is sent as application/json is read", () =>
    Effect.gen(function* () {
      const reply = { status: 200, headers: { "content-type": "application/json" }, body }
      const { provider } = yield* start(setup, reply)
      expect(yield* provider.complete(request)).toMatchObject({ content: "Hi", finishReason: "stop" })
      const dripped = yield* start(setup, { ...reply, drip: { bytes: 1 } })
      expect(yield* dripped.provider.complete(request)).toMatchObject({ content: "Hi", finishReason: "stop" })
    })
  )

  it.live("a complete JSON object instead of a stream is read where the protocol allows it", () =>
    Effect.gen(function* () {
      const { provider } = yield* start(setup, { status: 200, body: whole.body })
      expect(yield* record(provider.stream(request))).toMatchObject(whole.transcript)
    })
  )

  it.live.each([301, 302, 303, 307, 308])("a redirect (%i) carries neither token nor prompt elsewhere", (status) =>
    Effect.gen(function* () {
      const other = yield* FakeServer.make()
      const { provider } = yield* start(setup, ({ path }) => ({ status, headers: { location: other.url + path } }), {
        token: Redacted.make("secret-token"),
        headers: { "x-api-key": "secret-key" }
      })
      expect((yield* Effect.flip(provider.complete(request))).reason._tag).toBe("ApiError")
      expect((yield* Effect.flip(provider.listModels)).reason._tag).toBe("ApiError")
      expect(JSON.stringify((yield* other.state).requests)).not.toMatch(/secret|sky/)
    })
  )
})
