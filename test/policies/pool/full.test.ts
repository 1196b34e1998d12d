/** More requests at once than a pool lets wait: the refused ones are told when to come back, and are served then. */
import { expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as Pool from "../../../src/Pool.ts"
import type { ProviderError } from "../../../src/ProviderError.ts"
import * as Retry from "../../../src/Retry.ts"
import { ask, fake, reasonOf } from "./support.ts"

const fork = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })

/** A pool of one host that answers one request at a time. `isWarm`: it has answered one. */
const makePool = Effect.fnUntraced(function* (options: {
  readonly seconds: number
  readonly isWarm: boolean
  readonly maxWaiting?: number
}) {
  const { isWarm, seconds, ...rest } = options
  const half = MockProvider.wait(Duration.seconds(seconds / 2))
  const one = yield* fake("one", [half, "Hi", half])
  const pool = yield* Pool.make({ hosts: [{ provider: one }], permits: 1, ...rest })
  if (isWarm) {
    const first = yield* fork(pool.complete(ask("first")))
    yield* TestClock.adjust(Duration.seconds(seconds))
    yield* Fiber.join(first)
  }
  return { one, pool }
})

const millisOf = (effect: Effect.Effect<unknown, ProviderError>) =>
  Effect.map(reasonOf(effect), (reason) => {
    if (reason._tag !== "RateLimited" || reason.retryAfter === undefined) throw reason
    return Duration.toMillis(reason.retryAfter)
  })

const patient: Retry.Options = { maxRetryAfter: "10 minutes" }

it.effect.each<[seconds: number, isWarm: boolean, options: Retry.Options]>([
  [0.1, false, {}],
  [0.1, true, {}],
  [1, false, patient]
])("all of 300 requests at once are answered, %d seconds each; warm: %s; %j", ([seconds, isWarm, options]) =>
  Effect.gen(function* () {
    const { one, pool } = yield* makePool({ seconds, isWarm })
    const provider = Retry.apply(pool, options)
    const all = yield* Effect.forEach(Array.from({ length: 300 }, String), (text) => fork(provider.complete(ask(text))))
    yield* TestClock.adjust(Duration.seconds(300 * seconds + 60))
    for (const fiber of all) expect(yield* Fiber.join(fiber)).toMatchObject({ content: "Hi" })
    expect(one.peak()).toBe(1)
  })
)

it.effect("each refused request is told when a host is free for it, the next one later", () =>
  Effect.gen(function* () {
    const { pool } = yield* makePool({ seconds: 2, isWarm: true, maxWaiting: 2 })
    // One is answered, and two wait.
    for (let i = 0; i < 3; i++) yield* fork(pool.complete(ask("x")))
    for (let i = 0; i < 4; i++) {
      const millis = yield* millisOf(pool.complete(ask("x")))
      expect(millis).toBeGreaterThan((3 + i) * 2000 * 0.9)
      expect(millis).toBeLessThan((3 + i) * 2000 * 1.1)
    }
    // A caller that does not wait delays itself alone.
    const other = Effect.provideService(pool.complete(ask("x")), Pool.caller, { name: "other" })
    expect(yield* millisOf(other)).toBeLessThan(3 * 2000 * 1.1)
    // Those that were told to come back are no longer expected afterwards.
    yield* TestClock.adjust("15 seconds")
    for (let i = 0; i < 3; i++) yield* fork(pool.complete(ask("x")))
    expect(yield* millisOf(pool.complete(ask("x")))).toBeLessThan(3 * 2000 * 1.1)
  })
)

it.effect("a flood of refused requests is told times that stay bounded", () =>
  Effect.gen(function* () {
    const { pool } = yield* makePool({ seconds: 1, isWarm: true, maxWaiting: 0 })
    yield* fork(pool.complete(ask("x")))
    let last = 0
    for (let i = 0; i < 1100; i++) last = yield* millisOf(pool.complete(ask("x")))
    expect(last).toBeLessThan(1100 * 1000)
  })
)
