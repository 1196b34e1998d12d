/**
 * Several providers that get each request at once: the completion that begins first is delivered.
 *
 * @category Policies
 * @since 0.3.0
 */
import type * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Attempt from "./policies/attempt.ts"
import * as Candidates from "./policies/candidates.ts"
import * as Commit from "./policies/commit.ts"
import type { CompletionRequest } from "./CompletionRequest.ts"
import * as Provider from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"

/**
 * One of the providers, and the model's name there.
 *
 * @category options
 */
export interface Candidate<E = never, R = never> extends Candidates.Candidate<E, R> {}

/**
 * Options besides the candidates. All fields are optional.
 *
 * @category options
 */
export interface Options extends Candidates.Options {}

/**
 * Makes a provider of several that get each request for a completion at the same time. Its name in errors is `Race` by default. Fails with
 * `InvalidRequest` if there is no candidate, or if an option is invalid, and as the candidates fail.
 *
 * **When to use**
 *
 * For the shortest wait, with servers that are idle otherwise: each request costs as many prompts as there are candidates. `Hedge` sends
 * a second request only where the first one is late, and `Pool` predicts which host is the first.
 *
 * **Details**
 *
 * The first chunk that carries anything decides: content, thinking, a tool call or the end. The connections of the others are then closed,
 * so no text is delivered twice, and a later failure is passed on. A candidate that fails before that loses. If all fail, the error is
 * `AllProvidersFailed`, with the error of each candidate in order; a single candidate has its own error, and a request that all of them
 * reject has one `InvalidRequest`. A `total` deadline in a request bounds all of them together, and fails with `Timeout`. Before the
 * decision, other chunks of the first candidate, such as prompt progress, are passed on.
 *
 * `provider` of the final chunk is the name of the provider that answered, and so is the attribute `effect_local_llm.provider` of the
 * current span. All other operations are those of `Fallback`: they ask the candidates in order.
 *
 * **Gotchas**
 *
 * Servers notice a closed connection only at their first token, so the requests that lose still cost their prompts.
 *
 * @see {@link layer}
 * @category constructors
 */
export const make = <const All extends Arr.NonEmptyReadonlyArray<Candidate<unknown, unknown>>>(
  candidates: All,
  options: Options = {}
): Effect.Effect<
  Provider.Provider,
  ProviderError | Provider.SourceError<All[number]["provider"]>,
  Provider.SourceServices<All[number]["provider"]>
> =>
  Candidates.make("Race", candidates, options, (providers, name) =>
    Provider.make({
      ...Candidates.inTurn(providers, name),
      stream: (request) => Stream.suspend(() => race(providers, name)(request))
    })
  )

/**
 * Provides a `Provider` made of several that get each request at the same time.
 *
 * **Example** (a machine beside the desk and one behind the network)
 *
 * ```ts
 * import { NodeHttpClient } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { Ollama, Race } from "effect-local-llm"
 *
 * const live = Race.layer([
 *   { provider: Ollama.make({ name: "desk" }), model: "llama3.2:1b" },
 *   { provider: Ollama.make({ name: "gpu-1", baseUrl: "http://gpu-1:11434" }), model: "llama3.2:3b" }
 * ]).pipe(Layer.provide(NodeHttpClient.layerUndici))
 * ```
 *
 * @see {@link make} for which completion is delivered.
 * @category layers
 */
export const layer = <const All extends Arr.NonEmptyReadonlyArray<Candidate<unknown, unknown>>>(
  candidates: All,
  options: Options = {}
): Layer.Layer<
  Provider.Provider,
  ProviderError | Provider.SourceError<All[number]["provider"]>,
  Exclude<Provider.SourceServices<All[number]["provider"]>, Scope.Scope>
> => Layer.effect(Provider.Provider, make(candidates, options))

type Open = (request: CompletionRequest) => Attempt.Completion

type Plan = Commit.Plan<CompletionRequest, Attempt.Completion>

/** The completion of one request. The first provider runs beside a race of the others. */
const race = (providers: Candidates.Providers, name: string): Open => {
  const errors: Array<ProviderError | undefined> = providers.map(() => undefined)
  const passOn: Plan["recover"] = ({ error }) => Effect.fail(error)
  const failAll: Plan["recover"] = ({ error, timeLeft }) =>
    providers.length === 1 || timeLeft <= 0 || errors.every((error) => error?.reason._tag === "InvalidRequest")
      ? Effect.fail(error)
      : Candidates.allFailed(name, errors.filter(Predicate.isNotUndefined))

  /** Opens nothing before its first pull, so that a server that is slow to connect delays no other. */
  const alone =
    ({ name, stream }: Provider.Provider, index: number): Open =>
    (request) => {
      const toError = (error: ProviderError) => (errors[index] = error)
      return Commit.attempts(
        request,
        Effect.succeed({ acquire: Effect.succeed({ name, open: stream, toError }), recover: passOn })
      )
    }
  const from = (first: Provider.Provider, others: ReadonlyArray<Provider.Provider>, index: number): Open => {
    const [second, ...further] = others
    const ofOthers = second && from(second, further, index + 1)
    const plan: Plan = {
      acquire: Effect.succeed({ open: alone(first, index) }),
      recover: index === 0 ? failAll : passOn,
      ...(ofOthers !== undefined && { alongside: () => Effect.succeed({ open: ofOthers }) })
    }
    return (request) => Commit.attempts(request, Effect.succeed(plan))
  }
  const [first, ...others] = providers
  return from(first, others, 0)
}
