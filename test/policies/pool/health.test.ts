/** Pools of several processes that tell each other which hosts are off. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as TestClock from "effect/testing/TestClock"
import type * as MockProvider from "../../../src/MockProvider.ts"
import { fail } from "../../../src/MockProvider.ts"
import * as Pool from "../../../src/Pool.ts"
import { ApiError, NetworkError, ProviderError } from "../../../src/ProviderError.ts"
import { ask, fake, host } from "./support.ts"

type Store = CircuitBreaker.CircuitBreakerStore["Service"]

const makeStore = Effect.provide(
  CircuitBreaker.CircuitBreakerStore.use((store) => Effect.succeed(store)),
  CircuitBreaker.layerStoreMemory(),
  { local: true }
)

const refused = new ProviderError({ provider: "gpu", reason: new NetworkError({ kind: "refused" }) })

/** Two pools with the same host, which fails as long as it is sick. */
const makeTwo = Effect.fnUntraced(function* (store: Store) {
  const gpu = { isSick: false, isListing: true, isReachable: { one: true, two: true }, listed: { one: 0, two: 0 } }
  const makeOne = Effect.fnUntraced(function* (name: "one" | "two") {
    const script = (): MockProvider.Script => (gpu.isSick ? [fail(new ApiError({ status: 500 }))] : ["Hi"])
    const mock = yield* fake("gpu", script)
    const listModels = Effect.suspend(() => {
      gpu.listed[name]++
      return gpu.isListing && gpu.isReachable[name] ? mock.listModels : Effect.fail(refused)
    })
    const pool = yield* Pool.make({ hosts: [{ provider: { ...mock, listModels } }], health: store })
    const status = Effect.map(host(pool, "gpu"), (state) => state?.status)
    return { pool, status, sent: Effect.map(mock.requests, ({ length }) => length) }
  })
  const [one, two] = yield* Effect.all([makeOne("one"), makeOne("two")])
  const makeSick = Effect.suspend(() => {
    gpu.isSick = true
    const questions = Array.from({ length: 5 }, (_, i) => one.pool.complete(ask(`question ${i}`)))
    return Effect.forEach(questions, (each) => Effect.forkChild(Effect.exit(each), { startImmediately: true }))
  })
  return { gpu, one, two, makeSick, statuses: Effect.all([one.status, two.status]) }
})

it.effect("a host that one pool turns off gets no requests of the other, which has sent none", () =>
  Effect.gen(function* () {
    const { gpu, makeSick, statuses, two } = yield* makeTwo(yield* makeStore)
    gpu.isListing = false
    yield* makeSick
    expect(yield* statuses).toEqual(["off", "ready"])
    yield* TestClock.adjust("250 millis")
    expect(yield* statuses).toEqual(["off", "off"])
    yield* TestClock.adjust("1 minute")
    expect(yield* statuses).toEqual(["off", "off"])
    const error = yield* Effect.flip(two.pool.complete(ask("x")))
    expect(error).toMatchObject({ isRetryable: true, provider: "gpu", reason: { _tag: "NetworkError" } })
    expect(yield* two.sent).toBe(0)
  })
)

it.effect("it is back for all as soon as the probe of one of them succeeds", () =>
  Effect.gen(function* () {
    const { gpu, makeSick, statuses } = yield* makeTwo(yield* makeStore)
    gpu.isListing = false
    yield* makeSick
    // Each waits longer than before, up to five minutes.
    yield* TestClock.adjust("3 minutes")
    gpu.isListing = true
    gpu.listed = { one: 0, two: 0 }
    const isAnyBack = Effect.map(statuses, (all) => all.includes("ready"))
    yield* Effect.repeat(TestClock.adjust("100 millis"), { until: () => isAnyBack })
    yield* TestClock.adjust("250 millis")
    expect(yield* statuses).toEqual(["ready", "ready"])
    expect(gpu.listed).toEqual({ one: 1, two: 1 })
  })
)

it.effect("a pool that does not reach the host does not keep the others from it", () =>
  Effect.gen(function* () {
    const { gpu, makeSick, statuses, two } = yield* makeTwo(yield* makeStore)
    gpu.isReachable.one = false
    yield* makeSick
    gpu.isSick = false
    yield* TestClock.adjust("1 second")
    expect(yield* statuses).toEqual(["off", "ready"])
    for (let i = 0; i < 120; i++) {
      yield* TestClock.adjust("1 second")
      expect(yield* two.status).toBe("ready")
    }
    expect((yield* two.pool.complete(ask("x"))).content).toBe("Hi")
  })
)

it.effect("while the store fails or hangs, each pool finds out by itself, and that is logged once", () =>
  Effect.gen(function* () {
    const store = yield* makeStore
    const logged: Array<string> = []
    const logger = Logger.layer([Logger.make(({ message }) => logged.push(String(message)))])
    let failing: Effect.Effect<never, CircuitBreaker.CircuitBreakerError> | undefined
    const through =
      <Args extends ReadonlyArray<unknown>, A, R>(
        ask: (...args: Args) => Effect.Effect<A, CircuitBreaker.CircuitBreakerError, R>
      ) =>
      (...args: Args) =>
        Effect.suspend(() => failing ?? ask(...args))
    const unsteady: Store = {
      admit: through(store.admit),
      record: through(store.record),
      state: through(store.state)
    }
    const program = Effect.gen(function* () {
      const { gpu, makeSick, statuses } = yield* makeTwo(unsteady)
      gpu.isListing = false
      const reason = new CircuitBreaker.CircuitBreakerStoreError({ message: "SECRET" })
      failing = Effect.fail(new CircuitBreaker.CircuitBreakerError({ reason }))
      yield* makeSick
      yield* TestClock.adjust("10 seconds")
      expect(yield* statuses).toEqual(["off", "ready"])
      failing = Effect.never
      yield* TestClock.adjust("10 seconds")
      expect(logged).toEqual(Array.from({ length: 2 }, () => expect.stringContaining("health of hosts: the shared")))
      gpu.isListing = true
      yield* TestClock.adjust("1 minute")
      expect(yield* statuses).toEqual(["ready", "ready"])
      failing = undefined
      yield* TestClock.adjust("3 seconds")
      gpu.isListing = false
      yield* makeSick
      yield* TestClock.adjust("1 second")
      expect(yield* statuses).toEqual(["off", "off"])
      expect(logged).toHaveLength(4)
      expect(logged.join()).not.toContain("SECRET")
    })
    yield* Effect.provide(program, logger)
  })
)
