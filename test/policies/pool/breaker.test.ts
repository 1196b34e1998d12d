/** Hosts that fail are off for a while. */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as Breaker from "../../../src/policies/pool/breaker.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as Pool from "../../../src/Pool.ts"
import * as Retry from "../../../src/Retry.ts"
import type { CompletionRequest, ValidRequest } from "../../../src/CompletionRequest.ts"
import {
  ApiError,
  ContextOverflow,
  InvalidRequest,
  ModelNotAvailable,
  NetworkError,
  ParseError,
  ProviderError,
  RateLimited,
  StreamError,
  StreamTruncated,
  Unsupported
} from "../../../src/ProviderError.ts"
import type { ProviderErrorReason } from "../../../src/ProviderError.ts"
import { ask, fake, host, reasonOf, state } from "./support.ts"

const Event = Schema.Struct({ seconds: Schema.Literals([0, 1, 4, 20]), hasSucceeded: Schema.Boolean })

it.effect.prop(
  "it opens exactly after 5 failures in a row, or below 80 % of 5 or more in the last 30 seconds",
  { events: Schema.Array(Event).check(Schema.isMaxLength(30)) },
  ({ events }) =>
    Effect.sync(() => {
      const breaker = Breaker.make(() => 0.5)
      let now = 0
      const past: Array<{ at: number; hasSucceeded: boolean }> = []
      for (const { hasSucceeded, seconds } of events) {
        now += seconds * 1000
        past.push({ at: now, hasSucceeded })
        const opens = breaker.record(hasSucceeded, now, now)
        const inARow = past.length >= 5 && past.slice(-5).every(({ hasSucceeded }) => !hasSucceeded)
        // A slot of 3 seconds ends as a whole.
        const rate = (window: number) => {
          const recent = past.filter(({ at }) => now - at < window)
          const succeeded = recent.filter(({ hasSucceeded }) => hasSucceeded).length
          return { isLow: recent.length >= 5 && succeeded / recent.length < 0.8, count: recent.length }
        }
        if (inARow) expect(opens).toBe(!hasSucceeded)
        else if (rate(27_000).count === rate(30_000).count) expect(opens).toBe(!hasSucceeded && rate(30_000).isLow)
        expect(breaker.isOff()).toBe(opens)
        if (opens) break
      }
    })
)

it("the time doubles from half a second to 5 minutes, with a jitter of 20 %, until a request succeeds", () => {
  for (const [random, factor] of [
    [0, 0.8],
    [1, 1.2]
  ] as const) {
    const breaker = Breaker.make(() => random)
    const seconds = Array.from({ length: 12 }, () => breaker.nextOffMillis() / 1000 / factor)
    expect(seconds.map((value) => Math.round(value * 10) / 10)).toEqual([
      0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300
    ])
    breaker.restore(0)
    breaker.record(true, 0, 0)
    expect(Math.round(breaker.nextOffMillis() / factor)).toBe(500)
  }
})

const brokenUntil = Effect.fnUntraced(function* () {
  const now = { isBroken: true, isListing: false, probes: 0 }
  const broken = new StreamError({})
  const list = Effect.suspend(() => {
    now.probes++
    return now.isListing
      ? Effect.succeed([{ id: "m" }])
      : Effect.fail(new ProviderError({ provider: "one", reason: new ApiError({ status: 500 }) }))
  })
  const one = yield* fake("one", () => (now.isBroken ? [MockProvider.fail(broken)] : ["Hi"]), { listModels: list })
  return { now, one }
})

it.effect("a host that fails gets no requests until it lists its models, then one on trial", () =>
  Effect.gen(function* () {
    const { now, one } = yield* brokenUntil()
    const pool = yield* Pool.make({ hosts: [{ provider: one }] })
    const fail = reasonOf(pool.complete(ask("x")))
    for (let i = 0; i < 5; i++) expect(yield* fail).toMatchObject({ _tag: "StreamError" })
    expect((yield* host(pool, "one"))?.status).toBe("off")
    // A further request waits, and is not sent.
    const late = { ...ask("x"), deadlines: { firstChunk: "300 millis" } } as const
    const waiting = yield* Effect.forkChild(reasonOf(pool.complete(late)), { startImmediately: true })
    yield* TestClock.adjust("390 millis")
    expect(yield* Fiber.join(waiting)).toMatchObject({ _tag: "Timeout" })
    expect(now.probes).toBe(0)
    yield* TestClock.adjust("220 millis")
    expect(now.probes).toBe(1)
    // The first probe is 0.4 to 0.6 seconds after the failure, the second one 0.8 to 1.2 seconds after the first.
    yield* TestClock.adjust("580 millis")
    expect(now.probes).toBe(1)
    now.isListing = true
    yield* TestClock.adjust("620 millis")
    expect(now.probes).toBe(2)
    expect((yield* host(pool, "one"))?.status).toBe("ready")
    // No generation was sent as a probe.
    expect((yield* one.prompts).length).toBe(5)
    expect(yield* fail).toMatchObject({ _tag: "StreamError" })
    expect((yield* host(pool, "one"))?.status).toBe("off")
    now.isBroken = false
    yield* TestClock.adjust("1500 millis")
    expect((yield* host(pool, "one"))?.status).toBe("off")
    yield* TestClock.adjust("1 second")
    expect((yield* pool.complete(ask("x"))).content).toBe("Hi")
  })
)

it.effect("answers that began before the host was off say nothing about it when it is back", () =>
  Effect.gen(function* () {
    const broken = MockProvider.fail(new StreamError({}))
    const one = yield* fake("one", ({ prompt }) =>
      prompt === "old" ? ["a", MockProvider.wait("1 minute"), broken] : [broken]
    )
    const pool = yield* Pool.make({ hosts: [{ provider: one, permits: 10 }] })
    for (let i = 0; i < 5; i++) yield* Effect.forkChild(reasonOf(pool.complete(ask("old"))), { startImmediately: true })
    for (let i = 0; i < 5; i++) yield* reasonOf(pool.complete(ask("new")))
    expect((yield* host(pool, "one"))?.status).toBe("off")
    yield* TestClock.adjust("30 seconds")
    expect(yield* host(pool, "one")).toMatchObject({ status: "ready", active: 5 })
    yield* TestClock.adjust("30 seconds")
    expect(yield* host(pool, "one")).toMatchObject({ status: "ready", active: 0 })
  })
)

it.effect("a probe that hangs counts as failed", () =>
  Effect.gen(function* () {
    const one = yield* fake("one", [MockProvider.fail(new StreamError({}))], { listModels: Effect.never })
    const pool = yield* Pool.make({ hosts: [{ provider: one }] })
    for (let i = 0; i < 5; i++) yield* reasonOf(pool.complete(ask("x")))
    yield* TestClock.adjust("10 minutes")
    expect((yield* host(pool, "one"))?.status).toBe("off")
  })
)

describe("a request that fails in the same way on a second host", () => {
  const detail = (text: string) => Redacted.make(text)
  const unknown = (text: string) => new ApiError({ status: 500, detail: detail(text) })
  const ways: ReadonlyArray<readonly [what: string, one: ProviderErrorReason, two: ProviderErrorReason]> = [
    ["a status", unknown("cannot do it"), unknown("cannot do it")],
    ["another port in the text", unknown("127.0.0.1:1: cannot"), unknown("127.0.0.1:2: cannot")],
    ["no text", new ApiError({ status: 502 }), new ApiError({ status: 502 })],
    ["an error inside the answer", new StreamError({ description: "x" }), new StreamError({ description: "x" })],
    ["a truncated answer", new StreamTruncated(), new StreamTruncated()],
    ["a bad record", new ParseError({ excerpt: detail("a") }), new ParseError({ excerpt: detail("b") })]
  ]
  const twoHosts = Effect.fnUntraced(function* (one: MockProvider.Step, two: MockProvider.Step) {
    const play = (bad: MockProvider.Step) => (request: ValidRequest) => (request.prompt === "good" ? ["Hi"] : [bad])
    const hosts = [{ provider: yield* fake("one", play(one)) }, { provider: yield* fake("two", play(two)) }]
    return yield* Pool.make({ hosts })
  })
  const statuses = (pool: Pool.Pool) => Effect.map(state(pool), ({ hosts }) => hosts.map(({ status }) => status))
  /** Until all hosts are off: further requests would wait. */
  const failUntilOff = Effect.fnUntraced(function* (pool: Pool.Pool, toRequest: (i: number) => CompletionRequest) {
    for (let i = 0; i < 40 && (yield* statuses(pool)).includes("ready"); i++)
      yield* Effect.exit(pool.complete(toRequest(i)))
  })

  for (const [what, one, two] of ways) {
    it.effect(`is to blame, and no host: ${what}`, () =>
      Effect.gen(function* () {
        const pool = yield* twoHosts(MockProvider.fail(one), MockProvider.fail(two))
        for (let i = 0; i < 14; i++)
          expect(yield* reasonOf(pool.complete(ask("bad")))).toMatchObject({ _tag: one._tag })
        expect(yield* statuses(pool)).toEqual(["ready", "ready"])
        expect((yield* pool.complete(ask("good"))).content).toBe("Hi")
      })
    )
  }

  it.effect("is to blame also if it failed in the middle of its answer", () =>
    Effect.gen(function* () {
      const broken = [{ content: "Hm" }, MockProvider.fail(unknown("cannot do it"))]
      const play = (request: ValidRequest) => (request.prompt === "good" ? ["Hi"] : broken)
      const pool = yield* Pool.make({
        hosts: [{ provider: yield* fake("one", play) }, { provider: yield* fake("two", play) }]
      })
      for (let i = 0; i < 14; i++) yield* reasonOf(pool.complete(ask("bad")))
      expect(yield* statuses(pool)).toEqual(["ready", "ready"])
    })
  )

  it.effect("is recognised by what it asks for: a retry, or other requests with retries", () =>
    Effect.gen(function* () {
      const bad = MockProvider.fail(unknown("cannot do it"))
      const pool = yield* twoHosts(bad, bad)
      const retrying = Retry.apply(pool, { schedule: Schedule.spaced("10 millis"), budget: { floor: Infinity } })
      for (let i = 0; i < 14; i++) {
        const messages = [{ role: "user", content: "x", images: [new Uint8Array([i])] }] as const
        const fiber = yield* Effect.forkChild(reasonOf(retrying.complete({ model: "m", messages })))
        yield* TestClock.adjust("1 second")
        expect(yield* Fiber.join(fiber)).toMatchObject({ _tag: "ApiError" })
        expect(yield* statuses(pool)).toEqual(["ready", "ready"])
      }
    })
  )

  it.effect("brings a host back that was off for it", () =>
    Effect.gen(function* () {
      const bad = MockProvider.fail(unknown("cannot do it"))
      const play = (request: ValidRequest) => (request.prompt === "good" ? ["Hi"] : [bad])
      const pool = yield* Pool.make({ hosts: [{ provider: yield* fake("one", play, { listModels: Effect.never }) }] })
      for (let i = 0; i < 5; i++) yield* reasonOf(pool.complete(ask("bad")))
      expect((yield* host(pool, "one"))?.status).toBe("off")
      yield* pool.add({ provider: yield* fake("two", play) })
      yield* reasonOf(pool.complete(ask("bad")))
      expect(yield* statuses(pool)).toEqual(["ready", "ready"])
      // Neither the probe nor the next failure says anything else.
      yield* TestClock.adjust("20 seconds")
      yield* reasonOf(pool.complete(ask("bad")))
      expect(yield* statuses(pool)).toEqual(["ready", "ready"])
    })
  )

  const others: ReadonlyArray<readonly [what: string, one: ProviderErrorReason, two: ProviderErrorReason]> = [
    ["it fails in another way", unknown("cannot do it"), unknown("out of order")],
    ["it fails with another status", new ApiError({ status: 500 }), new ApiError({ status: 501 })],
    ["the connections fail", new NetworkError({ kind: "refused" }), new NetworkError({ kind: "refused" })]
  ]
  for (const [what, one, two] of others) {
    it.effect(`is not to blame if ${what}`, () =>
      Effect.gen(function* () {
        const pool = yield* twoHosts(MockProvider.fail(one), MockProvider.fail(two))
        yield* failUntilOff(pool, () => ask("bad"))
        expect(yield* statuses(pool)).toContain("off")
      })
    )
  }

  it.effect("goes to the other host first, and is not to blame if it succeeds there", () =>
    Effect.gen(function* () {
      const pool = yield* twoHosts(MockProvider.fail(unknown("cannot do it")), "Hi")
      for (let i = 0; i < 40; i++) {
        const request = ask(`bad ${i}`)
        const first = yield* Effect.exit(pool.complete(request))
        if (Exit.isFailure(first)) expect((yield* pool.complete(request)).provider).toBe("two")
      }
      expect(yield* statuses(pool)).toEqual(["off", "ready"])
    })
  )

  it.effect("is forgotten after 30 seconds", () =>
    Effect.gen(function* () {
      const bad = MockProvider.fail(unknown("cannot do it"))
      const one = yield* fake("one", [bad])
      const pool = yield* Pool.make({ hosts: [{ provider: one }, { provider: yield* fake("two", [bad]) }] })
      for (let i = 0; i < 4; i++) yield* reasonOf(pool.complete(ask("bad")))
      yield* pool.drain("two")
      yield* TestClock.adjust("31 seconds")
      for (let i = 0; i < 5; i++) yield* reasonOf(pool.complete(ask("bad")))
      expect((yield* host(pool, "one"))?.status).toBe("off")
    })
  )

  it.effect("is another one if it asks for something else", () =>
    Effect.gen(function* () {
      const bad = MockProvider.fail(unknown("cannot do it"))
      const pool = yield* twoHosts(bad, bad)
      yield* failUntilOff(pool, (i) => ({ ...ask("bad"), seed: i }))
      expect(yield* statuses(pool)).toEqual(["off", "off"])
    })
  )
})

it.effect("a probe that hangs is given up, and the next one may succeed", () =>
  Effect.gen(function* () {
    let probes = 0
    const listModels = Effect.suspend(() => (probes++ === 0 ? Effect.never : Effect.succeed([{ id: "m" }])))
    const one = yield* fake("one", [MockProvider.fail(new StreamError({}))], { listModels })
    const pool = yield* Pool.make({ hosts: [{ provider: one }] })
    for (let i = 0; i < 5; i++) yield* reasonOf(pool.complete(ask("x")))
    // 6 seconds at most until the first probe, 10 seconds for it, 12 seconds at most until the second one.
    yield* TestClock.adjust("28 seconds")
    expect(probes).toBe(2)
    expect((yield* host(pool, "one"))?.status).toBe("ready")
  })
)

it.effect("a host that is back and answers is judged anew: failures before the probe no longer count", () =>
  Effect.gen(function* () {
    const { now, one } = yield* brokenUntil()
    const pool = yield* Pool.make({ hosts: [{ provider: one }] })
    const request = Effect.exit(pool.complete(ask("x")))
    for (let i = 0; i < 5; i++) yield* request
    now.isListing = true
    yield* TestClock.adjust("1 second")
    for (const isBroken of [false, true, true, true]) {
      now.isBroken = isBroken
      yield* request
      expect((yield* host(pool, "one"))?.status).toBe("ready")
    }
    // 4 of 5 failed, which is judged by the same numbers as before.
    yield* request
    expect((yield* host(pool, "one"))?.status).toBe("off")
  })
)

it.effect("an answer that the consumer stops says nothing of the host", () =>
  Effect.gen(function* () {
    const { now, one } = yield* brokenUntil()
    const pool = yield* Pool.make({ hosts: [{ provider: one }] })
    const part = Stream.runDrain(Stream.take(pool.stream(ask("x")), 1))
    const fail = Effect.exit(pool.complete(ask("x")))
    for (let i = 0; i < 4; i++) yield* fail
    now.isBroken = false
    for (let i = 0; i < 40; i++) yield* part
    now.isBroken = true
    expect((yield* host(pool, "one"))?.status).toBe("ready")
    yield* fail
    expect((yield* host(pool, "one"))?.status).toBe("off")
  })
)

it("outcomes within the window take linear time: quadratic time would exceed the limit of a test", () => {
  const breaker = Breaker.make(() => 0.5)
  for (let i = 0; i < 40_000; i++) breaker.record(true, i / 10, i / 10)
  expect(breaker.isOff()).toBe(false)
})

const harmless: ReadonlyArray<ProviderErrorReason> = [
  new RateLimited({}),
  new ApiError({ status: 503, retryAfter: Duration.seconds(1) }),
  new ContextOverflow({}),
  new InvalidRequest({}),
  new ModelNotAvailable({ model: "m" }),
  new Unsupported({ feature: "tools" })
]

for (const reason of harmless) {
  it.effect(`${reason._tag} is no failure of the host`, () =>
    Effect.gen(function* () {
      const one = yield* fake("one", [MockProvider.fail(reason)])
      const pool = yield* Pool.make({ hosts: [{ provider: one }] })
      for (let i = 0; i < 20; i++) yield* Effect.exit(pool.complete(ask("x")))
      expect((yield* host(pool, "one"))?.status).toBe("ready")
    })
  )
}

it.effect("a host that is off leaves its requests to the others, also those that wait", () =>
  Effect.gen(function* () {
    const { one } = yield* brokenUntil()
    const two = yield* fake("two")
    const pool = yield* Pool.make({ hosts: [{ provider: one }] })
    for (let i = 0; i < 5; i++) yield* reasonOf(pool.complete(ask("x")))
    yield* pool.add({ provider: two })
    for (let i = 0; i < 10; i++) expect((yield* pool.complete(ask("x"))).provider).toBe("two")
  })
)

it.effect("a deadline that passes mostly in the pool is no failure of the host", () =>
  Effect.gen(function* () {
    const one = yield* fake("one", [MockProvider.wait("8 seconds"), "Hi"])
    const pool = yield* Pool.make({ hosts: [{ provider: one }], permits: 1, abandonedFor: 0 })
    for (let i = 0; i < 6; i++) {
      const first = yield* Effect.forkChild(pool.complete(ask("x")), { startImmediately: true })
      const second = yield* Effect.forkChild(
        reasonOf(pool.complete({ ...ask("x"), deadlines: { firstChunk: "10 seconds" } })),
        { startImmediately: true }
      )
      yield* TestClock.adjust("11 seconds")
      yield* Fiber.join(first)
      expect(yield* Fiber.join(second)).toMatchObject({ _tag: "Timeout" })
    }
    expect((yield* host(pool, "one"))?.status).toBe("ready")
    for (let i = 0; i < 5; i++) {
      yield* Effect.exit(pool.complete({ ...ask("x"), deadlines: { firstChunk: 1 } })).pipe(
        Effect.forkChild({ startImmediately: true })
      )
      yield* TestClock.adjust("1 second")
    }
    expect((yield* host(pool, "one"))?.status).toBe("off")
  })
)
