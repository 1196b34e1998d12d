/** Which host answers. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import type { CompletionRequest, Message } from "../../../src/CompletionRequest.ts"
import * as LmStudio from "../../../src/LmStudio.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as Ollama from "../../../src/Ollama.ts"
import * as Pool from "../../../src/Pool.ts"
import {
  ApiError,
  ContextOverflow,
  ModelNotAvailable,
  NetworkError,
  RateLimited,
  ProviderError
} from "../../../src/ProviderError.ts"
import { settle } from "../../support/attempts.ts"
import * as Thinking from "../../../src/Thinking.ts"
import { answeredBy, ask, fake, host, reasonOf, state } from "./support.ts"

const missing = (model: string) => () =>
  Effect.fail(new ProviderError({ provider: "x", reason: new ModelNotAvailable({ model }) }))

const final = (promptTokens: number): MockProvider.Script => [{ content: "Hi", isFinal: true, usage: { promptTokens } }]

it.effect("a second host loads the model when the wait for the first exceeds what loading costs, and not before", () =>
  Effect.gen(function* () {
    const script = ["Hi", MockProvider.wait("4 seconds")]
    const cold = yield* fake("cold", [MockProvider.wait("10 seconds"), ...script], { info: { isLoaded: false } })
    const hot = yield* fake("hot", script, { info: { isLoaded: true } })
    const pool = yield* Pool.make({ hosts: [{ provider: cold }, { provider: hot }], permits: 2 })
    const fibers = yield* Effect.forEach(Array.from({ length: 12 }), (_, i) =>
      Effect.forkChild(answeredBy(pool, ask(`${i}`)), { startImmediately: true })
    )
    // Those that would wait for more than 10 seconds go to the other host.
    expect([hot.active(), cold.active()]).toEqual([2, 2])
    yield* TestClock.adjust("1 minute")
    const names = yield* Effect.forEach(fibers, Fiber.join)
    expect(names.slice(0, 4)).toEqual(Array(4).fill("hot"))
    expect(names.filter((name) => name === "cold").length).toBeGreaterThanOrEqual(2)
  })
)

it.effect(
  "what hosts report is asked for in the background, at most every 2 seconds, and waited for only at first",
  () =>
    Effect.gen(function* () {
      let asked = 0
      const answer = Effect.suspend(() => {
        asked++
        return Effect.delay(Effect.succeed({ id: "m", isLoaded: true }), "400 millis")
      })
      const one = yield* fake("one", ["Hi"], { info: () => answer })
      const two = yield* fake("two", ["Hi"], { info: () => Effect.never })
      const pool = yield* Pool.make({ hosts: [{ provider: one }, { provider: two }] })
      const first = yield* Effect.forkChild(answeredBy(pool, ask("1")), { startImmediately: true })
      yield* TestClock.adjust("499 millis")
      expect(yield* state(pool)).toMatchObject({ hosts: [{ active: 0 }, { active: 0 }] })
      yield* TestClock.adjust("1 millis")
      expect(yield* Fiber.join(first)).toBe("one")
      for (let i = 0; i < 20; i++) expect(yield* answeredBy(pool, ask("2"))).toBe("one")
      expect(asked).toBe(1)
      yield* TestClock.adjust("2 seconds")
      expect(yield* answeredBy(pool, ask("3"))).toBe("one")
      expect(asked).toBe(2)
    })
)

it.effect("a model that was loaded is noticed within 3 seconds", () =>
  Effect.gen(function* () {
    let isLoaded = false
    const one = yield* fake("one", ["Hi"], { info: { isLoaded: false } })
    const two = yield* fake("two", ["Hi"], { info: () => Effect.sync(() => ({ id: "m", isLoaded })) })
    const pool = yield* Pool.make({ hosts: [{ provider: one }, { provider: two }] })
    yield* answeredBy(pool, ask("1"))
    // An answer counts as a sign that the model is in memory.
    yield* TestClock.adjust("1 minute")
    yield* answeredBy(pool, ask("2"))
    yield* TestClock.adjust("1 minute")
    isLoaded = true
    yield* TestClock.adjust("3 seconds")
    for (let i = 0; i < 10; i++) expect(yield* answeredBy(pool, ask("3"))).toBe("two")
  })
)

it.effect("a host that may have models that it does not list is asked for one that no host lists", () =>
  Effect.gen(function* () {
    const unlisted = missing("x")
    const gateway = { ...(yield* fake("gateway", ["Hi"], { info: unlisted })), hasUnlistedModels: true }
    const strict = yield* fake("strict", ["Hi"], { info: unlisted })
    const having = yield* fake("having", ["Hi"])
    const both = yield* Pool.make({ hosts: [{ provider: strict }, { provider: gateway }] })
    for (let i = 0; i < 5; i++) expect(yield* answeredBy(both, ask("x"))).toBe("gateway")
    const all = yield* Pool.make({ hosts: [{ provider: strict }, { provider: gateway }, { provider: having }] })
    for (let i = 0; i < 5; i++) expect(yield* answeredBy(all, ask("x"))).toBe("having")
    const alone = yield* Pool.make({ hosts: [{ provider: strict }, { provider: strict, name: "other" }] })
    expect((yield* Effect.flip(alone.complete(ask("x")))).reason._tag).toBe("ModelNotAvailable")
  })
)

const chat = (...contents: ReadonlyArray<string>): CompletionRequest => ({
  model: "m",
  messages: contents.map((content, i): Message => ({ role: i % 2 === 0 ? "user" : "assistant", content }))
})

it.effect(
  "the next turn of a conversation goes to the host of the last one, whatever became of the answer's text",
  () =>
    Effect.gen(function* () {
      const fakes = yield* Effect.forEach(["a", "b", "c", "d"], (name) => fake(name))
      const pool = yield* Pool.make({ hosts: fakes.map((provider) => ({ provider })) })
      for (let i = 0; i < 20; i++) {
        const first = yield* answeredBy(pool, chat(`question ${i}`))
        expect(yield* answeredBy(pool, chat(`question ${i}`, " Hi", "and then?"))).toBe(first)
        expect(yield* answeredBy(pool, chat(`question ${i}`, "Hi", "and then?", "Hi", "why?"))).toBe(first)
      }
      const prompts = yield* Effect.forEach(fakes, ({ requests }) => Effect.map(requests, ({ length }) => length))
      expect(prompts.filter((count) => count > 0).length).toBeGreaterThan(1)
    })
)

/** A turn of a coding agent, which writes the date into its system message. */
const agentTurn = (i: number, begin: string, end: string, turns: number): CompletionRequest => ({
  model: "m",
  messages: [
    { role: "system", content: `${begin}${"You edit the files of a project. ".repeat(200)}${end}` },
    { role: "user", content: `task ${i}` },
    ...Array.from({ length: turns }, (_, turn): Message => ({ role: "user", content: `${turn}?` }))
  ]
})

it.effect("a system message whose end changes keeps a conversation on its host, which has the beginning", () =>
  Effect.gen(function* () {
    const fakes = yield* Effect.forEach(["a", "b", "c", "d"], (name) => fake(name))
    const pool = yield* Pool.make({ hosts: fakes.map((provider) => ({ provider })) })
    const first = yield* answeredBy(pool, agentTurn(0, "", "It is Monday.", 0))
    for (let turn = 1; turn < 20; turn++) {
      expect(yield* answeredBy(pool, agentTurn(0, "", `It is day ${turn}.`, turn))).toBe(first)
    }
  })
)

it.effect("one whose beginning changes is in no cache, so a host that is free reads it the earliest", () =>
  Effect.gen(function* () {
    const reading = [MockProvider.wait("10 seconds"), "Hi"]
    const fakes = yield* Effect.forEach(["a", "b"], (name) => fake(name, reading))
    const pool = yield* Pool.make({ hosts: fakes.map((provider) => ({ provider })), permits: 1 })
    const start = (turn: number) =>
      Effect.forkChild(answeredBy(pool, agentTurn(0, `Day ${turn}. `, "", turn)), { startImmediately: true })
    const first = yield* start(0)
    const second = yield* start(1)
    // The host of the conversation is busy, and has nothing that would be worth the wait.
    expect(fakes.map(({ active }) => active())).toEqual([1, 1])
    yield* TestClock.adjust("10 seconds")
    expect(new Set([yield* Fiber.join(first), yield* Fiber.join(second)]).size).toBe(2)
  })
)

it.effect("of two hosts with equal permits, the faster one is preferred until it has more requests", () =>
  Effect.gen(function* () {
    const fast = yield* fake("fast", [MockProvider.wait("1 second"), "Hi", MockProvider.wait("5 seconds")])
    const slow = yield* fake("slow", [MockProvider.wait("1500 millis"), "Hi", MockProvider.wait("5 seconds")])
    const pool = yield* Pool.make({ hosts: [{ provider: fast }, { provider: slow }] })
    const start = () => Effect.forkChild(answeredBy(pool, ask("x")), { startImmediately: true })
    // One for each, so that both are measured.
    const measured = [yield* start(), yield* start()]
    yield* TestClock.adjust("7 seconds")
    for (const fiber of measured) yield* Fiber.join(fiber)
    const first = yield* start()
    const second = yield* start()
    yield* TestClock.adjust("10 seconds")
    expect([yield* Fiber.join(first), yield* Fiber.join(second)]).toEqual(["fast", "slow"])
  }).pipe(Random.withSeed("pool"))
)

it.effect("hosts that lack the model are left out; if all do, the request fails", () =>
  Effect.gen(function* () {
    const one = yield* fake("one", ["Hi"], { info: missing("m") })
    const two = yield* fake("two")
    const pool = yield* Pool.make({ hosts: [{ provider: one }, { provider: two }] })
    for (let i = 0; i < 10; i++) expect(yield* answeredBy(pool, ask("x"))).toBe("two")
    yield* pool.drain("two")
    expect(yield* reasonOf(pool.complete(ask("x")))).toMatchObject({ _tag: "ModelNotAvailable", model: "m" })
    expect(yield* one.prompts).toEqual([])
  })
)

it.effect("a model that is missing at first is found when it is there, also in a pool of one", () =>
  Effect.gen(function* () {
    let isThere = false
    const one = yield* fake(
      "one",
      ({ model }) => (isThere ? ["Hi"] : [MockProvider.fail(new ModelNotAvailable({ model }))]),
      { info: () => (isThere ? Effect.succeed({ id: "m" }) : missing("m")()) }
    )
    const pool = yield* Pool.make({ hosts: [{ provider: one }] })
    expect(yield* reasonOf(pool.complete(ask("x")))).toMatchObject({ _tag: "ModelNotAvailable" })
    isThere = true
    yield* TestClock.adjust("2 seconds")
    expect(yield* answeredBy(pool, ask("x"))).toBe("one")
  })
)

it.effect("hosts whose context is too small for the tokens of the last turn are left out", () =>
  Effect.gen(function* () {
    const small = yield* fake("small", final(3000), { info: { loadedContextLength: 2048 } })
    const pool = yield* Pool.make({ hosts: [{ provider: small }] })
    yield* answeredBy(pool, chat("long"))
    const large = yield* fake("large", final(3000), { info: { contextLength: 8192 } })
    yield* pool.add({ provider: large })
    yield* answeredBy(pool, ask("asks for the description"))
    expect(yield* answeredBy(pool, chat("long", "Hi", "more"))).toBe("large")
    // Programs shorten prompts, and servers load a model with a larger context. So the last host decides.
    yield* pool.drain("large")
    yield* pool.add({ provider: yield* fake("other", final(10), { info: { loadedContextLength: 1024 } }) })
    expect(["small", "other"]).toContain(yield* answeredBy(pool, chat("long", "Hi", "more", "Hi", "and more")))
  })
)

it.effect("a prompt that does not fit goes to a host with a larger context, if there is one", () =>
  Effect.gen(function* () {
    const overflow = MockProvider.fail(new ContextOverflow({ promptTokens: 3000, contextLength: 2048 }))
    const small = yield* fake("small", [overflow], { info: { isLoaded: true } })
    const large = yield* fake("large", ["Hi"], { info: { isLoaded: false, contextLength: 8192 } })
    const pool = yield* Pool.make({ hosts: [{ provider: small }, { provider: large }] })
    expect(yield* answeredBy(pool, ask("x"))).toBe("large")
    yield* pool.drain("large")
    expect(yield* reasonOf(pool.complete(ask("x")))).toMatchObject({ _tag: "ContextOverflow", promptTokens: 3000 })
    expect((yield* host(pool, "small"))?.status).toBe("ready")
  })
)

it.effect("a connection that fails before the first chunk moves on at once; after text it never does", () =>
  Effect.gen(function* () {
    const dead = yield* fake("dead", [MockProvider.fail(new NetworkError({}))], { info: { isLoaded: true } })
    const good = yield* fake("good", ["Hi"], { info: { isLoaded: false } })
    const pool = yield* Pool.make({ hosts: [{ provider: dead }, { provider: good }] })
    expect(yield* answeredBy(pool, ask("x"))).toBe("good")
    expect((yield* dead.prompts).length).toBe(1)

    for (const reason of [new RateLimited({}), new ApiError({ status: 503 })]) {
      const busy = yield* fake("busy", [MockProvider.fail(reason)], { info: { isLoaded: true } })
      const idle = yield* fake("idle", ["Hi"], { info: { isLoaded: false } })
      const either = yield* Pool.make({ hosts: [{ provider: busy }, { provider: idle }] })
      expect(yield* answeredBy(either, ask("x"))).toBe("idle")
      const alone = yield* Pool.make({ hosts: [{ provider: busy }] })
      expect(yield* reasonOf(alone.complete(ask("x")))).toMatchObject({ _tag: reason._tag, isRetryable: true })
    }
    const half = yield* fake("half", ["part", MockProvider.fail(new NetworkError({}))], { info: { isLoaded: true } })
    const other = yield* Pool.make({ hosts: [{ provider: half }, { provider: good }] })
    const texts: Array<string> = []
    const error = yield* Effect.flip(
      Stream.runForEach(other.stream(ask("y")), ({ content }) => Effect.sync(() => texts.push(content)))
    )
    expect(texts).toEqual(["part"])
    expect(error).toMatchObject({ provider: "half", reason: { _tag: "NetworkError" } })
    expect(yield* good.prompts).toEqual(["x"])
  })
)

it.effect("chunks that carry nothing do not keep a request at its host", () =>
  Effect.gen(function* () {
    const failing = [
      { promptProgress: { processed: 1, total: 2 } },
      MockProvider.wait("4 seconds"),
      MockProvider.fail(new NetworkError({}))
    ]
    const one = yield* fake("one", failing, { info: { isLoaded: true } })
    const two = yield* fake("two", ["Hi"], { info: { isLoaded: false } })
    const pool = yield* Pool.make({ hosts: [{ provider: one }, { provider: two }] })
    expect(yield* settle(answeredBy(pool, ask("x")))).toBe("two")
    expect(yield* state(pool)).toMatchObject({ hosts: [{ active: 0 }, { active: 0 }] })
    // The deadline of the first chunk has passed meanwhile.
    const late = settle(reasonOf(pool.complete({ ...ask("x"), deadlines: { firstChunk: "3 seconds" } })))
    yield* TestClock.adjust("10 seconds")
    expect(yield* late).toMatchObject({ _tag: "NetworkError" })
    expect((yield* two.prompts).length).toBe(1)
  })
)

it.effect("an error of another kind does not move on, and has the name of its host", () =>
  Effect.gen(function* () {
    const one = yield* fake("mock", [MockProvider.fail(new ApiError({ status: 500 }))])
    const pool = yield* Pool.make({ hosts: [{ provider: one, name: "gpu-1" }, { provider: one }] })
    const error = yield* Effect.flip(pool.complete(ask("x")))
    expect(["gpu-1", "mock"]).toContain(error.provider)
    expect((yield* one.prompts).length).toBe(1)
  })
)

it.effect("if every host refuses, the error is a retryable one of a host", () =>
  Effect.gen(function* () {
    const refused = yield* fake("refused", [MockProvider.fail(new NetworkError({}))], { info: { isLoaded: true } })
    const missing = MockProvider.fail(new ModelNotAvailable({ model: "m" }))
    const lacking = yield* fake("lacking", [missing], { info: { isLoaded: false } })
    const pool = yield* Pool.make({ hosts: [{ provider: refused }, { provider: lacking }] })
    const error = yield* Effect.flip(pool.complete(ask("x")))
    expect(error).toMatchObject({ provider: "refused", isRetryable: true })
  })
)

it.effect("an invalid request fails without a permit, and an empty pool with a retryable error", () =>
  Effect.gen(function* () {
    const pool = yield* Pool.make({ hosts: [] })
    expect(yield* reasonOf(pool.complete({ prompt: "", model: "m" }))).toMatchObject({ field: "prompt" })
    expect(yield* reasonOf(pool.complete(ask("x")))).toMatchObject({ _tag: "NetworkError", isRetryable: true })
    expect(yield* reasonOf(pool.listModels)).toMatchObject({ _tag: "NetworkError" })
  })
)

it.effect("one model at a time: another one waits until the answers of the first have ended", () =>
  Effect.gen(function* () {
    const one = yield* fake("one", ["a", MockProvider.wait("2 seconds"), "b"], { oneModelAtATime: true })
    const pool = yield* Pool.make({ hosts: [{ provider: one }] })
    const models: Array<string> = []
    const run = (model: string) =>
      Effect.forkChild(
        Stream.runForEach(pool.stream(ask("x", model)), ({ content }) =>
          Effect.sync(() => models.push(model + content))
        ),
        { startImmediately: true }
      )
    const fibers = [yield* run("A"), yield* run("B"), yield* run("A"), yield* run("B")]
    expect(one.active()).toBe(2)
    yield* TestClock.adjust("2 seconds")
    expect(models.filter((text) => text.startsWith("A")).length).toBe(6)
    expect(one.active()).toBe(2)
    yield* TestClock.adjust("2 seconds")
    for (const fiber of fibers) yield* Fiber.join(fiber)
  })
)

it.effect("one model at a time: after 5 seconds no request overtakes one for another model", () =>
  Effect.gen(function* () {
    const one = yield* fake("one", ["a", MockProvider.wait("2 seconds"), "b"])
    const pool = yield* Pool.make({ hosts: [{ provider: one, oneModelAtATime: true }] })
    const ended: Array<string> = []
    const run = (model: string) =>
      Effect.forkChild(
        Effect.andThen(
          pool.complete(ask("x", model)),
          Effect.sync(() => ended.push(model))
        ),
        { startImmediately: true }
      )
    yield* run("A")
    yield* run("B")
    for (let i = 0; i < 15; i++) {
      yield* TestClock.adjust("1 second")
      yield* run("A")
    }
    yield* TestClock.adjust("5 seconds")
    const at = ended.indexOf("B")
    expect(at).toBeGreaterThan(2)
    expect(at).toBeLessThan(10)
    expect(ended.slice(at).every((model, i) => (model === "B") === (i === 0))).toBe(true)
    expect(ended.length).toBe(17)
  })
)

it.effect("one model at a time: a request for another model stops one host, not all", () =>
  Effect.gen(function* () {
    const script = ["a", MockProvider.wait("20 seconds"), "b"]
    const hosts = yield* Effect.forEach(["one", "two", "three"], (name) => fake(name, script))
    const pool = yield* Pool.make({ hosts: hosts.map((provider) => ({ provider, oneModelAtATime: true })) })
    const run = (model: string) => Effect.forkChild(answeredBy(pool, ask("x", model)), { startImmediately: true })
    for (let i = 0; i < 6; i++) yield* run("A")
    const other = yield* run("B")
    yield* TestClock.adjust("6 seconds")
    for (let i = 0; i < 4; i++) yield* run("A")
    expect(hosts.map((host) => host.active()).toSorted()).toEqual([2, 4, 4])
    expect((yield* state(pool)).waiting).toBe(1)
    yield* TestClock.adjust("34 seconds")
    expect(hosts.map(({ name }) => name)).toContain(yield* Fiber.join(other))
  }).pipe(Random.withSeed("pool"))
)

it.effect("LM Studio has one model at a time unless configured otherwise", () =>
  Effect.gen(function* () {
    expect((yield* LmStudio.make()).oneModelAtATime).toBe(true)
    expect((yield* Ollama.make()).oneModelAtATime).toBe(false)
    expect(Thinking.apply(yield* LmStudio.make()).oneModelAtATime).toBe(true)
  }).pipe(Effect.provide(NodeHttpClient.layerUndici))
)

it.effect("drain ends after the answers of the host, add brings a host for those who wait", () =>
  Effect.gen(function* () {
    const one = yield* fake("one", ["a", MockProvider.wait("3 seconds"), "b"])
    const pool = yield* Pool.make({ hosts: [{ provider: one, permits: 1 }] })
    const first = yield* Effect.forkChild(answeredBy(pool, ask("1")), { startImmediately: true })
    const second = yield* Effect.forkChild(answeredBy(pool, ask("2")), { startImmediately: true })
    yield* pool.add({ provider: yield* fake("one", ["Hi"]) })
    expect(yield* Fiber.join(second)).toBe("one 2")
    const drained = yield* Effect.forkChild(pool.drain("one"), { startImmediately: true })
    expect((yield* host(pool, "one"))?.status).toBe("draining")
    for (let i = 0; i < 5; i++) expect(yield* answeredBy(pool, ask("3"))).toBe("one 2")
    yield* TestClock.adjust("2 seconds")
    expect(drained.pollUnsafe()).toBe(undefined)
    yield* TestClock.adjust("1 second")
    yield* Fiber.join(drained)
    expect(yield* Fiber.join(first)).toBe("one")
    expect((yield* state(pool)).hosts.map(({ name }) => name)).toEqual(["one 2"])
    expect(yield* reasonOf(pool.drain("one"))).toMatchObject({ _tag: "InvalidRequest", field: "host" })
    expect(yield* reasonOf(pool.add({ provider: one, name: "one 2" }))).toMatchObject({ _tag: "InvalidRequest" })
  })
)

it.effect("a host is added once, also if its provider takes a while to make", () =>
  Effect.gen(function* () {
    const pool = yield* Pool.make({ hosts: [] })
    const add = Effect.result(pool.add({ name: "one", provider: Effect.delay(fake("one"), "1 second") }))
    const unnamed = Effect.result(pool.add({ provider: Effect.delay(fake("two"), "1 second") }))
    const results = yield* settle(Effect.all([add, add, unnamed, unnamed], { concurrency: "unbounded" }))
    expect(results.map(({ _tag }) => _tag)).toEqual(["Success", "Failure", "Success", "Success"])
    expect((yield* state(pool)).hosts.map(({ name }) => name)).toEqual(["one", "two", "two 2"])
  })
)

it.effect("embeddings and lists: permits, another host, and the union of the models", () =>
  Effect.gen(function* () {
    const failing = () => Effect.fail(new ProviderError({ provider: "x", reason: new NetworkError({}) }))
    const dead = { ...(yield* fake("dead", [], { info: { isLoaded: true }, listModels: failing() })), embed: failing }
    const mock = yield* fake("good", ["Hi"], { info: { isLoaded: false }, listModels: Effect.succeed([{ id: "b" }]) })
    const pool = yield* Pool.make({ hosts: [{ provider: dead }, { provider: mock }] })
    expect(yield* pool.embed({ model: "m", input: ["a", "b"] })).toMatchObject({ provider: "good", model: "m" })
    expect(yield* state(pool)).toMatchObject({ hosts: [{ active: 0 }, { active: 0 }] })
    expect(yield* pool.listModels).toEqual([{ id: "b" }])
    yield* pool.add({ provider: yield* fake("third", [], { listModels: Effect.succeed([{ id: "b" }, { id: "c" }]) }) })
    expect(yield* pool.listModels).toEqual([{ id: "b" }, { id: "c" }])
    expect(yield* pool.model("m")).toMatchObject({ id: "m", isLoaded: true })
    expect(yield* pool.supportsModel("c")).toBe(true)
  })
)
