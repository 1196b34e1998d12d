/**
 * Models of `effect/ai` on any `Provider`: `LanguageModel` and `EmbeddingModel`.
 *
 * `effect/ai` is unstable in Effect 4.1, so this module has its own import: `effect-local-llm/EffectAi`.
 *
 * @category Adapters
 * @since 0.3.0
 */
import * as EmbeddingModel from "effect/ai/EmbeddingModel"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as AiModel from "effect/ai/Model"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Defaults } from "./CompletionRequest.ts"
import { EmbeddingRequest } from "./Embedding.ts"
import * as OptionSchema from "./servers/options.ts"
import * as LanguageModels from "./ai/languageModel.ts"
import * as AiResponse from "./ai/response.ts"
import * as Provider from "./Provider.ts"
import type { InvalidRequest } from "./ProviderError.ts"
import * as Values from "./values/objects.ts"

/**
 * Options of every request of a model: those of a `CompletionRequest`, except its messages and tools.
 *
 * @category options
 * @since 0.3.0
 */
export interface Options extends Omit<Defaults, "model" | "tools" | "toolChoice"> {
  /** The model's name on the server. */
  readonly model: string
}

/**
 * Options of one request of a language model, which replace those of the model. Any of `Options`.
 *
 * @category services
 * @since 0.3.0
 */
export interface Config extends Partial<Options> {}

/**
 * @category services
 * @since 0.3.0
 */
export const Config = Context.Service<Config>("effect-local-llm/EffectAi/Config")

/**
 * Replaces options for the requests of an effect. Nested overrides are merged; the inner ones replace the outer ones. For a stream,
 * provide `Config` with `Stream.provideService`.
 *
 * **Example** (an answer without randomness, whole and as a stream)
 *
 * ```ts
 * import { Stream } from "effect"
 * import { LanguageModel } from "effect/ai"
 * import * as EffectAi from "effect-local-llm/EffectAi"
 *
 * const whole = LanguageModel.generateText({ prompt: "Why is the sky blue?" }).pipe(
 *   EffectAi.withConfigOverride({ temperature: 0, maxTokens: 200 })
 * )
 *
 * const stream = LanguageModel.streamText({ prompt: "Why is the sky blue?" }).pipe(
 *   Stream.provideService(EffectAi.Config, { temperature: 0, maxTokens: 200 })
 * )
 * ```
 *
 * @category combinators
 * @since 0.3.0
 */
export const withConfigOverride: {
  (config: Config): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, Exclude<R, Config>>
  <A, E, R>(self: Effect.Effect<A, E, R>, config: Config): Effect.Effect<A, E, Exclude<R, Config>>
} = dual(2, <A, E, R>(self: Effect.Effect<A, E, R>, config: Config) =>
  Effect.flatMap(currentConfig, (outer) =>
    Effect.provideService(self, Config, Values.isRecord(config) ? { ...outer, ...config } : config)
  )
)

const currentConfig: Effect.Effect<Config> = Effect.map(
  Effect.serviceOption(Config),
  Option.getOrElse((): Config => ({}))
)

/**
 * Makes a `LanguageModel` from the `Provider` of the context.
 *
 * **Details**
 *
 * It streams, calls tools, sends images and returns typed objects as the provider's server can. Thinking becomes reasoning parts.
 * Every failure is an `AiError` that keeps whether a retry helps and how long the server asks to wait; `metadata` has the reason
 * of this package and its fields below `"effect-local-llm"`.
 *
 * | reason | reason of `AiError` |
 * |---|---|
 * | `NetworkError` | `NetworkError` |
 * | `Timeout`, `StreamError`, `StreamTruncated` | `InternalProviderError` |
 * | `RateLimited` | `RateLimitError` |
 * | `AuthenticationError` | `AuthenticationError` |
 * | `ModelNotAvailable`, `InvalidRequest`, `ContextOverflow`, `Unsupported` | `InvalidRequestError` |
 * | `InvalidRequest` of the schema of an object | `UnsupportedSchemaError` |
 * | `ApiError` | by its status; `RateLimitError` if the server says when to retry |
 * | `ParseError`, `LineTooLong`, `InvalidAnswer` | `InvalidResponseError` |
 * | `AllProvidersFailed` | `UnknownError` |
 *
 * A call of a tool that is not in the toolkit fails with `ToolNotFoundError`, unless its validation is deferred. What servers
 * cannot express, such as a file that is not an image, an image as a URL or a tool that the provider defines, fails with
 * `InvalidRequestError` before anything is sent. A typed object that was cut fails with `StructuredOutputError`.
 *
 * Tools run when the answer is complete: the parts `tool-call` come with its final chunk, also where the server sends the calls
 * earlier. So no tool runs of an answer that fails, nor of one that was cut, whose finish reason is `length`.
 *
 * Tool calls have the ids of the server, unless an earlier call of the prompt has the same one.
 *
 * If an option is invalid, every request fails with `InvalidRequestError`, which names it.
 *
 * @category constructors
 * @since 0.3.0
 */
export const makeLanguageModel = (
  options: Options
): Effect.Effect<LanguageModel.LanguageModel, never, Provider.Provider> =>
  Effect.flatMap(Provider.Provider, (provider) => LanguageModels.make(provider, withConfig(options)))

const withConfig = (options: Options): Effect.Effect<Options, InvalidRequest> => {
  const valid = Effect.fromResult(OptionSchema.read(definition, options))
  return Effect.flatMap(Effect.serviceOption(Config), (config) =>
    Option.isNone(config)
      ? valid
      : Effect.zipWith(
          valid,
          Effect.fromResult(OptionSchema.read(configDefinition, config.value)),
          (options, config) => ({
            ...options,
            ...config
          })
        )
  )
}

const { toolChoice: _choice, tools: _tools, ...configFields } = Defaults.fields

const configDefinition = OptionSchema.define<Config>(configFields)

const definition = OptionSchema.define<Options>({ ...configFields, model: Schema.NonEmptyString })

/**
 * Provides the `LanguageModel` of `effect/ai` from a `Provider`.
 *
 * **Example** (a model of Ollama)
 *
 * ```ts
 * import { NodeHttpClient } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { Ollama } from "effect-local-llm"
 * import * as EffectAi from "effect-local-llm/EffectAi"
 *
 * const live = EffectAi.layerLanguageModel({ model: "llama3.2", temperature: 0.2 }).pipe(
 *   Layer.provide(Ollama.layer()),
 *   Layer.provide(NodeHttpClient.layerUndici)
 * )
 * ```
 *
 * @see {@link makeLanguageModel} for what it does and how it fails
 *
 * @category layers
 * @since 0.3.0
 */
export const layerLanguageModel = (
  options: Options
): Layer.Layer<LanguageModel.LanguageModel, never, Provider.Provider> =>
  Layer.effect(LanguageModel.LanguageModel, makeLanguageModel(options))

/**
 * A `Model` of `effect/ai`: `layerLanguageModel`, with the name of the model for its users. Its provider is `effect-local-llm`,
 * whichever server answers.
 *
 * @category layers
 * @since 0.3.0
 */
export const model = <const Name extends string>(
  name: Name,
  options: Omit<Options, "model"> = {}
): AiModel.Model<"effect-local-llm", LanguageModel.LanguageModel, Provider.Provider> =>
  AiModel.make("effect-local-llm", name, layerLanguageModel(named(name, options)))

/** What is not an object stays as it is, for the validation to reject. */
const named = <O extends object>(model: string, options: O): O & { readonly model: string } =>
  Values.isRecord(options) ? { ...options, model } : options

/**
 * Options of every request of an embedding model: those of an `EmbeddingRequest`, except its input.
 *
 * @category options
 * @since 0.3.0
 */
export interface EmbeddingOptions extends Omit<EmbeddingRequest, "model" | "input"> {
  /** The model's name on the server. */
  readonly model: string
}

/**
 * Makes an `EmbeddingModel` from the `Provider` of the context. Large inputs are split into requests as `Provider.embed` does.
 * Failures are as those of `makeLanguageModel`.
 *
 * @category constructors
 * @since 0.3.0
 */
export const makeEmbeddingModel = (
  options: EmbeddingOptions
): Effect.Effect<EmbeddingModel.EmbeddingModel, never, Provider.Provider> => makeEmbedding(options, embeddingDefinition)

const makeEmbedding = (options: EmbeddingOptions, definition: OptionSchema.Definition) =>
  Effect.flatMap(Provider.Provider, (provider) => {
    const valid = OptionSchema.readFor(definition, options, provider.name)
    return EmbeddingModel.make({
      embedMany: ({ inputs }) =>
        Effect.mapBoth(
          Effect.flatMap(valid, (options) => provider.embed({ ...options, input: inputs })),
          {
            onSuccess: ({ promptTokens, vectors }) => ({
              results: vectors.map((vector) => [...vector]),
              usage: { inputTokens: promptTokens }
            }),
            onFailure: (error) => AiResponse.toError("embedMany", error)
          }
        )
    })
  })

const { input: _input, ...embeddingFields } = EmbeddingRequest.fields

const embeddingOptions = { ...embeddingFields, model: Schema.NonEmptyString }

const embeddingDefinition = OptionSchema.define<EmbeddingOptions>(embeddingOptions)

const modelDefinition = OptionSchema.define<EmbeddingOptions>({
  ...embeddingOptions,
  dimensions: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))
})

/**
 * Provides the `EmbeddingModel` of `effect/ai` from a `Provider`.
 *
 * **Example** (the vectors of two texts)
 *
 * ```ts
 * import { NodeHttpClient } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { EmbeddingModel } from "effect/ai"
 * import { Ollama } from "effect-local-llm"
 * import * as EffectAi from "effect-local-llm/EffectAi"
 *
 * const program = EmbeddingModel.EmbeddingModel.use(({ embedMany }) => embedMany(["The sky is blue.", "Grass is green."]))
 *
 * const live = EffectAi.layerEmbeddingModel({ model: "nomic-embed-text" }).pipe(
 *   Layer.provide(Ollama.layer()),
 *   Layer.provide(NodeHttpClient.layerUndici)
 * )
 * ```
 *
 * @category layers
 * @since 0.3.0
 */
export const layerEmbeddingModel = (
  options: EmbeddingOptions
): Layer.Layer<EmbeddingModel.EmbeddingModel, never, Provider.Provider> =>
  Layer.effect(EmbeddingModel.EmbeddingModel, makeEmbeddingModel(options))

/**
 * A `Model` of `effect/ai`: `layerEmbeddingModel`, with the name of the model and the length of its vectors for its users.
 *
 * @category layers
 * @since 0.3.0
 */
export const embeddingModel = <const Name extends string>(
  name: Name,
  options: Omit<EmbeddingOptions, "model"> & {
    /** The length of each vector. */
    readonly dimensions: number
  }
): AiModel.Model<"effect-local-llm", EmbeddingModel.EmbeddingModel | EmbeddingModel.Dimensions, Provider.Provider> =>
  AiModel.make(
    "effect-local-llm",
    name,
    Layer.merge(
      Layer.effect(EmbeddingModel.EmbeddingModel, makeEmbedding(named(name, options), modelDefinition)),
      Layer.succeed(EmbeddingModel.Dimensions, Values.isRecord(options) ? options.dimensions : 0)
    )
  )
