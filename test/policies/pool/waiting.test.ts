/** Which of the requests that wait is served next. */
import { expect, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import { TestClock } from "effect/testing"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as Pool from "../../../src/Pool.ts"
import * as WaitingList from "../../../src/policies/pool/waitingList.ts"
import { ask, fake, reasonOf, state } from "./support.ts"

const fork = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })

/** One host that serves a request in each second, and a function that sends requests of a caller. */
const oneAtATime = Effect.fnUntraced(function* () {
  const one = yield* fake("one", [MockProvider.wait("1 second"), "Hi"])
  const pool = yield* Pool.make({ hosts: [{ provider: one, permits: 1 }], maxWaiting: 10_000 })
  const send = (caller: Pool.Caller, count: number) =>
    Effect.forEach(Array.from({ length: count }), (_, i) =>
      fork(Effect.provideService(pool.complete(ask(`${caller.name}${i}`)), Pool.caller, caller))
    )
  return { one, pool, send }
})

it.effect("one caller with 1,000 requests delays the single request of another one by one request at most", () =>
  Effect.gen(function* () {
    const { one, send } = yield* oneAtATime()
    yield* send({ name: "a" }, 1000)
    yield* TestClock.adjust("10500 millis")
    const [single] = yield* send({ name: "b" }, 1)
    yield* TestClock.adjust("3 seconds")
    expect(single?.pollUnsafe()).toBeDefined()
    const prompts = yield* one.prompts
    expect(prompts.indexOf("b0")).toBeLessThanOrEqual(12)
  })
)

it.effect("callers share the hosts by their weights", () =>
  Effect.gen(function* () {
    const { one, send } = yield* oneAtATime()
    yield* send({ name: "first" }, 1)
    yield* send({ name: "a", weight: 3 }, 100)
    yield* send({ name: "b" }, 100)
    yield* TestClock.adjust("41 seconds")
    const served = (yield* one.prompts).slice(1, 41)
    const share = served.filter((prompt) => prompt?.startsWith("a")).length
    expect(share).toBeGreaterThanOrEqual(28)
    expect(share).toBeLessThanOrEqual(32)
  })
)

it.effect("a caller that always has a request that waits does not starve another one", () =>
  Effect.gen(function* () {
    const { one, send } = yield* oneAtATime()
    yield* send({ name: "a" }, 30)
    for (let i = 0; i < 20; i++) {
      yield* send({ name: "b" }, 2)
      yield* TestClock.adjust("1 second")
    }
    const served = yield* one.prompts
    expect(served.filter((prompt) => prompt?.startsWith("a")).length).toBeGreaterThanOrEqual(9)
  })
)

it.effect("interactive requests come before those of a batch, which do not starve", () =>
  Effect.gen(function* () {
    const { one, send } = yield* oneAtATime()
    yield* send({ name: "first" }, 1)
    yield* send({ name: "batch", priority: "batch" }, 50)
    yield* send({ name: "chat" }, 100)
    yield* TestClock.adjust("28 seconds")
    expect((yield* one.prompts).filter((prompt) => prompt?.startsWith("batch"))).toEqual([])
    yield* TestClock.adjust("60 seconds")
    const served = (yield* one.prompts).filter((prompt) => prompt?.startsWith("batch")).length
    expect(served).toBeGreaterThanOrEqual(6)
    expect(served).toBeLessThanOrEqual(9)
  })
)

it.effect("a full line reports when a host is expected", () =>
  Effect.gen(function* () {
    const { send } = yield* oneAtATime()
    const one = yield* fake("one", [MockProvider.wait("20 seconds"), "Hi"])
    const pool = yield* Pool.make({ hosts: [{ provider: one, permits: 1 }], maxWaiting: 1 })
    yield* fork(pool.complete(ask("1")))
    yield* fork(pool.complete(ask("2")))
    const reason = yield* reasonOf(pool.complete(ask("3")))
    expect(reason._tag).toBe("RateLimited")
    if (reason._tag !== "RateLimited" || reason.retryAfter === undefined) throw reason
    expect(Duration.toMillis(reason.retryAfter)).toBeGreaterThan(5000)
    yield* send({ name: "a" }, 0)
  })
)

it.effect("requests that wait go to other hosts if theirs is drained, and leave nothing if they are cancelled", () =>
  Effect.gen(function* () {
    const { pool, send } = yield* oneAtATime()
    const fibers = yield* send({ name: "a" }, 20)
    yield* Effect.forEach(fibers.slice(10), Fiber.interrupt)
    expect((yield* state(pool)).waiting).toBe(9)
    yield* pool.add({ provider: yield* fake("two", ["Hi", MockProvider.wait("5 seconds")]), permits: 1 })
    yield* fork(pool.drain("one"))
    yield* TestClock.adjust("1 minute")
    for (const fiber of fibers.slice(1, 10)) expect((yield* Fiber.join(fiber)).provider).toBe("two")
  })
)

const Step = Schema.Struct({
  caller: Schema.Literals(["a", "b", "c"]),
  priority: Schema.Literals(["interactive", "batch"]),
  suits: Schema.Literals(["m", "n"]),
  cost: Schema.Literals([1, 10, 1000]),
  what: Schema.Literals(["add", "add", "serve", "cancel"])
})

it.effect.prop(
  "for any order of requests, turns and cancellations: each group is in the order of its turns, and all leave",
  { steps: Schema.Array(Step).check(Schema.isMaxLength(80)) },
  ({ steps }) =>
    Effect.sync(() => {
      const list = WaitingList.make<WaitingList.Item>()
      const present = new Set<WaitingList.Item>()
      const serve = () => {
        const first = list.next(0, new Set())?.entries[0]?.item
        expect(first === undefined).toBe(present.size === 0)
        if (first === undefined) return
        const isInteractive = ({ caller }: WaitingList.Item) => caller.priority !== "batch"
        if (!isInteractive(first)) expect([...present].some(isInteractive)).toBe(false)
        expect(list.remove(first, true)).toBe(true)
        expect(present.delete(first)).toBe(true)
      }
      for (const { caller, cost, priority, suits, what } of steps) {
        if (what === "add") {
          const item = { caller: { name: caller, priority }, suits, cost, waitingSince: 0 }
          present.add(item)
          list.add(item)
        } else if (what === "serve") serve()
        else {
          const item = [...present].at(Math.floor(present.size / 2))
          if (item === undefined) continue
          present.delete(item)
          expect(list.remove(item, false)).toBe(true)
          expect(list.remove(item, false)).toBe(false)
        }
        expect(list.size()).toBe(present.size)
        for (const group of [list.next(0, new Set())]) {
          for (const [i, entry] of (group?.entries ?? []).entries()) {
            expect(entry.index).toBe(i)
            const parent = group?.entries[(i - 1) >> 1]
            if (i > 0 && parent !== undefined) expect(parent.turn).toBeLessThanOrEqual(entry.turn)
          }
        }
      }
      while (present.size > 0) serve()
      expect(list.size()).toBe(0)
    })
)

it.effect("weights of any size and unknown priorities leave the turns of the other callers fair", () =>
  Effect.gen(function* () {
    const { one, send } = yield* oneAtATime()
    yield* send({ name: "first" }, 1)
    for (const weight of [0, -1, Number.NaN, Infinity, 1e-320, Number.MIN_VALUE, Number.MAX_VALUE])
      yield* send({ name: `strange ${weight}`, weight }, 2)
    // @ts-expect-error not a priority
    yield* send({ name: "urgent", priority: "urgent" }, 1)
    yield* TestClock.adjust("1 second")
    // They have waited all the time, so the list has never been empty.
    yield* send({ name: "filler" }, 60)
    yield* TestClock.adjust("30 seconds")
    yield* send({ name: "a" }, 20)
    yield* send({ name: "b" }, 1)
    yield* TestClock.adjust("8 seconds")
    const prompts = yield* one.prompts
    expect(prompts).toContain("urgent0")
    expect(prompts).toContain("b0")
  })
)

it.effect("a request that is given up with the smallest weight leaves the turns of the others fair", () =>
  Effect.gen(function* () {
    const { one, send } = yield* oneAtATime()
    yield* send({ name: "first" }, 1)
    const strange = yield* send({ name: "strange", weight: Number.MIN_VALUE }, 3)
    for (const fiber of strange) yield* Fiber.interrupt(fiber)
    yield* send({ name: "strange", weight: 1 }, 1)
    yield* send({ name: "a" }, 50)
    yield* send({ name: "b" }, 1)
    yield* TestClock.adjust("5 seconds")
    const prompts = yield* one.prompts
    expect(prompts).toContain("b0")
    expect(prompts).toContain("strange0")
  })
)

it.effect("each request that waits fails at its own deadline, however short", () =>
  Effect.gen(function* () {
    const one = yield* fake("one", [MockProvider.wait("1 minute"), "Hi"])
    const pool = yield* Pool.make({ hosts: [{ provider: one, permits: 1 }] })
    yield* Effect.forkChild(pool.complete(ask("first")), { startImmediately: true })
    const ended: Array<number> = []
    const clock = yield* Clock.Clock
    for (const millis of [700, 30, 400, 31, 260]) {
      const request = { ...ask("x"), deadlines: { firstChunk: millis } }
      const end = Effect.tap(reasonOf(pool.complete(request)), ({ _tag }) =>
        Effect.sync(() => void (_tag === "Timeout" && ended.push(clock.currentTimeMillisUnsafe())))
      )
      yield* Effect.forkChild(end, { startImmediately: true })
    }
    yield* TestClock.adjust("29 millis")
    expect(ended).toEqual([])
    yield* TestClock.adjust("1 second")
    expect(ended).toEqual([30, 31, 260, 400, 700])
    expect(yield* state(pool)).toMatchObject({ waiting: 0 })
  })
)
