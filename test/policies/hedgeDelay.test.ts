/** When the second request is sent: after which of the recent waits, and how long these are remembered. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as TestClock from "effect/testing/TestClock"
import * as Hedge from "../../src/Hedge.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import { settle } from "../support/attempts.ts"

const ask = (model: string) => ({ model, prompt: "x" })

/** A provider whose answers begin after the given numbers of seconds, and then never. */
const hedgedAfter = Effect.fnUntraced(function* (waits: ReadonlyArray<number>) {
  let index = 0
  // The second request answers none of the first requests, because there is none.
  let isMeasuring = true
  const first = yield* MockProvider.make(() => [MockProvider.wait((waits[index++] ?? Infinity) * 1000), "Hi"])
  const second = yield* MockProvider.make(["Hi"], { name: "second" })
  const isLoaded = () => Effect.sync(() => !isMeasuring)
  const hedged = yield* Hedge.make(first, { alternatives: [second], isLoaded, share: 1 })
  return {
    complete: (model: string) => settle(hedged.complete(ask(model))),
    /** The seconds after which the second request is sent, and answers. */
    delay: Effect.gen(function* () {
      isMeasuring = false
      const fiber = yield* Effect.forkChild(hedged.complete(ask("m")), { startImmediately: true })
      let seconds = 0
      while ((yield* second.requests).length === 0 && seconds < 1000) {
        yield* TestClock.adjust("1 second")
        seconds++
      }
      expect(yield* Fiber.join(fiber)).toMatchObject({ provider: "second" })
      return seconds
    })
  }
})

const delayAfter = (waits: ReadonlyArray<number>) =>
  Effect.gen(function* () {
    const { complete, delay } = yield* hedgedAfter(waits)
    for (const _ of waits) yield* complete("m")
    return yield* delay
  })

/** 3, 4, 5, … in another order. */
const shuffled = (count: number) => Array.from({ length: count }, (_, i) => ((i * 37) % count) + 3)

for (const [count, shorter] of [
  [1, 1],
  [3, 3],
  [10, 10],
  [20, 19],
  [40, 38],
  [100, 95]
] as const) {
  it.effect(`of ${count} waits, ${shorter} are not longer than the delay`, () =>
    Effect.gen(function* () {
      const waits = shuffled(count)
      const delay = yield* delayAfter(waits)
      expect(waits.filter((wait) => wait <= delay).length).toBe(shorter)
      expect(waits).toContain(delay)
    })
  )
}

it.effect("the delay is never shorter than two seconds, however short the waits are", () =>
  Effect.gen(function* () {
    expect(yield* delayAfter([])).toBe(2)
    expect(yield* delayAfter([1, 0.5, 1])).toBe(2)
  })
)

it.effect("a request that no alternative could answer does not use up the share", () =>
  Effect.gen(function* () {
    let isReady = false
    const first = yield* MockProvider.make([MockProvider.wait("5 seconds"), "late"], { name: "first" })
    const second = yield* MockProvider.make(["early"], { name: "second" })
    const isLoaded = () => Effect.sync(() => isReady)
    const hedged = yield* Hedge.make(first, { alternatives: [second], isLoaded, share: 0 })
    for (let i = 0; i < 5; i++) expect(yield* settle(hedged.complete(ask("m")))).toMatchObject({ provider: "first" })
    isReady = true
    expect(yield* settle(hedged.complete(ask("other")))).toMatchObject({ provider: "second" })
  })
)

it.effect("the last 100 waits count", () =>
  Effect.gen(function* () {
    const slow = Array.from({ length: 100 }, () => 30)
    const fast = Array.from({ length: 100 }, () => 3)
    expect(yield* delayAfter([...slow, ...fast.slice(6)])).toBe(30)
    expect(yield* delayAfter([...slow, ...fast.slice(5)])).toBe(3)
    expect(yield* delayAfter([...fast, ...slow])).toBe(30)
  })
)

it.effect("the waits of the 100 models that were used last are remembered", () =>
  Effect.gen(function* () {
    const others = (from: number, count: number) => Array.from({ length: count }, (_, i) => `other ${from + i}`)
    for (const [models, expected] of [
      [["m", ...others(0, 99)], 30],
      [["m", ...others(0, 100)], 2],
      [["m", ...others(0, 50), "m", ...others(50, 60)], 30]
    ] as const) {
      const { complete, delay } = yield* hedgedAfter(models.map((model) => (model === "m" ? 30 : 0)))
      for (const model of models) yield* complete(model)
      expect(yield* delay).toBe(expected)
    }
  })
)

it.effect("waits that the second request ended count as well", () =>
  Effect.gen(function* () {
    const first = yield* MockProvider.make([MockProvider.hang])
    const second = yield* MockProvider.make([MockProvider.wait("8 seconds"), "Hi"], { name: "second" })
    const hedged = yield* Hedge.make(first, { alternatives: [second], share: 1 })
    yield* settle(hedged.complete(ask("m")))
    const next = yield* Effect.forkChild(hedged.complete(ask("m")), { startImmediately: true })
    yield* TestClock.adjust("9999 millis")
    expect((yield* second.requests).length).toBe(1)
    yield* TestClock.adjust("1 millis")
    expect((yield* second.requests).length).toBe(2)
    yield* Fiber.interrupt(next)
  })
)
