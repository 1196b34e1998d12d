/** The hosts of a pool as a stream of lists. */
import { expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as Pool from "../../../src/Pool.ts"
import { InvalidRequest, ProviderError } from "../../../src/ProviderError.ts"
import { answeredBy, ask, fake, state } from "./support.ts"

const names = (pool: Pool.Pool) => Effect.map(state(pool), ({ hosts }) => hosts.map(({ name }) => name))

it.effect("hosts come and go with the lists", () =>
  Effect.gen(function* () {
    const script = ["Hi", MockProvider.wait("3 seconds")]
    const [one, two, three] = yield* Effect.all([fake("one", script), fake("two", script), fake("three", script)])
    const lists = yield* Queue.unbounded<ReadonlyArray<Pool.Host>>()
    yield* Queue.offer(lists, [{ provider: one }, { name: "second", provider: Effect.succeed(two) }])
    const pool = yield* Pool.make({ hosts: Stream.fromQueue(lists) })
    expect(yield* names(pool)).toEqual(["one", "second"])
    const running = yield* Effect.forkChild(
      Effect.all([answeredBy(pool, ask("x")), answeredBy(pool, ask("y"))], { concurrency: "unbounded" }),
      { startImmediately: true }
    )
    yield* Queue.offer(lists, [{ provider: three }, { name: "second", provider: Effect.succeed(two), permits: 1 }])
    yield* TestClock.adjust("1 second")
    expect((yield* state(pool)).hosts).toMatchObject([
      { name: "one", status: "draining", active: 1 },
      { name: "second", status: "ready", permits: 1, active: 1 },
      { name: "three", status: "ready", permits: 4 }
    ])
    yield* TestClock.adjust("5 seconds")
    expect((yield* Fiber.join(running)).toSorted()).toEqual(["one", "second"])
    expect(yield* names(pool)).toEqual(["second", "three"])
    // A host that is drained and listed again stays.
    const busy = yield* Effect.forkChild(
      Effect.all([answeredBy(pool, ask("x")), answeredBy(pool, ask("y"))], { concurrency: "unbounded" }),
      { startImmediately: true }
    )
    yield* Queue.offer(lists, [])
    yield* TestClock.adjust("1 second")
    yield* Queue.offer(lists, [{ provider: three }])
    yield* TestClock.adjust("5 seconds")
    yield* Fiber.join(busy)
    expect((yield* state(pool)).hosts).toMatchObject([{ name: "three", status: "ready" }])
  })
)

it.effect("a host that cannot be made later leaves the others; the first list fails the pool", () =>
  Effect.gen(function* () {
    const one = yield* fake("one")
    const broken = Effect.fail(new ProviderError({ provider: "x", reason: new InvalidRequest({}) }))
    const lists = Stream.make([{ provider: one }]).pipe(
      Stream.concat(
        Stream.make([{ provider: one }, { name: "two", provider: broken }, { provider: yield* fake("three") }])
      )
    )
    const pool = yield* Pool.make({ hosts: lists })
    yield* TestClock.adjust("1 second")
    expect(yield* names(pool)).toEqual(["one", "three"])
    const failing = Pool.make({ hosts: Stream.make([{ name: "two", provider: broken }]) })
    expect(yield* Effect.flip(failing)).toMatchObject({ reason: { _tag: "InvalidRequest" } })
    const unnamed = Pool.make({ hosts: Stream.make([{ provider: Effect.succeed(one) }]) })
    expect(yield* Effect.flip(unnamed)).toMatchObject({ reason: { _tag: "InvalidRequest", field: "hosts" } })
  })
)

const listsOf = (...lists: ReadonlyArray<ReadonlyArray<Pool.Host>>) =>
  Stream.fromIterable(lists).pipe(Stream.rechunk(1))

it.effect("a host that a list leaves out and the next one has stays, however soon the lists come", () =>
  Effect.gen(function* () {
    const [one, two] = [{ provider: yield* fake("one") }, { provider: yield* fake("two") }]
    const pool = yield* Pool.make({ hosts: listsOf([one, two], [two], [one, two], [one], [one, two]) })
    yield* TestClock.adjust("1 second")
    const { hosts } = yield* state(pool)
    expect(hosts.map(({ name }) => name).toSorted()).toEqual(["one", "two"])
    for (const { status } of hosts) expect(status).toBe("ready")
  })
)

it.effect("invalid permits and hosts of a later list change nothing", () =>
  Effect.gen(function* () {
    const one = { provider: yield* fake("one"), permits: 2 }
    const two = { provider: yield* fake("two") }
    for (const permits of [0, -1, Number.NaN, Infinity, 0.5]) {
      const pool = yield* Pool.make({ hosts: listsOf([one], [{ ...one, permits }], [{ ...one, permits }, two]) })
      yield* TestClock.adjust("1 second")
      expect((yield* state(pool)).hosts).toMatchObject([
        { name: "one", permits: 2, status: "ready" },
        { name: "two", status: "ready" }
      ])
    }
    // @ts-expect-error not a host
    const pool = yield* Pool.make({ hosts: listsOf([one], [null, one, two]) })
    yield* TestClock.adjust("1 second")
    expect(yield* names(pool)).toEqual(["one", "two"])
  })
)

it.effect("lists that fail leave the hosts as they are; what is logged has no text of the failure", () =>
  Effect.gen(function* () {
    const one = { provider: yield* fake("one") }
    for (const failure of [new Error("secret"), { url: "https://user:secret@dns.example" }]) {
      const logged: Array<string> = []
      const logger = Logger.make(({ cause, message }) => logged.push(`${String(message)}${Cause.pretty(cause)}`))
      const hosts = Stream.concat(Stream.make([one]), Stream.fail(failure))
      const pool = yield* Pool.make({ hosts }).pipe(Effect.provide(Logger.layer([logger])))
      yield* TestClock.adjust("1 second")
      expect(yield* names(pool)).toEqual(["one"])
      expect(logged.join()).toContain("a list of hosts is not followed")
      expect(logged.join()).not.toContain("secret")
    }
  })
)
