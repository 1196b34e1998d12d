/**
 * Limits for each key: requests at once, requests and tokens in a minute.
 *
 * @category Policies
 * @since 0.3.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CompletionRequest } from "./CompletionRequest.ts"
import * as Deadlines from "./Deadlines.ts"
import type { EmbeddingRequest } from "./Embedding.ts"
import * as Limits from "./policies/limits.ts"
import * as Meter from "./policies/meter.ts"
import type { Caller } from "./policies/pool/waitingList.ts"
import * as RequestKey from "./policies/requestKey.ts"
import * as SharedDeadlines from "./policies/sharedDeadlines.ts"
import * as Provider from "./Provider.ts"
import { ProviderError, Timeout } from "./ProviderError.ts"
import * as OptionSchema from "./servers/options.ts"
import * as Monotonic from "./values/monotonic.ts"

/**
 * What a key may have. A field that is absent is no limit.
 *
 * @category models
 */
export interface Limit extends Limits.Limit {}

/**
 * Who is limited, and how.
 *
 * @category options
 */
export interface Options<E = never, R = never> {
  /** The limits of each key, or a function that returns those of a key; `undefined` for none. */
  readonly limits: Limit | ((key: string) => Limit | undefined)
  /** The key of a request. Default: the name of its caller, as `Pool.caller` has it. */
  readonly key?: ((request: CompletionRequest | EmbeddingRequest, caller: Caller) => string) | undefined
  /**
   * What a request does that is over a limit: `fail` with `RateLimited`, or `wait`, in the order of its key, within `firstChunk` and
   * `total` of its deadlines, or 5 minutes. Default: `fail`.
   */
  readonly onExceeded?: "fail" | "wait" | undefined
  /**
   * What counts requests and tokens in a minute, as an Effect: `RateLimiter.RateLimiter`, the service itself, to share them with other
   * processes. Requests at once are those of this process. Default: in memory.
   */
  readonly limiter?: Effect.Effect<RateLimiter.RateLimiter, E, R> | undefined
  /**
   * What happens while the store of the `limiter` fails, or does not answer within a second: requests `fail` with `RateLimited`, or
   * this process counts in `memory`, by itself. Either is logged once. Default: `fail`.
   */
  readonly onStoreError?: "fail" | "memory" | undefined
}

/**
 * Makes a provider that limits the completions and embeddings of each key. All other operations are passed on.
 *
 * **When to use**
 *
 * Where one user, or one part of a program, must not take what the others need. `Pool` shares its hosts fairly without any limit. A
 * gateway limits its keys in the same way.
 *
 * **Details**
 *
 * A request counts from its first pull until its connection is closed. Limits for a minute fill up evenly: with 60 requests in a minute,
 * a key that has used them all may send one more each second. Tokens are known when a completion ends, so a key may exceed its tokens
 * with those requests that run, and then has to make up for it. Of a completion that did not end, each chunk counts as one.
 *
 * A request over a limit fails with `RateLimited`, whose `retryAfter` is when the rate allows it; for requests at once it is a second.
 * The wait of `wait` is a part of the deadlines `firstChunk` and `total` of the request; when one of them passes, it fails with `Timeout`.
 * If the `limiter` fails, requests fail with `RateLimited`, unless `onStoreError` is `memory`. It is asked again a second later.
 *
 * A key that has used nothing for a while takes no memory. Keys are in no error, log or span.
 *
 * Fails with `InvalidRequest` if an option is invalid, and as the provider and the limiter fail.
 *
 * @category constructors
 */
export function make<S extends Provider.Source<unknown, unknown>, E = never, R = never>(
  provider: S,
  options: Options<E, R>
): Effect.Effect<Provider.Provider, ProviderError | Provider.SourceError<S> | E, Provider.SourceServices<S> | R>
export function make(
  source: Provider.Source<unknown, unknown>,
  options: Options<unknown, unknown>
): Effect.Effect<Provider.Provider, unknown, unknown> {
  return Effect.gen(function* () {
    const read = yield* OptionSchema.readFor(definition, options, "Limit")
    const { key, limiter, limits, onExceeded, onStoreError = "fail" } = read
    const provider = yield* Provider.fromSource(source)
    const shared = limiter && { limiter: yield* limiter, onStoreError }
    return makeLimited(provider, yield* Limits.make(shared), {
      keyOf: RequestKey.find(key),
      limitOf: typeof limits === "function" ? (key) => limits(key) ?? {} : () => limits,
      waits: onExceeded === "wait"
    })
  })
}

/**
 * Provides a `Provider` that limits each key, from another one.
 *
 * **Example** (two requests at once for each user)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Limit, Ollama, Pool, Provider } from "effect-local-llm"
 *
 * const live = Limit.layer({ limits: { requestsAtOnce: 2, tokensPerMinute: 20_000 } }).pipe(Layer.provide(Ollama.layer()))
 *
 * const answer = (user: string, prompt: string) =>
 *   Provider.Provider.use((provider) => provider.complete({ model: "llama3.2", prompt })).pipe(
 *     Effect.provideService(Pool.caller, { name: user })
 *   )
 * ```
 *
 * @see {@link make} for what counts.
 * @category layers
 */
export const layer = <E = never, R = never>(
  options: Options<E, R>
): Layer.Layer<Provider.Provider, ProviderError | E, Exclude<R, Scope.Scope> | Provider.Provider> =>
  Layer.effect(Provider.Provider, make(Provider.Provider, options))

const limitFields: OptionSchema.Fields<Limit> = {
  requestsAtOnce: OptionSchema.count(1),
  requestsPerMinute: OptionSchema.count(1),
  tokensPerMinute: OptionSchema.count(1)
}

const definition = OptionSchema.define<Options<unknown, unknown>>(
  {
    limits: Schema.Union([
      Schema.Struct(limitFields),
      OptionSchema.is((u): u is () => unknown => typeof u === "function", "limits, or a function that returns them")
    ]),
    key: OptionSchema.fn,
    onExceeded: Schema.optional(Schema.Literals(["fail", "wait"])),
    limiter: Schema.optional(
      OptionSchema.is(Effect.isEffect, "an Effect that has the limiter, such as RateLimiter.RateLimiter")
    ),
    onStoreError: Schema.optional(Schema.Literals(["fail", "memory"]))
  },
  { limits: limitFields }
)

interface Rules {
  readonly keyOf: (request: CompletionRequest | EmbeddingRequest) => Effect.Effect<string>
  readonly limitOf: (key: string) => Limit
  readonly waits: boolean
}

const makeLimited = (
  provider: Provider.Provider,
  limits: Limits.Limits,
  { keyOf, limitOf, waits }: Rules
): Provider.Provider => {
  const { name, server } = provider
  const toError = (reason: ProviderError["reason"]) => new ProviderError({ provider: name, server, reason })

  /** The request with what is left of its deadlines, and what counts its tokens. */
  const admit = Effect.fnUntraced(function* <Request extends CompletionRequest | EmbeddingRequest>(request: Request) {
    const clock = yield* Clock.Clock
    const deadlines = SharedDeadlines.make(request, ["firstChunk", "total"], () => Monotonic.millisOf(clock))
    const key = yield* keyOf(request)
    const limit = limitOf(key)
    const admitted = Effect.mapError(limits.admit(key, limit, waits), toError)
    if (waits) {
      const { kind, millis } = deadlines.shortest ?? byDefault
      const timeout = toError(
        new Timeout({ kind, limit: Duration.millis(millis), description: "the request waited for a limit of its key" })
      )
      yield* Effect.timeoutOrElse(admitted, { duration: millis, orElse: () => Effect.fail(timeout) })
    } else yield* admitted
    return {
      request: deadlines.remaining(),
      toError: deadlines.toError,
      spend: (tokens: number) => limits.spend(key, limit, tokens)
    }
  })

  return Provider.make({
    ...provider,
    stream: (input) =>
      Stream.unwrap(
        Effect.map(admit(input), ({ request, spend, toError }) =>
          Meter.make(Stream.mapError(provider.stream(request), toError), (metered) => spend(Meter.tokensOf(metered)))
        )
      ),
    embed: (input) =>
      Effect.scoped(
        Effect.flatMap(admit(input), ({ request, spend, toError }) =>
          Effect.tap(Effect.mapError(provider.embed(request), toError), ({ promptTokens = 0 }) => spend(promptTokens))
        )
      )
  })
}

/** Of a request without deadlines of its own. */
const byDefault = { kind: "first-chunk", millis: Deadlines.resolve().firstChunk } as const
