/**
 * Several gateways that share hosts: their permits, one fair line, and what is known of the hosts.
 *
 * Built on `effect/cluster`, which is unstable in Effect 4.1, so this module is too.
 *
 * @category Policies
 * @since 0.3.0
 */
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as Runners from "effect/cluster/Runners"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as Sharding from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Entity from "./cluster/entity.ts"
import * as Protocol from "./cluster/protocol.ts"
import * as ClusterScheduler from "./cluster/scheduler.ts"
import type { Defaults } from "./CompletionRequest.ts"
import * as PoolOptions from "./policies/pool/options.ts"
import * as PoolProvider from "./policies/pool/provider.ts"
import * as Pool from "./Pool.ts"
import * as Provider from "./Provider.ts"
import { InvalidRequest, ProviderError } from "./ProviderError.ts"
import * as Servers from "./servers/servers.ts"

/**
 * A server that takes part in a cluster.
 *
 * @category options
 */
export interface Host {
  /** Its address, such as `http://gpu-1:11434`, by which the gateways and the runners reach it. */
  readonly url: string
  /** What it is. */
  readonly kind: Servers.Kind
  /** Its name in `state`, in errors and in the final chunk, different from those of other hosts. Default: its `url`. */
  readonly name?: string | undefined
  /** How many requests it answers at the same time, 1 or more, whichever gateways they come from. Default: 4. */
  readonly permits?: number | undefined
  /** Whether a request for another model waits until the answers of the first have ended. Default: `true` for LM Studio, otherwise `false`. */
  readonly oneModelAtATime?: boolean | undefined
}

/**
 * The options that a gateway and the scheduler of its cluster have in common.
 *
 * @category options
 */
export interface Options extends Omit<PoolOptions.Settings, "defaults" | "permits"> {
  /** Which hosts: those that have joined this pool. Default: `default`. */
  readonly pool?: string | undefined
  /**
   * Makes the provider of a host. Default: that of its kind, with the token of its variable, such as `OLLAMA_API_KEY`. Tokens are
   * not sent through the cluster.
   */
  readonly connect?:
    | ((
        host: Host & { readonly name: string }
      ) => Effect.Effect<Provider.Provider, ProviderError, HttpClient.HttpClient>)
    | undefined
}

/**
 * The options of the scheduler.
 *
 * @category options
 */
export interface SchedulerOptions extends Options {
  /**
   * How long a scheduler that starts waits before it gives hosts to requests, so that the gateways can tell it what they have if it
   * takes the place of another one. Default: 2 seconds.
   */
  readonly takeoverDelay?: Duration.Input | undefined
}

/**
 * The options of a gateway.
 *
 * @category options
 */
export interface GatewayOptions extends Options {
  /** Options of every completion request that does not set its own, deadlines included. Default: none. */
  readonly defaults?: Defaults | undefined
}

/**
 * A `Provider` whose requests go to the hosts of a cluster.
 *
 * @category services
 */
export interface Cluster extends Provider.Provider {
  /** The hosts and the number of requests that wait, of all gateways, at most a second old. To be read only. */
  readonly state: SubscriptionRef.SubscriptionRef<Pool.State>
  /** Whether the scheduler can be reached. If not, the gateway uses its share of the permits by itself. */
  readonly isConnected: Effect.Effect<boolean>
}

/**
 * @category services
 */
export const Cluster = Context.Service<Cluster>("effect-local-llm/Cluster")

const resolve = ({ connect, pool = "default", ...settings }: Options) =>
  Effect.gen(function* () {
    const { abandonedMillis, maxWaiting, name, unloadHanging } = yield* PoolOptions.resolve({ ...settings, hosts: [] })
    const wait = Metric.withAttributes(Pool.waitSeconds, { pool: name })
    const context = yield* Effect.context<HttpClient.HttpClient>()
    return {
      pool,
      name,
      connect: (host: Protocol.Host) => Effect.provideContext((connect ?? connectByKind)(host), context),
      local: { abandonedMillis, maxWaiting, unloadHanging, onWaited: (seconds: number) => Metric.update(wait, seconds) }
    }
  })

const connectByKind = ({ kind, name, url }: Protocol.Host) =>
  Servers.connect(kind, { url, name }).pipe(
    Effect.map(({ service }) => service.provider),
    Effect.catchTag("ConfigError", ({ message }) =>
      Effect.fail(
        new ProviderError({ provider: name, reason: new InvalidRequest({ field: "token", description: message }) })
      )
    )
  )

/**
 * Runs the scheduler of a pool where `effect/cluster` places it: on one of the runners that have this layer. Fails with `InvalidRequest`
 * if an option is invalid.
 *
 * **Details**
 *
 * The scheduler has the line, the permits and what is known of all hosts of the pool, as a `Pool` has. Requests of all gateways wait in
 * its line, fairly by `Pool.caller`. Prompts and completions do not pass through it: gateways send the hashes of the blocks of a prompt, and
 * stream from the hosts themselves. If its runner ends, another one takes over, and the gateways tell it what they have. A gateway that
 * is silent for 5 seconds has ended, and its permits are free. A host that does not register for 15 seconds has left.
 *
 * @category layers
 */
export const layerScheduler = (
  options: SchedulerOptions = {}
): Layer.Layer<never, ProviderError, Sharding.Sharding | HttpClient.HttpClient> => {
  const { takeoverDelay = "2 seconds", ...settings } = options
  const takeoverMillis = Duration.toMillis(Duration.fromInputUnsafe(takeoverDelay))
  return Layer.unwrap(
    Effect.map(resolve(settings), ({ connect, local }) => Entity.layer({ ...local, connect, takeoverMillis }))
  )
}

/**
 * Provides `Provider` and `Cluster`: each request goes to a host that the scheduler of the pool names. Fails with `InvalidRequest` if an
 * option is invalid.
 *
 * **Details**
 *
 * If the scheduler cannot be reached for 2 seconds, the gateway gives the hosts to its requests by itself, with its share of the permits:
 * the permits of a host divided by the number of gateways, 1 at least. So requests go on without runners and without the database.
 * Answers that run are not touched when the scheduler is lost and comes back.
 *
 * **Errors** are those of `Pool`.
 *
 * @category layers
 */
export const layer = (
  options: GatewayOptions = {}
): Layer.Layer<Provider.Provider | Cluster, ProviderError, Sharding.Sharding | HttpClient.HttpClient> =>
  Layer.effectContext(
    Effect.map(make(options), (cluster) => Context.make(Provider.Provider, cluster).pipe(Context.add(Cluster, cluster)))
  )

const make = Effect.fnUntraced(function* ({ defaults, ...options }: GatewayOptions) {
  const { connect, local, name, pool } = yield* resolve(options)
  const client = (yield* Protocol.Pool.client)(pool)
  const scheduler = yield* ClusterScheduler.make({
    client,
    gateway: (yield* Random.next).toString(36).slice(2),
    name,
    connect,
    local
  })
  const state = yield* SubscriptionRef.make<Pool.State>({ hosts: [], waiting: 0 })
  const refresh = Effect.flatMap(
    Effect.catch(client.Inspect(), () => SubscriptionRef.get(scheduler.queue.state)),
    (next) => SubscriptionRef.set(state, next)
  )
  yield* Effect.forkScoped(Effect.repeat(refresh, Schedule.spaced("1 second")))
  const cluster: Cluster = {
    ...PoolProvider.make({ name, scheduler }, defaults),
    state,
    isConnected: Effect.sync(scheduler.isConnected)
  }
  return cluster
})

/**
 * Lets a host take part in the cluster until it is interrupted. Then the host gets no new requests, and the effect ends when the answers of
 * the host have ended. Fails with `InvalidRequest` if another host has the name.
 *
 * @category constructors
 */
export const join = Effect.fnUntraced(function* (
  host: Host,
  { pool = "default" }: Pick<Options, "pool"> = {}
): Effect.fn.Return<never, ProviderError, Sharding.Sharding> {
  const client = (yield* Protocol.Pool.client)(pool)
  const { name = host.url, permits = 4 } = host
  const taken = new InvalidRequest({ field: "name", description: `another host of the pool has the name ${name}` })
  const register = Effect.flatMap(
    Effect.orElseSucceed(client.Register({ host: { ...host, name, permits } }), () => true),
    (isFree) => (isFree ? Effect.void : Effect.fail(new ProviderError({ provider: name, reason: taken })))
  )
  return yield* Effect.repeat(register, Schedule.spaced("1 second")).pipe(
    Effect.andThen(Effect.never),
    Effect.onInterrupt(() => Effect.ignore(client.Leave({ host: name })))
  )
})

/**
 * The cluster of one process, without a database: for a program that is to grow, and for tests.
 *
 * @category layers
 */
export const layerMemory: Layer.Layer<Sharding.Sharding> = Sharding.layer.pipe(
  Layer.provide(Runners.layerNoop),
  Layer.provide([MessageStorage.layerNoop, RunnerStorage.layerMemory, RunnerHealth.layerNoop]),
  Layer.provide(ShardingConfig.layer({ simulateRemoteSerialization: false }))
)
