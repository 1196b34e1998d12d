/**
 * Many hosts behind one `Provider`: each request goes to the host that is likely to answer it first.
 *
 * @category Policies
 * @since 0.3.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as SubscriptionRef from "effect/SubscriptionRef"
import * as BaseUrl from "./values/baseUrl.ts"
import type * as HostOf from "./policies/pool/host.ts"
import * as Membership from "./policies/pool/membership.ts"
import * as PoolOptions from "./policies/pool/options.ts"
import * as PoolProvider from "./policies/pool/provider.ts"
import type * as Queue from "./policies/pool/queue.ts"
import * as Scheduler from "./policies/pool/scheduler.ts"
import * as WaitingList from "./policies/pool/waitingList.ts"
import * as Ollama from "./Ollama.ts"
import * as Provider from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"

/**
 * A server of a pool.
 *
 * @category options
 */
export interface Host<E = never, R = never> extends PoolOptions.HostOptions<E, R> {}

/**
 * The hosts of a pool, and how it treats them.
 *
 * @category options
 */
export interface Options<E = never, R = never> extends PoolOptions.PoolOptions<E, R> {}

/**
 * One host of a pool, as its `state` reports it.
 *
 * @category models
 */
export interface HostState extends Queue.HostState {}

/**
 * What the `state` of a pool reports.
 *
 * @category models
 */
export interface State extends Queue.State {}

/**
 * When a host would send the first chunk of a request, in milliseconds, with the parts that it consists of.
 *
 * @category models
 */
export interface Prediction extends HostOf.Prediction {}

/**
 * Who sends requests.
 *
 * @category models
 */
export interface Caller extends WaitingList.Caller {}

/**
 * The caller of the requests that run with it: `Effect.provideService(program, Pool.caller, { name: "reports", priority: "batch" })`.
 * Requests that wait are served fairly by caller: those with requests that wait take turns by their weights, in which a request counts by
 * the length of its prompt, not by the time that it takes. Default: one caller without a name.
 *
 * @category references
 */
export const caller: Context.Reference<Caller> = WaitingList.Caller

/**
 * A `Provider` that gives each request to one of its hosts.
 *
 * **Details**
 *
 * A request goes to the host that is expected to send its first chunk the earliest. What is expected is the sum of
 * - the wait for a permit, by the age of the requests that run and the time that completions take,
 * - the time to read the prompts of the requests before it,
 * - the time to load the model if it is not in memory, and to load the one again that others use and that would be dropped for it,
 * - the time to read those tokens of its prompt that are not in the cache of the host, and more if other requests wait,
 * - 30 seconds if the request has failed there.
 *
 * The times are learned for each host and model. What is cached follows from the prompts that the host has read, and from the
 * `cachedTokens` that it reports. The parts are in `state`, and in the attributes `effect_local_llm.pool.…` of the current span.
 *
 * A host answers at most `permits` requests at the same time. If a busy host is expected to be earlier than a free one, or if none is free,
 * the request waits: at most four times as long as expected, and within `deadlines.firstChunk` and `deadlines.total`, or 5 minutes without
 * those. Requests that wait are served fairly by `caller`. A request that was given up before its first chunk still counts as a prompt
 * to read for up to `abandonedFor`.
 *
 * Hosts that lack the model are left out. A host that may have models that it does not list (`hasUnlistedModels`) gets a request
 * for such a model if no other host has it. Hosts whose context seems too small for the prompt are left out unless all are. On hosts with
 * `oneModelAtATime`, a request for another model waits until the requests for the first have ended; after 5 seconds one of these hosts
 * gets no further requests until then. A large input of `embed` is split into batches, each with a permit of its own.
 *
 * A request that fails with `NetworkError`, `RateLimited`, status 503 or `ModelNotAvailable`, or because its prompt does not fit,
 * goes to another host at once, but only before its first chunk that carries anything: content, thinking, a tool call or the end.
 * After that it never does, so no text is delivered twice. Chunks before it, such as prompt progress, may repeat. If established
 * connections to two hosts were closed before such a chunk, the request may have taken them down, and is not sent again.
 * The attempts of `Retry`, `Hedge` and `Fallback` around a pool count as one request. No two of them are on one host at a time.
 *
 * A host is off after 5 failures in a row, or if fewer than 80 % of 5 or more requests in 30 seconds succeed: for half a second, then
 * twice as long each time, up to 5 minutes. It comes back when it lists its models. If all suitable hosts are off, requests wait for those
 * that have been off for less than 30 seconds. Requests that are wrong or too large, busy servers (429, or 503 with `Retry-After`) and
 * consumers that stop are no failures of a host.
 *
 * With `health`, pools of several processes tell each other which hosts are off, and which are back. A pool probes by itself what it
 * hears of, after half a second. While the store fails, that is logged once, and each pool finds out by itself.
 *
 * A server may call it its own fault what is one of the request. So if the same request fails in the same way on a second host within 30
 * seconds, neither failure counts, a host that was off for it is back, and no third host gets the request. Connections that fail and
 * deadlines that pass always count. A host is off for one model alone after 3 requests for it in a row without a first chunk in time, if
 * the host still lists its models; otherwise all of it is off. The model gets requests again after 5 seconds, then after twice as long
 * each time, or as soon as the pool has unloaded it (`unloadHanging`).
 *
 * **Errors** of the pool itself, with its name:
 * - `RateLimited`: `maxWaiting` requests wait already. `retryAfter` is the expected wait, after those that the caller was refused before.
 * - `Timeout`: the deadline passed while the request waited.
 * - `ModelNotAvailable`, `ContextOverflow`: no host has the model, or a context that is large enough.
 * - `AllProvidersFailed`: the request has taken down two hosts, or all suitable hosts are off and none of their errors is retryable.
 * - `NetworkError`: the pool has no hosts, or it was closed.
 *
 * If several hosts failed before such a chunk, or all are off, the error is that of one of them, a retryable one if there is any. It has
 * the name of the host, as all errors of hosts have.
 *
 * @category services
 */
export interface Pool extends Provider.Provider {
  /**
   * The hosts and the number of requests that wait, now and after each change. To be read only.
   *
   * **Gotchas**
   *
   * `SubscriptionRef.changes` keeps every change until its consumer takes it. A consumer that is slower than the changes should
   * have the latest one alone: `Stream.buffer(changes, { capacity: 1, strategy: "sliding" })`.
   */
  readonly state: SubscriptionRef.SubscriptionRef<State>
  /**
   * Gives no new requests to a host, waits until its answers have ended, and removes it. Fails with `InvalidRequest` if there is
   * no host of that name. If it is interrupted, the host stays without new requests.
   */
  readonly drain: (host: string) => Effect.Effect<void, ProviderError>
  /** Adds a host. Fails with `InvalidRequest` if its name is taken. */
  readonly add: <E = never, R = never>(
    host: Host<E, R>
  ) => Effect.Effect<void, ProviderError | E, Exclude<R, Scope.Scope>>
}

/**
 * @category services
 */
export const Pool = Context.Service<Pool>("effect-local-llm/Pool")

/**
 * How long requests wait for a host, in seconds, with the name of the pool as the attribute `pool`. Each wait counts, however it
 * ends; a request that gets a host at once counts with 0.
 *
 * @category metrics
 */
export const waitSeconds: Metric.Histogram<number> = Metric.histogram("local_llm_pool_wait_seconds", {
  description: "How long requests wait for a host of a pool, in seconds",
  boundaries: [0, 0.01, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300],
  attributes: { unit: "s" }
})

/**
 * Makes a pool that lives as long as the scope. At its end, requests that wait fail with `NetworkError`. Fails with
 * `InvalidRequest` if an option is invalid, and as the Effects and layers fail that make the providers. Sends nothing.
 *
 * @category constructors
 */
export const make = Effect.fnUntraced(function* <E = never, R = never>(
  options: Options<E, R>
): Effect.fn.Return<Pool, ProviderError | E, R | Scope.Scope> {
  const { abandonedMillis, defaults, maxWaiting, name, permits, unloadHanging } = yield* PoolOptions.resolve(options)
  const scope = yield* Effect.scope
  const wait = Metric.withAttributes(waitSeconds, { pool: name })
  const scheduler = yield* Scheduler.make({
    health: options.health,
    maxWaiting,
    unloadHanging,
    onWaited: (seconds) => Metric.update(wait, seconds)
  })
  const { queue } = scheduler

  const { add, drain, keep } = Membership.make({ abandonedMillis, name, permits, queue, scope })
  yield* Stream.isStream(options.hosts)
    ? Membership.follow(options.hosts, { keep, queue, name })
    : Effect.forEach(options.hosts, add, { discard: true })

  return { ...PoolProvider.make({ name, scheduler }, defaults), state: queue.state, drain, add }
})

/**
 * Provides `Provider` and `Pool`.
 *
 * **Example** (two machines, and one that answers a single request at a time)
 *
 * ```ts
 * import { NodeHttpClient } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { LmStudio, Ollama, Pool } from "effect-local-llm"
 *
 * const live = Pool.layer({
 *   hosts: [
 *     { provider: Ollama.make({ baseUrl: "http://gpu-1:11434" }), name: "gpu-1" },
 *     { provider: Ollama.make({ baseUrl: "http://gpu-2:11434" }), name: "gpu-2" },
 *     { provider: LmStudio.make({ baseUrl: "http://desk:1234" }), name: "desk", permits: 1 }
 *   ],
 *   defaults: { model: "llama3.2", deadlines: { firstChunk: "2 minutes" } }
 * }).pipe(Layer.provide(NodeHttpClient.layerUndici))
 * ```
 *
 * @category layers
 */
export const layer = <E = never, R = never>(
  options: Options<E, R>
): Layer.Layer<Provider.Provider | Pool, ProviderError | E, Exclude<R, Scope.Scope>> => toLayer(make(options))

const toLayer = <E, R>(pool: Effect.Effect<Pool, E, R>) =>
  Layer.effectContext(Effect.map(pool, (pool) => Context.make(Provider.Provider, pool).pipe(Context.add(Pool, pool))))

/**
 * The options of `layerConfig`: those of a pool, with addresses of Ollama servers as its hosts.
 *
 * @category options
 */
export interface ConfigOptions extends PoolOptions.ConfigOptions {}

/**
 * A pool of Ollama servers from the configuration. By default `urls` comes from `OLLAMA_HOSTS`, such as `gpu-1,gpu-2:11434`, and
 * `token` from `OLLAMA_API_KEY`, which is optional. Each host has its address as its name.
 *
 * **Example** (hosts that answer one request at a time)
 *
 * ```ts
 * import { NodeHttpClient } from "@effect/platform-node"
 * import { Config, Layer } from "effect"
 * import { Pool } from "effect-local-llm"
 *
 * const live = Pool.layerConfig({ permits: Config.succeed(1), defaults: { model: Config.String("MODEL") } }).pipe(
 *   Layer.provide(NodeHttpClient.layerUndici)
 * )
 * ```
 *
 * @category layers
 */
export const layerConfig = (
  config: Config.Wrap<ConfigOptions> = {}
): Layer.Layer<Provider.Provider | Pool, Config.ConfigError | ProviderError, HttpClient.HttpClient> =>
  toLayer(
    Effect.flatMap(Effect.flatMap(readConfig(config), PoolOptions.readConfig), ({ token, urls = [], ...options }) =>
      make({
        ...options,
        hosts: urls.flatMap((url, index) => (url.trim() === "" ? [] : [{ provider: makeOllama(url, index, token) }]))
      })
    )
  )

/** The name of a host is its address. An invalid one may contain a password, so the error has another name. */
const makeOllama = (url: string, index: number, token: ConfigOptions["token"]) => {
  const baseUrl = BaseUrl.fromOllamaHost(url)
  return Effect.catchReason(
    Ollama.make({ baseUrl, token, name: baseUrl }),
    "ProviderError",
    "InvalidRequest",
    (reason, error) =>
      Effect.fail(reason.field === "baseUrl" ? PoolOptions.invalid(`urls[${index}]`, reason.description) : error)
  )
}

const readConfig = (
  config: Config.Wrap<ConfigOptions>
): Effect.Effect<ConfigOptions, Config.ConfigError | ProviderError> =>
  Effect.flatMap(PoolOptions.readWrapped(config), (config) =>
    Config.isConfig(config)
      ? Config.unwrap<ConfigOptions>(config)
      : Config.unwrap<ConfigOptions>({
          urls: Config.Array(Schema.String, "OLLAMA_HOSTS"),
          token: Config.map(Config.option(Config.Redacted("OLLAMA_API_KEY")), Option.getOrUndefined),
          ...config
        })
  )
