/** What gateways share on Redis: the counts of limits, and which hosts are off. */
import * as NodeRedis from "@effect/platform-node/NodeRedis"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Redis from "effect/persistence/Redis"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Scope from "effect/Scope"

/** Of a Redis. */
export interface Address {
  readonly url: string
  readonly password: Redacted.Redacted<string> | undefined
}

export interface Shared {
  /** Counts the limits of keys. */
  readonly limiter: RateLimiter.RateLimiter
  /** Knows which hosts are off. */
  readonly health: CircuitBreaker.CircuitBreakerStore["Service"]
}

const prefix = "local-llm:"

const maxDelay = 2000

const clientOptions = ({ password, url }: Address, onFailure: (cause: Error) => void) => ({
  url,
  ...(password !== undefined && { password: Redacted.value(password) }),
  // A command fails while there is no connection.
  disableOfflineQueue: true,
  // A machine that is gone closes no connection.
  pingInterval: 3000,
  socket: {
    connectTimeout: 5000,
    socketTimeout: 10_000,
    reconnectStrategy: (retries: number, cause: Error) => {
      onFailure(cause)
      return Math.min(50 * 2 ** retries, maxDelay)
    }
  }
})

/** How long the first connection is waited for. */
const firstConnection = "1 second"

/** Redis, which may come later than the gateway. Until then, all that is sent fails. */
const connect = Effect.fnUntraced(function* (address: Address) {
  // A client that is closed waits for the answers of its commands. The gateway does not.
  const own = yield* Effect.acquireRelease(Scope.make(), (own) => Effect.forkDetach(Scope.close(own, Exit.void)))
  const connected = yield* Deferred.make<Redis.Redis["Service"]>()
  let current: Redis.Redis["Service"] | undefined
  let failure = new Error("there is no connection yet")
  const offline = Effect.suspend(() => Effect.fail(new Redis.RedisError({ cause: failure })))
  const options = clientOptions(address, (cause) => {
    failure = cause
  })
  yield* Layer.build(NodeRedis.layer(options)).pipe(
    Effect.flatMap((context) => {
      const { client } = Context.get(context, NodeRedis.NodeRedis)
      current = Context.get(context, Redis.Redis)
      return Effect.andThen(
        Scope.addFinalizer(
          own,
          Effect.sync(() => client.destroy())
        ),
        Deferred.succeed(connected, current)
      )
    }),
    Scope.provide(own),
    // Its users report that it does not answer, once.
    Effect.provideService(References.MinimumLogLevel, "None"),
    Effect.ignore,
    Effect.forkIn(own)
  )
  yield* Effect.timeoutOption(Deferred.await(connected), firstConnection)
  const redis = yield* Redis.make({
    send: (...args) => Effect.suspend(() => current?.send(...args) ?? offline),
    subscribe: () => offline,
    connect: offline
  })
  return redis
})

/** Does not fail if Redis does not answer. */
export const make = Effect.fnUntraced(function* (address: Address): Effect.fn.Return<Shared, never, Scope.Scope> {
  const redis = Layer.succeed(Redis.Redis, yield* connect(address))
  const limiter = RateLimiter.layer.pipe(Layer.provide(RateLimiter.layerStoreRedis({ prefix: `${prefix}limit:` })))
  const health = CircuitBreaker.layerStoreRedis({ prefix: `${prefix}host:` })
  const context = yield* Layer.build(Layer.provide(Layer.merge(limiter, health), redis))
  return {
    limiter: Context.get(context, RateLimiter.RateLimiter),
    health: Context.get(context, CircuitBreaker.CircuitBreakerStore)
  }
})
