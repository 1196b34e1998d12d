/** Requests that are sent again, and those that are not. */
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Provider from "../../src/Provider.ts"
import type { ProviderErrorReason } from "../../src/ProviderError.ts"
import * as Errors from "../../src/ProviderError.ts"
import * as Retry from "../../src/Retry.ts"
import { Attempts, closed, expected, receive, refused, settle, toScript } from "../support/attempts.ts"

const prompt: CompletionRequest = { model: "m", prompt: "x" }

/** A mock that plays one script after the other, the last one again and again. */
const mock = (scripts: ReadonlyArray<MockProvider.Script>, options?: MockProvider.Options) =>
  Effect.suspend(() => {
    let index = 0
    return MockProvider.make(() => scripts[Math.min(index++, scripts.length - 1)] ?? [], options)
  })

const failing = (reason: ProviderErrorReason) => mock([[MockProvider.fail(reason)]])

const count = (provider: MockProvider.MockProvider) => Effect.map(provider.requests, ({ length }) => length)

it.effect.prop(
  "whatever fails and wherever, one attempt delivers its text, in order and once",
  { attempts: Attempts },
  ({ attempts }) =>
    Effect.gen(function* () {
      const provider = yield* mock(attempts.map(toScript))
      const { error, finals, text } = yield* settle(receive(Retry.apply(provider).stream(prompt)))
      const sent = (yield* provider.requests).length
      const last = expected(attempts[Math.min(sent, attempts.length) - 1] ?? [], Math.min(sent, attempts.length) - 1)
      expect(text).toBe(last.text)
      expect(error?.reason._tag).toBe(last.reason)
      expect(finals).toBe(error === undefined ? 1 : 0)
      // Nothing but failures that may pass, before any text, was tried again.
      for (const [i, steps] of attempts.slice(0, sent - 1).entries()) {
        expect(expected(steps, i)).toMatchObject({ commits: false, isRetryable: true })
      }
      // A closed connection may be replaced once without being counted.
      expect(sent).toBeLessThanOrEqual(4)
      if (error !== undefined && last.text === "" && last.isRetryable) expect(sent).toBeGreaterThanOrEqual(3)
    })
)

const reasons: ReadonlyArray<[reason: ProviderErrorReason, requests: number]> = [
  [refused, 3],
  [new Errors.NetworkError({ kind: "tls", description: "expired" }), 1],
  [new Errors.Timeout({ kind: "first-chunk", limit: Duration.seconds(1) }), 3],
  [new Errors.Timeout({ kind: "idle", limit: Duration.seconds(1) }), 3],
  [new Errors.Timeout({ kind: "total", limit: Duration.seconds(1) }), 1],
  [new Errors.RateLimited({}), 3],
  [new Errors.ApiError({ status: 503 }), 3],
  [new Errors.ApiError({ status: 402 }), 1],
  [new Errors.StreamError({}), 3],
  [new Errors.StreamTruncated(), 3],
  [new Errors.AuthenticationError({}), 1],
  [new Errors.ModelNotAvailable({ model: "m" }), 1],
  [new Errors.InvalidRequest({}), 1],
  [new Errors.ContextOverflow({}), 1],
  [new Errors.Unsupported({ feature: "tools" }), 1],
  [new Errors.ParseError({ excerpt: Redacted.make("") }), 1]
]

for (const [reason, requests] of reasons) {
  it.effect(`${reason.message}: ${requests} requests, then the error unchanged`, () =>
    Effect.gen(function* () {
      const provider = yield* failing(reason)
      const error = yield* settle(Effect.flip(Retry.apply(provider).complete(prompt)))
      expect(error.reason).toBe(reason)
      expect(yield* count(provider)).toBe(requests)
    })
  )
}

describe("waits", () => {
  const sentAfter = (provider: MockProvider.MockProvider, options?: Retry.Options, chosen = prompt) =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(Effect.exit(Retry.apply(provider, options).complete(chosen)), {
        startImmediately: true
      })
      return {
        fiber,
        after: (duration: Duration.Input) => Effect.andThen(TestClock.adjust(duration), count(provider))
      }
    })

  it.effect("double from 100 ms, varied by up to 20 %", () =>
    Effect.gen(function* () {
      const { after } = yield* sentAfter(yield* failing(refused))
      expect(yield* after("79 millis")).toBe(1)
      expect(yield* after("41 millis")).toBe(2)
      // 119 ms to 281 ms after the second request.
      expect(yield* after("119 millis")).toBe(2)
      expect(yield* after("121 millis")).toBe(3)
    })
  )

  it.effect("are at most 10 seconds", () =>
    Effect.gen(function* () {
      const { after } = yield* sentAfter(yield* failing(refused), { attempts: 20, budget: { floor: 100 } })
      // 0.1 + 0.2 + … + 12.8 seconds at most, and 20 % more.
      expect(yield* after("30 seconds")).toBeGreaterThanOrEqual(8)
      const before = yield* after("1 minute")
      expect(yield* after("10 seconds")).toBeGreaterThan(before)
    })
  )

  it.effect("are those of the schedule, which may also end them", () =>
    Effect.gen(function* () {
      const schedule = Schedule.upTo(Schedule.spaced("5 seconds"), { times: 2 })
      const { after } = yield* sentAfter(yield* failing(refused), { attempts: Infinity, schedule })
      expect(yield* after("4999 millis")).toBe(1)
      expect(yield* after("1 millis")).toBe(2)
      expect(yield* after("1 hour")).toBe(3)
    })
  )

  for (const asked of [
    new Errors.RateLimited({ retryAfter: Duration.seconds(7) }),
    new Errors.ApiError({ status: 503, retryAfter: Duration.seconds(7) })
  ]) {
    it.effect(`are what the server asks for: ${asked.message}`, () =>
      Effect.gen(function* () {
        for (const schedule of [Schedule.spaced("1 millis"), Schedule.spaced("1 day")]) {
          const { after } = yield* sentAfter(yield* failing(asked), { schedule })
          expect(yield* after("6999 millis")).toBe(1)
          expect(yield* after("1 millis")).toBe(2)
        }
      })
    )
  }

  it.effect("are not longer than a minute because the server asks for it, or the caller's own limit", () =>
    Effect.gen(function* () {
      const minutes = (n: number) => failing(new Errors.RateLimited({ retryAfter: Duration.minutes(n) }))
      const tooLong = yield* sentAfter(yield* minutes(2))
      expect(tooLong.fiber.pollUnsafe()?._tag).toBe("Success")
      const allowed = yield* sentAfter(yield* minutes(2), { maxRetryAfter: "5 minutes" })
      expect(yield* allowed.after("2 minutes")).toBe(2)
    })
  )

  it.effect("of the schedule may be longer than the longest one that a server may ask for", () =>
    Effect.gen(function* () {
      const { after } = yield* sentAfter(yield* failing(refused), { schedule: Schedule.spaced("10 minutes") })
      expect(yield* after("10 minutes")).toBe(2)
    })
  )

  it.effect("that a server asks for may be as long as the limit, and not as long as the time that is left", () =>
    Effect.gen(function* () {
      const minute = failing(new Errors.RateLimited({ retryAfter: Duration.minutes(1) }))
      expect(yield* (yield* sentAfter(yield* minute)).after("1 minute")).toBe(2)
      const bounded = { ...prompt, deadlines: { total: "1 minute" } } as const
      const late = yield* sentAfter(yield* minute, {}, bounded)
      expect(late.fiber.pollUnsafe()?._tag).toBe("Success")
    })
  )

  it.effect("and attempts together stay within the total deadline of the request", () =>
    Effect.gen(function* () {
      const provider = yield* mock([[MockProvider.wait("4 seconds"), MockProvider.fail(refused)], [MockProvider.hang]])
      const schedule = Schedule.spaced("3 seconds")
      const { after, fiber } = yield* sentAfter(
        provider,
        { schedule },
        { ...prompt, deadlines: { total: "10 seconds" } }
      )
      expect(yield* after("9999 millis")).toBe(2)
      expect(fiber.pollUnsafe()).toBeUndefined()
      expect(yield* after("1 millis")).toBe(2)
      const error = yield* Effect.flip(Effect.flatten(Fiber.join(fiber)))
      expect(error.reason).toMatchObject({ _tag: "Timeout", kind: "total", limit: Duration.seconds(10) })
      const late = yield* sentAfter(
        yield* failing(refused),
        { schedule },
        { ...prompt, deadlines: { total: "2 seconds" } }
      )
      // There is no use in waiting for what cannot be sent.
      expect(late.fiber.pollUnsafe()?._tag).toBe("Success")
    })
  )
})

describe("a connection that was closed while it was idle", () => {
  it.effect("is replaced at once, without being counted", () =>
    Effect.gen(function* () {
      const provider = yield* mock([[MockProvider.fail(closed)], ["Hi"]])
      const retrying = Retry.apply(provider, { attempts: 1, budget: { floor: 0, share: 0 } })
      expect(yield* retrying.complete(prompt)).toMatchObject({ content: "Hi" })
    })
  )

  it.effect.each(["reset", "closed", "closed-while-idle"] as const)("is told by its kind: %s", (kind) =>
    Effect.gen(function* () {
      const provider = yield* mock([[MockProvider.fail(new Errors.NetworkError({ kind }))], ["Hi"]])
      const retrying = Retry.apply(provider, { attempts: 1, budget: { floor: 0, share: 0 } })
      expect(yield* retrying.complete(prompt)).toMatchObject({ content: "Hi" })
    })
  )

  it.effect("is not told by words", () =>
    Effect.gen(function* () {
      const description = "ECONNRESET (the connection was closed)"
      const provider = yield* failing(new Errors.NetworkError({ description }))
      yield* settle(Effect.flip(Retry.apply(provider, { attempts: 1 }).complete(prompt)))
      expect(yield* count(provider)).toBe(1)
    })
  )

  it.effect("is replaced once for each request", () =>
    Effect.gen(function* () {
      const provider = yield* failing(closed)
      yield* settle(Effect.flip(Retry.apply(provider, { attempts: 2 }).complete(prompt)))
      expect(yield* count(provider)).toBe(3)
    })
  )

  it.effect("is replaced at the first attempt only", () =>
    Effect.gen(function* () {
      const provider = yield* mock([[MockProvider.fail(refused)], [MockProvider.fail(closed)], ["Hi"]])
      const error = yield* settle(Effect.flip(Retry.apply(provider, { attempts: 2 }).complete(prompt)))
      expect(error.reason).toBe(closed)
      expect(yield* count(provider)).toBe(2)
    })
  )

  it.effect("is not replaced when the total deadline of the request has passed", () =>
    Effect.gen(function* () {
      for (const [total, requests] of [
        ["500 millis", 1],
        ["501 millis", 2]
      ] as const) {
        let sent = 0
        // A provider of a program need not know deadlines.
        const provider = Provider.make({
          name: "p",
          listModels: Effect.succeed([]),
          stream: () => {
            sent++
            const error = new Errors.ProviderError({ provider: "p", reason: closed })
            return Stream.fromEffect(Effect.delay(Effect.fail(error), "500 millis"))
          }
        })
        const retrying = Retry.apply(provider, { attempts: 1 })
        yield* settle(Effect.flip(retrying.complete({ ...prompt, deadlines: { total } })))
        expect(sent).toBe(requests)
      }
    })
  )

  it.effect("is not the case after a second, or if there was no connection", () =>
    Effect.gen(function* () {
      for (const script of [[MockProvider.wait("1 second"), MockProvider.fail(closed)], [MockProvider.fail(refused)]]) {
        const provider = yield* mock([script])
        yield* settle(Effect.flip(Retry.apply(provider, { attempts: 1 }).complete(prompt)))
        expect(yield* count(provider)).toBe(1)
      }
    })
  )
})

describe("the budget", () => {
  const many = (provider: Provider.Provider, times: number) =>
    Effect.forEach(Array.from({ length: times }), () => Effect.exit(provider.complete(prompt)), {
      concurrency: "unbounded"
    })

  for (const [reason, retries] of [
    [refused, 30],
    // At once is no time that a server asks to wait.
    [new Errors.RateLimited({ retryAfter: Duration.zero }), 30],
    [new Errors.ApiError({ status: 503, retryAfter: Duration.seconds(1) }), 30],
    // The server asked for these, two for each request.
    [new Errors.RateLimited({ retryAfter: Duration.seconds(1) }), 200],
    [new Errors.Timeout({ kind: "first-chunk", limit: Duration.seconds(1) }), 15]
  ] as const) {
    it.effect(
      `${reason.message}: 100 requests have ${retries} retries together within 10 seconds, and others after that`,
      () =>
        Effect.gen(function* () {
          const provider = yield* failing(reason)
          const retrying = Retry.apply(provider)
          yield* settle(many(retrying, 100))
          expect(yield* count(provider)).toBe(100 + retries)
          yield* settle(many(retrying, 100))
          expect(yield* count(provider)).toBe(2 * (100 + retries))
        })
    )
  }

  it.effect("is that of one policy, and can be set", () =>
    Effect.gen(function* () {
      const provider = yield* failing(refused)
      for (const [budget, requests] of [
        [{ floor: 0, share: 0 }, 10],
        [{ floor: 3, share: 0 }, 13],
        [{ floor: 0, share: 0.5 }, 15],
        [{ floor: Infinity }, 30]
      ] as const) {
        const before = yield* count(provider)
        yield* settle(many(Retry.apply(provider, { budget }), 10))
        expect((yield* count(provider)) - before).toBe(requests)
      }
    })
  )
})

it.effect("embeddings, lists and descriptions of models are retried as well", () =>
  Effect.gen(function* () {
    let calls = 0
    const broken = Effect.suspend(() => {
      calls++
      return Effect.fail(new Errors.ProviderError({ provider: "p", reason: refused }))
    })
    const retrying = Retry.apply(
      Provider.make({
        name: "p",
        stream: () => Stream.fromEffect(broken),
        embed: () => broken,
        listModels: broken,
        model: () => broken
      })
    )
    const operations: ReadonlyArray<Effect.Effect<unknown, Errors.ProviderError>> = [
      retrying.embed({ model: "m", input: "x" }),
      retrying.listModels,
      retrying.model("m"),
      retrying.supportsModel("m"),
      retrying.complete(prompt)
    ]
    for (const [i, operation] of operations.entries()) {
      yield* settle(Effect.flip(operation))
      expect(calls).toBe(3 * (i + 1))
    }
  })
)

it.effect("chunks before the text are passed on at once, and those after it are the provider's own", () =>
  Effect.gen(function* () {
    const chunks = [
      { content: "", isFinal: false, promptProgress: { processed: 1, total: 2 } },
      { content: "a", isFinal: false },
      { content: "b", isFinal: false },
      { content: "", isFinal: true, model: "m", finishReason: "stop" }
    ] as const
    const listModels = Effect.succeed([])
    const provider = Provider.make({
      name: "p",
      listModels,
      stream: () => Stream.rechunk(Stream.fromIterable(chunks), 1)
    })
    const received = yield* Stream.runCollect(Retry.apply(provider).stream(prompt))
    for (const [i, chunk] of chunks.entries()) expect(received[i]).toBe(chunk)
  })
)

it.effect("a defect is not retried, also beside an error, and wrong options and requests are no defects", () =>
  Effect.gen(function* () {
    const defect = Cause.die("the fault of a provider")
    const error = Cause.fail(new Errors.ProviderError({ provider: "p", reason: refused }))
    for (const cause of [defect, Cause.combine(error, defect)]) {
      let runs = 0
      const stream = () => {
        runs++
        return Stream.failCause(cause)
      }
      const provider = Provider.make({ name: "p", listModels: Effect.succeed([]), stream })
      expect(yield* settle(Effect.exit(Retry.apply(provider).complete(prompt)))).toMatchObject({ _tag: "Failure" })
      expect(runs).toBe(1)
    }
    for (const wrong of ["null", '{"model":"m","prompt":"x","deadlines":7}']) {
      const error = yield* Effect.flip(Retry.apply(yield* failing(refused)).complete(JSON.parse(wrong)))
      expect(error.reason._tag).toBe("InvalidRequest")
    }
  })
)

it.effect(
  "any number of attempts needs no more stack, and every run of a stream starts anew",
  () =>
    Effect.gen(function* () {
      const provider = yield* failing(refused)
      const options = { attempts: 20_000, schedule: Schedule.forever, budget: { floor: Infinity } }
      const retrying = Retry.apply(provider, options)
      yield* settle(Effect.flip(retrying.complete(prompt)))
      expect(yield* count(provider)).toBe(20_000)
      const stream = Retry.apply(provider).stream(prompt)
      yield* settle(receive(stream))
      yield* settle(receive(stream))
      expect(yield* count(provider)).toBe(20_006)
    }),
  60_000
)

it.effect("as a layer", () =>
  Effect.gen(function* () {
    const provider = yield* Provider.Provider
    expect(yield* settle(Effect.flip(provider.complete(prompt)))).toMatchObject({ provider: "Mock" })
    expect(yield* Effect.flatMap(MockProvider.MockProvider, ({ requests }) => requests)).toHaveLength(2)
  }).pipe(
    Effect.provide(
      Retry.layer({ attempts: 2 }).pipe(Layer.provideMerge(MockProvider.layer([MockProvider.fail(refused)])))
    )
  )
)
