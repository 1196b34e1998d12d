/**
 * Several providers as one: if one fails before its completion begins, the next one gets the request.
 *
 * @category Policies
 * @since 0.3.0
 */
import type * as Arr from "effect/Array"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Candidates from "./policies/candidates.ts"
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
 * Makes a provider of several, in the order of preference. Its name in errors is `Fallback` by default. Fails with `InvalidRequest` if
 * there is no candidate, or if an option is invalid, and as the candidates fail.
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
 * **Gotchas**
 *
 * - Vectors of different models cannot be compared. For `embed`, all candidates should have the same model.
 * - Give the candidates names if several are of one kind: `Ollama.layer({ name: "gpu-1", … })`.
 *
 * @category constructors
 */
export const make = <const All extends Arr.NonEmptyReadonlyArray<Candidate<unknown, unknown>>>(
  candidates: All,
  options: Options = {}
): Effect.Effect<
  Provider.Provider,
  ProviderError | Provider.SourceError<All[number]["provider"]>,
  Provider.SourceServices<All[number]["provider"]>
> => Candidates.make("Fallback", candidates, options, Candidates.inTurn)

/**
 * Provides a `Provider` made of several. Policies of its own can be added to each candidate.
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
 *   { provider: LmStudio.make(), model: "qwen2.5-7b-instruct" }
 * ]).pipe(Layer.provide(NodeHttpClient.layerUndici))
 * ```
 *
 * @see {@link make} for what leads to the next candidate.
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
