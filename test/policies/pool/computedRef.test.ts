/** The state of a pool: computed when it is read, or after each change while somebody follows it. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as ComputedRef from "../../../src/policies/pool/computedRef.ts"

const counted = Effect.gen(function* () {
  const source = { value: 0, computed: 0 }
  const made = yield* ComputedRef.make(0, () => {
    source.computed++
    return source.value
  })
  const set = (value: number) => {
    source.value = value
    made.change()
  }
  return { ref: made.ref, set, source }
})

it.effect("it is computed once, when it is read after changes", () =>
  Effect.gen(function* () {
    const { ref, set, source } = yield* counted
    for (let i = 1; i <= 100; i++) set(i)
    expect(source.computed).toBe(0)
    expect(yield* SubscriptionRef.get(ref)).toBe(100)
    expect(yield* SubscriptionRef.get(ref)).toBe(100)
    expect(source.computed).toBe(1)
  })
)

it.effect("who follows the changes gets the present value first, then each one", () =>
  Effect.gen(function* () {
    const { ref, set, source } = yield* counted
    const changes = SubscriptionRef.changes(ref)
    set(1)
    set(2)
    const following = yield* Effect.forkChild(Stream.runCollect(Stream.take(changes, 3)))
    yield* Effect.yieldNow
    set(3)
    set(4)
    expect(yield* Fiber.join(following)).toEqual([2, 3, 4])
    source.computed = 0
    for (let i = 5; i < 100; i++) set(i)
    expect(source.computed).toBe(0)
    expect(yield* Stream.runCollect(Stream.take(changes, 1))).toEqual([99])
  })
)
