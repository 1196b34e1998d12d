/**
 * The scheduler that all gateways of a cluster share: one entity for each pool, with the line, the permits and what is known of all its
 * hosts. One for each host would make a request choose its host before it is known which one has a free permit first.
 *
 * Gateways stream from the hosts themselves. A gateway that no longer sends loses what it has. When the entity moves to another runner,
 * it knows nothing: it waits until the gateways had the time to tell what they have, and gives permits after that.
 */
import type * as Cause from "effect/Cause"
import type * as Entity from "effect/cluster/Entity"
import type * as Sharding from "effect/cluster/Sharding"
import * as Effect from "effect/Effect"
import * as FiberMap from "effect/FiberMap"
import * as Latch from "effect/Latch"
import type * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type * as Choose from "../policies/pool/choose.ts"
import * as PoolHost from "../policies/pool/host.ts"
import * as Membership from "../policies/pool/membership.ts"
import type * as PoolQueue from "../policies/pool/queue.ts"
import * as Scheduler from "../policies/pool/scheduler.ts"
import type * as Provider from "../Provider.ts"
import { isProviderError, ProviderError } from "../ProviderError.ts"
import * as Protocol from "./protocol.ts"

export interface Options<R> {
  /** Makes the provider of a host. */
  readonly connect: (host: Protocol.Host) => Effect.Effect<Provider.Provider, ProviderError, R>
  readonly maxWaiting: number
  readonly unloadHanging: boolean
  readonly abandonedMillis: number | undefined
  readonly onWaited: (seconds: number) => Effect.Effect<void>
  /** How long a new scheduler waits for the gateways of the one before it. */
  readonly takeoverMillis: number
}

/** A gateway that sends nothing for so long has ended, and a host that does not register. Both do so every second. */
const expiryMillis = { gateway: 5000, host: 15_000 }

export const layer = <R>(
  options: Options<R>
): Layer.Layer<
  never,
  never,
  Sharding.Sharding | Exclude<R, Scope.Scope | Entity.CurrentAddress | Entity.CurrentRunnerAddress>
> => Protocol.Pool.toLayer(make(options), { concurrency: "unbounded", maxIdleTime: "1 hour" })

/** A request of a gateway. */
interface Request {
  readonly entry: Scheduler.LocalEntry
  /** What the gateway was told when the request got a host. */
  granted?: Protocol.Granted
}

interface Gateway {
  events: Queue.Queue<Protocol.Event, Cause.Done>
  isSynced: boolean
  lastSeen: number
  readonly requests: Map<string, Request>
}

interface Member {
  readonly host: Protocol.Host
  lastSeen: number
}

interface State {
  readonly scheduler: Scheduler.Local
  readonly gateways: Map<string, Gateway>
  readonly members: Map<string, Member>
  /** Requests that wait for a host, by their ids. */
  readonly waiting: FiberMap.FiberMap<string>
  /** Closed until the gateways had the time to tell what they have. */
  readonly opened: Latch.Latch
  /** Adds a host, or changes its permits. */
  readonly add: (host: Protocol.Host) => Effect.Effect<void>
  /** Removes a host in the background. */
  readonly remove: (host: string) => Effect.Effect<unknown>
}

const make = Effect.fnUntraced(function* <R>(options: Options<R>) {
  const { connect, takeoverMillis } = options
  const context = yield* Effect.context<Exclude<R, Scope.Scope>>()
  const scope = yield* Effect.scope
  const scheduler = yield* Scheduler.make(options)
  const { queue } = scheduler
  const pool = Membership.make({ ...options, name: poolName, permits: 1, queue, scope })
  const state: State = {
    scheduler,
    gateways: new Map(),
    members: new Map(),
    waiting: yield* FiberMap.make<string>(),
    opened: yield* Latch.make(takeoverMillis === 0),
    add: (host) =>
      Effect.ignore(pool.keep(Protocol.toPool(host, connect(host))), { log: "Warn" }).pipe(
        Effect.provideContext(context)
      ),
    remove: (host) => Effect.forkIn(queue.drain(host), scope)
  }
  yield* Effect.forkScoped(Effect.delay(state.opened.open, takeoverMillis))
  yield* Effect.forkScoped(Effect.repeat(expire(state), Schedule.spaced("500 millis")))
  return Protocol.Pool.of({
    Connect: ({ payload }) => Stream.unwrap(Effect.map(connected(state, payload.gateway), Stream.fromQueue)),
    Send: ({ payload: { gateway, messages } }) => receiveAll(state, gateway, messages),
    Register: ({ payload }) => join(state, payload.host),
    Leave: ({ payload }) => leave(state, payload.host),
    Inspect: () => SubscriptionRef.get(queue.state)
  })
})

const connected = Effect.fnUntraced(function* (state: State, name: string) {
  const { gateways, scheduler } = state
  const events = yield* Queue.unbounded<Protocol.Event, Cause.Done>()
  const known = gateways.get(name)
  if (known !== undefined) yield* Queue.shutdown(known.events)
  // What the connection before this one did not bring is told again after the sync.
  gateways.set(name, { events, isSynced: false, lastSeen: scheduler.now(), requests: known?.requests ?? new Map() })
  tellMembers(state)
  return events
})

const tellMembers = ({ gateways, members }: State): void => {
  const hosts = [...members.values()].map(({ host }) => host)
  for (const { events } of gateways.values()) {
    Queue.offerUnsafe(events, { _tag: "Members", hosts, gateways: gateways.size })
  }
}

/** Returns whether the name is free, or that of the same host. */
const join = Effect.fnUntraced(function* (state: State, host: Protocol.Host) {
  const { add, members, scheduler } = state
  const known = members.get(host.name)?.host
  if (known !== undefined && known.url !== host.url) return false
  members.set(host.name, { host, lastSeen: scheduler.now() })
  if (known !== undefined && known.permits === host.permits) return true
  yield* add(host)
  tellMembers(state)
  return true
})

const leave = (state: State, name: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (!state.members.delete(name)) return Effect.void
    tellMembers(state)
    return state.scheduler.queue.drain(name)
  })

const receiveAll = Effect.fnUntraced(function* (
  state: State,
  name: string,
  messages: ReadonlyArray<Protocol.Message>
): Effect.fn.Return<typeof Protocol.Received.Type> {
  const gateway = state.gateways.get(name)
  if (gateway === undefined) return "unknown"
  gateway.lastSeen = state.scheduler.now()
  if (!gateway.isSynced && messages[0]?._tag !== "Sync") return "unsynced"
  yield* Effect.forEach(messages, (message) => receive(state, gateway, message), { discard: true })
  return "ok"
})

const receive = (state: State, gateway: Gateway, message: Protocol.Message): Effect.Effect<void> => {
  switch (message._tag) {
    case "Acquire":
      return acquire(state, gateway, message)
    case "Begin":
      return Effect.sync(() => gateway.requests.get(message.id)?.entry.begin())
    case "End":
      return end(state, gateway, message.id, message)
    case "Sync":
      return sync(state, gateway, message)
  }
}

const acquire = (state: State, { events, requests }: Gateway, message: Protocol.Acquire): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { opened, scheduler, waiting } = state
    const { kind, left, limit, subject } = message
    const { id } = subject
    const known = requests.get(id)
    if (known?.granted !== undefined) Queue.offerUnsafe(events, known.granted)
    if (known !== undefined) return Effect.void
    const request: Request = { entry: admit(scheduler, subject) }
    requests.set(id, request)
    const until = scheduler.now() + left
    const waited = Effect.matchEffect(Effect.andThen(opened.await, request.entry.acquire({ kind, limit, until })), {
      onSuccess: ({ host, prediction }) =>
        Effect.sync(() => {
          request.granted = { _tag: "Granted", id, host: host.name, prediction }
          tell(state, id, request.granted)
        }),
      onFailure: (failure) =>
        Effect.sync(() => {
          tell(state, id, { _tag: "Refused", id, error: toError(failure) })
          requests.delete(id)
        })
    })
    return Effect.asVoid(FiberMap.run(waiting, id, waited))
  })

/** The gateway may have connected again since the request came. */
const tell = ({ gateways }: State, id: string, event: Protocol.Event): void => {
  for (const { events, requests } of gateways.values()) if (requests.has(id)) Queue.offerUnsafe(events, event)
}

/** A request gives its host back, or waits no longer. */
const end = ({ waiting }: State, { requests }: Gateway, id: string, how: PoolQueue.Ended): Effect.Effect<void> =>
  Effect.suspend(() => {
    const request = requests.get(id)
    if (request === undefined) return Effect.void
    requests.delete(id)
    return Effect.andThen(
      FiberMap.remove(waiting, id),
      Effect.sync(() => request.entry.end(how))
    )
  })

/** What the gateway has is kept, and all else of it has ended. */
const sync = Effect.fnUntraced(function* (state: State, gateway: Gateway, message: Protocol.Sync) {
  const { members, scheduler } = state
  const { requests } = gateway
  const { held, hosts, waiting } = message
  yield* Effect.forEach(hosts, (host) => (members.has(host.name) ? Effect.void : join(state, host)), { discard: true })
  const ids = new Set([...held, ...waiting].map(({ subject }) => subject.id))
  const gone = [...requests.keys()].filter((id) => !ids.has(id))
  yield* Effect.forEach(gone, (id) => end(state, gateway, id, stopped), { discard: true })
  for (const { hasBegun, host: name, subject } of held) {
    const { id } = subject
    const host = scheduler.hosts().find((host) => host.name === name)
    if (host === undefined || requests.get(id)?.granted?.host === name) continue
    yield* end(state, gateway, id, stopped)
    const entry = admit(scheduler, subject)
    entry.hold(host, hasBegun)
    requests.set(id, { entry, granted: { _tag: "Granted", id, host: name, prediction: PoolHost.makePrediction() } })
  }
  gateway.isSynced = true
  yield* Effect.forEach(waiting, (each) => acquire(state, gateway, each), { discard: true })
})

/** Removes gateways and hosts that were not heard of for too long. */
const expire = (state: State): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { gateways, members, remove, scheduler } = state
    const time = scheduler.now()
    const lost = [...gateways].filter(([, { lastSeen }]) => time - lastSeen > expiryMillis.gateway)
    const left = [...members].filter(([, { lastSeen }]) => time - lastSeen > expiryMillis.host)
    if (lost.length + left.length === 0) return Effect.void
    for (const [name] of lost) gateways.delete(name)
    for (const [name] of left) members.delete(name)
    tellMembers(state)
    const release = (gateway: Gateway) =>
      Effect.andThen(
        Effect.forEach(gateway.requests.keys(), (id) => end(state, gateway, id, stopped)),
        Queue.shutdown(gateway.events)
      )
    return Effect.andThen(
      Effect.forEach(lost, ([, gateway]) => release(gateway)),
      Effect.forEach(left, ([name]) => remove(name), { discard: true })
    )
  })

const poolName = "Pool"

const stopped: PoolQueue.Ended = { outcome: "stopped", progress: "none" }

const toError = (failure: Choose.Failure): ProviderError =>
  isProviderError(failure) ? failure : new ProviderError({ provider: poolName, reason: failure })

/** Hosts that have left are no longer of interest. */
const admit = (scheduler: Scheduler.Local, subject: Protocol.Subject): Scheduler.LocalEntry => {
  const { caller, crashed, failed, fingerprint, inUse, minTokens, model, prompt, tried, waited } = subject
  const find = (names: ReadonlyArray<string>) => new Set(scheduler.hosts().filter(({ name }) => names.includes(name)))
  return scheduler.admit({
    request: { fingerprint },
    model,
    prompt: { ...prompt, hint: 0 },
    caller,
    history: { inUse: find(inUse), failed: find(failed), crashed: find(crashed) },
    tried: find(tried),
    minTokens,
    waited
  })
}
