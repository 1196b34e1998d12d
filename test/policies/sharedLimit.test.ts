/** Limits whose counts processes share, while the store of the counts comes and goes. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schema from "effect/Schema"
import * as TestClock from "effect/testing/TestClock"
import * as Limit from "../../src/Limit.ts"
import * as MockProvider from "../../src/MockProvider.ts"

const request = { model: "m", prompt: "x" } as const

type State = "works" | "fails" | "hangs"

/** What an effect does within a second. */
const inASecond = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    if (fiber.pollUnsafe() === undefined) yield* TestClock.adjust("1 second")
    expect(fiber.pollUnsafe()).toBeDefined()
    return yield* Fiber.join(fiber)
  })

/** A limiter whose store does as `state` says, and the texts that were logged. */
const makeShared = Effect.gen(function* () {
  const limiter = yield* Effect.provide(RateLimiter.make, RateLimiter.layerStoreMemory, { local: true })
  const cause = Object.assign(new Error("SECRET"), { code: "ECONNREFUSED" })
  const reason = new RateLimiter.RateLimitStoreError({ message: "SECRET", cause })
  const logged: Array<string> = []
  const store: { asked: number; state: State } = { asked: 0, state: "works" }
  const shared: RateLimiter.RateLimiter = {
    ...limiter,
    consume: (options) =>
      Effect.suspend(() => {
        store.asked++
        if (store.state === "hangs") return Effect.never
        const isFailing = store.state === "fails"
        return isFailing ? Effect.fail(new RateLimiter.RateLimiterError({ reason })) : limiter.consume(options)
      })
  }
  const logger = Logger.layer([Logger.make(({ message }) => logged.push(String(message)))])
  return { store, limiter: Effect.succeed(shared), logged, logger }
})

const makeOne = (limits: Limit.Limit, { limiter }: Effect.Success<typeof makeShared>) =>
  Limit.make(MockProvider.make(["Hi"]), { limits, limiter, onStoreError: "memory" })

const makeTwo = (limits: Limit.Limit, shared: Effect.Success<typeof makeShared>) =>
  Effect.all([makeOne(limits, shared), makeOne(limits, shared)])

it.effect("while the store fails, each process counts by itself, and logs it once", () =>
  Effect.gen(function* () {
    const shared = yield* makeShared
    const [one, two] = yield* makeTwo({ requestsPerMinute: 2 }, shared)
    const isAllowed = (provider: typeof one) => Effect.isSuccess(provider.complete(request))
    const program = Effect.gen(function* () {
      expect([yield* isAllowed(one), yield* isAllowed(two), yield* isAllowed(two)]).toEqual([true, true, false])
      shared.store.state = "fails"
      const allowed = yield* Effect.forEach([one, one, one, two, two, two], isAllowed)
      expect(allowed).toEqual([true, true, false, true, true, false])
      expect(shared.logged).toEqual(
        Array.from({ length: 2 }, () => expect.stringMatching(/limits of keys.*\(ECONNREFUSED\); each process counts/))
      )
      expect(shared.logged.join()).not.toContain("SECRET")
      shared.store.state = "works"
      yield* TestClock.adjust("1 second")
      // It has counted two requests, and none of the others.
      expect(yield* isAllowed(one)).toBe(false)
      expect(shared.logged[2]).toMatch(/answers again/)
    })
    yield* Effect.provide(program, shared.logger)
  })
)

it.effect("a store that hangs delays the first request by a second, and then one in a second", () =>
  Effect.gen(function* () {
    const shared = yield* makeShared
    const provider = yield* makeOne({ requestsPerMinute: 100 }, shared)
    const complete = provider.complete(request)
    shared.store.state = "hangs"
    yield* inASecond(complete)
    const asked = shared.store.asked
    for (let i = 0; i < 20; i++) yield* complete
    expect(shared.store.asked).toBe(asked)
    yield* TestClock.adjust("1 second")
    const first = yield* Effect.forkChild(complete, { startImmediately: true })
    for (let i = 0; i < 20; i++) yield* complete
    expect(shared.store.asked).toBe(asked + 1)
    expect(first.pollUnsafe()).toBeUndefined()
    yield* TestClock.adjust("1 second")
    expect(first.pollUnsafe()?._tag).toBe("Success")
  }).pipe(Effect.provide(Logger.layer([])))
)

const Step = Schema.Struct({
  process: Schema.Literals([0, 1]),
  state: Schema.Literals(["works", "fails", "hangs"]),
  seconds: Schema.Literals([0, 1, 3])
})

it.effect.prop(
  "whatever the store does, a key never gets more than its limit from the store and from each process",
  { steps: Schema.Array(Step).check(Schema.isMaxLength(40)) },
  ({ steps }) =>
    Effect.gen(function* () {
      const limit = 3
      const shared = yield* makeShared
      const providers = yield* makeTwo({ requestsPerMinute: limit }, shared)
      const started = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      let allowed = 0
      for (const { process, seconds, state } of steps) {
        shared.store.state = state
        yield* TestClock.adjust(`${seconds} seconds`)
        const result = yield* inASecond(Effect.result(providers[process].complete(request)))
        if (result._tag === "Success") allowed++
        else expect(result.failure.reason._tag).toBe("RateLimited")
      }
      const minutes = ((yield* Effect.clockWith((clock) => clock.currentTimeMillis)) - started) / 60_000
      expect(allowed).toBeLessThanOrEqual(Math.ceil(3 * limit * (1 + minutes)))
    }).pipe(Effect.provide(Logger.layer([])))
)
