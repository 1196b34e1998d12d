/**
 * A cache of completions: what was generated once for a request is replayed for equal requests.
 *
 * @category Policies
 * @since 0.3.0
 */
import * as Arr from "effect/Array"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as CompletionRequest from "./CompletionRequest.ts"
import type { Chunks } from "./policies/attempt.ts"
import * as Flights from "./policies/cache/flights.ts"
import * as Store from "./policies/cache/store.ts"
import * as RequestText from "./policies/requestText.ts"
import * as Delivered from "./protocol/delivered.ts"
import * as Provider from "./Provider.ts"
import { NetworkError, ProviderError } from "./ProviderError.ts"
import * as OptionSchema from "./servers/options.ts"
import type { FinalChunk, StreamingChunk } from "./StreamingChunk.ts"
import * as Json from "./values/json.ts"
import { sha256 } from "./values/sha256.ts"
import * as Values from "./values/objects.ts"

/**
 * What is kept, where, and for how long. All fields are optional.
 *
 * @category options
 */
export interface Options<E = never, R = never> {
  /**
   * The store that keeps completions, as an Effect: `KeyValueStore.KeyValueStore`, the service itself, or
   * `Effect.succeed(KeyValueStore.prefix(store, "llm/"))`. Default: the memory of the cache.
   */
  readonly store?: Effect.Effect<KeyValueStore.KeyValueStore, E, R> | undefined
  /** How many completions are kept, 1 or more. The one that was used the longest ago is removed first. Default: 1,000. */
  readonly maxEntries?: number | undefined
  /**
   * How many bytes all of them take, about. Entries of a store that were there before the program count by their number only.
   * Default: 64 MiB.
   */
  readonly maxBytes?: number | undefined
  /** How many bytes one completion takes at most, about. A longer one is delivered and not kept. Default: 1 MiB. */
  readonly maxEntryBytes?: number | undefined
  /** How long a completion is kept. Default: `Infinity`. */
  readonly timeToLive?: Duration.Input | undefined
  /** Options of every completion request that does not set its own. The cache does not know those of the layer of a server. Default: none. */
  readonly defaults?: CompletionRequest.Defaults | undefined
}

/**
 * Makes a provider that generates the completion of a request once, and replays it for equal requests.
 *
 * **When to use**
 *
 * For requests that repeat: tests and evaluations, batches that run again, prompts that many users share.
 *
 * **Details**
 *
 * Only requests with a `model` and with `temperature: 0` or a `seed` are cached: of others, each completion is meant to be another one. All
 * others, embeddings and lists of models are passed on. Two requests are equal if all fields are, tools, `format`, images and `extra`
 * included; `deadlines` and `keepAlive` do not count. The key is a SHA-256 of all fields, so no prompt is in it.
 *
 * What is replayed are the chunks that were generated, each with its text, except those without any, such as prompt progress. The final
 * chunk has its `usage` and `timings`, and `fromCache`. A completion is kept when its final chunk has come and it ended with `stop`,
 * `length` or `tool-calls` and is not empty: never a part of one, and never a failure.
 *
 * Equal requests with equal deadlines that run at the same time share one generation. Who joins gets what has come so far, then each chunk
 * as it comes, and `fromCache`. It runs as fast as the fastest of them reads, at most `maxEntryBytes` before the slowest one. A failure is
 * that of all. It stops, and its connection is closed, when the last of them stops. It runs in the span of the first one.
 *
 * A store that fails, or takes longer than a second, fails no request: the completion is generated, and a warning without its text is
 * logged. What a store has is validated; an invalid entry is generated again.
 *
 * Fails with `InvalidRequest` if an option is invalid, and as the provider and the store fail. At the end of the scope, completions that
 * run fail with `NetworkError`.
 *
 * **Gotchas**
 *
 * - A store has prompts' answers in plain text.
 * - Servers with the same name of a model may have different ones. Give each its own store: `KeyValueStore.prefix`.
 * - Set `timeToLive` if models are replaced under their names.
 *
 * @category constructors
 */
export function make<S extends Provider.Source<unknown, unknown>, E = never, R = never>(
  provider: S,
  options?: Options<E, R>
): Effect.Effect<
  Provider.Provider,
  ProviderError | Provider.SourceError<S> | E,
  Provider.SourceServices<S> | R | Scope.Scope
>
export function make(
  source: Provider.Source<unknown, unknown>,
  options: Options<unknown, unknown> = {}
): Effect.Effect<Provider.Provider, unknown, unknown> {
  return Effect.gen(function* () {
    const valid = yield* OptionSchema.readFor(definition, options, "Cache")
    const { defaults, maxBytes = 64 * 1024 * 1024, maxEntries = 1000, maxEntryBytes = 1024 * 1024 } = valid
    const provider = yield* Provider.fromSource(source)
    const store = yield* Store.make({
      store: valid.store && (yield* valid.store),
      maxEntries,
      maxBytes,
      timeToLive: Duration.toMillis(Duration.fromInputUnsafe(valid.timeToLive ?? Infinity))
    })
    const { name, server } = provider
    const join = Flights.make({
      maxBytes: maxEntryBytes,
      bytesOf,
      forOthers: markAll,
      scope: yield* Effect.scope,
      closed: new ProviderError({
        provider: name,
        server,
        reason: new NetworkError({ description: "the cache is closed" })
      })
    })
    return makeCaching(provider, store, join, defaults)
  })
}

/**
 * Provides a `Provider` that generates the completion of a request once, from another one.
 *
 * **Example** (completions in a folder)
 *
 * ```ts
 * import { NodeFileSystem, NodeHttpClient, NodePath } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { KeyValueStore } from "effect/persistence"
 * import { Cache, Ollama } from "effect-local-llm"
 *
 * const live = Cache.layer({ store: KeyValueStore.KeyValueStore, timeToLive: "1 day" }).pipe(
 *   Layer.provide(Ollama.layer()),
 *   Layer.provide(NodeHttpClient.layerUndici),
 *   Layer.provide(KeyValueStore.layerFileSystem(".cache/answers")),
 *   Layer.provide([NodeFileSystem.layer, NodePath.layer])
 * )
 * ```
 *
 * @see {@link make} for what is cached.
 * @category layers
 */
export const layer = <E = never, R = never>(
  options: Options<E, R> = {}
): Layer.Layer<Provider.Provider, ProviderError | E, Exclude<R, Scope.Scope> | Provider.Provider> =>
  Layer.effect(Provider.Provider, make(Provider.Provider, options))

const definition = OptionSchema.define<Options<unknown, unknown>>({
  store: Schema.optional(
    OptionSchema.is(Effect.isEffect, "an Effect that has the store, such as KeyValueStore.KeyValueStore")
  ),
  maxEntries: OptionSchema.count(1),
  maxBytes: OptionSchema.count(0),
  maxEntryBytes: OptionSchema.count(0),
  timeToLive: OptionSchema.duration,
  defaults: OptionSchema.defaults
})

const makeCaching = (
  provider: Provider.Provider,
  store: Store.Store,
  join: Flights.Join,
  defaults: CompletionRequest.Defaults | undefined
): Provider.Provider =>
  Provider.make({
    ...provider,
    stream: (input) =>
      Stream.suspend(() => {
        const request = CompletionRequest.withDefaults(defaults, input)
        const text = isRepeatable(request) ? RequestText.make(request) : undefined
        if (text === undefined) return provider.stream(request)
        const key = sha256(text)
        return join(`${key} ${Json.stringify(request.deadlines) ?? ""}`, () => {
          let isStored = false
          const chunks = Effect.map(store.get(key), (found) => {
            isStored = found !== undefined
            return found === undefined ? provider.stream(request) : Stream.fromArray(found.map(mark))
          })
          return {
            chunks: Stream.unwrap(chunks),
            onComplete: (all) => {
              const kept = all.flat().filter(Delivered.carries)
              const isKept =
                !isStored && kept.some(hasText) && kept.every((chunk) => !chunk.isFinal || isRegular(chunk))
              return isKept ? store.set(key, kept, bytesOf(kept)) : undefined
            }
          }
        })
      })
  })

/** An invalid request is rejected by the provider. */
const isRepeatable = (request: CompletionRequest.CompletionRequest): boolean =>
  Values.isRecord(request) &&
  typeof request.model === "string" &&
  (request.temperature === 0 || typeof request.seed === "number")

const isRegular = ({ finishReason }: FinalChunk): boolean =>
  finishReason !== "other" && finishReason !== "content-filter"

const hasText = ({ content, toolCalls = [] }: StreamingChunk): boolean => content !== "" || toolCalls.length > 0

const mark = (chunk: StreamingChunk): StreamingChunk => (chunk.isFinal ? { ...chunk, fromCache: true } : chunk)

const markAll = (chunks: Chunks): Chunks => (Arr.lastNonEmpty(chunks).isFinal ? Arr.map(chunks, mark) : chunks)

/** About as many as in memory: a text has one or two for each character, and an object some dozens. */
const bytesOf = (chunks: ReadonlyArray<StreamingChunk>): number => {
  let bytes = 0
  for (const { content, thinking = "", toolCallDeltas, toolCalls } of chunks) {
    bytes += 64 + content.length + thinking.length
    if (toolCalls !== undefined) bytes += Json.stringify(toolCalls)?.length ?? 0
    if (toolCallDeltas !== undefined) bytes += Json.stringify(toolCallDeltas)?.length ?? 0
  }
  return bytes
}
