/**
 * The service of this package. It streams answers, embeds texts and lists models, on whichever server its layer is for.
 *
 * @category Core
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Completion from "./Completion.ts"
import type { CompletionRequest, Defaults } from "./CompletionRequest.ts"
import { check } from "./CompletionRequest.ts"
import type { Embedding, EmbeddingRequest } from "./Embedding.ts"
import type { ModelInfo } from "./ModelInfo.ts"
import type { ProviderErrorReason } from "./ProviderError.ts"
import * as PartialObject from "./PartialObject.ts"
import { InvalidRequest, isProviderError, ModelNotAvailable, ProviderError, Unsupported } from "./ProviderError.ts"
import type { StreamingChunk } from "./StreamingChunk.ts"
import * as TokenCount from "./TokenCount.ts"

/**
 * Streams completions from a model server.
 *
 * **Details**
 *
 * The layers of `Ollama`, `LmStudio`, `LlamaServer`, `OpenAiCompatible` and `MockProvider` provide it. `stream` guarantees:
 *
 * 1. It is lazy: nothing is sent before it runs, and every run is a new request.
 * 2. Each chunk is emitted as soon as its line (with SSE: its event) is complete.
 * 3. It succeeds with exactly one final chunk, the last. Otherwise it fails with a `ProviderError`, also after a cut connection, an
 *    end of the body without end marker, an error record or a bad record.
 * 4. Chunks that arrived before a failure are delivered before the failure.
 * 5. Nothing that a server sends causes a defect, and nothing is skipped silently.
 * 6. When the consumer stops (`Stream.take`, interruption, its own failure, the end of its scope), the connection is closed
 *    at once, before the headers as well as in the middle of a completion, which makes the server stop generating. LM Studio and
 *    llama.cpp read the prompt to its end before they stop.
 * 7. Memory is bounded by the longest record allowed (`maxLineBytes`, 8 MiB by default), not by the completion.
 * 8. Back-pressure reaches the server: a slow consumer slows it down.
 * 9. Deadlines use the monotonic clock. Time in which the consumer is busy does not count as idle.
 * 10. No prompt is truncated silently: one that does not fit fails with `ContextOverflow`, unless the request has
 *    `overflow: "truncate"`. Ollama before 0.12.6 truncates in any case, and LM Studio by its own settings.
 *
 * **Gotchas**
 *
 * `Ollama`, `Pool` and the other services extend this type, and `Effect.provide` subtracts services by type. So a program that needs
 * `Ollama` also compiles with the layer of a mock, and dies with `Service not found: effect-local-llm/Ollama`. Provide its own layer.
 *
 * **Example** (a completion while it is generated)
 *
 * ```ts
 * import { Console, Effect, Stream } from "effect"
 * import { Provider } from "effect-local-llm"
 *
 * const program = Effect.gen(function*() {
 *   const provider = yield* Provider.Provider
 *   yield* provider.stream({ model: "llama3.2", messages: [{ role: "user", content: "Why is the sky blue?" }] }).pipe(
 *     Stream.runForEach((chunk) => Console.log(chunk.content))
 *   )
 * })
 * ```
 *
 * @category services
 */
export interface Provider {
  /** The name in errors. */
  readonly name: string
  /**
   * The kind of its server, whatever its name: `ollama`, `lmstudio`, `llama-server` or `OpenAI-compatible server`. `Pool` and
   * `Fallback` have the kind that all of their providers have. Absent if there is no server, or if there are several kinds.
   *
   * @since 0.3.0
   */
  readonly kind?: string | undefined
  /** The origin of its server, without credentials, such as `http://gpu-1:11434`. Absent if there is none, or several. */
  readonly server?: string | undefined
  /** Requests a completion and emits it while it is generated. Fails with any reason of `ProviderError`. */
  readonly stream: (request: CompletionRequest) => Stream.Stream<StreamingChunk, ProviderError>
  /** A fold of `stream`, with the same guarantees. */
  readonly complete: (request: CompletionRequest) => Effect.Effect<Completion.Completion, ProviderError>
  /**
   * Turns texts into vectors, in the order of the texts. A text that does not fit into the model's context fails with
   * `ContextOverflow`, which has its `index`.
   */
  readonly embed: (request: EmbeddingRequest) => Effect.Effect<Embedding, ProviderError>
  /**
   * How many tokens the prompt of a request has, without generating anything. llama.cpp's server and vLLM count them, with the chat
   * template and the tools. Elsewhere, and if there are images, it is an estimate from the size of the prompt, which
   * earlier completions of the model improve.
   *
   * @since 0.3.0
   */
  readonly countTokens: (request: CompletionRequest) => Effect.Effect<TokenCount.TokenCount, ProviderError>
  /** The models that the server has. Most servers report little more than their names here; `model` reports more. */
  readonly listModels: Effect.Effect<ReadonlyArray<ModelInfo>, ProviderError>
  /**
   * What the server reports about one model, such as its context length, its capabilities and whether it is in memory. Fails with
   * `ModelNotAvailable` if the server does not have it.
   */
  readonly model: (
    name: string,
    options?: {
      /** How old the report may be, unless this provider changed a model since. Default: 15 seconds. */
      readonly maxAge?: Duration.Input | undefined
    }
  ) => Effect.Effect<ModelInfo, ProviderError>
  /** Whether the server has a model of that name, by `listModels` and `isSameModel`. */
  readonly supportsModel: (model: string) => Effect.Effect<boolean, ProviderError>
  /** Whether two names mean the same model on this server, such as `llama3.2` and `llama3.2:latest` on Ollama. */
  readonly isSameModel: (a: string, b: string) => boolean
  /**
   * The options with which a request is sent: its own, and the `defaults` of the layer for those that it does not set. `Telemetry`
   * reports them. Of a `Fallback`, they are those of the first candidate; of a `Pool`, those that all hosts have.
   *
   * @since 0.3.0
   */
  readonly optionsOf: (request: CompletionRequest | EmbeddingRequest) => Defaults
  /**
   * Whether the server may have models that it does not list, as gateways do. `Pool` requests such a model from it if no host
   * lists it.
   *
   * @since 0.3.0
   */
  readonly hasUnlistedModels: boolean
  /**
   * Whether loading a second model may end the completions of the first, as on LM Studio. `Pool` then requests one model at a time.
   *
   * @since 0.3.0
   */
  readonly oneModelAtATime: boolean
  /**
   * Removes a model from memory. Absent if the provider cannot. `Pool` uses it with `unloadHanging`.
   *
   * @since 0.3.0
   */
  readonly unload?: (model: string) => Effect.Effect<void, ProviderError>
}

/**
 * @category services
 */
export const Provider = Context.Service<Provider>("effect-local-llm/Provider")

/**
 * Where a policy gets a provider from: a provider, an Effect that makes one, such as `Ollama.make({ … })`, or a layer of one. The service
 * is such an Effect too: `Provider.Provider`. What the Effect or the layer needs and fails with, the policy needs and fails with.
 *
 * @category models
 * @since 0.3.0
 */
export type Source<E = never, R = never> = Provider | Effect.Effect<Provider, E, R> | Layer.Layer<Provider, E, R>

/**
 * What a `Source` fails with.
 *
 * @category models
 * @since 0.3.0
 */
export type SourceError<S> =
  S extends Layer.Layer<never, infer E, infer _> ? E : S extends Effect.Effect<unknown, infer E, infer _> ? E : never

/**
 * What a `Source` needs. A layer also needs a `Scope`, in which it lives.
 *
 * @category models
 * @since 0.3.0
 */
export type SourceServices<S> =
  S extends Layer.Layer<never, infer _, infer R>
    ? R | Scope.Scope
    : S extends Effect.Effect<unknown, infer _, infer R>
      ? R
      : never

/**
 * Whether a value is a provider.
 *
 * @category guards
 * @since 0.3.0
 */
export const isProvider = (u: unknown): u is Provider =>
  Predicate.isObject(u) && Predicate.isFunction(u["stream"]) && Predicate.isString(u["name"])

/**
 * The provider of a `Source`. Fails with `InvalidRequest` if it is none, or makes something else.
 *
 * **When to use**
 *
 * For a policy of your own that takes what those of this package take.
 *
 * @category constructors
 * @since 0.3.0
 */
export const fromSource = <E = never, R = never>(
  source: Source<E, R>
): Effect.Effect<Provider, ProviderError | E, R | Scope.Scope> => {
  if (isProvider(source)) return Effect.succeed(source)
  if (!canMake(source)) return noProvider
  const made: Effect.Effect<unknown, E, R | Scope.Scope> = Effect.isEffect(source)
    ? source
    : Effect.map(Layer.build(source), (context) => Option.getOrUndefined(Context.getOption(context, Provider)))
  return Effect.flatMap(made, (provider) => (isProvider(provider) ? Effect.succeed(provider) : noProvider))
}

const canMake = (source: unknown): boolean => Effect.isEffect(source) || Layer.isLayer(source)

const noProvider = Effect.suspend(() => {
  const reason = new InvalidRequest({
    field: "provider",
    description: "Expected a provider, an Effect that makes one, or a layer of one"
  })
  return Effect.fail(new ProviderError({ provider: "Provider", reason }))
})

/**
 * Requests a completion that matches a schema, and decodes it.
 *
 * **Details**
 *
 * The schema is sent as `format`, so servers constrain the completion to its JSON form while they generate it. One that does not
 * match fails with `InvalidAnswer`, which has the text, redacted, and reports whether it was truncated. JSON in a Markdown code block
 * is accepted, and so is JSON that LM Studio puts into the thinking of a completion without content.
 *
 * **Gotchas**
 *
 * Models answer better if a message also says what the fields mean.
 *
 * **Example** (a typed completion)
 *
 * ```ts
 * import { Schema } from "effect"
 * import { Provider } from "effect-local-llm"
 *
 * const program = Provider.object(
 *   { model: "llama3.2", messages: [{ role: "user", content: "Where is it warm today? Answer as JSON." }] },
 *   Schema.Struct({ city: Schema.String, celsius: Schema.Number })
 * )
 * ```
 *
 * @category accessors
 * @since 0.3.0
 */
export const object = <A, RD>(
  request: CompletionRequest,
  schema: Schema.ConstraintDecoder<A, RD>
): Effect.Effect<A, ProviderError, Provider | RD> =>
  Effect.flatMap(Provider, ({ complete, name }) => {
    if (!Schema.isSchema(schema)) return Effect.fail(new ProviderError({ provider: name, reason: noSchema }))
    return Effect.flatMap(complete({ ...request, format: schema }), (completion) =>
      Effect.mapError(
        Completion.decode(completion, schema),
        (reason) => new ProviderError({ provider: completion.provider ?? name, reason })
      )
    )
  })

const noSchema = new InvalidRequest({ field: "schema", description: "Expected a Schema" })

/**
 * Requests a completion that matches a schema, and emits its value while it is generated.
 *
 * **When to use**
 *
 * For a page or a terminal that shows the parts of a long value as they come. Otherwise `object` is simpler.
 *
 * **Details**
 *
 * The elements before the last have a part of the value: texts grow, arrays and objects get more entries, and everything else
 * appears when it is complete, decoded. Nothing that has appeared is withdrawn. `PartialObject.PartialOf` says what may be missing. The
 * last element has `isFinal` and the value that `object` returns; if the stream fails there is none.
 *
 * The failures are those of `object`. In addition, the completion fails with `InvalidAnswer` if its value contradicts a part that
 * was emitted: if a key is there twice, or another value follows the first one.
 *
 * **Gotchas**
 *
 * A part is not checked: a text may be shorter than its minimum, and the whole may still be invalid. Use the last element for anything
 * that counts.
 *
 * **Example** (ingredients as they come)
 *
 * ```ts
 * import { Console, Schema, Stream } from "effect"
 * import { Provider } from "effect-local-llm"
 *
 * const Recipe = Schema.Struct({ title: Schema.String, ingredients: Schema.Array(Schema.String) })
 *
 * const program = Provider.streamObject(
 *   { model: "llama3.2", messages: [{ role: "user", content: "A recipe for pancakes as JSON." }] },
 *   Recipe
 * ).pipe(Stream.runForEach(({ value }) => Console.log(value.title, value.ingredients?.length ?? 0)))
 * ```
 *
 * @category accessors
 * @since 0.3.0
 */
export const streamObject = <A, RD>(
  request: CompletionRequest,
  schema: Schema.ConstraintDecoder<A, RD>
): Stream.Stream<PartialObject.PartialObject<A>, ProviderError, Provider | RD> =>
  Stream.unwrap(
    Effect.map(Provider, ({ name, stream }) => {
      let provider = name
      const toError = (reason: ProviderErrorReason) => new ProviderError({ provider, reason })
      if (!Schema.isSchema(schema)) return Stream.fail(toError(noSchema))
      const chunks = Stream.map(stream({ ...request, format: schema }), (chunk) => {
        if (chunk.isFinal) provider = chunk.provider ?? name
        return chunk
      })
      return Stream.mapError(PartialObject.fromStream(chunks, schema), (error): ProviderError =>
        isProviderError(error) ? error : toError(error)
      )
    })
  )

const estimate = (request: CompletionRequest) =>
  Result.flatMap(check(request), (request) => TokenCount.estimate(request))

/**
 * Makes a provider from its operations, and derives those that follow from others: `complete`, `model` and `supportsModel`.
 *
 * **When to use**
 *
 * For a policy of your own: `Provider.make({ ...provider, stream: (request) => … })`. For tests, `MockProvider` is simpler.
 *
 * **Details**
 *
 * `stream` has to keep the guarantees of `Provider.stream`. The defaults: `embed` fails with `Unsupported`, `countTokens` is
 * `TokenCount.estimate`, `model` is the entry of `listModels`, `supportsModel` is whether it has one, `isSameModel` is whether the
 * names are equal, `optionsOf` are those of the request, `hasUnlistedModels` and `oneModelAtATime` are `false`, and the other fields
 * are absent.
 *
 * **Gotchas**
 *
 * It neither validates requests nor applies deadlines: the providers of the servers do that. What is given is used as it is, so a
 * policy that changes `listModels` may have to change `model` and `supportsModel` as well.
 *
 * @category constructors
 */
export const make = (
  options: Pick<Provider, "name" | "stream" | "listModels"> & {
    readonly [K in Exclude<keyof Provider, "name" | "stream" | "listModels" | "complete">]?: Provider[K] | undefined
  }
): Provider => {
  const { isSameModel = (a, b) => a === b, kind, listModels, name, server, stream, unload } = options
  const fail = (reason: ProviderErrorReason) => Effect.fail(new ProviderError({ provider: name, reason }))
  const find = (model: string) => Effect.map(listModels, (models) => models.find((info) => isSameModel(info.id, model)))
  const describe: Provider["model"] = (model) =>
    Effect.flatMap(find(model), (info) =>
      info === undefined ? fail(new ModelNotAvailable({ model })) : Effect.succeed(info)
    )
  return {
    name,
    kind,
    server,
    stream,
    complete: (request) =>
      Effect.map(
        Effect.catchTag(Completion.fromStream(stream(request)), "StreamTruncated", fail),
        (completion): Completion.Completion => ({ ...completion, provider: completion.provider ?? name })
      ),
    embed: options.embed ?? (() => fail(new Unsupported({ feature: "embeddings" }))),
    countTokens: options.countTokens ?? ((request) => Effect.catch(Effect.fromResult(estimate(request)), fail)),
    listModels,
    model: options.model ?? describe,
    supportsModel: options.supportsModel ?? ((model) => Effect.map(find(model), Predicate.isNotUndefined)),
    isSameModel,
    optionsOf: options.optionsOf ?? ((request) => request),
    hasUnlistedModels: options.hasUnlistedModels ?? false,
    oneModelAtATime: options.oneModelAtATime ?? false,
    ...(unload === undefined ? {} : { unload })
  }
}
