/** What a pool knows of its hosts: where a conversation was, what a host reported, and how long that counts. */
import { expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import type { CompletionRequest, Message } from "../../../src/CompletionRequest.ts"
import * as Host from "../../../src/policies/pool/host.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as Pool from "../../../src/Pool.ts"
import * as Provider from "../../../src/Provider.ts"
import type { ProviderErrorReason } from "../../../src/ProviderError.ts"
import {
  ApiError,
  ContextOverflow,
  ModelNotAvailable,
  NetworkError,
  ProviderError,
  Timeout
} from "../../../src/ProviderError.ts"
import { answeredBy, ask, fake, host, reasonOf } from "./support.ts"

const failing = (reason: ProviderErrorReason) => Effect.fail(new ProviderError({ provider: "x", reason }))

const four = (script: (name: string) => MockProvider.Script) =>
  Effect.gen(function* () {
    const fakes = yield* Effect.forEach(["a", "b", "c", "d"], (name) => fake(name, script(name)))
    return yield* Pool.make({ hosts: fakes.map((provider) => ({ provider })) })
  })

const user = (content: string): Message => ({ role: "user", content })
const chat = (...messages: ReadonlyArray<Message>): CompletionRequest => ({ model: "m", messages })

it.effect("an answer that the consumer stops is a turn: the next one goes to the same host", () =>
  Effect.gen(function* () {
    const pool = yield* four((name) => [name, MockProvider.hang])
    const begin = (request: CompletionRequest) =>
      pool.stream(request).pipe(
        Stream.take(1),
        Stream.map(({ content }) => content),
        Stream.mkString
      )
    for (let i = 0; i < 20; i++) {
      const question = user(`question ${i}`)
      const first = yield* begin(chat(question))
      expect(yield* begin(chat(question, { role: "assistant", content: first }, user("Go on.")))).toBe(first)
    }
  })
)

it.effect("the rounds of a turn with tools go to one host", () =>
  Effect.gen(function* () {
    const pool = yield* four(() => ["Hi"])
    for (let i = 0; i < 20; i++) {
      const question = user(`question ${i}`)
      const first = yield* answeredBy(pool, chat(question))
      const toolCalls = [{ id: "c", name: "f", arguments: {} }]
      const call: Message = { role: "assistant", content: "", toolCalls }
      const result: Message = { role: "tool", content: "1", toolCallId: "c", toolName: "f" }
      expect(yield* answeredBy(pool, chat(question, call, result))).toBe(first)
      expect(yield* answeredBy(pool, chat(question, call, result, call, result))).toBe(first)
    }
  })
)

it.effect("the same question to other models, or below other system messages, is not one conversation", () =>
  Effect.gen(function* () {
    const question = user("Why is the sky blue?")
    const requests: ReadonlyArray<(i: number) => CompletionRequest> = [
      (i) => ({ ...chat(question), model: `model ${i}` }),
      (i) => chat({ role: "system", content: `You are number ${i}.` }, question)
    ]
    for (const toRequest of requests) {
      const pool = yield* four(() => ["Hi"])
      const names = yield* Effect.forEach(Array.from({ length: 20 }), (_, i) => answeredBy(pool, toRequest(i)))
      expect(new Set(names).size).toBeGreaterThan(1)
    }
  })
)

it.effect("a host that has the model in memory comes before the host of the last turn", () =>
  Effect.gen(function* () {
    const isLoaded = { one: true, two: false }
    const toInfo = (name: "one" | "two") => () => Effect.succeed({ id: "m", isLoaded: isLoaded[name] })
    const one = yield* fake("one", ["Hi"], { info: toInfo("one") })
    const two = yield* fake("two", ["Hi"], { info: toInfo("two") })
    const pool = yield* Pool.make({ hosts: [{ provider: one }, { provider: two }] })
    expect(yield* answeredBy(pool, chat(user("a")))).toBe("one")
    // The hosts report it when they are asked again, and an answer no longer shows that the model is in memory.
    isLoaded.one = false
    isLoaded.two = true
    yield* TestClock.adjust("31 seconds")
    yield* answeredBy(pool, ask("asks for the description"))
    expect(yield* answeredBy(pool, chat(user("a"), { role: "assistant", content: "Hi" }, user("b")))).toBe("two")
  })
)

it.effect("a host whose connection fails counts as one without the model in memory, until it is asked again", () =>
  Effect.gen(function* () {
    let isDown = false
    const down = MockProvider.fail(new NetworkError({}))
    const one = yield* fake("one", () => (isDown ? [down] : ["Hi"]), { info: { isLoaded: true } })
    const two = yield* fake("two", ["Hi"], { info: { isLoaded: false } })
    const pool = yield* Pool.make({ hosts: [{ provider: one }, { provider: two }] })
    expect(yield* answeredBy(pool, ask("x"))).toBe("one")
    isDown = true
    expect(yield* answeredBy(pool, ask("x"))).toBe("two")
    // Its server may have been started anew.
    isDown = false
    for (let i = 0; i < 20; i++) expect(yield* answeredBy(pool, ask("x"))).toBe("two")
    yield* TestClock.adjust("31 seconds")
    yield* answeredBy(pool, ask("asks for the description"))
    for (let i = 0; i < 20; i++) expect(yield* answeredBy(pool, ask("x"))).toBe("one")
  })
)

it.effect("a host that is too busy to describe the model keeps what it has read", () =>
  Effect.gen(function* () {
    let isBusy = false
    const info = () => (isBusy ? Effect.never : Effect.succeed({ id: "m", isLoaded: true }))
    const hosts = yield* Effect.forEach(["a", "b", "c", "d"], (name) => fake(name, ["Hi"], { info }))
    const pool = yield* Pool.make({ hosts: hosts.map((provider) => ({ provider })) })
    const question = user("Why? ".repeat(1000))
    const first = yield* answeredBy(pool, chat(question))
    yield* TestClock.adjust("31 seconds")
    isBusy = true
    yield* answeredBy(pool, ask("asks for descriptions"))
    yield* TestClock.adjust("5 seconds")
    isBusy = false
    yield* TestClock.adjust("31 seconds")
    yield* answeredBy(pool, ask("asks again"))
    for (let i = 0; i < 5; i++) {
      expect(yield* answeredBy(pool, chat(question, { role: "assistant", content: "Hi" }, user("Go on.")))).toBe(first)
      yield* TestClock.adjust("1 second")
    }
    expect((yield* host(pool, first ?? ""))?.prediction?.cachedTokens).toBeGreaterThan(1000)
  })
)

it.effect("a host that cannot describe the model may have it, and is asked again, also after an answer that hung", () =>
  Effect.gen(function* () {
    for (const reason of [new NetworkError({}), new ApiError({ status: 500 })]) {
      const one = yield* fake("one", ["Hi"], { info: () => failing(reason) })
      const two = yield* fake("two", ["Hi"], { info: () => failing(new ModelNotAvailable({ model: "m" })) })
      const pool = yield* Pool.make({ hosts: [{ provider: one }, { provider: two }] })
      expect(yield* answeredBy(pool, ask("x"))).toBe("one")
    }
    let asked = 0
    const hanging = () => Effect.suspend(() => (asked++ === 0 ? Effect.never : Effect.succeed({ id: "m" })))
    const one = yield* fake("one", ["Hi"], { info: hanging })
    const two = yield* fake("two", ["Hi"], { info: { isLoaded: true } })
    const pool = yield* Pool.make({ hosts: [{ provider: one }, { provider: two }] })
    expect(yield* answeredBy(pool, ask("x"))).toBe("two")
    yield* TestClock.adjust("16 seconds")
    yield* answeredBy(pool, ask("x"))
    expect(asked).toBeGreaterThan(1)
  })
)

it.effect("a host that refuses for lack of the model gets no further request for it, but those for others", () =>
  Effect.gen(function* () {
    const refuse = (model: string): MockProvider.Script => [MockProvider.fail(new ModelNotAvailable({ model }))]
    const one = yield* fake("one", ({ model }) => (model === "m" ? refuse(model) : ["Hi"]), {
      info: { isLoaded: true }
    })
    const two = yield* fake("two", ["Hi"], { info: { isLoaded: false } })
    const pool = yield* Pool.make({ hosts: [{ provider: one }, { provider: two }] })
    for (let i = 0; i < 5; i++) expect(yield* answeredBy(pool, ask("x"))).toBe("two")
    expect((yield* one.requests).length).toBe(1)
    expect(yield* answeredBy(pool, ask("x", "other"))).toBe("one")
  })
)

it.effect("a prompt that did not fit on one host is not sent to another of the same context", () =>
  Effect.gen(function* () {
    const overflow = new ContextOverflow({ promptTokens: 3000, contextLength: 2048 })
    const small = { isLoaded: true, contextLength: 2048 }
    const hosts = [
      yield* fake("small", [MockProvider.fail(overflow)], { info: small }),
      yield* fake("as small", [MockProvider.fail(overflow)], { info: small }),
      yield* fake("large", ["Hi"], { info: { isLoaded: false, contextLength: 8192 } })
    ]
    const pool = yield* Pool.make({ hosts: hosts.map((provider) => ({ provider })) })
    expect(yield* answeredBy(pool, ask("x"))).toBe("large")
    const sent = yield* Effect.forEach(hosts, ({ requests }) => Effect.map(requests, ({ length }) => length))
    expect(sent.toSorted()).toEqual([0, 1, 1])
  })
)

it.effect("the context that the model is loaded with counts, not the one that it could have", () =>
  Effect.gen(function* () {
    const usage = { promptTokens: 3000 }
    const script: MockProvider.Script = [{ content: "Hi", isFinal: true, usage }]
    const info = { contextLength: 131_072, loadedContextLength: 2048, isLoaded: true }
    const one = yield* fake("one", script, { info })
    const pool = yield* Pool.make({ hosts: [{ provider: one }] })
    yield* answeredBy(pool, chat(user("long")))
    yield* pool.add({ provider: yield* fake("two", script, { info: { contextLength: 8192, isLoaded: true } }) })
    yield* answeredBy(pool, ask("asks for the description"))
    expect(yield* answeredBy(pool, chat(user("long"), { role: "assistant", content: "Hi" }, user("more")))).toBe("two")
  })
)

const notBlamed: ReadonlyArray<ProviderErrorReason> = [
  new ApiError({ status: 400 }),
  new ApiError({ status: 499 }),
  new Timeout({ kind: "total", limit: Duration.minutes(1) })
]

for (const reason of notBlamed) {
  it.effect(`${reason.message}: the host is not to blame`, () =>
    Effect.gen(function* () {
      const pool = yield* Pool.make({ hosts: [{ provider: yield* fake("one", ["part", MockProvider.fail(reason)]) }] })
      for (let i = 0; i < 20; i++) expect((yield* reasonOf(pool.complete(ask("x"))))._tag).toBe(reason._tag)
      expect((yield* host(pool, "one"))?.status).toBe("ready")
    })
  )
}

it.effect("the models of a host are bounded in number, since callers choose their names", () =>
  Effect.gen(function* () {
    const settings = {
      name: "one",
      provider: yield* fake("one"),
      permits: 1,
      oneModelAtATime: false,
      abandonedMillis: 0,
      release: Effect.void
    }
    const one = Host.make(settings, () => 0.5)
    for (let i = 0; i < 10_000; i++) Host.modelOf(one, `model ${i}`)
    expect(one.models.size).toBeLessThanOrEqual(256)
    expect(one.models.has("model 9999")).toBe(true)
  })
)

it.effect("what a server reports, however wrong, leaves the predictions and turns finite", () =>
  Effect.gen(function* () {
    const numbers = [undefined, Number.NaN, Infinity, -Infinity, -5, 0, 1e300]
    const durations = [undefined, Duration.infinity, Duration.zero, Duration.millis(-1000)]
    const finals = numbers.flatMap((promptTokens) =>
      numbers.flatMap((cachedTokens) =>
        durations.map((prompt) => ({ usage: { promptTokens, cachedTokens }, timings: { prompt } }))
      )
    )
    for (const { timings, usage } of finals) {
      const final = { content: "", isFinal: true, model: "m", finishReason: "stop", usage, timings } as const
      const chunks = Stream.make({ content: "Hi", isFinal: false } as const, final)
      const one = Provider.make({
        name: "one",
        stream: () => Stream.unwrap(Effect.delay(Effect.succeed(chunks), "10 millis")),
        listModels: Effect.succeed([])
      })
      const pool = yield* Pool.make({ hosts: [{ provider: one }] })
      for (let i = 0; i < 3; i++) {
        const fiber = yield* Effect.forkChild(pool.complete(ask("x".repeat(5000))), { startImmediately: true })
        yield* TestClock.adjust("20 millis")
        yield* Fiber.join(fiber)
      }
      const prediction = Object.values((yield* host(pool, "one"))?.prediction ?? {})
      for (const part of prediction) {
        expect(part).toBeGreaterThanOrEqual(0)
        expect(part, JSON.stringify({ usage, timings })).toBeLessThan(1e10)
      }
    }
  })
)
