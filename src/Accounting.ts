/**
 * How many requests and tokens each key, model and provider has used.
 *
 * @category Policies
 * @since 0.3.0
 */
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type * as SubscriptionRef from "effect/SubscriptionRef"
import type { CompletionRequest } from "./CompletionRequest.ts"
import type { EmbeddingRequest } from "./Embedding.ts"
import * as Meter from "./policies/meter.ts"
import * as ComputedRef from "./policies/pool/computedRef.ts"
import type { Caller } from "./policies/pool/waitingList.ts"
import * as RequestKey from "./policies/requestKey.ts"
import * as Provider from "./Provider.ts"
import { ProviderError } from "./ProviderError.ts"
import * as OptionSchema from "./servers/options.ts"
import type { Usage } from "./StreamingChunk.ts"
import * as Values from "./values/objects.ts"

/**
 * What requests are counted by.
 *
 * @category models
 */
export interface Series {
  /** The key of the requests. */
  readonly key: string
  /** The model that answered, or else the one that was requested. */
  readonly model: string
  /** The name of the provider that answered or failed, also behind a `Pool` or a `Fallback`. */
  readonly provider: string
}

/**
 * One request for a completion or an embedding, when it has ended.
 *
 * @category models
 */
export interface Entry extends Series {
  /** `stopped`: by its consumer, before the final chunk. */
  readonly outcome: "completed" | "stopped" | "failed"
  /**
   * The tokens that the server reported. Of a completion that was not completed, the tokens of its prompt that the server had read, if it
   * reported progress. Nothing is estimated.
   */
  readonly usage: Usage
  /** How many chunks came before the final one. Most servers send a chunk for each token. */
  readonly chunks: number
  /** Whether it came from `Cache`. Its tokens are those of the request that generated it, and `Total` does not count them again. */
  readonly fromCache: boolean
}

/**
 * The requests of one series that have ended, and their tokens.
 *
 * @category models
 */
export interface Total extends Series {
  /** All requests. */
  readonly requests: number
  /** Those that were stopped by their consumers. */
  readonly stopped: number
  /** Those that failed. */
  readonly failed: number
  /** Those that came from `Cache`. */
  readonly fromCache: number
  /** Tokens of prompts and of embedded texts, cached ones included. */
  readonly promptTokens: number
  /** Generated tokens, thinking included. */
  readonly completionTokens: number
  /** Tokens of prompts that the servers had in their caches. A part of `promptTokens`. */
  readonly cachedTokens: number
  /** Generated tokens that are thinking. A part of `completionTokens`. */
  readonly reasoningTokens: number
  /** Chunks of completions whose generated tokens no server reported, such as stopped ones: about one token each. */
  readonly uncountedChunks: number
}

/**
 * How requests are counted. All fields are optional.
 *
 * @category options
 */
export interface Options {
  /** The key of a request. Default: the name of its caller, as `Pool.caller` has it. */
  readonly key?: ((request: CompletionRequest | EmbeddingRequest, caller: Caller) => string) | undefined
  /** Run when a request has ended, before its stream ends. It should be fast, or only put the entry into a queue. */
  readonly onUsage?: ((record: Entry) => Effect.Effect<void>) | undefined
  /** How many series are counted, 1 or more. Further ones are counted together, with `_OTHER` as their names. Default: 1,000. */
  readonly maxSeries?: number | undefined
}

/**
 * A `Provider` that counts requests and tokens.
 *
 * @category services
 */
export interface Accounting extends Provider.Provider {
  /** The totals since the beginning, now (`SubscriptionRef.get`) and after each request (`SubscriptionRef.changes`). To be read only. */
  readonly totals: SubscriptionRef.SubscriptionRef<ReadonlyArray<Total>>
}

/**
 * @category services
 */
export const Accounting = Context.Service<Accounting>("effect-local-llm/Accounting")

/**
 * Makes a provider that counts its requests for completions and embeddings.
 *
 * **Details**
 *
 * A request counts when it ends: completed, failed, or stopped by its consumer. Only numbers that servers report are added up. What no
 * server reports, as for a completion that was stopped, is counted in chunks, apart.
 *
 * Outside of `Cache` it counts the requests of the program, and those that came from the cache without tokens. Outside of `Retry`, an
 * attempt that failed before its first text is a part of its request; inside, it is one of its own.
 *
 * Fails with `InvalidRequest` if an option is invalid, and as the provider fails.
 *
 * @category constructors
 */
export function make<S extends Provider.Source<unknown, unknown>>(
  provider: S,
  options?: Options
): Effect.Effect<Accounting, ProviderError | Provider.SourceError<S>, Provider.SourceServices<S>>
export function make(
  source: Provider.Source<unknown, unknown>,
  options: Options = {}
): Effect.Effect<Accounting, unknown, unknown> {
  return Effect.gen(function* () {
    const { key, maxSeries = 1000, onUsage } = yield* OptionSchema.readFor(definition, options, "Accounting")
    const provider = yield* Provider.fromSource(source)
    const sums = makeSums(maxSeries)
    const totals = yield* ComputedRef.make<ReadonlyArray<Total>>([], sums.all)
    const record = (entry: Entry): Effect.Effect<void> =>
      Effect.suspend(() => {
        sums.add(entry)
        totals.change()
        return onUsage?.(entry) ?? Effect.void
      })
    return { ...makeCounting(provider, RequestKey.find(key), record), totals: totals.ref }
  })
}

/**
 * Provides `Provider` and `Accounting`, from another `Provider`.
 *
 * **Example** (the tokens of each caller)
 *
 * ```ts
 * import { Console, Effect, Layer, SubscriptionRef } from "effect"
 * import { Accounting, Ollama } from "effect-local-llm"
 *
 * const live = Accounting.layer({
 *   onUsage: ({ key, model, usage }) => Console.log(key, model, usage.promptTokens, usage.completionTokens)
 * }).pipe(Layer.provide(Ollama.layer()))
 *
 * const totals = Effect.flatMap(Accounting.Accounting, ({ totals }) => SubscriptionRef.get(totals))
 * ```
 *
 * @see {@link make} for what counts.
 * @category layers
 */
export const layer = (
  options: Options = {}
): Layer.Layer<Provider.Provider | Accounting, ProviderError, Provider.Provider> =>
  Layer.effectContext(
    Effect.map(make(Provider.Provider, options), (accounting) =>
      Context.make(Provider.Provider, accounting).pipe(Context.add(Accounting, accounting))
    )
  )

const definition = OptionSchema.define<Options>({
  key: OptionSchema.fn,
  onUsage: OptionSchema.fn,
  maxSeries: OptionSchema.count(1)
})

const makeCounting = (
  provider: Provider.Provider,
  keyOf: (request: CompletionRequest | EmbeddingRequest) => Effect.Effect<string>,
  record: (entry: Entry) => Effect.Effect<void>
): Provider.Provider => {
  const toSeries = (request: CompletionRequest | EmbeddingRequest, key: string, error?: ProviderError): Series => ({
    key,
    // The request may be invalid.
    model: Values.isRecord(request) && typeof request.model === "string" ? request.model : "",
    provider: error?.provider ?? provider.name
  })
  return Provider.make({
    ...provider,
    stream: (request) =>
      Stream.unwrap(
        Effect.map(keyOf(request), (key) =>
          Meter.make(provider.stream(request), ({ chunks, final, outcome, usage }) => {
            const error = outcome instanceof ProviderError ? outcome : undefined
            const series = toSeries(request, key, error)
            return record({
              key,
              model: final?.model ?? series.model,
              provider: final?.provider ?? series.provider,
              outcome: error !== undefined ? "failed" : final === undefined ? "stopped" : "completed",
              usage,
              chunks,
              fromCache: final?.fromCache === true
            })
          })
        )
      ),
    embed: (request) =>
      Effect.flatMap(keyOf(request), (key) => {
        const rest = { chunks: 0, fromCache: false } as const
        return Effect.onExit(provider.embed(request), (exit) => {
          if (exit._tag === "Success") {
            const { model, promptTokens, provider: name = provider.name } = exit.value
            const usage = promptTokens === undefined ? {} : { promptTokens }
            return record({ key, model, provider: name, outcome: "completed", usage, ...rest })
          }
          const error = Cause.findErrorOption(exit.cause)
          const series = toSeries(request, key, Option.getOrUndefined(error))
          return record({ ...series, outcome: Option.isSome(error) ? "failed" : "stopped", usage: {}, ...rest })
        })
      })
  })
}

const makeSums = (maxSeries: number) => {
  const sums = new Map<string, { -readonly [Field in keyof Total]: Total[Field] }>()
  const find = (series: Series) => {
    const text = JSON.stringify(series)
    const found = sums.get(text)
    if (found !== undefined) return found
    const zero = {
      requests: 0,
      stopped: 0,
      failed: 0,
      fromCache: 0,
      promptTokens: 0,
      completionTokens: 0,
      cachedTokens: 0,
      reasoningTokens: 0,
      uncountedChunks: 0
    }
    const isOther = sums.size >= maxSeries
    const name = isOther ? "_OTHER" : text
    const sum = sums.get(name) ?? { ...(isOther ? other : series), ...zero }
    sums.set(name, sum)
    return sum
  }
  return {
    all: (): ReadonlyArray<Total> => Array.from(sums.values(), (sum) => ({ ...sum })),
    add: ({ chunks, fromCache, key, model, outcome, provider, usage }: Entry): void => {
      const sum = find({ key, model, provider })
      sum.requests++
      if (outcome === "stopped") sum.stopped++
      if (outcome === "failed") sum.failed++
      if (fromCache) {
        sum.fromCache++
        return
      }
      sum.promptTokens += usage.promptTokens ?? 0
      sum.completionTokens += usage.completionTokens ?? 0
      sum.cachedTokens += usage.cachedTokens ?? 0
      sum.reasoningTokens += usage.reasoningTokens ?? 0
      if (usage.completionTokens === undefined) sum.uncountedChunks += chunks
    }
  }
}

const other: Series = { key: "_OTHER", model: "_OTHER", provider: "_OTHER" }
