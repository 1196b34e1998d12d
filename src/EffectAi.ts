/**
 * Models of `effect/ai` on any `Provider`: `LanguageModel`, `EmbeddingModel`, `DecisionModel` and `Tokenizer`. `effect/ai` is unstable in
 * Effect 4.1, so this module has its own import: `effect-local-llm/EffectAi`.
 *
 * @category Adapters
 * @since 0.3.0
 */
import type * as AiError from "effect/ai/AiError"
import * as DecisionModel from "effect/ai/DecisionModel"
import * as EmbeddingModel from "effect/ai/EmbeddingModel"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as AiModel from "effect/ai/Model"
import * as Tokenizer from "effect/ai/Tokenizer"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import { Defaults } from "./CompletionRequest.ts"
import { EmbeddingRequest } from "./Embedding.ts"
import * as OptionSchema from "./servers/options.ts"
import * as Decisions from "./ai/decisions.ts"
import * as LanguageModels from "./ai/languageModel.ts"
import * as Errors from "./ai/errors.ts"
import * as Tokenizers from "./ai/tokenizer.ts"
import * as Provider from "./Provider.ts"
import type { InvalidRequest, ProviderErrorReason } from "./ProviderError.ts"
import * as Values from "./values/objects.ts"

/**
 * Options of every request of a model: those of a `CompletionRequest`, except its messages and tools.
 *
 * @category options
 */
export interface Options extends Omit<Defaults, "model" | "tools" | "toolChoice"> {
  /** The model's name on the server. */
  readonly model: string
}

/**
 * Options of one request of a language model, which replace those of the model.
 *
 * @category services
 */
export interface Config extends Partial<Options> {}
export const Config = Context.Service<Config>("effect-local-llm/EffectAi/Config")

/**
 * Replaces options for the requests of an effect. Nested overrides are merged; the inner ones replace the outer ones.
 * For a stream, provide `Config` with `Stream.provideService`.
 *
 * @category combinators
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
 * Makes a `LanguageModel` from the `Provider` of the context. Thinking becomes reasoning parts.
 *
 * **Details**
 *
 * Every failure is an `AiError` that keeps `isRetryable`, and `retryAfter` if it is retryable; `reasonOf` returns the reason of this package. An invalid option fails every request with `InvalidRequestError`.
 *
 * | reason | reason of `AiError` |
 * |---|---|
 * | `NetworkError` | `NetworkError` |
 * | `Timeout`, `StreamError`, `StreamTruncated` | `InternalProviderError` |
 * | `RateLimited` | `RateLimitError` |
 * | `AuthenticationError` | `AuthenticationError` |
 * | `ModelNotAvailable`, `InvalidRequest`, `ContextOverflow`, `Unsupported` | `InvalidRequestError` |
 * | `InvalidRequest` of the schema of an object | `UnsupportedSchemaError` |
 * | `ApiError` | by its status; `RateLimitError` if the server reports when to retry |
 * | `ParseError`, `LineTooLong`, `InvalidAnswer` | `InvalidResponseError` |
 * | `AllProvidersFailed` | `UnknownError` |
 *
 * What servers cannot express, such as a file that is not an image, an image as a URL or a tool that the provider
 * defines, fails with `InvalidRequestError` before anything is sent. A call of a tool that is not in the toolkit fails
 * with `ToolNotFoundError`, unless its validation is deferred. A truncated object fails with `StructuredOutputError`.
 *
 * The parts `tool-call` come with the final chunk, so no tool runs if the completion fails or is truncated (finish
 * reason `length`). Tool calls have the ids of the server, unless an earlier call of the prompt has the same one.
 *
 * @category constructors
 */
export const makeLanguageModel = (
  options: Options
): Effect.Effect<LanguageModel.LanguageModel, never, Provider.Provider> =>
  Effect.flatMap(Provider.Provider, (provider) => LanguageModels.make(provider, withConfig(options)))

const withConfig = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Options, InvalidRequest> {
  const valid = yield* Effect.fromResult(OptionSchema.read(definition, options))
  return { ...valid, ...(yield* Effect.fromResult(OptionSchema.read(configDefinition, yield* currentConfig))) }
})

const configFields = Struct.omit(Defaults.fields, ["toolChoice", "tools"])

const configDefinition = OptionSchema.define<Config>(configFields)

const definition = OptionSchema.define<Options>({ ...configFields, model: Schema.NonEmptyString })

/**
 * The reason of this package that an error of these models has, such as `ContextOverflow` with its numbers; `undefined` for an error that
 * is not a failure of a provider, such as `ToolNotFoundError`. It is also there after the error has gone through its schema.
 *
 * **Gotchas**
 *
 * Texts of the server are lost: `Redacted.value` of a `detail` gives a placeholder, and an address in a `description` is `<address>`.
 *
 * **Example** (a shorter prompt if it does not fit)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { LanguageModel } from "effect/ai"
 * import * as EffectAi from "effect-local-llm/EffectAi"
 *
 * const program = LanguageModel.generateText({ prompt: "…" }).pipe(
 *   Effect.catchTag("AiError", (error) => {
 *     const reason = EffectAi.reasonOf(error)
 *     return reason?._tag === "ContextOverflow"
 *       ? Effect.succeed(`${reason.promptTokens} tokens, but ${reason.contextLength} fit`)
 *       : Effect.fail(error)
 *   })
 * )
 * ```
 *
 * @category accessors
 */
export const reasonOf = (error: AiError.AiError): ProviderErrorReason | undefined => Errors.decode(error)

/**
 * Provides the `LanguageModel` of `makeLanguageModel`.
 *
 * @category layers
 */
export const layerLanguageModel = (
  options: Options
): Layer.Layer<LanguageModel.LanguageModel, never, Provider.Provider> =>
  Layer.effect(LanguageModel.LanguageModel, makeLanguageModel(options))

/**
 * A `Model` of `effect/ai`: `layerLanguageModel`, with the name of the model for its users. Its provider is
 * `effect-local-llm`, whichever server is used.
 *
 * @category layers
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
 * Makes a `DecisionModel` from the `Provider` of the context: a request with a JSON Schema, whose completion has the
 * answers to all decisions. Failures are those of `makeLanguageModel`; a completion that is not JSON or is truncated
 * fails with `StructuredOutputError`.
 *
 * **Details**
 *
 * The model writes percentages, which count in proportion to their sum: they are what the model claims, not what it
 * measured. Images are supported if the model sees them; `locate` is not.
 *
 * @category constructors
 */
export const makeDecisionModel = (
  options: Options
): Effect.Effect<DecisionModel.DecisionModel, never, Provider.Provider> =>
  Effect.flatMap(Provider.Provider, (provider) => Decisions.make(provider, withConfig(options)))

/**
 * Provides the `DecisionModel` of `makeDecisionModel`.
 *
 * @category layers
 */
export const layerDecisionModel = (
  options: Options
): Layer.Layer<DecisionModel.DecisionModel, never, Provider.Provider> =>
  Layer.effect(DecisionModel.DecisionModel, makeDecisionModel(options))

/**
 * Options of every request of an embedding model: those of an `EmbeddingRequest`, except its input.
 *
 * @category options
 */
export interface EmbeddingOptions extends Omit<EmbeddingRequest, "model" | "input"> {
  /** The model's name on the server. */
  readonly model: string
}

/**
 * Makes an `EmbeddingModel` from the `Provider` of the context. Failures are those of `makeLanguageModel`.
 *
 * @category constructors
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
            onFailure: Errors.makeToError(provider.name, "embedMany")
          }
        )
    })
  })

const embeddingOptions = { ...Struct.omit(EmbeddingRequest.fields, ["input"]), model: Schema.NonEmptyString }

const embeddingDefinition = OptionSchema.define<EmbeddingOptions>(embeddingOptions)

const modelDefinition = OptionSchema.define<EmbeddingOptions>({
  ...embeddingOptions,
  dimensions: Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))
})

/**
 * Provides the `EmbeddingModel` of `makeEmbeddingModel`.
 *
 * @category layers
 */
export const layerEmbeddingModel = (
  options: EmbeddingOptions
): Layer.Layer<EmbeddingModel.EmbeddingModel, never, Provider.Provider> =>
  Layer.effect(EmbeddingModel.EmbeddingModel, makeEmbeddingModel(options))

/**
 * A `Model` of `effect/ai`: `layerEmbeddingModel`, with the name of the model and the length of its vectors.
 *
 * @category layers
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

/**
 * Makes a `Tokenizer` from the `Provider` of the context, for the prompts of a language model with these options. Failures
 * are those of `makeLanguageModel`.
 *
 * **Details**
 *
 * `tokenize` counts as `Provider.countTokens` does, with the chat template. `truncate` keeps what `Conversation.trim` keeps: system
 * messages, the last message of the user, and calls with their results. If these alone have too many tokens, it fails
 * with `InvalidRequestError`.
 *
 * **Gotchas**
 *
 * The numbers of `tokenize` are positions, not those of a vocabulary: only how many there are means something. They are
 * an estimate where the server cannot count.
 *
 * @category constructors
 */
export const makeTokenizer = (options: Options): Effect.Effect<Tokenizer.Service, never, Provider.Provider> =>
  Effect.map(Provider.Provider, (provider) => Tokenizers.make(provider, withConfig(options)))

/**
 * Provides the `Tokenizer` of `makeTokenizer`.
 *
 * @category layers
 */
export const layerTokenizer = (options: Options): Layer.Layer<Tokenizer.Tokenizer, never, Provider.Provider> =>
  Layer.effect(Tokenizer.Tokenizer, makeTokenizer(options))
