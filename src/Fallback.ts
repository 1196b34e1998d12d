/**
 * Several providers as one: if one fails before its completion begins, the next one gets the request.
 *
 * @category Policies
 * @since 0.3.0
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Attempt from "./policies/attempt.ts"
import * as Commit from "./policies/commit.ts"
import * as Layers from "./policies/layers.ts"
import * as ModelLists from "./policies/modelLists.ts"
import * as GenAi from "./values/genAi.ts"
import * as OptionSchema from "./servers/options.ts"
import * as Values from "./values/objects.ts"
import * as Provider from "./Provider.ts"
import { AllProvidersFailed, ModelNotAvailable, ProviderError } from "./ProviderError.ts"

/**
 * One of the providers, and the model's name there.
 *
 * @category options
 */
export interface Candidate {
  /** The provider. Its name is in the final chunk of its completions. */
  readonly provider: Provider.Provider
  /**
   * The model that this provider is asked for: always the same one, or what the function returns for the name in the request.
   * The function is not called for a request without a name. Default: the name in the request.
   */
  readonly model?: string | ((requested: string) => string) | undefined
}

/**
 * One of the providers as a layer, and the model's name there.
 *
 * @category options
 */
export interface LayerCandidate<out E = never, out R = never> extends Pick<Candidate, "model"> {
  /** The layer of the provider. */
  readonly provider: Layer.Layer<Provider.Provider, E, R>
}

/**
 * Options besides the candidates. All fields are optional.
 *
 * @category options
 */
export interface Options {
  /** The name in errors. Default: `Fallback`. */
  readonly name?: string | undefined
}

/**
 * Makes a provider of several, in the order of preference.
 *
 * **Details**
 *
 * Every request starts with the first candidate. If it fails before the first chunk that carries anything, the next one gets
 * the request. Later failures are passed on, so no text is delivered twice.
 *
 * Every reason leads to the next candidate, except `InvalidRequest`, which is passed on at once. If all fail, the error is
 * `AllProvidersFailed`, with the error of each candidate in order. A `total` deadline in a completion request bounds all candidates
 * together.
 *
 * `provider` of the final chunk, or of the embedding, is the name of the provider that answered, and so is the attribute
 * `effect_local_llm.provider` of the current span.
 *
 * - `embed` and `model` ask the candidates in order. `model` fails with `ModelNotAvailable` if no candidate has the model.
 * - `listModels` has the models of all candidates that answer, each name once. It fails if none answers.
 * - `supportsModel` is true if any candidate has the model by its name there, and fails if none answers.
 *
 * If an option or a candidate is invalid, or if there is no candidate, every operation fails with `InvalidRequest`, which names it.
 *
 * **Gotchas**
 *
 * - Vectors of different models cannot be compared. For `embed`, all candidates should have the same model.
 * - Give the candidates names if several are of one kind: `Ollama.layer({ name: "gpu-1", … })`.
 *
 * @category constructors
 */
export const make = (candidates: Arr.NonEmptyReadonlyArray<Candidate>, options: Options = {}): Provider.Provider =>
  OptionSchema.providerFrom(definition, options, { name: "Fallback" }, ({ name = "Fallback" }) =>
    OptionSchema.providerFrom(candidatesDefinition, { candidates }, { name }, ({ candidates }) =>
      makeFallback(Arr.map(candidates, toProvider), name)
    )
  )

type Providers = Arr.NonEmptyReadonlyArray<Provider.Provider>

const definition = OptionSchema.define<Options>({ name: OptionSchema.text })

const model = Schema.optional(
  OptionSchema.is(
    (u): u is NonNullable<Candidate["model"]> => Predicate.isFunction(u) || (Predicate.isString(u) && u.trim() !== ""),
    "the name of a model, or a function that returns it"
  )
)

/** A list of at least one candidate, whose provider has this schema. */
const defineCandidates = (provider: Schema.ConstraintDecoder<unknown>) => {
  const fields = { provider, model }
  const candidates = Schema.Array(Schema.Struct(fields)).check(Schema.isMinLength(1))
  return OptionSchema.define<{ readonly candidates: unknown }>({ candidates }, { candidates: fields })
}

const candidatesDefinition = defineCandidates(OptionSchema.provider)

const layersDefinition = defineCandidates(OptionSchema.is(Layer.isLayer, "a layer"))

const makeFallback = (providers: Providers, name: string): Provider.Provider => {
  const inTurn = <A>(ask: (provider: Provider.Provider) => Effect.Effect<A, ProviderError>) =>
    Commit.call(
      {},
      makePlan(providers, name, (provider) => () => ask(provider))
    )
  return Provider.make({
    name,
    kind: GenAi.sharedKind(providers),
    stream: (request) =>
      Commit.attempts(
        request,
        makePlan(providers, name, (provider) => (request) => provider.stream(request))
      ),
    embed: (request) => inTurn((provider) => Attempt.namedEmbedding(provider.embed(request), provider.name)),
    countTokens: (request) => inTurn((provider) => provider.countTokens(request)),
    listModels: Effect.map(
      askAll(providers, name, ({ listModels }) => listModels),
      ModelLists.union
    ),
    model: (model, options) =>
      inTurn((provider) => provider.model(model, options)).pipe(
        Effect.catchReason("ProviderError", "AllProvidersFailed", (reason, error) =>
          reason.errors.every((error) => error.reason._tag === "ModelNotAvailable")
            ? Effect.fail(new ProviderError({ provider: name, reason: new ModelNotAvailable({ model }) }))
            : Effect.fail(error)
        )
      ),
    supportsModel: (model) =>
      Effect.map(
        askAll(providers, name, (provider) => provider.supportsModel(model)),
        Arr.some(identity<boolean>)
      ),
    optionsOf: providers[0].optionsOf,
    isSameModel: (a, b) => providers.some((provider) => provider.isSameModel(a, b)),
    hasUnlistedModels: providers.some(({ hasUnlistedModels }) => hasUnlistedModels)
  })
}

/**
 * Provides a `Provider` made of several. Each candidate is a layer, so policies of its own can be added to it.
 *
 * **Example** (Ollama with retries, and LM Studio if it fails)
 *
 * ```ts
 * import { NodeHttpClient } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { Fallback, LmStudio, Ollama, Retry } from "effect-local-llm"
 *
 * const live = Fallback.layer([
 *   { provider: Retry.layer().pipe(Layer.provide(Ollama.layer())) },
 *   { provider: LmStudio.layer(), model: "qwen2.5-7b-instruct" }
 * ]).pipe(Layer.provide(NodeHttpClient.layerUndici))
 * ```
 *
 * @see {@link make} for what leads to the next candidate.
 * @category layers
 */
export const layer = <const Candidates extends Arr.NonEmptyReadonlyArray<LayerCandidate<unknown, unknown>>>(
  candidates: Candidates,
  options?: Options
): Layer.Layer<
  Provider.Provider,
  Layer.Error<Candidates[number]["provider"]>,
  Layer.Services<Candidates[number]["provider"]>
> =>
  Layer.effect(
    Provider.Provider,
    Effect.gen(function* () {
      const valid = OptionSchema.read(layersDefinition, { candidates })
      if (Result.isFailure(valid)) return OptionSchema.rejecting({ name: "Fallback" }, valid.failure)
      const built = yield* Effect.forEach(candidates, ({ model, provider }: Candidates[number]) =>
        Effect.map(Layers.build<Candidates[number]["provider"]>(provider), (provider) => ({ model, provider }))
      )
      return make(built, options)
    })
  )

/** The provider of a candidate, which is asked for the model by its name there. */
const toProvider = ({ model, provider }: Candidate): Provider.Provider => {
  if (model === undefined) return provider
  const rename = (requested: string) => (typeof model === "string" ? model : model(requested))
  /** An invalid request stays as it is, for the provider to reject. */
  const withModel = <Request extends { readonly model?: string | undefined }>(request: Request): Request => {
    if (!Values.isRecord(request)) return request
    if (typeof model === "string") return { ...request, model }
    return typeof request.model === "string" ? { ...request, model: model(request.model) } : request
  }
  return Provider.make({
    ...provider,
    stream: (request) => provider.stream(withModel(request)),
    embed: (request) => provider.embed(withModel(request)),
    countTokens: (request) => provider.countTokens(withModel(request)),
    optionsOf: (request) => provider.optionsOf(withModel(request)),
    model: (name, options) => provider.model(rename(name), options),
    supportsModel: (name) => provider.supportsModel(rename(name))
  })
}

const fail = (provider: string, errors: ReadonlyArray<ProviderError>) =>
  Effect.fail(new ProviderError({ provider, reason: new AllProvidersFailed({ errors }) }))

/** The providers for one request: the first, and the next one after each failure. */
const makePlan = <Request, Out>(
  providers: Providers,
  name: string,
  open: (provider: Provider.Provider) => (request: Request) => Out
): Effect.Effect<Commit.Plan<Request, Out>> =>
  Effect.sync(() => {
    const errors: Array<ProviderError> = []
    let [provider] = providers
    return {
      acquire: Effect.sync(() => ({ name: provider.name, open: open(provider) })),
      recover: ({ error, timeLeft }) => {
        if (timeLeft <= 0 || error.reason._tag === "InvalidRequest") return Effect.fail(error)
        errors.push(error)
        const next = providers[errors.length]
        if (next === undefined) return fail(name, errors)
        provider = next
        return Effect.void
      }
    }
  })

/** What the providers answer, at least one of them. */
const askAll = <A>(
  providers: Providers,
  name: string,
  ask: (provider: Provider.Provider) => Effect.Effect<A, ProviderError>
): Effect.Effect<ReadonlyArray<A>, ProviderError> =>
  Effect.flatMap(Effect.partition(providers, ask, { concurrency: "unbounded" }), ([answers, errors]) =>
    answers.length > 0 ? Effect.succeed(answers) : fail(name, errors)
  )
