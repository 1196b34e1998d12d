/** Permits, the waiting list, and requests that are given up. */
import { expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Scheduler from "effect/Scheduler"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { TestClock } from "effect/testing"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as Pool from "../../../src/Pool.ts"
import type { ProviderError } from "../../../src/ProviderError.ts"
import { NetworkError, StreamError } from "../../../src/ProviderError.ts"
import { InterruptAt, nextTask } from "../../support/interruptAt.ts"
import { ask, fake, host, reasonOf, state } from "./support.ts"

const Job = Schema.Struct({
  start: Schema.Literals([0, 1, 2, 5, 20]),
  kind: Schema.Literals(["short", "long", "slow", "refused", "broken", "hang"]),
  /** When its consumer stops, if it does; `part`: after the first chunk. */
  stop: Schema.Literals(["never", "at once", "soon", "later", "part"]),
  model: Schema.Literals(["a", "b"])
})
const jobs = Schema.Array(Job).check(Schema.isMinLength(1), Schema.isMaxLength(25))
const permits = Schema.Literals([1, 2, 3])

const script = ({ prompt }: { readonly prompt?: string | undefined }): MockProvider.Script => {
  switch (prompt) {
    case "long":
      return [MockProvider.wait("1 second"), "a", MockProvider.wait("3 seconds"), "b"]
    case "slow":
      return [MockProvider.wait("40 seconds"), "a"]
    case "refused":
      return [MockProvider.fail(new NetworkError({}))]
    case "broken":
      return ["a", MockProvider.wait("1 second"), MockProvider.fail(new StreamError({}))]
    case "hang":
      return [MockProvider.hang]
    default:
      return ["a", "b"]
  }
}

it.effect.prop(
  "for any schedule of requests, failures and stops: permits are never exceeded, and all are given back",
  { jobs, permits, oneModelAtATime: Schema.Boolean },
  ({ jobs, oneModelAtATime, permits }) =>
    Effect.gen(function* () {
      const fakes = [yield* fake("one", script), yield* fake("two", script)]
      const pool = yield* Pool.make({
        hosts: fakes.map((provider) => ({ provider, permits, oneModelAtATime })),
        maxWaiting: 10
      })
      const fibers = yield* Effect.forEach(jobs, ({ kind, model, start, stop }) => {
        const stream = pool.stream({ ...ask(kind, model), deadlines: { firstChunk: "2 minutes" } })
        const run = Effect.exit(Stream.runDrain(stop === "part" ? Stream.take(stream, 1) : stream))
        const stopped =
          stop === "at once"
            ? Effect.flatMap(Effect.forkChild(run, { startImmediately: true }), Fiber.interrupt)
            : stop === "soon" || stop === "later"
              ? Effect.timeoutOption(run, stop === "soon" ? "500 millis" : "2 seconds")
              : run
        return Effect.forkChild(Effect.delay(stopped, Duration.seconds(start)))
      })
      for (let i = 0; i < 200; i++) {
        yield* TestClock.adjust("2 seconds")
        const { hosts, waiting } = yield* state(pool)
        for (const { active } of hosts) expect(active).toBeLessThanOrEqual(permits)
        expect(waiting).toBeLessThanOrEqual(10)
      }
      for (const fiber of fibers) expect(fiber.pollUnsafe()).toBeDefined()
      for (const each of fakes) {
        expect(each.peak()).toBeLessThanOrEqual(permits)
        expect(each.active()).toBe(0)
      }
      const { hosts, waiting } = yield* state(pool)
      expect(waiting).toBe(0)
      for (const { abandoned, active } of hosts) expect([active, abandoned]).toEqual([0, 0])
      // The permits are there for further requests, on each host that is not off.
      for (const { name, status } of hosts) {
        if (status !== "ready") continue
        for (const other of hosts) if (other.name !== name) yield* pool.drain(other.name)
        const long = yield* Effect.forEach(Array(permits).fill("long"), (prompt: string) =>
          Effect.forkChild(pool.complete(ask(prompt)), { startImmediately: true })
        )
        yield* TestClock.adjust("1 second")
        expect((yield* host(pool, name))?.active).toBe(permits)
        yield* TestClock.adjust("5 seconds")
        for (const fiber of long) expect((yield* Fiber.join(fiber)).content).toBe("ab")
        break
      }
    }),
  { arbitrary: { runs: 60 }, timeout: 60_000 }
)

it.effect("the waiting list is bounded, in order, and each answer starts the next", () =>
  Effect.gen(function* () {
    const one = yield* fake("one", [MockProvider.wait("1 second"), "Hi"])
    const pool = yield* Pool.make({ hosts: [{ provider: one, permits: 1 }], maxWaiting: 2 })
    const fibers = yield* Effect.forEach(["1", "2", "3"], (prompt) =>
      Effect.forkChild(pool.complete(ask(prompt)), { startImmediately: true })
    )
    expect(yield* reasonOf(pool.complete(ask("4")))).toMatchObject({ _tag: "RateLimited" })
    expect(yield* state(pool)).toMatchObject({ waiting: 2, hosts: [{ name: "one", active: 1, permits: 1 }] })
    yield* TestClock.adjust("3 seconds")
    for (const fiber of fibers) yield* Fiber.join(fiber)
    expect(yield* one.prompts).toEqual(["1", "2", "3"])
  })
)

it.effect("the wait counts towards the deadline, in the pool and on the host", () =>
  Effect.gen(function* () {
    const one = yield* fake("one", ({ prompt }) => [
      MockProvider.wait(prompt === "slow" ? "8 seconds" : "5 seconds"),
      "Hi"
    ])
    const pool = yield* Pool.make({
      hosts: [{ provider: one, permits: 1 }],
      defaults: { deadlines: { idle: "1 second" } }
    })
    const request = { ...ask("x"), deadlines: { firstChunk: "10 seconds" } } as const
    const first = yield* Effect.forkChild(pool.complete(ask("slow")))
    yield* TestClock.adjust("1 millis")
    const second = yield* Effect.forkChild(reasonOf(pool.complete(request)))
    const third = yield* Effect.forkChild(
      reasonOf(pool.complete({ ...request, deadlines: { firstChunk: "3 seconds" } }))
    )
    const total = yield* Effect.forkChild(reasonOf(pool.complete({ ...request, deadlines: { total: "4 seconds" } })))
    yield* TestClock.adjust("3 seconds")
    expect(yield* Fiber.join(third)).toMatchObject({ _tag: "Timeout", kind: "first-chunk", limit: Duration.seconds(3) })
    yield* TestClock.adjust("1 second")
    expect(yield* Fiber.join(total)).toMatchObject({ _tag: "Timeout", kind: "total" })
    yield* TestClock.adjust("6 seconds")
    yield* Fiber.join(first)
    expect(yield* Fiber.join(second)).toMatchObject({
      _tag: "Timeout",
      kind: "first-chunk",
      limit: Duration.seconds(10)
    })
  })
)

it.effect("a permit that is free at the very deadline leads to a timeout, not to an invalid request", () =>
  Effect.gen(function* () {
    const one = yield* fake("one", [MockProvider.wait("10 seconds"), "Hi"])
    const pool = yield* Pool.make({ hosts: [{ provider: one, permits: 1 }] })
    const first = yield* Effect.forkChild(pool.complete(ask("1")), { startImmediately: true })
    const second = yield* Effect.forkChild(
      reasonOf(pool.complete({ ...ask("2"), deadlines: { firstChunk: "10 seconds" } })),
      { startImmediately: true }
    )
    yield* TestClock.adjust("11 seconds")
    yield* Fiber.join(first)
    expect(yield* Fiber.join(second)).toMatchObject({ _tag: "Timeout", limit: Duration.seconds(10) })
  })
)

it.effect("the time of each wait is in the metric", () =>
  Effect.gen(function* () {
    const one = yield* fake("one", [MockProvider.wait("2 seconds"), "Hi"])
    const pool = yield* Pool.make({ hosts: [{ provider: one, permits: 1 }], name: "measured" })
    const both = yield* Effect.forkChild(
      Effect.all([pool.complete(ask("1")), pool.complete(ask("2"))], { concurrency: "unbounded" })
    )
    yield* TestClock.adjust("5 seconds")
    yield* Fiber.join(both)
    const metric = Metric.withAttributes(Pool.waitSeconds, { pool: "measured" })
    expect(yield* Metric.value(metric)).toMatchObject({ count: 2, sum: 2 })
  })
)

it.effect("a request that is given up before its first chunk counts against its host until the limit", () =>
  Effect.gen(function* () {
    const fakes = yield* Effect.forEach(["one", "two"], (name) =>
      fake(name, ({ prompt }) => (prompt === "slow" ? [MockProvider.hang] : ["Hi"]))
    )
    const pool = yield* Pool.make({ hosts: fakes.map((provider) => ({ provider, permits: 1 })) })
    const slow = yield* Effect.forkChild(pool.complete(ask("slow")), { startImmediately: true })
    yield* TestClock.adjust("1 second")
    yield* Fiber.interrupt(slow)
    const { hosts } = yield* state(pool)
    expect(hosts.map(({ abandoned }) => abandoned).toSorted()).toEqual([0, 1])
    yield* TestClock.adjust("28 seconds")
    expect((yield* state(pool)).hosts).toEqual(hosts)
    yield* TestClock.adjust("2 seconds")
    expect((yield* state(pool)).hosts.map(({ abandoned }) => abandoned)).toEqual([0, 0])
  })
)

it.effect("a later first chunk of the same model shows that the prompt was read", () =>
  Effect.gen(function* () {
    const one = yield* fake("one", ({ prompt }) => (prompt === "slow" ? [MockProvider.hang] : ["Hi"]))
    const pool = yield* Pool.make({ hosts: [{ provider: one, permits: 2 }] })
    const slow = yield* Effect.forkChild(pool.complete(ask("slow")), { startImmediately: true })
    yield* TestClock.adjust("1 second")
    yield* Fiber.interrupt(slow)
    yield* pool.complete(ask("x", "other"))
    expect(yield* host(pool, "one")).toMatchObject({ abandoned: 1 })
    yield* pool.complete(ask("x"))
    expect(yield* host(pool, "one")).toMatchObject({ abandoned: 0 })
  })
)

it.effect("the first chunk of an earlier request shows nothing of a later one that was given up", () =>
  Effect.gen(function* () {
    const one = yield* fake("one", ({ prompt }) =>
      prompt === "slow" ? [MockProvider.hang] : [MockProvider.wait("5 seconds"), "Hi"]
    )
    const pool = yield* Pool.make({ hosts: [{ provider: one, permits: 2 }] })
    const earlier = yield* Effect.forkChild(pool.complete(ask("x")), { startImmediately: true })
    yield* TestClock.adjust("1 second")
    const slow = yield* Effect.forkChild(pool.complete(ask("slow")), { startImmediately: true })
    yield* TestClock.adjust("1 second")
    yield* Fiber.interrupt(slow)
    yield* TestClock.adjust("3 seconds")
    yield* Fiber.join(earlier)
    expect(yield* host(pool, "one")).toMatchObject({ active: 0, abandoned: 1 })
  })
)

it.effect("a request that stops while it waits, or after its first chunk, leaves nothing", () =>
  Effect.gen(function* () {
    const one = yield* fake("one", ["Hi", MockProvider.hang])
    const pool = yield* Pool.make({ hosts: [{ provider: one, permits: 1 }] })
    const first = yield* Effect.forkChild(Stream.runDrain(pool.stream(ask("1"))), { startImmediately: true })
    const waiting = yield* Effect.forkChild(pool.complete(ask("2")), { startImmediately: true })
    yield* TestClock.adjust("1 second")
    yield* Fiber.interrupt(waiting)
    yield* Fiber.interrupt(first)
    expect(yield* state(pool)).toMatchObject({ waiting: 0, hosts: [{ active: 0, abandoned: 0 }] })
    yield* pool.stream(ask("3")).pipe(Stream.take(1), Stream.runDrain)
    expect(yield* one.prompts).toEqual(["1", "3"])
  })
)

const operations: { readonly [name: string]: (pool: Pool.Pool) => Effect.Effect<unknown, ProviderError> } = {
  "an answer": (pool) => pool.complete(ask("x")),
  "a part of an answer": (pool) => Stream.runDrain(Stream.take(pool.stream(ask("x")), 1)),
  "an answer that fails": (pool) => pool.complete(ask("broken")),
  "an embedding": (pool) => pool.embed({ model: "m", input: "x" })
}

for (const [name, run] of Object.entries(operations)) {
  it.effect(`an interrupt at any step of ${name} leaves no permit and no place in the list`, () =>
    Effect.gen(function* () {
      const one = yield* fake("one", script)
      let isOver = false
      for (let step = 1; !isOver; step++) {
        const pool = yield* Pool.make({ hosts: [{ provider: one, permits: 1 }] })
        yield* Effect.forkChild(pool.complete(ask("long")), { startImmediately: true })
        const scheduler = new InterruptAt(step, () => fiber.interruptUnsafe())
        const fiber = yield* Effect.forkChild(Effect.provideService(run(pool), Scheduler.Scheduler, scheduler))
        yield* TestClock.adjust("10 seconds")
        yield* nextTask
        yield* TestClock.adjust("1 minute")
        isOver = scheduler.isOver
        const rest = { permits: 1, active: 0, abandoned: 0, status: "ready" }
        expect([step, yield* state(pool)]).toMatchObject([step, { waiting: 0, hosts: [{ name: "one", ...rest }] }])
      }
    })
  )
}

it.effect("requests that wait fail when the pool is closed", () =>
  Effect.gen(function* () {
    const one = yield* fake("one", [MockProvider.hang])
    const { closed, pool } = yield* Effect.scoped(
      Effect.gen(function* () {
        const pool = yield* Pool.make({ hosts: [{ provider: one, permits: 1 }] })
        yield* Effect.forkChild(pool.complete(ask("1")), { startImmediately: true })
        const waiting = yield* Effect.forkChild(reasonOf(pool.complete(ask("2"))), { startImmediately: true })
        return { pool, closed: Fiber.join(waiting) }
      })
    )
    const two = yield* Effect.scoped(Pool.make({ hosts: [{ provider: one }, { provider: one }] }))
    expect(yield* reasonOf(two.complete(ask("4")))).toMatchObject({ _tag: "NetworkError" })
    expect(yield* closed).toMatchObject({ _tag: "NetworkError" })
    expect(yield* reasonOf(pool.complete(ask("3")))).toMatchObject({ _tag: "NetworkError" })
  })
)

it.effect("a slow consumer of the state can have the latest one alone", () =>
  Effect.gen(function* () {
    const pool = yield* Pool.make({ hosts: [{ provider: yield* fake("one") }] })
    const latest = Stream.buffer(SubscriptionRef.changes(pool.state), { capacity: 1, strategy: "sliding" })
    const seen: Array<number> = []
    const consumer = yield* Stream.runForEach(latest, ({ hosts }) => {
      seen.push(hosts.length)
      return Effect.sleep("1 minute")
    }).pipe(Effect.forkScoped({ startImmediately: true }))
    yield* TestClock.adjust("1 second")
    for (let i = 0; i < 20; i++) {
      yield* pool.add({ provider: yield* fake(`more ${i}`) })
      yield* TestClock.adjust("1 second")
    }
    yield* TestClock.adjust("10 minutes")
    // The buffer takes one more before it slides.
    expect(seen.length).toBeLessThan(5)
    expect(seen.at(-1)).toBe(21)
    yield* Fiber.interrupt(consumer)
  })
)
