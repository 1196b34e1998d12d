/**
 * A second request to another server for a completion that is late to begin. It shortens the longest waits, for a few percent more load.
 *
 * @category Policies
 * @since 0.3.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Attempt from "./policies/attempt.ts"
import * as Budget from "./policies/budget.ts"
import * as Commit from "./policies/commit.ts"
import * as Monotonic from "./values/monotonic.ts"
import * as OptionSchema from "./servers/options.ts"
import * as Values from "./values/objects.ts"
import type { CompletionRequest } from "./CompletionRequest.ts"
import * as Provider from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"

/**
 * When a second request is sent, and how often. All fields are optional.
 *
 * @category options
 */
export interface Settings {
  /**
   * The shortest wait before the second request. It is longer if the 95th percentile of the recent waits for this model is.
   * Default: 2 seconds.
   */
  readonly minDelay?: Duration.Input | undefined
  /** Second requests for each request within 10 minutes, besides one that is always allowed. Default: 0.05. */
  readonly share?: number | undefined
  /**
   * Whether a provider has the model in memory, so that a second request is of use. One that does not answer within 2 seconds
   * counts as without it. Default: unless `provider.model` fails or its `isLoaded` is `false`.
   */
  readonly isLoaded?: ((provider: Provider.Provider, model: string) => Effect.Effect<boolean>) | undefined
}

/**
 * The settings, and who may get the second request.
 *
 * @category options
 */
export interface Options<Alternative = Provider.Provider> extends Settings {
  /**
   * Who may get the second request, in the order of preference: providers, Effects that make one, or layers of one. Default: the provider
   * itself.
   */
  readonly alternatives?: ReadonlyArray<Alternative> | undefined
}

/**
 * Makes a provider that sends a stream's request a second time if its first chunk is late, and delivers the completion that begins
 * first. Fails with `InvalidRequest` if an option is invalid, and as the provider and the alternatives fail.
 *
 * **When to use**
 *
 * With several servers that have the same model in memory, of which one may be busy. A second request to the same server is of
 * use only if it answers several requests at a time.
 *
 * **Details**
 *
 * A completion begins with the first chunk that carries anything: content, thinking, a tool call or the end. The other request's
 * connection is then closed, so no text is delivered twice. Before that, other chunks of the first request, such as prompt
 * progress, are passed on.
 *
 * The second request is sent after `minDelay`, to the first alternative that has the model in memory. If the first request fails
 * before that, its failure is passed on; if it fails later, the second one decides, and if both fail, the failure of the first is
 * passed on. A defect of the first is passed on at once.
 *
 * `provider` of the final chunk is the name of the provider that answered, and so is the attribute `effect_local_llm.provider`
 * of the current span. All other operations are those of the first provider.
 *
 * **Gotchas**
 *
 * - Servers notice a closed connection only at their first token, so the request that is given up still costs its prompt.
 * - A request without a model's name, which leaves it to the defaults of a layer, is never sent twice.
 * - For another name of the model at an alternative, use `Fallback.make([{ provider, model }])` as the alternative.
 *
 * @category constructors
 */
export function make<
  S extends Provider.Source<unknown, unknown>,
  Alternative extends Provider.Source<unknown, unknown> = never
>(
  provider: S,
  options?: Options<Alternative>
): Effect.Effect<
  Provider.Provider,
  ProviderError | Provider.SourceError<S | Alternative>,
  Provider.SourceServices<S | Alternative>
>
export function make(
  provider: Source,
  options: Options<Source> = {}
): Effect.Effect<Provider.Provider, unknown, unknown> {
  return Effect.gen(function* () {
    const { alternatives, ...settings } = yield* OptionSchema.readFor(definition, options, "Hedge")
    const first = yield* Provider.fromSource(provider)
    const others = yield* Effect.forEach(alternatives ?? [first], (each) => Provider.fromSource(each))
    return makeHedging(first, others, settings)
  })
}

type Source = Provider.Source<unknown, unknown>

const definition = OptionSchema.define<Options<Source>>({
  minDelay: OptionSchema.duration,
  share: OptionSchema.amount,
  isLoaded: OptionSchema.fn,
  alternatives: Schema.optional(Schema.Array(OptionSchema.source))
})

const makeHedging = (
  provider: Provider.Provider,
  alternatives: ReadonlyArray<Provider.Provider>,
  options: Settings
): Provider.Provider => {
  const { isLoaded = reportsLoaded, share = 0.05 } = options
  const minDelay = Duration.toMillis(Duration.fromInputUnsafe(options.minDelay ?? "2 seconds"))
  const budget = Budget.make({ share, floor: 1, window: Duration.minutes(10) })
  const waits = makeWaits()

  const findLoaded = Effect.fnUntraced(function* (model: string) {
    for (const alternative of alternatives) {
      const answer = yield* Effect.timeoutOption(isLoaded(alternative, model), askTimeout)
      if (Option.getOrElse(answer, () => false)) return alternative
    }
    return undefined
  })

  const plan = (model: string | undefined, startedAt: number): Commit.Plan<CompletionRequest, Attempt.Completion> => {
    const onCommit = Effect.map(Monotonic.now, (now) => waits.add(model ?? "", now - startedAt))
    const from = ({ name, stream }: Provider.Provider) => ({ name, open: stream, onCommit })
    const second = Effect.fnUntraced(function* (model: string, timeLeft: () => number) {
      yield* Effect.sleep(Math.max(minDelay, waits.percentile(model)))
      const alternative = yield* findLoaded(model)
      if (alternative === undefined || timeLeft() <= 0 || !(yield* budget.take(1))) return undefined
      return from(alternative)
    })
    return {
      acquire: Effect.succeed(from(provider)),
      recover: ({ error }) => Effect.fail(error),
      ...(model !== undefined && { alongside: (timeLeft) => second(model, timeLeft) })
    }
  }

  return Provider.make({
    ...provider,
    stream: (request) => {
      // An invalid request is rejected by the provider.
      const model = Values.isRecord(request) ? request.model : undefined
      return Commit.attempts(
        request,
        Effect.andThen(
          budget.count,
          Effect.map(Monotonic.now, (now) => plan(model, now))
        )
      )
    }
  })
}

/**
 * Provides a `Provider` that sends requests a second time if a completion is late to begin, from another one.
 *
 * **Example** (two machines with the same models)
 *
 * ```ts
 * import { NodeHttpClient } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { Hedge, Ollama } from "effect-local-llm"
 *
 * const live = Hedge.layer({
 *   alternatives: [Ollama.make({ name: "gpu-2", baseUrl: "http://gpu-2:11434" })]
 * }).pipe(
 *   Layer.provide(Ollama.layer({ name: "gpu-1", baseUrl: "http://gpu-1:11434" })),
 *   Layer.provide(NodeHttpClient.layerUndici)
 * )
 * ```
 *
 * @see {@link make} for when that happens.
 * @category layers
 */
export const layer = <Alternative extends Provider.Source<unknown, unknown> = never>(
  options: Options<Alternative> = {}
): Layer.Layer<
  Provider.Provider,
  ProviderError | Provider.SourceError<Alternative>,
  Exclude<Provider.SourceServices<Alternative>, Scope.Scope> | Provider.Provider
> => Layer.effect(Provider.Provider, make(Provider.Provider, options))

/** How long an alternative may take to report whether it has the model in memory. */
const askTimeout = "2 seconds"

const reportsLoaded: NonNullable<Settings["isLoaded"]> = (provider, model) =>
  Effect.match(provider.model(model), { onFailure: () => false, onSuccess: ({ isLoaded }) => isLoaded !== false })

/** How many waits the percentile is taken from, for how many models. */
const maxWaits = 100
const maxModels = 100

/** The recent waits for the first chunk, in milliseconds, for each model. Mutable state. */
const makeWaits = () => {
  /** The model that was used last is the last. */
  const waits = new Map<string, ReadonlyArray<number>>()
  return {
    add: (model: string, millis: number): void => {
      const recent = [...(waits.get(model) ?? []), millis].slice(-maxWaits)
      waits.delete(model)
      waits.set(model, recent)
      for (const oldest of waits.keys()) if (waits.size > maxModels) waits.delete(oldest)
    },
    /** The 95th percentile; 0 without any wait. */
    percentile: (model: string): number => {
      const sorted = (waits.get(model) ?? []).toSorted((a, b) => a - b)
      return sorted[Math.ceil(sorted.length * 0.95) - 1] ?? 0
    }
  }
}
