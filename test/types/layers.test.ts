/** What users write with layers has to compile. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { describe, expect, expectTypeOf, it } from "@effect/vitest"
import { Config, ConfigProvider, Context, Effect, Layer, type Scope } from "effect"
import type { HttpClient } from "effect/http"
import {
  Fallback,
  Hedge,
  LmStudio,
  LlamaServer,
  MockProvider,
  Ollama,
  OpenAiCompatible,
  Pool,
  Provider,
  type ProviderError,
  Race,
  Retry
} from "../../src/index.ts"

declare const condition: boolean

const program = Provider.Provider.use((provider) => provider.complete({ model: "m", prompt: "Hi" }))

describe("layers", () => {
  it("one of several layers can be chosen by a condition", () => {
    const chosen = () =>
      program.pipe(
        Effect.provide(condition ? Ollama.layer() : LmStudio.layer()),
        Effect.provide(NodeHttpClient.layerUndici)
      )
    expectTypeOf<Effect.Services<ReturnType<typeof chosen>>>().toEqualTypeOf<never>()
    const three = () =>
      program.pipe(
        Effect.provide(condition ? LlamaServer.layer() : condition ? OpenAiCompatible.layer() : MockProvider.layer([])),
        Effect.provide(NodeHttpClient.layerUndici)
      )
    expectTypeOf<Effect.Services<ReturnType<typeof three>>>().toEqualTypeOf<never>()
  })

  it("a layer chosen by configuration provides Provider", () => {
    const live = Layer.unwrap(
      Effect.gen(function* () {
        const server = yield* Config.Literals(["ollama", "lmstudio"], "SERVER")
        return server === "ollama" ? Ollama.layerConfig() : LmStudio.layerConfig()
      })
    )
    const provided = () => program.pipe(Effect.provide(live), Effect.provide(NodeHttpClient.layerUndici))
    expectTypeOf<Effect.Services<ReturnType<typeof provided>>>().toEqualTypeOf<never>()
    expectTypeOf<Effect.Error<ReturnType<typeof provided>>>().toEqualTypeOf<
      Config.ConfigError | ProviderError.ProviderError
    >()
  })

  it.effect("layerConfig takes a record of configs or one config", () =>
    Effect.gen(function* () {
      const config = ConfigProvider.layer(ConfigProvider.fromUnknown({ GPU: "gpu-1" }))
      const http = NodeHttpClient.layerUndici
      yield* Layer.build(
        Layer.provide(Ollama.layerConfig({ name: Config.succeed("a"), baseUrl: Config.String("GPU") }), [http, config])
      )
      yield* Layer.build(Layer.provide(Ollama.layerConfig(Config.succeed({ name: "b" })), [http, config]))
    }).pipe(Effect.scoped)
  )

  it("policies take layers of different kinds, and need and fail with what those do", () => {
    const ollama = Retry.layer().pipe(Layer.provide(Ollama.layer()))
    const mock = MockProvider.layer([])
    const free = Layer.provide(LmStudio.layerConfig(), NodeHttpClient.layerUndici)
    type Expected = Layer.Layer<
      Provider.Provider,
      ProviderError.ProviderError | Config.ConfigError,
      HttpClient.HttpClient
    >
    const fallback = () => Fallback.layer([{ provider: ollama }, { provider: mock, model: "m" }, { provider: free }])
    expectTypeOf<ReturnType<typeof fallback>>().toEqualTypeOf<Expected>()
    const hedged = () => Layer.provide(Hedge.layer({ alternatives: [mock, ollama, free] }), mock)
    expectTypeOf<ReturnType<typeof hedged>>().toEqualTypeOf<Expected>()
    const needy: Layer.Layer<Provider.Provider, "a", "b"> = Layer.effect(Provider.Provider, Effect.never)
    const disjoint = () =>
      [
        Hedge.layer({ alternatives: [ollama, needy] }),
        Fallback.layer([{ provider: ollama }, { provider: needy }])
      ] as const
    expectTypeOf<Layer.Error<ReturnType<typeof disjoint>[number]>>().toEqualTypeOf<ProviderError.ProviderError | "a">()
    expectTypeOf<Layer.Services<ReturnType<typeof disjoint>[1]>>().toEqualTypeOf<HttpClient.HttpClient | "b">()
    const alone = () => Hedge.layer()
    expectTypeOf<ReturnType<typeof alone>>().toEqualTypeOf<
      Layer.Layer<Provider.Provider, ProviderError.ProviderError, Provider.Provider>
    >()
  })

  it("`provider` is a provider, an Effect that makes one, or a layer of one, wherever it is taken", () => {
    const mock = MockProvider.make([])
    const layer = Ollama.layer()
    const needy: Effect.Effect<Provider.Provider, "a", "b"> = Effect.never
    const made = (provider: Provider.Provider) => {
      const hosts = [{ provider }, { provider: mock }, { provider: layer, name: "c" }]
      return [
        Fallback.make([{ provider }, { provider: mock }, { provider: layer }, { provider: needy }]),
        Race.make([{ provider }, { provider: mock }, { provider: layer }, { provider: needy }]),
        Hedge.make(provider, { alternatives: [provider, mock, layer, needy] }),
        Hedge.make(needy, { alternatives: [layer] }),
        Hedge.make(layer, { alternatives: [needy] }),
        Effect.andThen(Pool.make({ hosts }), needy)
      ] as const
    }
    type Made = ReturnType<typeof made>[number]
    expectTypeOf<Effect.Error<Made>>().toEqualTypeOf<ProviderError.ProviderError | "a">()
    expectTypeOf<Effect.Services<Made>>().toEqualTypeOf<HttpClient.HttpClient | Scope.Scope | "b">()
    const ready = (provider: Provider.Provider) => Fallback.make([{ provider }])
    expectTypeOf<Effect.Services<ReturnType<typeof ready>>>().toEqualTypeOf<never>()
    // @ts-expect-error It makes something else.
    const wrong = () => Fallback.make([{ provider: Effect.succeed(1) }])
    expect(wrong).toBeDefined()
  })

  it("the layer of a server provides its own service", () => {
    const models = Effect.flatMap(Ollama.Ollama, ({ running }) => running)
    const provided = () => models.pipe(Effect.provide(Ollama.layer()), Effect.provide(NodeHttpClient.layerUndici))
    expectTypeOf<Effect.Services<ReturnType<typeof provided>>>().toEqualTypeOf<never>()
    expectTypeOf<Effect.Services<typeof models>>().toEqualTypeOf<Ollama.Ollama>()
  })

  // `Exclude` subtracts a service that extends `Provider` with it. For the same reason a condition can choose a layer.
  it.effect(
    "the compiler takes any layer of Provider for a server's own service, and the program reports what is missing",
    () =>
      Effect.gen(function* () {
        const models = Effect.flatMap(Ollama.Ollama, ({ running }) => running).pipe(
          Effect.provide(MockProvider.layer([]))
        )
        expectTypeOf<Effect.Services<typeof models>>().toEqualTypeOf<never>()
        const exit = yield* Effect.exit(models)
        expect(String(exit)).toContain("Service not found: effect-local-llm/Ollama")
      })
  )

  it("services of a program's own that are classes are told apart", () => {
    class Small extends Context.Service<Small, Provider.Provider>()("test/Small") {}
    const small = Effect.flatMap(Small, ({ complete }) => complete({ model: "m", prompt: "Hi" }))
    const provided = () => small.pipe(Effect.provide(MockProvider.layer([])))
    expectTypeOf<Effect.Services<ReturnType<typeof provided>>>().toEqualTypeOf<Small>()
  })
})
