/**
 * The scheduler of a gateway. While it can reach that of its cluster, that one gives its requests their hosts. Otherwise its own does,
 * with its share of the permits, so the gateways go on without each other.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Hash from "effect/Hash"
import type * as Scope from "effect/Scope"
import type * as Choose from "../policies/pool/choose.ts"
import type * as Host from "../policies/pool/host.ts"
import type { WaitLimit } from "../policies/pool/line.ts"
import type * as Queue from "../policies/pool/queue.ts"
import * as Membership from "../policies/pool/membership.ts"
import * as Scheduler from "../policies/pool/scheduler.ts"
import type * as Provider from "../Provider.ts"
import { NetworkError, type ProviderError, Timeout } from "../ProviderError.ts"
import * as Json from "../values/json.ts"
import * as Connection from "./connection.ts"
import * as Protocol from "./protocol.ts"

export interface Options {
  readonly client: Connection.Client
  readonly gateway: string
  /** The name of the pool in errors. */
  readonly name: string
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
  host: Host.Host | undefined
  hasBegun: boolean
}

interface State {
  readonly name: string
  readonly local: Scheduler.Local
  readonly attempts: Map<string, Attempt>
  readonly connection: Connection.Connection
  readonly nextId: () => string
}

export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<ClusterScheduler, never, Scope.Scope> {
  const { client, gateway, name } = options
  const scope = yield* Effect.scope
  const local = yield* Scheduler.make(options.local)
  const pool = Membership.make({ ...options.local, name, permits: 1, queue: local.queue, scope })
  const attempts = new Map<string, Attempt>()
  let members: ReadonlyArray<Protocol.Host> = []
  let ids = 0

  const setMembers = Effect.fnUntraced(function* (hosts: ReadonlyArray<Protocol.Host>, gateways: number) {
    const left = members.filter(({ name }) => !hosts.some((host) => host.name === name))
    members = hosts
    for (const host of hosts) {
      const permits = Math.max(1, Math.floor(host.permits / gateways))
      yield* Effect.ignore(pool.keep(Protocol.toPool({ ...host, permits }, options.connect(host))), { log: "Warn" })
    }
    yield* Effect.forEach(left, (host) => Effect.forkIn(Effect.ignore(pool.drain(host.name)), scope), { discard: true })
  })

  const onEvent = (event: Protocol.Event): Effect.Effect<void> => {
    switch (event._tag) {
      case "Members":
        return setMembers(event.hosts, event.gateways)
      case "Granted":
        return granted(state, event)
      case "Refused": {
        const attempt = attempts.get(event.id)
        return attempt === undefined ? Effect.void : Deferred.fail(attempt.answer, event.error)
      }
    }
  }
  const sync = (): Protocol.Sync => ({ _tag: "Sync", hosts: members, ...split(state) })
  const connection = yield* Connection.make({ client, gateway, onEvent: (event) => onEvent(event), sync })
  const state: State = { name, local, attempts, connection, nextId: () => `${gateway} ${++ids}` }
  return { ...local, admit: (request) => makeEntry(state, request), isConnected: connection.isOpen }
})

const granted = ({ attempts, connection, local }: State, { host: name, id, prediction }: Protocol.Granted) => {
  const attempt = attempts.get(id)
  const host = local.hosts().find((host) => host.name === name)
  if (attempt !== undefined && host !== undefined) {
    return Deferred.succeed(attempt.answer, { host, prediction })
  }
  // It was given up meanwhile.
  connection.send({ _tag: "End", id, outcome: "stopped", progress: "none" })
  const failure = new NetworkError({ description: `the host ${name} cannot be used` })
  return attempt === undefined ? Effect.void : Deferred.fail(attempt.answer, failure)
}

const split = ({ attempts, local }: State): Pick<Protocol.Sync, "held" | "waiting"> => {
  const held: Array<Protocol.Held> = []
  const waiting: Array<Protocol.Acquire> = []
  for (const attempt of attempts.values()) {
    const { hasBegun, host } = attempt
    if (host === undefined) waiting.push(toAcquire(attempt, local.now()))
    else held.push({ subject: attempt.subject(), host: host.name, hasBegun })
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
    const attempt = {
      subject,
      limit,
      answer: Deferred.makeUnsafe(),
      host: undefined,
      hasBegun: false
    } satisfies Attempt
    current = { id, attempt }
    attempts.set(id, attempt)
    return attempt
  }

  /** The scheduler of the cluster answers within the limit. That it cannot be reached for longer shows here. */
  const ask = (attempt: Attempt) =>
    Effect.suspend(() => {
      const { kind, limit, until } = attempt.limit
      connection.send(toAcquire(attempt, local.now()))
      return Effect.timeoutOrElse(Deferred.await(attempt.answer), {
        duration: Math.max(0, until - local.now()) + graceMillis,
        orElse: () => Effect.fail(new Timeout({ kind, limit: Duration.millis(limit) }))
      })
    })

  /** Its own scheduler, until that of the cluster can be reached again or has given a host before. */
  const acquireAlone = (attempt: Attempt): Effect.Effect<Scheduler.Grant, Choose.Failure> =>
    Effect.raceAllFirst([
      Effect.onInterrupt(entry.acquire(attempt.limit), () => Effect.sync(() => entry.end(stopped))),
      Deferred.await(attempt.answer),
      Effect.andThen(
        connection.opened,
        Effect.suspend(() => acquire(attempt))
      )
    ])

  const acquire = (attempt: Attempt): Effect.Effect<Scheduler.Grant, Choose.Failure> => {
    // Without hosts, only the cluster can name some.
    if (local.hosts().length === 0) return ask(attempt)
    if (!connection.isOpen()) return acquireAlone(attempt)
    return Effect.raceFirst(ask(attempt), Effect.andThen(connection.closed, acquireAlone(attempt)))
  }

  const take = (attempt: Attempt, { host }: Scheduler.Grant): void => {
    attempt.host = host
    // Its own scheduler may have given it, which that of the cluster has to know.
    if (entry.hasHost()) connection.resync()
    else entry.hold(host, false)
  }

  return {
    ...entry,
    acquire: (limit) =>
      Effect.suspend(() => {
        const attempt = start(limit)
        return Effect.tap(acquire(attempt), (grant) => Effect.sync(() => take(attempt, grant)))
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
  fingerprint: Hash.string(Json.stringify(request, withoutTexts) ?? ""),
  prompt: { hashes: prompt.hashes, ends: prompt.ends, characters: prompt.characters },
  caller,
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

/** Texts are part of the prompt's hashes, and deadlines are what is left of them. */
const withoutTexts = (key: string, value: unknown): unknown =>
  ["prompt", "messages", "images", "input", "deadlines"].includes(key) ? undefined : value

const stopped: Queue.Ended = { outcome: "stopped", progress: "none" }
