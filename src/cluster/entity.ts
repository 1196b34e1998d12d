/** Where the scheduler of a cluster runs: an entity of `effect/cluster` for each pool, on one of the runners. */
import type * as Entity from "effect/cluster/Entity"
import type * as Sharding from "effect/cluster/Sharding"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Protocol from "./protocol.ts"
import * as Shared from "./shared.ts"

/**
 * One entity for all hosts of a pool. One for each host would make a request choose its host before it is known which one has a free
 * permit first.
 */
export const layer = (
  options: Shared.Options
): Layer.Layer<
  never,
  never,
  Sharding.Sharding | Exclude<Scope.Scope, Scope.Scope | Entity.CurrentAddress | Entity.CurrentRunnerAddress>
> =>
  Protocol.Pool.toLayer(
    Effect.map(Shared.make(options), ({ connect, leave, register, send, state }) =>
      Protocol.Pool.of({
        Connect: ({ payload }) => connect(payload),
        Send: ({ payload }) => Effect.sync(() => send(payload)),
        Register: ({ payload }) => Effect.sync(() => register(payload.host)),
        Leave: ({ payload }) => Effect.sync(() => leave(payload.host)),
        Inspect: () => SubscriptionRef.get(state)
      })
    ),
    { concurrency: "unbounded", maxIdleTime: "1 hour" }
  )
