/** The hosts of a cluster in the queue of a scheduler. They are added and drained in the background, one step at a time for each name. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberMap from "effect/FiberMap"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import type * as PoolHost from "../policies/pool/host.ts"
import * as Membership from "../policies/pool/membership.ts"
import type * as Queue from "../policies/pool/queue.ts"
import type * as Provider from "../Provider.ts"
import type { ProviderError } from "../ProviderError.ts"
import type * as Protocol from "./protocol.ts"

export interface Options {
  readonly queue: Queue.Queue
  /** Makes the provider of a host. */
  readonly connect: (host: Protocol.Host) => Effect.Effect<Provider.Provider, ProviderError>
  readonly abandonedMillis: number | undefined
  /** Called when the host can be used. */
  readonly onAdded?: ((host: PoolHost.Host) => void) | undefined
}

export interface Hosts {
  /** The host takes part, with these permits. One that had this name and another address is drained first. */
  readonly set: (host: Protocol.Host) => void
  /** The host gets no new requests, and is gone when its requests have ended. */
  readonly remove: (name: string) => void
  readonly get: (name: string) => PoolHost.Host | undefined
  /** Whether the host is about to be added. */
  readonly isPending: (name: string) => boolean
  /** Waits while the host is about to be added. */
  readonly settled: (name: string) => Effect.Effect<void>
}

/** A provider that cannot be made is tried again after that. */
const retryDelay = "5 seconds"

export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Hosts, never, Scope.Scope> {
  const { abandonedMillis, connect, onAdded, queue } = options
  const scope = yield* Effect.scope
  const pool = Membership.make({ name: "Cluster", permits: 1, abandonedMillis, queue, scope })
  const steps = yield* FiberMap.make<string>()
  const run = yield* FiberMap.runtime(steps)<never>()
  const wanted = new Map<string, Protocol.Host>()
  /** What the hosts of the queue were made from. */
  const made = new Map<string, Protocol.Host>()
  const get = (name: string) => queue.hosts().find((host) => host.name === name)

  /** A step that is under way is interrupted before the next one: a host that comes back is no longer drained. */
  const reach = Effect.fnUntraced(function* (name: string, host: Protocol.Host | undefined) {
    const present = made.get(name)
    if (present !== undefined && (host === undefined || !isSame(present, host))) {
      yield* queue.drain(name)
      made.delete(name)
    }
    if (host === undefined) return
    const { oneModelAtATime, permits } = host
    yield* pool.keep({ name, permits, oneModelAtATime, provider: connect(host) }).pipe(
      Effect.sandbox,
      Effect.tapError((cause) => Effect.logWarning(`The host ${name} cannot be used`, Membership.toLog(cause))),
      Effect.retry(Schedule.spaced(retryDelay))
    )
    made.set(name, host)
    const added = get(name)
    if (added !== undefined) onAdded?.(added)
  })

  const isPending = (name: string): boolean => {
    const host = wanted.get(name)
    const present = made.get(name)
    return host !== undefined && (present === undefined || !isSame(present, host))
  }
  return {
    set: (host) => {
      const { name, permits } = host
      const known = wanted.get(name)
      if (known !== undefined && isSame(known, host) && known.permits === permits) return
      wanted.set(name, host)
      run(name, reach(name, host))
    },
    remove: (name) => {
      if (wanted.delete(name)) run(name, reach(name, undefined))
    },
    get,
    isPending,
    settled: (name) =>
      Effect.suspend(() => {
        const step = isPending(name) ? FiberMap.getUnsafe(steps, name) : Option.none()
        return Option.isNone(step) ? Effect.void : Effect.asVoid(Fiber.await(step.value))
      })
  }
})

/** Whether it is the same server. */
const isSame = (a: Protocol.Host, b: Protocol.Host): boolean =>
  a.url === b.url && a.kind === b.kind && a.oneModelAtATime === b.oneModelAtATime
