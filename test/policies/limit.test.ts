/** Limits for each key. */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { Deadlines } from "../../src/CompletionRequest.ts"
import * as Limit from "../../src/Limit.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Limits from "../../src/policies/limits.ts"
import * as Pool from "../../src/Pool.ts"
import type * as Provider from "../../src/Provider.ts"
import { type ProviderError, RateLimited } from "../../src/ProviderError.ts"
import * as Retry from "../../src/Retry.ts"
import { settle } from "../support/attempts.ts"

const prompt = { model: "m", prompt: "x" } as const

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

const as = (name: string) => Effect.provideService(Pool.caller, { name })

const count = (mock: MockProvider.MockProvider) => Effect.map(mock.requests, ({ length }) => length)

const Request = Schema.Struct({
  key: Schema.Literals(["a", "b"]),
  seconds: Schema.Literals([0, 1, 5]),
  stops: Schema.Boolean
})

it.effect.prop(
  "of requests at once: no key ever has more, whatever ends them, and all of `wait` are served in their order",
  { requests: Schema.Array(Request).check(Schema.isMaxLength(12)), onExceeded: Schema.Literals(["fail", "wait"]) },
  ({ onExceeded, requests }) =>
    Effect.gen(function* () {
      const running: Record<string, number> = { a: 0, b: 0 }
      const begun: Array<number> = []
      const mock = yield* MockProvider.make(({ prompt = "", seed = 0 }) => {
        expect((running[prompt] = (running[prompt] ?? 0) + 1)).toBeLessThanOrEqual(2)
        begun.push(seed)
        return [MockProvider.wait(`${requests[seed]?.seconds ?? 0} seconds`), "a", "b"]
      })
      const limited = yield* Limit.make(mock, {
        limits: { requestsAtOnce: 2 },
        onExceeded,
        key: (request) => ("prompt" in request ? String(request.prompt) : "")
      })
      const exits = yield* settle(
        Effect.forEach(
          requests,
          ({ key, stops }, seed) =>
            limited.stream({ ...prompt, prompt: key, seed }).pipe(
              Stream.take(stops ? 1 : 9),
              Stream.runDrain,
              Effect.exit,
              Effect.tap(() =>
                Effect.sync(() => {
                  if (begun.includes(seed)) running[key] = (running[key] ?? 0) - 1
                })
              )
            ),
          { concurrency: "unbounded" }
        )
      )
      expect(exits.filter(Exit.isSuccess)).toHaveLength(begun.length)
      if (onExceeded === "wait") {
        for (const key of ["a", "b"]) {
          const ofKey = begun.filter((seed) => requests[seed]?.key === key)
          expect(ofKey).toEqual(requests.flatMap((request, seed) => (request.key === key ? [seed] : [])))
        }
      }
    }),
  { arbitrary: { runs: 40 } }
)

describe("a key", () => {
  it.effect("is the name of the caller, has limits of its own, and is in no error", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make([MockProvider.hang])
      const limits = (key: string) => (key === "free" ? undefined : { requestsAtOnce: 1 })
      const limited = yield* Limit.make(mock, { limits })
      const one = yield* fork(as("SECRET")(limited.complete(prompt)))
      const error = yield* Effect.flip(as("SECRET")(limited.complete(prompt)))
      expect(error).toMatchObject({ provider: "Mock", isRetryable: true, reason: { _tag: "RateLimited" } })
      expect(error.message).toContain("the limit of 1 requests at once is reached")
      expect(JSON.stringify(error)).not.toContain("SECRET")
      yield* fork(as("other")(limited.complete(prompt)))
      for (let i = 0; i < 3; i++) yield* fork(as("free")(limited.complete(prompt)))
      expect(yield* count(mock)).toBe(5)
      // Its place is free at once.
      yield* Fiber.interrupt(one)
      yield* fork(as("SECRET")(limited.complete(prompt)))
      expect(yield* count(mock)).toBe(6)
    })
  )

  it.effect("with requests in a minute: Retry waits as long as the failure says", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make(["Hi"])
      const limited = yield* Limit.make(mock, { limits: { requestsPerMinute: 2 } })
      for (let i = 0; i < 2; i++) yield* limited.complete(prompt)
      const { reason } = yield* Effect.flip(limited.complete(prompt))
      expect(reason).toMatchObject({ retryAfter: { value: { millis: 30_000 } } })
      const fiber = yield* fork(Retry.apply(limited).complete(prompt))
      yield* TestClock.adjust("29 seconds")
      expect(yield* count(mock)).toBe(2)
      yield* TestClock.adjust("1 second")
      expect(yield* Fiber.join(fiber)).toMatchObject({ content: "Hi" })
    })
  )

  it.effect.each<[name: string, script: MockProvider.Script, take: number, tokens: number]>([
    ["reported", ["a", { isFinal: true, usage: { promptTokens: 100, completionTokens: 20 } }], 9, 120],
    ["not reported", ["a", "b", "c"], 9, 3],
    ["of a consumer that stopped", ["a", "b", "c"], 2, 2],
    ["of a failure", ["a", "b", MockProvider.fail(new RateLimited({}))], 9, 2],
    ["of a prompt that was read", [{ promptProgress: { processed: 90, total: 100 } }, "a", MockProvider.hang], 2, 91]
  ])("with tokens in a minute makes up for what its completions took: %s", ([, script, take, tokens]) =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make(script)
      const limited = yield* Limit.make(mock, { limits: { tokensPerMinute: 1 } })
      const run = Effect.exit(Stream.runDrain(Stream.take(limited.stream(prompt), take)))
      yield* run
      yield* TestClock.adjust(`${tokens - 1} minutes`)
      expect((yield* Effect.flip(limited.complete(prompt))).reason._tag).toBe("RateLimited")
      yield* TestClock.adjust("1 minute")
      yield* run
      expect(yield* count(mock)).toBe(2)
    })
  )

  it.effect("counts embeddings too", () =>
    Effect.gen(function* () {
      const limited = yield* Limit.make(MockProvider.make([]), { limits: { requestsPerMinute: 1 } })
      yield* limited.embed({ model: "m", input: "x" })
      expect((yield* Effect.flip(limited.embed({ model: "m", input: "x" }))).reason._tag).toBe("RateLimited")
      expect((yield* Effect.flip(limited.complete(prompt))).reason._tag).toBe("RateLimited")
    })
  )
})

describe("a request that waits", () => {
  it.effect("is in the order of its key, and its wait is a part of its deadlines", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make(["Hi"])
      const limited = yield* Limit.make(mock, { limits: { requestsPerMinute: 1 }, onExceeded: "wait" })
      yield* limited.complete(prompt)
      const done: Array<number> = []
      const complete = (i: number, deadlines = {}) =>
        Effect.tap(limited.complete({ ...prompt, deadlines }), () => Effect.sync(() => done.push(i)))
      const first = yield* fork(complete(1))
      const late = yield* fork(Effect.flip(complete(2, { total: "90 seconds" })))
      const never = yield* fork(Effect.flip(complete(3)))
      yield* fork(complete(4, { firstChunk: "1 hour" }))
      yield* TestClock.adjust("90 seconds")
      expect(done).toEqual([1])
      expect((yield* Fiber.join(late)).reason).toMatchObject({ _tag: "Timeout", kind: "total" })
      // One that leaves takes no turn.
      yield* Fiber.interrupt(never)
      yield* TestClock.adjust("30 seconds")
      expect(done).toEqual([1, 4])
      expect(first.pollUnsafe()).toBeDefined()
    })
  )
})

it.live("the deadline that passes is in the error, as the request has it", () =>
  Effect.gen(function* () {
    const hanging = yield* MockProvider.make([MockProvider.hang])
    const limited = yield* Limit.make(hanging, { limits: { requestsAtOnce: 1 }, onExceeded: "wait" })
    const ask = (deadlines: Deadlines) => Effect.flip(limited.complete({ ...prompt, deadlines }))
    const running = yield* fork(ask({ firstChunk: "40 millis" }))
    const total = yield* fork(ask({ total: "20 millis", firstChunk: "1 hour" }))
    const afterWait = yield* fork(ask({ firstChunk: "80 millis" }))
    expect((yield* Fiber.join(total)).reason).toMatchObject({ kind: "total", limit: Duration.millis(20) })
    expect((yield* Fiber.join(running)).reason).toMatchObject({ kind: "first-chunk", limit: Duration.millis(40) })
    expect((yield* Fiber.join(afterWait)).reason).toMatchObject({ kind: "first-chunk", limit: Duration.millis(80) })
  })
)

it.effect("keys without requests are forgotten, and those in debt are not", () =>
  Effect.gen(function* () {
    const limits = yield* Limits.make()
    const admit = (key: string) => Effect.scoped(limits.admit(key, { tokensPerMinute: 10 }, false))
    yield* admit("debtor")
    yield* limits.spend("debtor", { tokensPerMinute: 10 }, 100)
    for (let i = 0; i < 1000; i++) {
      yield* admit(`key ${i}`)
      yield* TestClock.adjust("10 seconds")
      if (i === 40) expect(yield* Effect.flip(admit("debtor"))).toMatchObject({ _tag: "RateLimited" })
    }
    expect(limits.size()).toBeLessThan(150)
  })
)

it.effect("a limiter that processes share counts; one that fails lets no request through", () =>
  Effect.gen(function* () {
    const shared = yield* Effect.provide(RateLimiter.make, RateLimiter.layerStoreMemory)
    const make = (limiter: RateLimiter.RateLimiter): Effect.Effect<Provider.Provider, ProviderError> =>
      Limit.make(MockProvider.make(["Hi"]), { limits: { requestsPerMinute: 1 }, limiter: Effect.succeed(limiter) })
    yield* (yield* make(shared)).complete(prompt)
    expect((yield* Effect.flip((yield* make(shared)).complete(prompt))).reason._tag).toBe("RateLimited")
    const reason = new RateLimiter.RateLimitStoreError({ message: "SECRET" })
    const broken = yield* make({ ...shared, consume: () => Effect.fail(new RateLimiter.RateLimiterError({ reason })) })
    const error = yield* Effect.flip(broken.complete(prompt))
    expect(error).toMatchObject({ isRetryable: true, reason: { _tag: "RateLimited" } })
    expect(error.message).not.toContain("SECRET")
  })
)
