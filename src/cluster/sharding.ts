/** How the processes of a cluster find each other: runners in a database, calls over websockets. */
import * as HttpRunner from "effect/cluster/HttpRunner"
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as RunnerAddress from "effect/cluster/RunnerAddress"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as Runners from "effect/cluster/Runners"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as Sharding from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as SqlRunnerStorage from "effect/cluster/SqlRunnerStorage"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as RpcSerialization from "effect/rpc/RpcSerialization"
import type * as Socket from "effect/socket/Socket"
import type * as SqlClient from "effect/sql/SqlClient"
import type { SqlError } from "effect/sql/SqlError"

/** Where a runner is reached by the others. */
export interface Address {
  readonly host: string
  readonly port: number
}

/** All processes of a cluster need the same shards. Each pool is one entity, so a few are enough. */
const config = (address: Address | undefined) =>
  ShardingConfig.layer({
    runnerAddress: Option.map(Option.fromUndefinedOr(address), ({ host, port }) => RunnerAddress.make(host, port)),
    shardsPerGroup: 16,
    runnerHealthCheckInterval: "1 second",
    refreshAssignmentsInterval: "1 second",
    shardLockRefreshInterval: "2 seconds",
    // The streams of gateways never end by themselves.
    entityTerminationTimeout: "1 second",
    simulateRemoteSerialization: false
  })

/** A runner that does not answer three pings has ended. The check of Effect takes a minute for that. */
const health = Layer.effect(
  RunnerHealth.RunnerHealth,
  Effect.map(Runners.Runners, ({ ping }) => ({
    isAlive: (address) => ping(address).pipe(Effect.timeout("1 second"), Effect.retry({ times: 2 }), Effect.isSuccess)
  }))
)

const storage = SqlRunnerStorage.layerWith({ prefix: "local_llm" })

/** What calls runners, and is none. */
export const client: Layer.Layer<Sharding.Sharding, SqlError, SqlClient.SqlClient | Socket.WebSocketConstructor> =
  HttpRunner.layerWebsocketClientOnly.pipe(
    Layer.provide([MessageStorage.layerNoop, storage, RpcSerialization.layerNdjson]),
    Layer.provide(config(undefined))
  )

/** What runs entities. It listens on the server, which others reach at the address. */
export const runner = (
  address: Address
): Layer.Layer<
  Sharding.Sharding,
  SqlError,
  HttpServer.HttpServer | SqlClient.SqlClient | Socket.WebSocketConstructor
> =>
  HttpRouter.serve(HttpRunner.layerWebsocketOptions({ path: "/" }), {
    disableLogger: true,
    disableListenLog: true
  }).pipe(
    Layer.provide(health),
    Layer.provide(Runners.layerRpc),
    Layer.provide(HttpRunner.layerClientProtocolWebsocketDefault),
    Layer.provide([MessageStorage.layerNoop, storage, RpcSerialization.layerNdjson]),
    Layer.provide(config(address))
  )

/** One process, without a database. */
export const memory: Layer.Layer<Sharding.Sharding> = Sharding.layer.pipe(
  Layer.provide(Runners.layerNoop),
  Layer.provide([MessageStorage.layerNoop, RunnerStorage.layerMemory, RunnerHealth.layerNoop]),
  Layer.provide(ShardingConfig.layer({ entityTerminationTimeout: 0, simulateRemoteSerialization: false }))
)
