/** Several providers as one. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type * as Tracer from "effect/Tracer"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import * as Fallback from "../../src/Fallback.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import type { ModelInfo } from "../../src/ModelInfo.ts"
import * as Provider from "../../src/Provider.ts"
import type { ProviderErrorReason } from "../../src/ProviderError.ts"
import * as Errors from "../../src/ProviderError.ts"
import * as Retry from "../../src/Retry.ts"
import type { StreamingChunk } from "../../src/StreamingChunk.ts"
import { FakeServer } from "../../src/testing/index.ts"
import { Attempts, expected, receive, refused, settle, toScript } from "../support/attempts.ts"
import { policies } from "../support/policies.ts"
import { connect, request, setups } from "../support/setups.ts"

const prompt: CompletionRequest = { model: "m", prompt: "x" }

const mocks = (scripts: ReadonlyArray<MockProvider.Script>) =>
  Effect.forEach(scripts, (script, i) => MockProvider.make(script, { name: `mock ${i}`, models: [`model ${i}`, "m"] }))

const fallback = (providers: ReadonlyArray<Provider.Provider>) => {
  const [first, ...rest] = providers.map((provider) => ({ provider }))
  return Fallback.make([first ?? { provider: unreachable }, ...rest])
}

const errorOf = (reason: ProviderErrorReason) => new Errors.ProviderError({ provider: "p", reason })

const failing = (reason: ProviderErrorReason, name = "p"): Provider.Provider => {
  const error = Effect.fail(errorOf(reason))
  return Provider.make({
    name,
    stream: () => Stream.fromEffect(error),
    embed: () => error,
    listModels: error,
    model: () => error
  })
}
const unreachable = failing(refused)

const having = (name: string, models: ReadonlyArray<ModelInfo>, isSameModel?: Provider.Provider["isSameModel"]) =>
  Provider.make({ name, stream: () => Stream.empty, listModels: Effect.succeed(models), isSameModel })

it.effect.prop(
  "whatever fails and wherever, one provider delivers its text, in order and once",
  { attempts: Attempts },
  ({ attempts }) =>
    Effect.gen(function* () {
      const providers = yield* mocks(attempts.map(toScript))
      const { chunks, error, finals, text } = yield* settle(receive((yield* fallback(providers)).stream(prompt)))
      const outcomes = attempts.map(expected)
      const answering = outcomes.findIndex(({ commits, reason }) => commits || reason === "InvalidRequest")
      const asked = yield* Effect.forEach(providers, ({ requests }) => Effect.map(requests, ({ length }) => length))
      const last = answering === -1 ? attempts.length - 1 : answering
      expect(asked).toEqual(attempts.map((_, i) => (i <= last ? 1 : 0)))
      expect(text).toBe(outcomes[answering]?.text ?? "")
      expect(finals).toBe(error === undefined ? 1 : 0)
      if (answering !== -1) {
        expect(error?.reason._tag).toBe(outcomes[answering]?.reason)
        if (error === undefined) expect(chunks.at(-1)).toMatchObject({ isFinal: true, provider: `mock ${answering}` })
        return
      }
      expect(error).toMatchObject({ provider: "Fallback" })
      const errors = error?.reason._tag === "AllProvidersFailed" ? error.reason.errors : []
      expect(errors.map(({ provider }) => provider)).toEqual(providers.map(({ name }) => name))
      expect(errors.map(({ reason }) => reason._tag)).toEqual(outcomes.map(({ reason }) => reason))
    })
)

const call = { id: "c", name: "f", arguments: {} }
const chunks: ReadonlyArray<[name: string, step: MockProvider.Step, answering: number]> = [
  ["content", "a", 0],
  ["thinking", { thinking: "a" }, 0],
  ["a fragment of a call", { toolCallDeltas: [{ index: 0, argumentsDelta: "{" }] }, 0],
  ["the name of a call", { toolCallDeltas: [{ index: 0, name: "f", argumentsDelta: "" }] }, 0],
  ["a whole call", { toolCalls: [call] }, 0],
  ["no text", "", 1],
  ["an empty fragment", { toolCallDeltas: [{ index: 0, argumentsDelta: "" }] }, 1],
  ["empty fields", { thinking: "", toolCallDeltas: [], toolCalls: [] }, 1],
  ["prompt progress", { promptProgress: { processed: 1, total: 2 } }, 1]
]

for (const [name, step, answering] of chunks) {
  it.effect(`${name} before a failure: ${answering === 0 ? "no other" : "the next"} provider is asked`, () =>
    Effect.gen(function* () {
      const providers = yield* mocks([[step, MockProvider.fail(refused)], ["Hi"]])
      const { error } = yield* receive((yield* fallback(providers)).stream(prompt))
      expect(error?.reason).toBe(answering === 0 ? refused : undefined)
      expect((yield* providers[1]?.requests ?? Effect.succeed([])).length).toBe(answering)
    })
  )
}

describe("models", () => {
  it.effect("each provider is asked by its own name of the model", () =>
    Effect.gen(function* () {
      const providers = yield* mocks(Array.from({ length: 4 }, () => [MockProvider.fail(refused)]))
      const [first, second, third, fourth] = providers
      if (first === undefined || second === undefined || third === undefined || fourth === undefined) return
      const names: { readonly [requested: string]: string } = { m: "other" }
      const provider = yield* Fallback.make([
        { provider: first },
        { provider: second, model: "always" },
        { provider: third, model: (requested) => names[requested] ?? requested },
        { provider: fourth, model: undefined }
      ])
      yield* Effect.flip(provider.complete(prompt))
      const asked = yield* Effect.forEach(providers, ({ requests }) => requests)
      expect(asked.map(([request]) => request?.model)).toEqual(["m", "always", "other", "m"])
    })
  )

  it.effect("a request without a name leaves it to the defaults of the provider", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make(["Hi"], { defaults: { model: "default" } })
      const provider = yield* Fallback.make([{ provider: mock, model: () => "never" }])
      expect(yield* provider.complete({ prompt: "x" })).toMatchObject({ model: "default" })
    })
  )

  it.effect("are those of all providers that answer, each once", () =>
    Effect.gen(function* () {
      const one = having("one", [{ id: "a", family: "of one" }, { id: "b" }])
      const two = having("two", [{ id: "c" }, { id: "a" }])
      expect(yield* (yield* fallback([unreachable, one, two])).listModels).toEqual([
        { id: "a", family: "of one" },
        { id: "b" },
        { id: "c" }
      ])
      const error = yield* Effect.flip((yield* fallback([unreachable, unreachable])).listModels)
      expect(error.reason).toMatchObject({ _tag: "AllProvidersFailed", errors: [{ provider: "p" }, { provider: "p" }] })
    })
  )

  it.effect("are described by the first provider that has them", () =>
    Effect.gen(function* () {
      const one = having("one", [{ id: "a" }])
      const two = having("two", [{ id: "b", family: "of two" }])
      expect(yield* (yield* fallback([one, two])).model("b")).toEqual({ id: "b", family: "of two" })
      const missing = yield* Effect.flip((yield* fallback([one, two])).model("c"))
      expect(missing.reason).toMatchObject({ _tag: "ModelNotAvailable", model: "c" })
      const unknown = yield* Effect.flip((yield* fallback([one, unreachable])).model("c"))
      expect(unknown.reason._tag).toBe("AllProvidersFailed")
    })
  )

  it.effect("are supported if any provider has them by its own name", () =>
    Effect.gen(function* () {
      const one = having("one", [{ id: "a:latest" }], (a, b) => a.replace(":latest", "") === b.replace(":latest", ""))
      const provider = yield* Fallback.make([
        { provider: unreachable },
        { provider: one },
        { provider: having("two", [{ id: "x" }]), model: (requested) => (requested === "b" ? "x" : requested) }
      ])
      expect(yield* provider.supportsModel("a")).toBe(true)
      expect(yield* provider.supportsModel("b")).toBe(true)
      expect(yield* provider.supportsModel("c")).toBe(false)
      expect(provider.isSameModel("a", "a:latest")).toBe(true)
      expect(provider.isSameModel("a", "b")).toBe(false)
      const error = yield* Effect.flip((yield* fallback([unreachable])).supportsModel("a"))
      expect(error.reason._tag).toBe("AllProvidersFailed")
    })
  )
})

it.effect("a name that a provider maps is supported through each policy around it", () =>
  Effect.gen(function* () {
    const mapped = yield* Fallback.make([{ provider: having("one", [{ id: "there" }]), model: () => "there" }])
    for (const [name, policy] of Object.entries(policies)) {
      const provider = yield* policy(mapped)
      expect([name, yield* provider.supportsModel("here")]).toEqual([name, true])
    }
  })
)

it.effect("embeddings come from the first provider that can make them", () =>
  Effect.gen(function* () {
    const mock = yield* MockProvider.make([], { name: "mock" })
    const provider = yield* Fallback.make([{ provider: unreachable }, { provider: mock, model: "embedding model" }])
    const embedding = yield* provider.embed({ model: "m", input: ["a", "b"] })
    expect(embedding).toMatchObject({ model: "embedding model", provider: "mock" })
    expect(embedding.vectors).toHaveLength(2)
    const invalid = yield* Effect.flip((yield* fallback([mock, unreachable])).embed({ model: "m", input: [""] }))
    expect(invalid).toMatchObject({ provider: "mock", reason: { _tag: "InvalidRequest" } })
  })
)

it.effect("the total deadline of a request bounds all providers together", () =>
  Effect.gen(function* () {
    const slow = [MockProvider.wait("4 seconds"), MockProvider.fail(refused)]
    const providers = yield* mocks([slow, slow, [MockProvider.hang], ["Hi"]])
    const fiber = yield* Effect.forkChild(
      Effect.flip((yield* fallback(providers)).complete({ ...prompt, deadlines: { total: "10 seconds" } })),
      { startImmediately: true }
    )
    yield* TestClock.adjust("9999 millis")
    expect(fiber.pollUnsafe()).toBeUndefined()
    yield* TestClock.adjust("1 millis")
    expect((yield* Fiber.join(fiber)).reason).toMatchObject({ _tag: "Timeout", kind: "total" })
    expect(yield* providers[3]?.requests ?? Effect.succeed(undefined)).toEqual([])
  })
)

it.effect("the span and the final chunk have the name of the innermost provider that answered", () =>
  Effect.gen(function* () {
    const mock = yield* MockProvider.make(["Hi"], { name: "mock" })
    const inner = yield* Fallback.make([{ provider: unreachable }, { provider: mock }], { name: "inner" })
    let span: Tracer.Span | undefined
    const completion = yield* Effect.gen(function* () {
      span = yield* Effect.currentSpan
      return yield* (yield* Fallback.make([{ provider: unreachable }, { provider: mock }])).complete(prompt)
    }).pipe(Effect.withSpan("test"))
    expect(completion).toMatchObject({ content: "Hi", provider: "mock" })
    expect(span?.attributes.get("effect_local_llm.provider")).toBe("mock")
    expect(yield* (yield* fallback([inner])).complete(prompt)).toMatchObject({ provider: "mock" })
  })
)

it.effect("a provider of one's own is named in its completions, whatever is around it", () =>
  Effect.gen(function* () {
    const chunks = Stream.succeed<StreamingChunk>({ content: "Hi", isFinal: true, model: "m", finishReason: "stop" })
    const own = Provider.make({ name: "own", stream: () => chunks, listModels: Effect.succeed([]) })
    expect(yield* own.complete(prompt)).toMatchObject({ provider: "own" })
    expect(yield* Retry.apply(own).complete(prompt)).toMatchObject({ provider: "own" })
    expect(yield* (yield* fallback([own])).complete(prompt)).toMatchObject({ provider: "own" })
  })
)

it.effect("an embedding has the name of the innermost provider that made it, and the span has one too", () =>
  Effect.gen(function* () {
    const mock = yield* MockProvider.make([], { name: "mock" })
    const inner = yield* Fallback.make([{ provider: unreachable }, { provider: mock }], { name: "inner" })
    let span: Tracer.Span | undefined
    const embedding = yield* Effect.gen(function* () {
      span = yield* Effect.currentSpan
      return yield* (yield* fallback([mock])).embed({ model: "m", input: "x" })
    }).pipe(Effect.withSpan("test"))
    expect(embedding.provider).toBe("mock")
    expect(span?.attributes.get("effect_local_llm.provider")).toBe("mock")
    expect(yield* (yield* fallback([inner])).embed({ model: "m", input: "x" })).toMatchObject({ provider: "mock" })
  })
)

it.effect("all retries of a provider come before the next provider", () =>
  Effect.gen(function* () {
    const providers = yield* mocks([[MockProvider.fail(refused)], ["Hi"]])
    const provider = yield* fallback(providers.map((provider) => Retry.apply(provider)))
    expect(yield* settle(provider.complete(prompt))).toMatchObject({ provider: "mock 1" })
    const requests = yield* Effect.forEach(providers, ({ requests }) => requests)
    expect(requests.map(({ length }) => length)).toEqual([3, 1])
  })
)

it.effect("wrong requests are no defects", () =>
  Effect.gen(function* () {
    for (const wrong of ["null", "7", '{"model":"m","prompt":"x","deadlines":7}']) {
      const provider = yield* fallback(yield* mocks([["Hi"]]))
      const error = yield* Effect.flip(provider.complete(JSON.parse(wrong)))
      expect(error.reason._tag).toBe("InvalidRequest")
      const named = yield* Fallback.make([{ provider, model: () => "m" }])
      expect((yield* Effect.flip(named.complete(JSON.parse(wrong)))).reason._tag).toBe("InvalidRequest")
    }
  })
)

it.effect("as a layer, of layers with their own policies and errors", () =>
  Effect.gen(function* () {
    const provider = yield* Provider.Provider
    expect(provider.name).toBe("both")
    expect(yield* settle(provider.complete(prompt))).toMatchObject({ provider: "second", model: "other" })
  }).pipe(
    Effect.provide(
      Fallback.layer(
        [
          { provider: Retry.layer().pipe(Layer.provide(MockProvider.layer([MockProvider.fail(refused)]))) },
          { provider: MockProvider.layer(["Hi"], { name: "second" }), model: "other" },
          { provider: Layer.succeed(Provider.Provider, unreachable) }
        ],
        { name: "both" }
      )
    )
  )
)

describe("on real sockets", () => {
  const pair = (setup: (typeof setups)[number], scripts: readonly [FakeServer.Script, FakeServer.Script]) =>
    Effect.gen(function* () {
      const servers = yield* Effect.forEach(scripts, (script) => FakeServer.make(script))
      const providers = yield* Effect.forEach(servers, ({ url }, i) =>
        connect(setup, { baseUrl: url, name: `server ${i}` })
      )
      const state = Effect.forEach(servers, ({ state }) => state)
      return {
        provider: yield* fallback(providers),
        servers,
        requests: Effect.map(state, (states) => states.map(({ requests }) => requests))
      }
    })

  for (const setup of setups.filter(({ provider }) => provider === "Ollama")) {
    it.live(`${setup.client}: refused, reset before the headers and broken before the text lead to the next`, () =>
      Effect.gen(function* () {
        for (const script of [
          { status: 404, body: { error: "model 'm' not found" } },
          { text: "Hi", cut: { how: "reset", afterBytes: 0 } },
          { pieces: [{ error: "out of memory" }] }
        ] as const) {
          const { provider } = yield* pair(setup, [script, { text: "Hi there" }])
          expect(yield* provider.complete(request)).toMatchObject({ content: "Hi there", provider: "server 1" })
        }
        const closed = yield* Effect.scoped(FakeServer.make())
        const nobody = yield* connect(setup, { baseUrl: closed.url })
        const { provider } = yield* pair(setup, [{ text: "Hi" }, { text: "Hi" }])
        expect(yield* (yield* fallback([nobody, provider])).complete(request)).toMatchObject({ provider: "server 0" })
      })
    )

    it.live(`${setup.client}: cut in the middle of the answer is final`, () =>
      Effect.gen(function* () {
        const cut = { pieces: ["Rayleigh", { wait: "250 millis" }], cut: { how: "reset" } } as const
        const { provider, requests } = yield* pair(setup, [cut, { text: "Hi" }])
        const { error, text } = yield* receive(provider.stream(request))
        expect(error).toMatchObject({ provider: "server 0", reason: { _tag: "NetworkError" } })
        expect(text).toBe("Rayleigh")
        expect((yield* requests).map(({ length }) => length)).toEqual([1, 0])
      })
    )

    it.live(`${setup.client}: a failed provider's connection is closed, and an interrupt closes the next one's`, () =>
      Effect.gen(function* () {
        const broken = { pieces: [{ error: "broken" }], holdOpen: true }
        const { provider, servers } = yield* pair(setup, [broken, FakeServer.silence])
        const [first, second] = servers
        if (first === undefined || second === undefined) return
        const fiber = yield* Effect.forkChild(provider.complete(request))
        yield* second.until(({ requests }) => requests.length === 1)
        yield* first.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
        yield* Fiber.interrupt(fiber)
        yield* second.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
      })
    )
  }
})
