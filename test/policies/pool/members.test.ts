/** The hosts of a pool come and go, and what they have together. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { TestClock } from "effect/testing"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as Pool from "../../../src/Pool.ts"
import * as Provider from "../../../src/Provider.ts"
import { NetworkError, ProviderError, StreamError } from "../../../src/ProviderError.ts"
import { settle } from "../../support/attempts.ts"
import { answeredBy, ask, fake, host, reasonOf, state } from "./support.ts"

it.effect("a host that is drained gets no further request, although it has free permits", () =>
  Effect.gen(function* () {
    const one = yield* fake("one", ["a", MockProvider.wait("3 seconds"), "b"])
    const pool = yield* Pool.make({ hosts: [{ provider: one, permits: 4 }] })
    const first = yield* Effect.forkChild(answeredBy(pool, ask("1")), { startImmediately: true })
    const drained = yield* Effect.forkChild(pool.drain("one"), { startImmediately: true })
    const second = yield* Effect.forkChild(reasonOf(pool.complete(ask("2"))), { startImmediately: true })
    expect(second.pollUnsafe()).toBeDefined()
    expect(yield* Fiber.join(second)).toMatchObject({ _tag: "NetworkError", isRetryable: true })
    yield* pool.add({ provider: yield* fake("two") })
    for (let i = 0; i < 10; i++) expect(yield* answeredBy(pool, ask("3"))).toBe("two")
    // Nor after an interrupt of the drain, and once its answers have ended.
    yield* Fiber.interrupt(drained)
    yield* TestClock.adjust("3 seconds")
    expect(yield* Fiber.join(first)).toBe("one")
    for (let i = 0; i < 10; i++) expect(yield* answeredBy(pool, ask("4"))).toBe("two")
    expect(yield* one.prompts).toEqual(["1"])
    expect((yield* host(pool, "one"))?.status).toBe("draining")
  })
)

it.effect("an answer has the name of the host in its pool, or that of a provider inside of the host", () =>
  Effect.gen(function* () {
    const mock = yield* MockProvider.make(["Hi"], { name: "mock" })
    const inner = yield* Pool.make({ hosts: [{ provider: mock, name: "inside" }] })
    const ofBoth = (pool: Pool.Pool) =>
      Effect.all([
        Effect.map(pool.complete(ask("x")), ({ provider }) => provider),
        Effect.map(pool.embed({ model: "mock", input: "x" }), ({ provider }) => provider)
      ])
    expect(yield* ofBoth(yield* Pool.make({ hosts: [{ provider: mock }] }))).toEqual(["mock", "mock"])
    expect(yield* ofBoth(yield* Pool.make({ hosts: [{ provider: mock, name: "gpu-1" }] }))).toEqual(["gpu-1", "gpu-1"])
    const outer = yield* Pool.make({ hosts: [{ provider: inner, name: "outside" }] })
    expect(yield* ofBoth(outer)).toEqual(["inside", "inside"])
  })
)

it.effect("a host that was removed while it was off is not probed any more", () =>
  Effect.gen(function* () {
    let probes = 0
    const listModels = Effect.suspend(() => {
      probes++
      return Effect.fail(new ProviderError({ provider: "one", reason: new NetworkError({}) }))
    })
    const one = yield* fake("one", [MockProvider.fail(new StreamError({}))], { listModels })
    const pool = yield* Pool.make({ hosts: [{ provider: one }] })
    for (let i = 0; i < 5; i++) yield* reasonOf(pool.complete(ask("x")))
    yield* TestClock.adjust("700 millis")
    expect(probes).toBe(1)
    yield* pool.drain("one")
    yield* TestClock.adjust("1 hour")
    // The one that was planned before.
    expect(probes).toBeLessThanOrEqual(2)
    expect((yield* state(pool)).hosts).toEqual([])
  })
)

it.effect("a model is described by a host that has it in memory, if any", () =>
  Effect.gen(function* () {
    const cold = yield* fake("cold", [], { info: { isLoaded: false, family: "of cold" } })
    const hot = yield* fake("hot", [], { info: { isLoaded: true, family: "of hot" } })
    const pool = yield* Pool.make({ hosts: [{ provider: cold }, { provider: hot }] })
    expect(yield* pool.model("m")).toEqual({ id: "m", isLoaded: true, family: "of hot" })
    yield* pool.drain("hot")
    expect(yield* pool.model("m")).toEqual({ id: "m", isLoaded: false, family: "of cold" })
  })
)

it.effect("a host that does not answer holds up lists and descriptions for 10 seconds at most", () =>
  Effect.gen(function* () {
    const silent = yield* fake("silent", [], { info: () => Effect.never, listModels: Effect.never })
    const pool = yield* Pool.make({ hosts: [{ provider: silent }] })
    for (const operation of [pool.listModels, pool.model("m"), pool.supportsModel("m")]) {
      const fiber = yield* Effect.forkChild(reasonOf<unknown>(operation), { startImmediately: true })
      yield* TestClock.adjust("10 seconds")
      expect(fiber.pollUnsafe()).toBeDefined()
      expect(yield* Fiber.join(fiber)).toMatchObject({ _tag: "Timeout" })
    }
    yield* pool.add({ provider: yield* fake("good", [], { listModels: Effect.succeed([{ id: "b" }]) }) })
    expect(yield* settle(pool.listModels)).toEqual([{ id: "b" }])
    expect(yield* settle(pool.supportsModel("c"))).toBe(false)
  })
)

it.effect("hosts that are off are not asked what they have, unless all are off", () =>
  Effect.gen(function* () {
    let asked = 0
    const listModels = Effect.sync(() => {
      asked++
      return [{ id: "a" }]
    })
    const off = yield* fake("off", [MockProvider.fail(new StreamError({}))], { listModels })
    const pool = yield* Pool.make({ hosts: [{ provider: off }] })
    for (let i = 0; i < 5; i++) yield* reasonOf(pool.complete(ask("x")))
    expect((yield* host(pool, "off"))?.status).toBe("off")
    expect(yield* pool.listModels).toEqual([{ id: "a" }])
    expect(asked).toBe(1)
    yield* pool.add({ provider: yield* fake("good", [], { listModels: Effect.succeed([{ id: "b" }]) }) })
    expect(yield* pool.listModels).toEqual([{ id: "b" }])
    expect(asked).toBe(1)
  })
)

it.effect("the final chunk has the name of the innermost host, also through pools of pools", () =>
  Effect.gen(function* () {
    const inner = yield* Pool.make({ hosts: [{ provider: yield* fake("gpu-1") }], name: "room" })
    const outer = yield* Pool.make({ hosts: [{ provider: inner }] })
    expect(yield* answeredBy(outer, ask("x"))).toBe("gpu-1")
    expect((yield* outer.embed({ model: "m", input: "x" })).provider).toBe("gpu-1")
  })
)

it.effect("one model at a time: two names of one model are the same", () =>
  Effect.gen(function* () {
    const mock = yield* fake("one", ["a", MockProvider.wait("2 seconds"), "b"], { oneModelAtATime: true })
    const withTag = (name: string) => (name.includes(":") ? name : `${name}:latest`)
    const one = { ...mock, isSameModel: (a: string, b: string) => withTag(a) === withTag(b) }
    const pool = yield* Pool.make({ hosts: [{ provider: one }] })
    for (const model of ["m", "m:latest", "other"]) {
      yield* Effect.forkChild(pool.complete(ask("x", model)), { startImmediately: true })
    }
    expect(yield* state(pool)).toMatchObject({ waiting: 1, hosts: [{ active: 2 }] })
  })
)

it.effect("an Effect and a layer of a host live until it has left the pool, and after a host that is not added", () =>
  Effect.gen(function* () {
    const log: Array<string> = []
    const living = (name: string) =>
      Effect.acquireRelease(
        Effect.tap(fake(name), () => Effect.sync(() => log.push(`+${name}`))),
        () => Effect.sync(() => log.push(`-${name}`))
      )
    yield* Effect.gen(function* () {
      const pool = yield* Pool.make({
        hosts: [{ provider: living("one") }, { provider: Layer.effect(Provider.Provider, living("two")), name: "two" }]
      })
      yield* pool.drain("two")
      expect(log).toEqual(["+one", "+two", "-two"])
      yield* pool.add({ provider: living("three") })
      const error = yield* Effect.flip(pool.add({ provider: living("four"), name: "one" }))
      expect(error.reason).toMatchObject({ _tag: "InvalidRequest", field: "hosts" })
      expect(log.slice(3)).toEqual(["+three", "+four", "-four"])
      // @ts-expect-error It makes no provider.
      const wrong = yield* Effect.flip(pool.add({ provider: Layer.empty, name: "five" }))
      expect(wrong).toMatchObject({ reason: { field: "provider" } })
    }).pipe(Effect.scoped)
    expect(log.slice(6).toSorted()).toEqual(["-one", "-three"])
  })
)
