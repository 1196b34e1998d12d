/**
 * Several gateways that share hosts: their permits, one fair line, and what is known of the hosts.
 *
 * Built on `effect/cluster`, which is unstable in Effect 4.1, so this module is too.
 *
 * @category Policies
 * @since 0.3.0
 */
import type { Sharding } from "effect/cluster/Sharding"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as HttpClient from "effect/http/HttpClient"
import type { HttpServer } from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type { WebSocketConstructor } from "effect/socket/Socket"
import type { SqlClient } from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Connection from "./cluster/connection.ts"
import * as Entity from "./cluster/entity.ts"
import * as ClusterOptions from "./cluster/options.ts"
import * as Protocol from "./cluster/protocol.ts"
import * as ClusterScheduler from "./cluster/scheduler.ts"
import * as ClusterSharding from "./cluster/sharding.ts"
import * as PoolProvider from "./policies/pool/provider.ts"
import * as Pool from "./Pool.ts"
import * as Provider from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"

/**
 * A server that takes part in a cluster.
 *
 * @category options
 */
export interface Host extends ClusterOptions.Host {}

/**
 * The options of the scheduler.
 *
 * @category options
 */
export interface SchedulerOptions extends ClusterOptions.SchedulerOptions {}

/**
 * The options of a gateway.
 *
 * @category options
 */
export interface GatewayOptions extends ClusterOptions.GatewayOptions {}

/**
 * The options of a host that joins.
 *
 * @category options
 */
export interface JoinOptions extends ClusterOptions.JoinOptions {}

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

/** Run for each request that has waited for a host. */
const measureWait = (name: string) => {
  const wait = Metric.withAttributes(Pool.waitSeconds, { pool: name })
  return (seconds: number) => Metric.update(wait, seconds)
}

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
): Layer.Layer<never, ProviderError, Sharding | HttpClient.HttpClient> =>
  Layer.unwrap(
    Effect.map(ClusterOptions.readScheduler(options), ({ name, ...resolved }) =>
      Entity.layer({ ...resolved, onWaited: measureWait(name) })
    )
  )

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
): Layer.Layer<Provider.Provider | Cluster, ProviderError, Sharding | HttpClient.HttpClient> =>
  Layer.effectContext(
    Effect.map(make(options), (cluster) => Context.make(Provider.Provider, cluster).pipe(Context.add(Cluster, cluster)))
  )

const make = Effect.fnUntraced(function* (options: GatewayOptions) {
  const { connect, defaults, name, pool, ...local } = yield* ClusterOptions.readGateway(options)
  const client = (yield* Protocol.Pool.client)(pool)
  const scheduler = yield* ClusterScheduler.make({
    client,
    gateway: (yield* Random.next).toString(36).slice(2),
    connect,
    local: { ...local, onWaited: measureWait(name) }
  })
  const state = yield* SubscriptionRef.make<Pool.State>({ hosts: [], waiting: 0 })
  const own = SubscriptionRef.get(scheduler.queue.state)
  const refresh = Effect.suspend(() =>
    scheduler.isConnected()
      ? Effect.catchCause(Effect.timeout(Connection.abandonable(client.Inspect()), callTimeout), () => own)
      : own
  )
  yield* Effect.forkScoped(
    Effect.repeat(
      Effect.flatMap(refresh, (next) => SubscriptionRef.set(state, next)),
      Schedule.spaced("1 second")
    )
  )
  const cluster: Cluster = {
    ...PoolProvider.make({ name, scheduler }, defaults),
    state,
    isConnected: Effect.sync(scheduler.isConnected)
  }
  return cluster
})

/** The scheduler answers at once if it can be reached. */
const callTimeout = "5 seconds"

/**
 * Lets a host take part in the cluster until it is interrupted. Then the host gets no new requests, and the interruption ends when the
 * answers of the host have ended, or if the scheduler cannot be reached for 5 seconds.
 *
 * **Errors**
 *
 * `InvalidRequest`: an option is invalid, or another host has the name.
 *
 * @category constructors
 */
export const join = Effect.fnUntraced(function* (
  host: Host,
  options: JoinOptions = {}
): Effect.fn.Return<never, ProviderError, Sharding> {
  const { host: member, pool } = yield* ClusterOptions.readJoin(host, options)
  const { name } = member
  const client = (yield* Protocol.Pool.client)(pool)
  const call = <E>(effect: Effect.Effect<boolean, E>) =>
    Effect.catchCause(Effect.timeout(Connection.abandonable(effect), callTimeout), () => Effect.succeed(true))
  const register = Effect.flatMap(call(client.Register({ host: member })), (isFree) =>
    isFree ? Effect.void : ClusterOptions.fail(name, "name", `another host of the pool has the name ${name}`)
  )
  const leave = Effect.repeat(call(client.Leave({ host: name })), {
    until: (hasLeft) => hasLeft,
    schedule: Schedule.spaced("250 millis")
  })
  return yield* Effect.repeat(register, Schedule.spaced("1 second")).pipe(
    Effect.andThen(Effect.never),
    // In a fiber of its own, which is not interrupted.
    Effect.onInterrupt(() => Effect.flatMap(Effect.forkDetach(leave), Fiber.await))
  )
})

/**
 * The cluster of one process, without a database: for a program that is to grow, and for tests.
 *
 * @category layers
 */
export const layerMemory: Layer.Layer<Sharding> = ClusterSharding.memory

/**
 * A process of a cluster that runs no schedulers, such as a gateway. It finds the runners in the database, whose tables it makes, and calls
 * them over websockets. Fails with `SqlError` if the database cannot be used when the process starts; later, it is tried again.
 *
 * @category layers
 */
export const layerClient: Layer.Layer<Sharding, SqlError, SqlClient | WebSocketConstructor> = ClusterSharding.client

/**
 * A process of a cluster that runs schedulers: a runner. It listens on the `HttpServer`, without authentication, so its port must be
 * reachable by the processes of the cluster alone. `address` is where they reach it. Fails as `layerClient` does.
 *
 * @category layers
 */
export const layerRunner: (address: {
  /** A name or an address of this machine, such as `gpu-1`. */
  readonly host: string
  /** The port of the `HttpServer`. */
  readonly port: number
}) => Layer.Layer<Sharding, SqlError, HttpServer | SqlClient | WebSocketConstructor> = ClusterSharding.runner
