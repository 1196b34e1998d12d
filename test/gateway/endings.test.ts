/** How responses end: whole, with a failure before the first text, or with one after it. On each route for completions. */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Reasons from "../../src/ProviderError.ts"
import * as Gateway from "../support/gateway.ts"

const secret = Redacted.make("secret")

const reasons: ReadonlyArray<readonly [reason: Reasons.ProviderErrorReason, status: number]> = [
  [new Reasons.InvalidRequest({ description: "secret", detail: secret }), 400],
  [new Reasons.ContextOverflow({ promptTokens: 10, contextLength: 5, detail: secret }), 400],
  [new Reasons.Unsupported({ feature: "tools", detail: secret }), 400],
  [new Reasons.ModelNotAvailable({ model: "m", detail: secret }), 404],
  [new Reasons.RateLimited({ retryAfter: Duration.millis(1500), detail: secret }), 429],
  [new Reasons.Timeout({ kind: "idle", limit: Duration.seconds(1) }), 504],
  [new Reasons.AuthenticationError({ detail: secret }), 502],
  [new Reasons.ApiError({ status: 500, description: "secret", detail: secret }), 502],
  [new Reasons.NetworkError({ description: "http://secret:11434", detail: secret }), 502],
  [new Reasons.ParseError({ excerpt: secret }), 502]
]

describe.each(Object.entries(Gateway.rows))("%s", (_, { body, end, failure, keepAlive, path }) => {
  it.live("a response that is whole has its end, and the next request uses the connection", () =>
    Effect.gen(function* () {
      const url = yield* Gateway.serve(yield* MockProvider.make([{ thinking: "Hm" }, "Sun", "light é😀"]))
      const streamed = yield* Gateway.ask(url + path, { ...body, stream: true })
      expect(streamed).toMatchObject({ status: 200, isWhole: true, isClosed: false })
      expect(streamed.headers["content-type"]).toMatch(/text\/event-stream|application\/x-ndjson/)
      expect(streamed.text).toContain("light é😀")
      expect(streamed.text).toContain(end)
      expect(streamed.text).not.toMatch(failure)
      const whole = yield* Gateway.ask(url + path, { ...body, stream: false })
      expect(whole).toMatchObject({ status: 200, isWhole: true, isClosed: false })
      expect(whole.headers["content-type"]).toBe("application/json")
      expect(JSON.stringify(JSON.parse(whole.text))).toContain("Sunlight é😀")
    })
  )

  it.live.each(reasons)("a failure before the first text has its status", ([reason, status]) =>
    Effect.gen(function* () {
      const script = [{ promptProgress: { processed: 1, total: 2 } }, MockProvider.fail(reason)]
      const url = yield* Gateway.serve(yield* MockProvider.make(script))
      const responses = yield* Effect.forEach([true, false], (stream) => Gateway.ask(url + path, { ...body, stream }))
      for (const response of responses) {
        expect(response).toMatchObject({ status, isWhole: true, isClosed: false })
        expect(JSON.parse(response.text)).toHaveProperty("error")
        expect(response.text).not.toContain("secret")
        expect(response.headers["retry-after"]).toBe(reason._tag === "RateLimited" ? "2" : undefined)
      }
    })
  )

  it.live.each(reasons)("a failure after it is the last record, and the connection is closed", ([reason]) =>
    Effect.gen(function* () {
      const url = yield* Gateway.serve(yield* MockProvider.make(["Sun", "light", MockProvider.fail(reason)]))
      const streamed = yield* Gateway.ask(url + path, { ...body, stream: true })
      expect(streamed).toMatchObject({ status: 200, isWhole: true, isClosed: true })
      expect(streamed.text).toContain("light")
      expect(streamed.text).toMatch(failure)
      expect(streamed.text).not.toContain(end)
      expect(streamed.text).not.toContain("secret")
      const whole = yield* Gateway.ask(url + path, { ...body, stream: false })
      expect(whole.status).toBeGreaterThanOrEqual(400)
      expect(whole.text).not.toMatch(/Sun|secret/)
    })
  )

  it.live("while a model is loaded, the connection is kept alive, and a later failure is the last record", () =>
    Effect.gen(function* () {
      const wait = MockProvider.wait("2500 millis")
      const failing = yield* MockProvider.make([wait, MockProvider.fail(new Reasons.NetworkError({}))])
      const urls = yield* Effect.all([
        Effect.flatMap(MockProvider.make([wait, "Sunlight"]), (provider) =>
          Gateway.serve(provider, { keepAlive: "1 second" })
        ),
        Gateway.serve(failing, { keepAlive: "1 second" }),
        Gateway.serve(failing, { keepAlive: Infinity })
      ])
      const sent = urls.map((url) => Gateway.send(url + path, { ...body, stream: true }))
      yield* Effect.sleep("2200 millis")
      expect(sent.map(({ text }) => text())).toEqual([
        expect.stringMatching(keepAlive),
        expect.stringMatching(keepAlive),
        ""
      ])
      const [whole, failed, refused] = yield* Effect.promise(() => Promise.all(sent.map(({ seen }) => seen)))
      expect(whole?.text).toContain("Sunlight")
      expect(whole?.text).toContain(end)
      expect(failed?.status).toBe(200)
      expect(`\n${failed?.text.trimStart()}`).toMatch(failure)
      expect(refused?.status).toBe(502)
    })
  )
})
