/**
 * The scheduler of a gateway. While it can reach that of its cluster, that one gives its requests their hosts. Otherwise its own does,
 * with its share of the permits, so the gateways go on without each other.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Hash from "effect/Hash"
import type * as Scope from "effect/Scope"
import type * as Choose from "../policies/pool/choose.ts"
import type * as Host from "../policies/pool/host.ts"
import type { WaitLimit } from "../policies/pool/line.ts"
import type * as Queue from "../policies/pool/queue.ts"
import * as Scheduler from "../policies/pool/scheduler.ts"
import type * as Provider from "../Provider.ts"
import { NetworkError, type ProviderError, Timeout } from "../ProviderError.ts"
import * as Json from "../values/json.ts"
import * as Connection from "./connection.ts"
import * as Hosts from "./hosts.ts"
import type * as Protocol from "./protocol.ts"

export interface Options {
  readonly client: Connection.Client
  readonly gateway: string
  /** Makes the provider of a host. */
  readonly connect: (host: Protocol.Host) => Effect.Effect<Provider.Provider, ProviderError>
  readonly local: Scheduler.Options & { readonly abandonedMillis: number | undefined }
}

export interface ClusterScheduler extends Scheduler.Local {
  /** Whether the scheduler of the cluster can be reached. */
  readonly isConnected: () => boolean
}

/** A request that waits for a host, or has one. */
interface Attempt {
  readonly subject: () => Protocol.Subject
  readonly limit: WaitLimit
  readonly answer: Deferred.Deferred<Scheduler.Grant, Choose.Failure>
  /** What the scheduler of the cluster has given, or its own. */
  grant: Scheduler.Grant | undefined
  hasBegun: boolean
}

interface State {
  readonly local: Scheduler.Local
  readonly hosts: Hosts.Hosts
  readonly attempts: Map<string, Attempt>
  readonly connection: Connection.Connection
  readonly nextId: () => string
  readonly run: (effect: Effect.Effect<void>) => void
  members: ReadonlyArray<Protocol.Host>
  gateways: number
}

export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<ClusterScheduler, never, Scope.Scope> {
  const { client, gateway } = options
  const local = yield* Scheduler.make(options.local)
  const connection = yield* Connection.make({
    client,
    gateway,
    onEvent: (event) => Effect.sync(() => apply(state, event)),
    sync: () => ({ _tag: "Sync", hosts: state.members, ...split(state) })
  })
  let ids = 0
  const state: State = {
    local,
    hosts: yield* Hosts.make({ ...options, ...options.local, queue: local.queue }),
    attempts: new Map(),
    connection,
    nextId: () => `${gateway} ${++ids}`,
    run: yield* FiberSet.makeRuntime<never, void, never>(),
    members: [],
    gateways: 1
  }
  return { ...local, admit: (request) => makeEntry(state, request), isConnected: connection.isConnected }
})

const apply = (state: State, event: Protocol.Event): void => {
  const { attempts, hosts, run } = state
  switch (event._tag) {
    case "Members":
      return setMembers(state, event)
    case "Granted": {
      const use = () => granted(state, event)
      return hosts.isPending(event.host) ? run(Effect.map(hosts.settled(event.host), use)) : use()
    }
    case "Refused": {
      const attempt = attempts.get(event.id)
      if (attempt !== undefined) Deferred.doneUnsafe(attempt.answer, Effect.fail(event.error))
    }
  }
}

/** A new scheduler does not know all hosts and gateways yet. */
const setMembers = (state: State, { gateways, hosts, isComplete }: Protocol.Members): void => {
  const missing = state.members.filter(({ name }) => !hosts.some((host) => host.name === name))
  state.members = isComplete ? hosts : [...hosts, ...missing]
  state.gateways = isComplete ? gateways : Math.max(gateways, state.gateways)
  for (const host of state.members) {
    state.hosts.set({ ...host, permits: Math.max(1, Math.floor(host.permits / state.gateways)) })
  }
  if (isComplete) for (const { name } of missing) state.hosts.remove(name)
}

const granted = ({ attempts, connection, hosts }: State, { host: name, id, prediction }: Protocol.Granted): void => {
  const attempt = attempts.get(id)
  const host = hosts.get(name)
  if (attempt === undefined || host === undefined) {
    // The request was given up meanwhile, or it fails.
    connection.send({ _tag: "End", id, outcome: "stopped", progress: "none" })
    const failure = new NetworkError({ description: `the host ${name} cannot be used` })
    if (attempt?.grant === undefined && attempt !== undefined) {
      Deferred.doneUnsafe(attempt.answer, Effect.fail(failure))
    }
  } else if (attempt.grant === undefined) {
    attempt.grant = { host, prediction }
    Deferred.doneUnsafe(attempt.answer, Effect.succeed(attempt.grant))
  } else if (attempt.grant.host !== host) {
    connection.resync()
  }
}

const split = ({ attempts, local }: State): Pick<Protocol.Sync, "held" | "waiting"> => {
  const held: Array<Protocol.Held> = []
  const waiting: Array<Protocol.Acquire> = []
  for (const attempt of attempts.values()) {
    const { grant, hasBegun } = attempt
    if (grant === undefined) waiting.push(toAcquire(attempt, local.now()))
    else held.push({ subject: attempt.subject(), host: grant.host.name, hasBegun })
  }
  return { held, waiting }
}

const toAcquire = ({ limit: { kind, limit, until }, subject }: Attempt, now: number): Protocol.Acquire => ({
  _tag: "Acquire",
  subject: subject(),
  kind,
  limit: Math.min(limit, Number.MAX_SAFE_INTEGER),
  left: Math.min(until - now, Number.MAX_SAFE_INTEGER)
})

const makeEntry = (state: State, request: Scheduler.Request): Scheduler.LocalEntry => {
  const { attempts, connection, local } = state
  const entry = local.admit(request)
  const since = local.now()
  let current: { readonly id: string; readonly attempt: Attempt } | undefined

  const start = (limit: WaitLimit): Attempt => {
    const id = state.nextId()
    const subject = () => toSubject(id, request, entry, local.hosts(), local.now() - since)
    const attempt: Attempt = { subject, limit, answer: Deferred.makeUnsafe(), grant: undefined, hasBegun: false }
    current = { id, attempt }
    attempts.set(id, attempt)
    return attempt
  }
  return {
    ...entry,
    acquire: (limit) =>
      Effect.suspend(() => {
        const attempt = start(limit)
        return Effect.map(acquire(state, entry, attempt), (grant) => take(state, entry, attempt, grant))
      }),
    begin: () => {
      entry.begin()
      if (current === undefined) return
      current.attempt.hasBegun = true
      connection.send({ _tag: "Begin", id: current.id })
    },
    end: (end) => {
      entry.end(end)
      if (current === undefined) return
      const { id } = current
      current = undefined
      attempts.delete(id)
      const { final, outcome, progress } = end
      connection.send({
        _tag: "End",
        id,
        outcome,
        progress,
        ...(final !== undefined && { final: { usage: final.usage, timings: final.timings } })
      })
    }
  }
}

type Acquiring = Effect.Effect<Scheduler.Grant, Choose.Failure>

/** Waits for a host, from the scheduler that can be reached. */
const acquire = (state: State, entry: Scheduler.LocalEntry, attempt: Attempt): Acquiring => {
  const { connection, local } = state
  // Without hosts, only the cluster can name some.
  if (local.hosts().length === 0) return ask(state, attempt)
  if (!connection.isOpen()) return acquireAlone(state, entry, attempt)
  return Effect.raceFirst(ask(state, attempt), Effect.andThen(connection.closed, acquireAlone(state, entry, attempt)))
}

/** The scheduler of the cluster answers within the limit. That it cannot be reached for longer shows here. */
const ask = ({ connection, local }: State, attempt: Attempt): Acquiring =>
  Effect.suspend(() => {
    const { kind, limit, until } = attempt.limit
    connection.send(toAcquire(attempt, local.now()))
    return Effect.timeoutOrElse(Deferred.await(attempt.answer), {
      duration: Math.max(0, until - local.now()) + graceMillis,
      orElse: () => Effect.fail(new Timeout({ kind, limit: Duration.millis(limit) }))
    })
  })

/** Its own scheduler, until that of the cluster can be reached again or has given a host before. */
const acquireAlone = (state: State, entry: Scheduler.LocalEntry, attempt: Attempt): Acquiring =>
  Effect.raceAllFirst([
    Effect.onInterrupt(entry.acquire(attempt.limit), () => Effect.sync(() => entry.end(stopped))),
    Deferred.await(attempt.answer),
    Effect.andThen(
      state.connection.opened,
      Effect.suspend(() => acquire(state, entry, attempt))
    )
  ])

/** Both schedulers may have given a host in the same moment. That of the cluster counts. */
const take = (
  { connection }: State,
  entry: Scheduler.LocalEntry,
  attempt: Attempt,
  own: Scheduler.Grant
): Scheduler.Grant => {
  const grant = (attempt.grant ??= own)
  if (entry.host() === grant.host) {
    connection.resync()
  } else {
    entry.end(stopped)
    entry.hold(grant.host, false)
  }
  return grant
}

/** How much later than a limit it shows that the scheduler of the cluster does not answer. */
const graceMillis = 500

const toSubject = (
  id: string,
  { caller, history, model, prompt, request }: Scheduler.Request,
  entry: Scheduler.LocalEntry,
  hosts: ReadonlyArray<Host.Host>,
  waited: number
): Protocol.Subject => ({
  id,
  model,
  fingerprint: Hash.string(Json.stringify(request, withoutPrompt) ?? ""),
  prompt: { hashes: prompt.hashes, ends: prompt.ends, characters: prompt.characters },
  caller: { ...caller, name: hashName(caller.name) },
  tried: namesOf(hosts, entry.tried),
  inUse: namesOf(hosts, history.inUse),
  failed: namesOf(hosts, history.failed),
  crashed: namesOf(hosts, history.crashed),
  minTokens: entry.minTokens(),
  waited
})

/** Of the hosts that are there. */
const namesOf = (hosts: ReadonlyArray<Host.Host>, some: ReadonlySet<object>): ReadonlyArray<string> =>
  some.size === 0 ? [] : hosts.filter((host) => some.has(host)).map(({ name }) => name)

/** The prompt has hashes of its own, and deadlines are what is left of them. */
const withoutPrompt = (key: string, value: unknown): unknown =>
  ["prompt", "messages", "images", "deadlines"].includes(key) ? undefined : value

/** A name may say who a person is. */
const hashName = (name: string): string => (name === "" ? "" : [Hash.string(name), Hash.string(`+${name}+`)].join(" "))

const stopped: Queue.Ended = { outcome: "stopped", progress: "none" }
