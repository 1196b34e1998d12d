/**
 * The scheduler that all gateways of a cluster share, with the line, the permits and what is known of all hosts of a pool.
 *
 * Gateways stream from the hosts themselves. A gateway that no longer sends loses what it has. A scheduler that takes the place of
 * another one knows nothing: it waits until the gateways had the time to tell what they have, and gives permits after that.
 *
 * Everything that a gateway sends is applied in one synchronous step, so no interruption can come in between.
 */
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Latch from "effect/Latch"
import * as Queue from "effect/Queue"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as SubscriptionRef from "effect/SubscriptionRef"
import type * as Choose from "../policies/pool/choose.ts"
import * as PoolHost from "../policies/pool/host.ts"
import type * as PoolQueue from "../policies/pool/queue.ts"
import * as Scheduler from "../policies/pool/scheduler.ts"
import { isProviderError, ProviderError } from "../ProviderError.ts"
import * as Hosts from "./hosts.ts"
import type * as Protocol from "./protocol.ts"

export interface Options extends Scheduler.Options, Pick<Hosts.Options, "abandonedMillis" | "connect"> {
  /** How long a new scheduler waits for the gateways of the one before it. */
  readonly takeoverMillis: number
}

/** What the calls of the protocol do. */
export interface Shared {
  readonly connect: (payload: { readonly gateway: string }) => Stream.Stream<Protocol.Event>
  readonly send: (payload: Protocol.Sent) => typeof Protocol.Received.Type
  readonly register: (host: Protocol.Host) => boolean
  readonly leave: (host: string) => boolean
  readonly state: SubscriptionRef.SubscriptionRef<PoolQueue.State>
}

/** A gateway that sends nothing for so long has ended, and a host that does not register. Both do so every second. */
const expiryMillis = { gateway: 5000, host: 15_000 }

const reviewInterval = "500 millis"

/** A request of a gateway: it waits, or it has what it was granted. */
interface Request {
  readonly entry: Scheduler.LocalEntry
  waiting: Fiber.Fiber<void> | undefined
  granted: Protocol.Granted | undefined
  hasBegun: boolean
}

/** How the gateway hears. */
interface Session {
  readonly events: Queue.Queue<Protocol.Event, Cause.Done>
  /** That of the list of members that it was told. */
  version: number
}

interface Gateway {
  /** Absent while it is not connected. */
  session: Session | undefined
  isSynced: boolean
  lastSeen: number
  /** Of the last messages that were taken. */
  number: number
  readonly requests: Map<string, Request>
}

interface Member {
  readonly host: Protocol.Host
  /** When it joined. */
  readonly version: number
  lastSeen: number
}

interface State {
  readonly scheduler: Scheduler.Local
  readonly hosts: Hosts.Hosts
  readonly gateways: Map<string, Gateway>
  readonly members: Map<string, Member>
  /** Another one after each change of the gateways or of the members. */
  version: number
  /** The gateways had the time to tell what they have. */
  isOpen: boolean
  readonly opened: Latch.Latch
  readonly run: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
}

export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Shared, never, Scope.Scope> {
  const { takeoverMillis } = options
  const scheduler = yield* Scheduler.make(options)
  const { queue } = scheduler
  const state: State = {
    scheduler,
    hosts: yield* Hosts.make({ ...options, queue, onAdded: (host) => adopt(state, host) }),
    gateways: new Map(),
    members: new Map(),
    version: 0,
    isOpen: takeoverMillis === 0,
    opened: yield* Latch.make(takeoverMillis === 0),
    run: yield* FiberSet.makeRuntime<never, void, never>()
  }
  const open = Effect.suspend(() => {
    state.isOpen = true
    state.version++
    return state.opened.open
  })
  if (!state.isOpen) yield* Effect.forkScoped(Effect.delay(open, takeoverMillis))
  yield* Effect.forkScoped(
    Effect.repeat(
      Effect.sync(() => review(state)),
      Schedule.spaced(reviewInterval)
    )
  )
  // Requests that wait do not fail when their scheduler ends: they go on with the next one.
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      for (const gateway of state.gateways.values()) disconnect(gateway)
    })
  )
  return {
    connect: ({ gateway }) => Stream.unwrap(connect(state, gateway)),
    send: (sent) => receive(state, sent),
    register: (host) => register(state, host),
    leave: (name) => leave(state, name),
    state: queue.state
  }
})

const connect = Effect.fnUntraced(function* (state: State, name: string) {
  const { gateways, scheduler } = state
  const events = yield* Queue.unbounded<Protocol.Event, Cause.Done>()
  const known = gateways.get(name)
  if (known !== undefined) disconnect(known)
  if (known === undefined) state.version++
  const gateway = known ?? { session: undefined, isSynced: false, lastSeen: 0, number: 0, requests: new Map() }
  gateway.session = { events, version: -1 }
  // What the connection before this one did not bring is told again after the sync.
  gateway.isSynced = false
  gateway.lastSeen = scheduler.now()
  gateways.set(name, gateway)
  tellMembers(state, gateway.session)
  return Stream.ensuring(
    Stream.fromQueue(events),
    Effect.sync(() => {
      if (gateway.session?.events === events) gateway.session = undefined
    })
  )
})

const disconnect = (gateway: Gateway): void => {
  if (gateway.session !== undefined) Queue.endUnsafe(gateway.session.events)
  gateway.session = undefined
}

const tellMembers = ({ gateways, isOpen, members, version }: State, session: Session): void => {
  if (session.version === version) return
  session.version = version
  const hosts = [...members.values()].map(({ host }) => host)
  Queue.offerUnsafe(session.events, { _tag: "Members", hosts, gateways: gateways.size, isComplete: isOpen })
}

/** A gateway has to know the host that it is granted. Otherwise, lists of members are told together. */
const tell = (state: State, { session }: Gateway, event: Protocol.Event): void => {
  if (session === undefined) return
  const member = event._tag === "Granted" ? state.members.get(event.host) : undefined
  if (member !== undefined && member.version > session.version) tellMembers(state, session)
  Queue.offerUnsafe(session.events, event)
}

/** Returns whether the name is free, or that of the same host. */
const register = (state: State, host: Protocol.Host): boolean => {
  const { hosts, members, scheduler } = state
  const known = members.get(host.name)
  if (known !== undefined && known.host.url !== host.url) return false
  const lastSeen = scheduler.now()
  if (known !== undefined && isEqual(known.host, host)) {
    known.lastSeen = lastSeen
    return true
  }
  members.set(host.name, { host, lastSeen, version: ++state.version })
  hosts.set(host)
  return true
}

const isEqual = (a: Protocol.Host, b: Protocol.Host): boolean =>
  a.permits === b.permits && a.kind === b.kind && a.oneModelAtATime === b.oneModelAtATime

/** Returns whether the answers of the host have ended. */
const leave = (state: State, name: string): boolean => {
  const { hosts, members } = state
  if (members.delete(name)) {
    state.version++
    hosts.remove(name)
  }
  return hosts.get(name) === undefined
}

const receive = (state: State, { gateway: name, messages, number }: Protocol.Sent): typeof Protocol.Received.Type => {
  const gateway = state.gateways.get(name)
  if (gateway?.session === undefined) return "unknown"
  gateway.lastSeen = state.scheduler.now()
  // They came twice, or later than the gateway waited for.
  if (number <= gateway.number) return "ok"
  if (!gateway.isSynced && messages[0]?._tag !== "Sync") return "unsynced"
  gateway.number = number
  for (const message of messages) apply(state, gateway, message)
  return "ok"
}

const apply = (state: State, gateway: Gateway, message: Protocol.Message): void => {
  switch (message._tag) {
    case "Acquire":
      return acquire(state, gateway, message)
    case "Begin":
      return begin(gateway.requests.get(message.id))
    case "End":
      return end(gateway, message.id, message)
    case "Sync":
      return sync(state, gateway, message)
  }
}

const acquire = (state: State, gateway: Gateway, message: Protocol.Acquire): void => {
  const { opened, run, scheduler } = state
  const { requests } = gateway
  const { kind, left, limit, subject } = message
  const { id } = subject
  const known = requests.get(id)
  if (known?.granted !== undefined) tell(state, gateway, known.granted)
  if (known !== undefined) return
  const request: Request = {
    entry: admit(scheduler, subject),
    waiting: undefined,
    granted: undefined,
    hasBegun: false
  }
  requests.set(id, request)
  const until = scheduler.now() + left
  const waited = Effect.match(Effect.andThen(opened.await, request.entry.acquire({ kind, limit, until })), {
    onSuccess: ({ host, prediction }) => {
      // It may have been given up in the same moment.
      if (requests.get(id) !== request) return request.entry.end(stopped)
      request.granted = { _tag: "Granted", id, host: host.name, prediction }
      tell(state, gateway, request.granted)
    },
    onFailure: (failure) => {
      if (requests.get(id) !== request) return
      requests.delete(id)
      tell(state, gateway, { _tag: "Refused", id, error: toError(failure) })
    }
  })
  request.waiting = run(waited)
}

const begin = (request: Request | undefined): void => {
  if (request === undefined || request.hasBegun) return
  request.hasBegun = true
  request.entry.begin()
}

/** A request gives its host back, or waits no longer. */
const end = ({ requests }: Gateway, id: string, how: PoolQueue.Ended): void => {
  const request = requests.get(id)
  if (request === undefined) return
  requests.delete(id)
  request.waiting?.interruptUnsafe()
  request.entry.end(how)
}

/** What the gateway has is kept, and all else of it has ended. */
const sync = (state: State, gateway: Gateway, { held, hosts, waiting }: Protocol.Sync): void => {
  const { requests } = gateway
  // Later, hosts register themselves: those that a gateway knows may have left.
  if (!state.isOpen) for (const host of hosts) if (!state.members.has(host.name)) register(state, host)
  const ids = new Set([...held, ...waiting].map(({ subject }) => subject.id))
  for (const id of requests.keys()) if (!ids.has(id)) end(gateway, id, stopped)
  for (const each of held) hold(state, gateway, each)
  gateway.isSynced = true
  for (const each of waiting) acquire(state, gateway, each)
}

const hold = (
  { hosts, scheduler }: State,
  gateway: Gateway,
  { hasBegun, host: name, subject }: Protocol.Held
): void => {
  const { requests } = gateway
  const { id } = subject
  const known = requests.get(id)
  if (known?.granted?.host === name) return hasBegun ? begin(known) : undefined
  end(gateway, id, stopped)
  const entry = admit(scheduler, subject)
  const granted: Protocol.Granted = { _tag: "Granted", id, host: name, prediction: PoolHost.makePrediction() }
  requests.set(id, { entry, waiting: undefined, granted, hasBegun })
  const host = hosts.get(name)
  if (host !== undefined) entry.hold(host, hasBegun)
}

/** A gateway may have had requests on the host before the host was here. */
const adopt = ({ gateways }: State, host: PoolHost.Host): void => {
  for (const { requests } of gateways.values()) {
    for (const { entry, granted, hasBegun } of requests.values()) {
      if (granted?.host === host.name && entry.host() === undefined) entry.hold(host, hasBegun)
    }
  }
}

/** Removes gateways and hosts that were not heard of for too long, and tells the others. */
const review = (state: State): void => {
  const { gateways, members, scheduler } = state
  const time = scheduler.now()
  for (const [name, gateway] of gateways) {
    const { lastSeen, requests } = gateway
    if (time - lastSeen <= expiryMillis.gateway) continue
    gateways.delete(name)
    state.version++
    disconnect(gateway)
    for (const id of requests.keys()) end(gateway, id, stopped)
  }
  for (const [name, { lastSeen }] of members) if (time - lastSeen > expiryMillis.host) leave(state, name)
  for (const { session } of gateways.values()) if (session !== undefined) tellMembers(state, session)
}

const stopped: PoolQueue.Ended = { outcome: "stopped", progress: "none" }

const toError = (failure: Choose.Failure): ProviderError =>
  isProviderError(failure) ? failure : new ProviderError({ provider: "Pool", reason: failure })

/** Hosts that have left are no longer of interest. */
const admit = (scheduler: Scheduler.Local, subject: Protocol.Subject): Scheduler.LocalEntry => {
  const { caller, crashed, failed, fingerprint, inUse, minTokens, model, prompt, tried, waited } = subject
  const find = (names: ReadonlyArray<string>) =>
    // Most requests have none.
    new Set(names.length === 0 ? [] : scheduler.hosts().filter(({ name }) => names.includes(name)))
  return scheduler.admit({
    // The last hash is that of the whole prompt.
    request: { fingerprint, prompt: prompt.hashes.at(-1), characters: prompt.characters },
    model,
    prompt: { ...prompt, hint: 0 },
    caller,
    history: { inUse: find(inUse), failed: find(failed), crashed: find(crashed) },
    tried: find(tried),
    minTokens,
    waited
  })
}
