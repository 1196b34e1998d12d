/** What a pool survives, with the policies around it: sick hosts, restarts, prompts that crash engines, requests that are given up. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import type { CompletionRequest } from "../../../src/CompletionRequest.ts"
import * as Fallback from "../../../src/Fallback.ts"
import * as Hedge from "../../../src/Hedge.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as Pool from "../../../src/Pool.ts"
import type * as Provider from "../../../src/Provider.ts"
import * as Retry from "../../../src/Retry.ts"
import type { ProviderErrorReason } from "../../../src/ProviderError.ts"
import { ApiError, NetworkError, ProviderError, StreamTruncated } from "../../../src/ProviderError.ts"
import { settle } from "../../support/attempts.ts"
import { answeredBy, ask, fake, host, reasonOf, state } from "./support.ts"

const fork = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkChild(effect, { startImmediately: true })

const countOf = (fakes: ReadonlyArray<MockProvider.MockProvider>) =>
  Effect.map(
    Effect.forEach(fakes, ({ requests }) => requests),
    (all) => all.map(({ length }) => length)
  )

const quick = { schedule: Schedule.spaced("10 millis"), budget: { floor: Infinity } }

const sicknesses: ReadonlyArray<ProviderErrorReason> = [new ApiError({ status: 500 }), new StreamTruncated()]

for (const reason of sicknesses) {
  it.effect(`a host that answered the first turn and now fails is left for another one: ${reason._tag}`, () =>
    Effect.gen(function* () {
      const sick = new Set<string>()
      const fakes = yield* Effect.forEach(["one", "two"], (name) =>
        fake(name, () => (sick.has(name) ? [MockProvider.fail(reason)] : ["Hi"]))
      )
      const pool = yield* Pool.make({ hosts: fakes.map((provider) => ({ provider })) })
      const retrying = Retry.apply(pool, quick)
      for (let i = 0; i < 4; i++) {
        const question = { role: "user", content: `question ${i} `.repeat(500) } as const
        const first = yield* answeredBy(pool, { model: "m", messages: [question] })
        sick.clear()
        sick.add(first ?? "")
        const again: CompletionRequest = {
          model: "m",
          messages: [question, { role: "assistant", content: "Hi" }, { role: "user", content: "More." }]
        }
        const { provider } = yield* settle(retrying.complete(again))
        expect(["one", "two"].filter((name) => name !== first)).toContain(provider)
        sick.clear()
      }
    })
  )
}

it.effect("a hedge never goes to the host that serves the first request", () =>
  Effect.gen(function* () {
    const fakes = yield* Effect.forEach(["one", "two"], (name) => fake(name, [MockProvider.wait("30 seconds"), "Hi"]))
    const pool = yield* Pool.make({ hosts: fakes.map((provider) => ({ provider })) })
    const messages = [{ role: "user", content: "Why? ".repeat(500) }] as const
    const request = { model: "m", messages }
    // One host has the prompt in its cache.
    yield* settle(pool.complete(request))
    const hedged = yield* Hedge.make(pool, { minDelay: "2 seconds", share: 1 })
    for (let i = 0; i < 4; i++) yield* settle(hedged.complete(request))
    const counts = yield* countOf(fakes)
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(9)
    expect(Math.min(...counts)).toBe(4)

    const alone = yield* fake("alone", [MockProvider.wait("30 seconds"), "Hi"])
    const single = yield* Pool.make({ hosts: [{ provider: alone }] })
    yield* settle((yield* Hedge.make(single, { minDelay: "2 seconds", share: 1 })).complete(request))
    expect(yield* countOf([alone])).toEqual([1])
  })
)

it.effect("a restart of all servers: requests wait until one of them is back", () =>
  Effect.gen(function* () {
    let isDown = true
    const refused = new NetworkError({ kind: "refused" })
    const down = Effect.suspend(() =>
      isDown ? Effect.fail(new ProviderError({ provider: "x", reason: refused })) : Effect.succeed([{ id: "m" }])
    )
    const fakes = yield* Effect.forEach(["one", "two"], (name) =>
      fake(name, () => (isDown ? [MockProvider.fail(refused)] : ["Hi"]), { listModels: down })
    )
    const pool = yield* Pool.make({ hosts: fakes.map((provider) => ({ provider })) })
    const patient = { attempts: 100, schedule: Schedule.spaced("300 millis"), budget: { floor: Infinity } }
    const waiting = yield* fork(Retry.apply(pool, patient).complete(ask("x")))
    yield* TestClock.adjust("3 seconds")
    isDown = false
    yield* TestClock.adjust("4 seconds")
    expect((yield* Fiber.join(waiting)).content).toBe("Hi")
    expect((yield* state(pool)).hosts.map(({ active }) => active)).toEqual([0, 0])
  })
)

it.effect("while all hosts are off, a request waits no longer than its deadline, and its error is retryable", () =>
  Effect.gen(function* () {
    const refused = new NetworkError({ kind: "refused" })
    const one = yield* fake("one", [MockProvider.fail(refused)], {
      listModels: Effect.fail(new ProviderError({ provider: "one", reason: refused }))
    })
    const pool = yield* Pool.make({ hosts: [{ provider: one }] })
    for (let i = 0; i < 5; i++) yield* reasonOf(pool.complete(ask("x")))
    const short = yield* fork(Effect.flip(pool.complete({ ...ask("x"), deadlines: { firstChunk: "2 seconds" } })))
    const long = yield* fork(Effect.flip(pool.complete(ask("x"))))
    yield* TestClock.adjust("2 seconds")
    expect(yield* Fiber.join(short)).toMatchObject({ isRetryable: true, reason: { _tag: "Timeout" } })
    // A host that was off for so long is not about to be back.
    yield* TestClock.adjust("30 seconds")
    expect(yield* Fiber.join(long)).toMatchObject({ provider: "one", isRetryable: true })
    expect(yield* Effect.flip(pool.complete(ask("x")))).toMatchObject({ isRetryable: true })
    expect((yield* one.prompts).length).toBe(5)
  })
)

it.effect("requests that were given up do not keep others waiting if no other host is free", () =>
  Effect.gen(function* () {
    const fakes = yield* Effect.forEach(["one", "two"], (name) =>
      fake(name, ({ prompt }) => (prompt === "slow" ? [MockProvider.hang] : ["Hi"]))
    )
    const pool = yield* Pool.make({ hosts: fakes.map((provider) => ({ provider })) })
    const fibers = yield* Effect.forEach(Array.from({ length: 8 }), () => fork(pool.complete(ask("slow"))))
    yield* TestClock.adjust("60 millis")
    yield* Fiber.interruptAll(fibers)
    expect((yield* state(pool)).hosts.map(({ abandoned }) => abandoned)).toEqual([4, 4])
    const next = yield* fork(pool.complete(ask("x")))
    yield* TestClock.adjust("1 millis")
    expect((yield* Fiber.join(next)).content).toBe("Hi")
  })
)

it.effect("requests that were given up count against their host as long as another one is free", () =>
  Effect.gen(function* () {
    const fakes = yield* Effect.forEach(["one", "two"], (name) =>
      fake(name, ({ prompt }) => (prompt === "slow" ? [MockProvider.hang] : ["Hi"]))
    )
    const pool = yield* Pool.make({ hosts: fakes.map((provider) => ({ provider })) })
    const slow = yield* fork(pool.complete(ask("slow")))
    yield* TestClock.adjust("1 second")
    yield* Fiber.interrupt(slow)
    const { hosts } = yield* state(pool)
    const other = hosts.find(({ abandoned }) => abandoned === 0)?.name
    for (let i = 0; i < 5; i++) expect(yield* answeredBy(pool, ask("x"))).toBe(other)
  })
)

it.effect("a server that stops reading when the connection is closed has its permit free at once", () =>
  Effect.gen(function* () {
    const mock = yield* fake("one", ({ prompt }) => (prompt === "slow" ? [MockProvider.hang] : ["Hi"]))
    const pool = yield* Pool.make({ hosts: [{ provider: { ...mock, kind: "ollama" }, permits: 1 }] })
    const slow = yield* fork(pool.complete(ask("slow")))
    yield* TestClock.adjust("1 second")
    yield* Fiber.interrupt(slow)
    expect(yield* host(pool, "one")).toMatchObject({ active: 0, abandoned: 0 })
  })
)

const names = ["one", "two", "three", "four", "five"]

const around: {
  readonly [name: string]: (pool: Pool.Pool) => Effect.Effect<Provider.Provider, ProviderError>
} = {
  "a pool alone": (pool) => Effect.succeed(pool),
  "Retry around it": (pool) => Effect.succeed(Retry.apply(pool, quick)),
  "Retry and Hedge around it": (pool) => Effect.map(Hedge.make(pool), (hedge) => Retry.apply(hedge, quick)),
  "Retry in a Fallback": (pool) => Fallback.make([{ provider: Retry.apply(pool, { ...quick, attempts: 10 }) }])
}

for (const [name, wrap] of Object.entries(around)) {
  it.effect(`a prompt that crashes the engine takes down two hosts at most: ${name}`, () =>
    Effect.gen(function* () {
      const crash = MockProvider.fail(new NetworkError({ kind: "reset" }))
      const fakes = yield* Effect.forEach(names, (name) => fake(name, [MockProvider.wait("200 millis"), crash]))
      const pool = yield* Pool.make({ hosts: fakes.map((provider) => ({ provider })) })
      const error = yield* settle(Effect.flip((yield* wrap(pool)).complete(ask("x"))))
      expect(JSON.stringify(error)).toContain("NetworkError")
      const counts = yield* countOf(fakes)
      expect(counts.toSorted()).toEqual([0, 0, 0, 1, 1])
    })
  )
}

it.effect("four requests at once spread over idle hosts, although one of them has the prompt in its cache", () =>
  Effect.gen(function* () {
    const fakes = yield* Effect.forEach(["one", "two", "three"], (name) => fake(name, ["Hi", MockProvider.wait(1000)]))
    const pool = yield* Pool.make({ hosts: fakes.map((provider) => ({ provider })) })
    const request: CompletionRequest = { model: "m", messages: [{ role: "user", content: "Hi" }] }
    yield* settle(pool.complete(request))
    yield* settle(
      Effect.all(
        Array.from({ length: 4 }, () => pool.complete(request)),
        { concurrency: "unbounded" }
      )
    )
    expect(fakes.map((each) => each.peak()).toSorted()).toEqual([1, 1, 2])
  }).pipe(Random.withSeed("pool"))
)

const timeEach = Effect.fnUntraced(function* (count: number, modelOf: (i: number) => string = () => "m") {
  const script = ({ prompt }: { readonly prompt?: string | undefined }): MockProvider.Script =>
    prompt === "first" ? ["Hi", MockProvider.hang] : ["Hi"]
  const fakes = yield* Effect.forEach(["one", "two"], (name) => fake(name, script))
  const pool = yield* Pool.make({
    hosts: fakes.map((provider) => ({ provider, permits: 1 })),
    maxWaiting: count
  })
  const first = yield* Effect.forEach([1, 2], () => fork(Stream.runDrain(pool.stream(ask("first")))))
  yield* TestClock.adjust("1 second")
  const before = process.cpuUsage()
  const fibers = yield* Effect.forEach(Array.from({ length: count }), (_, i) =>
    fork(pool.complete(ask(`${i}`, modelOf(i))))
  )
  yield* TestClock.adjust("1 millis")
  expect((yield* state(pool)).waiting).toBe(count)
  yield* Fiber.interruptAll(first)
  for (const fiber of fibers) expect((yield* Fiber.join(fiber)).content).toBe("Hi")
  const { system, user } = process.cpuUsage(before)
  return (system + user) / count
})

it.effect(
  "a request that waits takes about as long of the event loop in a line of 2,000 as in one of 200",
  () =>
    Effect.gen(function* () {
      yield* timeEach(200)
      const short = yield* timeEach(200)
      const long = yield* timeEach(2000)
      // It took ten times as long when each change went through the whole line.
      expect(long / short).toBeLessThan(6)
    }),
  60_000
)

it.effect(
  "it takes about as long of the event loop if each request that waits is for another model",
  () =>
    Effect.gen(function* () {
      const modelOf = (i: number) => `model ${i}`
      yield* timeEach(50, modelOf)
      const short = yield* timeEach(50, modelOf)
      const long = yield* timeEach(500, modelOf)
      // It took seven times as long when each change tried the first request for each model.
      expect(long / short).toBeLessThan(4)
    }),
  60_000
)
