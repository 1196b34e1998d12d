/** What users write with layers has to compile. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { describe, expectTypeOf, it } from "@effect/vitest"
import { Config, ConfigProvider, Effect, Layer } from "effect"
import {
  LmStudio,
  LlamaServer,
  MockProvider,
  Ollama,
  OpenAiCompatible,
  Provider,
  type ProviderError
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
})
