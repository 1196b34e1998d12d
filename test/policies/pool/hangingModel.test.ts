/** A server that hangs for one model while it answers others: the host is off for that model alone. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { TestClock } from "effect/testing"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as Pool from "../../../src/Pool.ts"
import { NetworkError, ProviderError } from "../../../src/ProviderError.ts"
import { FakeServer } from "../../../src/testing/index.ts"
import { request, start } from "../../support/setups.ts"
import { answeredBy, ask, fake, host } from "./support.ts"

const deadlines = { firstChunk: "4 seconds" } as const

const stuck = { ...ask("x", "stuck"), deadlines }

/** `stuck` hangs until it is unloaded. */
const hanging = Effect.fnUntraced(function* (name: string) {
  const now = { hangs: true, unloaded: 0 }
  const mock = yield* fake(name, ({ model }) => (model === "stuck" && now.hangs ? [MockProvider.hang] : ["Hi"]))
  const unload = () =>
    Effect.sync(() => {
      now.hangs = false
      now.unloaded++
    })
  return { now, provider: { ...mock, unload } }
})

const fails = (pool: Pool.Pool) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(Effect.flip(pool.complete(stuck)), { startImmediately: true })
    yield* TestClock.adjust("1 second")
    yield* pool.complete(ask("y", "other"))
    yield* TestClock.adjust("3 seconds")
    return yield* Fiber.join(fiber)
  })

it.effect("after three requests the model is off there, and the host answers others", () =>
  Effect.gen(function* () {
    const { now, provider } = yield* hanging("one")
    const pool = yield* Pool.make({ hosts: [{ provider, permits: 50 }] })
    for (let i = 0; i < 3; i++) {
      const { message, reason } = yield* fails(pool)
      expect(reason).toMatchObject({ _tag: "Timeout", kind: "first-chunk" })
      expect(message).toContain("if this one hangs there, unload it")
    }
    expect(yield* host(pool, "one")).toMatchObject({ status: "ready" })
    expect(yield* answeredBy(pool, ask("x", "other"))).toBe("one")
    const error = yield* Effect.flip(pool.complete(stuck))
    expect(error).toMatchObject({ provider: "one", reason: { _tag: "Timeout" }, isRetryable: true })
    expect(now.unloaded).toBe(0)
    // It is tried again after 4 to 6 seconds, and off at once if it still hangs.
    yield* TestClock.adjust("6 seconds")
    expect((yield* fails(pool)).reason._tag).toBe("Timeout")
    const sent = (yield* provider.requests).length
    expect((yield* Effect.flip(pool.complete(stuck))).reason._tag).toBe("Timeout")
    expect((yield* provider.requests).length).toBe(sent)
    now.hangs = false
    yield* TestClock.adjust("12 seconds")
    expect(yield* answeredBy(pool, stuck)).toBe("one")
  }).pipe(Effect.scoped)
)

it.effect("another host that has the model gets its requests", () =>
  Effect.gen(function* () {
    const { provider } = yield* hanging("one")
    const two = yield* fake("two")
    const pool = yield* Pool.make({ hosts: [{ provider, permits: 50 }] })
    for (let i = 0; i < 3; i++) yield* fails(pool)
    yield* pool.add({ provider: two, permits: 1 })
    for (let i = 0; i < 5; i++) expect(yield* answeredBy(pool, stuck)).toBe("two")
  }).pipe(Effect.scoped)
)

it.effect("`unloadHanging` unloads the model, and it gets requests again at once", () =>
  Effect.gen(function* () {
    const { now, provider } = yield* hanging("one")
    const pool = yield* Pool.make({ hosts: [{ provider, permits: 50 }], unloadHanging: true })
    for (let i = 0; i < 3; i++) yield* fails(pool)
    yield* TestClock.adjust("1 millis")
    expect(now.unloaded).toBe(1)
    expect(yield* answeredBy(pool, stuck)).toBe("one")
  }).pipe(Effect.scoped)
)

it.effect("a host that does not list its models either is off as a whole, and nothing is unloaded", () =>
  Effect.gen(function* () {
    const { now, provider } = yield* hanging("one")
    const listModels = Effect.fail(new ProviderError({ provider: "one", reason: new NetworkError({}) }))
    const pool = yield* Pool.make({
      hosts: [{ provider: { ...provider, listModels }, permits: 50 }],
      unloadHanging: true
    })
    for (let i = 0; i < 3; i++) yield* fails(pool)
    expect(yield* host(pool, "one")).toMatchObject({ status: "off" })
    const sent = (yield* provider.requests).length
    const other = yield* Effect.forkChild(Effect.flip(pool.complete({ ...ask("x", "other"), deadlines })))
    yield* TestClock.adjust("4 seconds")
    expect((yield* Fiber.join(other)).reason._tag).toBe("Timeout")
    expect((yield* provider.requests).length).toBe(sent)
    expect(now.unloaded).toBe(0)
  }).pipe(Effect.scoped)
)

it.live("Ollama: the error says how to unload the model, also through a pool", () =>
  Effect.gen(function* () {
    const { provider } = yield* start({ provider: "Ollama", client: "undici" }, FakeServer.silence)
    const pool = yield* Pool.make({ hosts: [{ provider }] })
    for (const { complete } of [provider, pool]) {
      const error = yield* Effect.flip(complete({ ...request, deadlines: { firstChunk: "50 millis" } }))
      expect(error.message).toContain("the first-chunk deadline of 50ms passed: ")
      expect(error.message).toContain("`ollama stop m` unloads it")
    }
  }).pipe(Effect.scoped)
)
