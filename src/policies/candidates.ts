/** Several providers as one, each with the model's name there. */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as OptionSchema from "../servers/options.ts"
import * as GenAi from "../values/genAi.ts"
import * as Values from "../values/objects.ts"
import * as Provider from "../Provider.ts"
import { AllProvidersFailed, ModelNotAvailable, ProviderError } from "../ProviderError.ts"
import * as Attempt from "./attempt.ts"
import * as Commit from "./commit.ts"
import * as ModelLists from "./modelLists.ts"

/** One of the providers, and the model's name there. */
export interface Candidate<E = never, R = never> {
  /**
   * A provider, an Effect that makes one, such as `Ollama.make({ … })`, or a layer of one. Its name is in the final chunk of its
   * completions.
   */
  readonly provider: Provider.Source<E, R>
  /**
   * The model that this provider is asked for: always the same one, or what the function returns for the name in the request.
   * The function is not called for a request without a name. Default: the name in the request.
   */
  readonly model?: string | ((requested: string) => string) | undefined
}

/** Options besides the candidates. All fields are optional. */
export interface Options {
  /** The name in errors. Default: that of the policy. */
  readonly name?: string | undefined
}

export type Candidates = Arr.NonEmptyReadonlyArray<Candidate<unknown, unknown>>

/** What the constructor of such a policy returns. */
export type Made<All extends Candidates> = Effect.Effect<
  Provider.Provider,
  ProviderError | Provider.SourceError<All[number]["provider"]>,
  Provider.SourceServices<All[number]["provider"]>
>

export type Providers = Arr.NonEmptyReadonlyArray<Provider.Provider>

const optionsDefinition = OptionSchema.define<Options>({ name: OptionSchema.text })

const model = Schema.optional(
  OptionSchema.is(
    (u): u is NonNullable<Candidate["model"]> => Predicate.isFunction(u) || (Predicate.isString(u) && u.trim() !== ""),
    "the name of a model, or a function that returns it"
  )
)

const candidateFields = { provider: OptionSchema.source, model }

const definition = OptionSchema.define<{ readonly candidates: unknown }>(
  { candidates: Schema.Array(Schema.Struct(candidateFields)).check(Schema.isMinLength(1)) },
  { candidates: candidateFields }
)

/** Makes the providers, and one of them. `policy` is its name by default. */
export function make<const All extends Candidates>(
  policy: string,
  candidates: All,
  options: Options,
  combine: (providers: Providers, name: string) => Provider.Provider
): Made<All>
export function make(
  policy: string,
  candidates: Candidates,
  options: Options,
  combine: (providers: Providers, name: string) => Provider.Provider
): Effect.Effect<Provider.Provider, unknown, unknown> {
  return Effect.gen(function* () {
    const { name = policy } = yield* OptionSchema.readFor(optionsDefinition, options, policy)
    yield* OptionSchema.readFor(definition, { candidates }, name)
    const providers = yield* Effect.forEach(candidates, ({ model, provider }) =>
      Effect.map(Provider.fromSource(provider), (provider) => withModel(provider, model))
    )
    return combine(providers, name)
  })
}

/** The provider of a candidate, which is asked for the model by its name there. */
const withModel = (provider: Provider.Provider, model: Candidate["model"]): Provider.Provider => {
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

/** A provider that asks the first one, and the next one after each failure. */
export const inTurn = (providers: Providers, name: string): Provider.Provider => {
  const ask = <A>(ask: (provider: Provider.Provider) => Effect.Effect<A, ProviderError>) =>
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
    embed: (request) => ask((provider) => Attempt.namedEmbedding(provider.embed(request), provider.name)),
    countTokens: (request) => ask((provider) => provider.countTokens(request)),
    listModels: Effect.map(
      askAll(providers, name, ({ listModels }) => listModels),
      ModelLists.union
    ),
    model: (model, options) =>
      ask((provider) => provider.model(model, options)).pipe(
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

export const allFailed = (provider: string, errors: ReadonlyArray<ProviderError>) =>
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
        if (next === undefined) return allFailed(name, errors)
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
    answers.length > 0 ? Effect.succeed(answers) : allFailed(name, errors)
  )
