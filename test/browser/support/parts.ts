/** The parts of the library above the providers, each used once, inside a page. The addresses are those of fake servers. */
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as HttpClient from "effect/http/HttpClient"
import * as EmbeddingModel from "effect/ai/EmbeddingModel"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Discovery from "../../../src/Discovery.ts"
import * as EffectAi from "../../../src/EffectAi.ts"
import * as Fallback from "../../../src/Fallback.ts"
import * as Hedge from "../../../src/Hedge.ts"
import * as LmStudio from "../../../src/LmStudio.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as Ollama from "../../../src/Ollama.ts"
import * as Pool from "../../../src/Pool.ts"
import * as Provider from "../../../src/Provider.ts"
import * as Retry from "../../../src/Retry.ts"
import * as Telemetry from "../../../src/Telemetry.ts"
import * as Thinking from "../../../src/Thinking.ts"

type Urls = ReadonlyArray<string>

const request = { model: "fake", messages: [{ role: "user", content: "Why is the sky blue?" }] } as const

const complete = (provider: Provider.Provider) => Effect.map(provider.complete(request), ({ content }) => content)

const hosts = (urls: Urls) => urls.map((baseUrl) => ({ name: baseUrl, provider: Ollama.make({ baseUrl }) }))

const pool = (urls: Urls) =>
  Effect.flatMap(Pool.make({ hosts: hosts(urls), permits: 1 }), (provider) =>
    Effect.all([complete(provider), complete(provider)], { concurrency: "unbounded" })
  ).pipe(Effect.scoped)

const retry = ([baseUrl]: Urls) =>
  Effect.flatMap(Ollama.make({ baseUrl }), (provider) => complete(Retry.apply(provider)))

const fallback = ([broken, working]: Urls) =>
  Effect.flatMap(
    Fallback.make([{ provider: Ollama.make({ baseUrl: broken }) }, { provider: LmStudio.make({ baseUrl: working }) }]),
    complete
  )

const hedge = ([slow, fast]: Urls) =>
  Effect.flatMap(
    Hedge.make(Ollama.make({ baseUrl: slow }), {
      alternatives: [Ollama.make({ baseUrl: fast })],
      isLoaded: () => Effect.succeed(true),
      minDelay: "50 millis"
    }),
    complete
  )

const telemetry = ([baseUrl]: Urls) =>
  Effect.flatMap(Ollama.make({ baseUrl }), (provider) => complete(Telemetry.apply(provider)))

const thinking = ([baseUrl]: Urls) =>
  Effect.flatMap(LmStudio.make({ baseUrl }), (provider) =>
    Effect.map(Thinking.apply(provider).complete(request), ({ content, thinking }) => ({ content, thinking }))
  )

const typed = ([baseUrl]: Urls) =>
  Effect.flatMap(Ollama.make({ baseUrl }), (provider) =>
    Effect.provideService(
      Provider.object(request, Schema.Struct({ city: Schema.String, celsius: Schema.Number })),
      Provider.Provider,
      provider
    )
  )

const toolkit = Toolkit.make(Tool.make("now", { success: Schema.String }))

const languageModel = ([baseUrl]: Urls) =>
  Effect.gen(function* () {
    const texts = yield* Stream.runCollect(
      Stream.map(LanguageModel.streamText({ prompt: "What time is it?", toolkit }), (part) =>
        part.type === "text-delta" ? part.delta : part.type === "tool-result" ? `[${String(part.result)}]` : ""
      )
    )
    return texts.join("")
  }).pipe(
    Effect.provide([
      toolkit.toLayer({ now: () => Effect.succeed("12 o'clock") }),
      EffectAi.layerLanguageModel({ model: "fake" }).pipe(Layer.provide(Ollama.layer({ baseUrl })))
    ])
  )

const embeddings = ([baseUrl]: Urls) =>
  Effect.map(
    EmbeddingModel.EmbeddingModel.use(({ embedMany }) => embedMany(["The sky", "is blue"])),
    ({ embeddings }) => embeddings.length
  ).pipe(Effect.provide(EffectAi.layerEmbeddingModel({ model: "fake" }).pipe(Layer.provide(Ollama.layer({ baseUrl })))))

const discovery = ([ollama, lmstudio]: Urls) =>
  Effect.map(
    Discovery.discover({ urls: { ollama, lmstudio, "llama-server": "http://127.0.0.1:1" }, timeLimit: "2 seconds" }),
    ({ found }) => found.map(({ kind }) => kind)
  )

const pull = ([baseUrl]: Urls) =>
  Effect.flatMap(Ollama.make({ baseUrl }), ({ pull }) =>
    Effect.map(Stream.runCollect(pull("llama3.2")), (reports) => reports.length > 0)
  )

const models = ([baseUrl]: Urls) =>
  Effect.flatMap(Ollama.make({ baseUrl }), ({ listModels, model }) =>
    Effect.all([Effect.map(listModels, (models) => models.map(({ id }) => id)), model("fake")])
  )

/** From a configuration of the page, and without one: a page has no environment. */
const configured = ([OLLAMA_HOST]: Urls) =>
  Effect.gen(function* () {
    const address = (layer: ReturnType<typeof Ollama.layerConfig>) =>
      Provider.Provider.use(({ server }) => Effect.succeed(server)).pipe(Effect.provide(layer))
    const own = Layer.provide(Ollama.layerConfig(), ConfigProvider.layer(ConfigProvider.fromUnknown({ OLLAMA_HOST })))
    return [yield* address(own), yield* address(Ollama.layerConfig())]
  })

const mock = () => Effect.flatMap(MockProvider.make(["Rayleigh ", "scattering."]), (provider) => complete(provider))

type Part = (urls: Urls) => Effect.Effect<unknown, unknown, HttpClient.HttpClient>

const parts = {
  pool,
  retry,
  fallback,
  hedge,
  telemetry,
  thinking,
  typed,
  languageModel,
  embeddings,
  discovery,
  pull,
  models,
  mock,
  configured
} satisfies Readonly<Record<string, Part>>

export type PartName = keyof typeof parts

export const part = (name: PartName): Part => parts[name]
