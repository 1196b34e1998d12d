/**
 * The hosts of a pool, their permits, and one waiting list for them. A semaphore for each host would make a request choose its host
 * before it is known which one has a free permit first.
 *
 * Everything that changes the hosts happens in one synchronous step, so no interruption can come in between. What a request has,
 * its place in the list or its permit, belongs to its ticket, and `leave` gives it back whenever the request is interrupted.
 */
import * as Arr from "effect/Array"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { isProviderError, NetworkError, RateLimited, Timeout } from "../../ProviderError.ts"
import type { End } from "../attempt.ts"
import * as Choose from "./choose.ts"
import * as Failures from "./failures.ts"
import * as Host from "./host.ts"
import type { Knowledge } from "./knowledge.ts"
import type { Predicted } from "./predict.ts"
import * as Recovery from "./recovery.ts"
import * as WaitingList from "./waitingList.ts"

/** One host, as `state` reports it. */
export interface HostState {
  /** Its name, as in errors. */
  readonly name: string
  /** How many requests it answers at the same time, at most. */
  readonly permits: number
  /** How many requests it answers now. */
  readonly active: number
  /** How many requests were given up before their first chunk and may still be read. */
  readonly abandoned: number
  /** `off`: its requests fail, or hang for every model that was asked for, so it gets none for now. `draining`: it gets no new requests. */
  readonly status: "ready" | "off" | "draining"
  /** What was predicted for the last request that could have gone there. Absent before the first one. */
  readonly prediction?: Host.Prediction
  /** When the last first chunk was expected and when it came, in milliseconds after the request was sent. Absent before the first one. */
  readonly firstChunk?: NonNullable<Host.Host["firstChunk"]>
}

/** What `state` reports. */
export interface State {
  /** The hosts, in the order in which they were added. */
  readonly hosts: ReadonlyArray<HostState>
  /** How many requests wait for a host. */
  readonly waiting: number
}

/** A request in the pool: it waits, or it has a host, or neither. */
export interface Ticket extends Choose.Wanted, WaitingList.Item {
  readonly request: object
  /** When it entered the pool, in milliseconds. */
  readonly since: number
  host: Host.Host | undefined
  /** Its permit, while it has a host. */
  running: Host.Running | undefined
  /** When it was sent to its host, if it was. */
  sentAt: number | undefined
}

export interface WaitLimit {
  readonly kind: Timeout["kind"]
  /** The deadline as it is configured. */
  readonly limit: number
  /** What is left of it, in milliseconds. */
  readonly left: number
}

export interface Queue {
  readonly hosts: () => ReadonlyArray<Host.Host>
  /** Of all hosts together. */
  readonly freePermits: () => number
  readonly now: () => number
  readonly blame: Failures.Blame
  readonly state: SubscriptionRef.SubscriptionRef<State>
  /** Waits for a host, at most this long. */
  readonly enter: (ticket: Ticket, limit: WaitLimit) => Effect.Effect<Host.Host, Choose.Failure>
  /** The request has its first chunk that carries anything. */
  readonly begin: (ticket: Ticket) => Effect.Effect<void>
  /** The request gives its permit back, or stops waiting. Has no effect the second time. */
  readonly leave: (ticket: Ticket, end: End) => Effect.Effect<void>
  /** Returns whether the host was added: its name may be taken. */
  readonly add: (settings: Host.Settings) => Effect.Effect<boolean>
  /** A host that is there gets these permits, and is no longer drained. Returns whether it is there. */
  readonly keep: (name: string, permits: number) => Effect.Effect<boolean>
  /** Returns whether there is such a host, after its requests have ended and it was removed. */
  readonly drain: (name: string) => Effect.Effect<boolean>
  /** Something that is known about the hosts has changed. */
  readonly refresh: Effect.Effect<void>
}

export interface Options extends Omit<Recovery.Options, "blame" | "hosts" | "refresh"> {
  readonly maxWaiting: number
  readonly knowledge: Knowledge
  readonly random: () => number
  /** Run for each request that has waited, or need not. */
  readonly onWaited: (seconds: number) => Effect.Effect<void>
}

/** How long requests for the loaded model may overtake one for another model, so that a server does not load for each request. */
const overtakingMillis = 5000

/** How many requests of a group are tried. */
const lookAhead = 8

/** Predictions change with time, so requests that wait although a host is free are tried again. */
const retryEvery = "250 millis"

export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Queue, never, Scope.Scope> {
  const { knowledge, now, random, run } = options
  const blame = Failures.makeBlame()
  let all: ReadonlyArray<Host.Host> = []
  const hosts = () => all
  const find = (name: string) => all.find((host) => host.name === name)
  const state = yield* SubscriptionRef.make<State>({ hosts: [], waiting: 0 })
  const publish = SubscriptionRef.update(state, () => ({ hosts: all.map(toState), waiting: line.size() }))
  const line = makeLine({ ...options, hosts, publish })
  const refresh = Effect.andThen(Effect.sync(line.dispatch), publish)
  const judge = Recovery.make({ ...options, hosts, blame, refresh })
  const giveBack = makeGiveBack({ knowledge, now, run, judge, refresh })
  yield* Effect.addFinalizer(() => Effect.andThen(Effect.sync(line.close), publish))

  return {
    hosts,
    freePermits: () =>
      all.reduce((sum, { isDraining, permits, running }) => sum + (isDraining ? 0 : permits - running.size), 0),
    now,
    blame,
    state,
    refresh,
    enter: line.enter,
    begin: ({ host, model, running }) =>
      Effect.suspend(() => {
        if (host === undefined || running === undefined) return Effect.void
        knowledge.begin(host, running, now())
        // A server reads prompts in their order, so it has read or dropped those before.
        for (const each of host.abandoned) {
          if (each.model === model && each.sentAt < running.sentAt) host.abandoned.delete(each)
        }
        return refresh
      }),
    leave: (ticket, end) =>
      // A second call would not publish what an interrupt kept the first one from.
      Effect.uninterruptible(
        Effect.suspend(() => {
          const { host, running } = ticket
          if (host === undefined || running === undefined) return line.remove(ticket) ? publish : Effect.void
          giveBack(ticket, host, running, end)
          return refresh
        })
      ),
    add: (settings) =>
      Effect.suspend(() => {
        if (all.some(({ name }) => name === settings.name)) return Effect.succeed(false)
        all = [...all, Host.make(settings, random)]
        return Effect.as(refresh, true)
      }),
    keep: (name, permits) =>
      Effect.suspend(() => {
        const host = find(name)
        if (host === undefined) return Effect.succeed(false)
        if (!host.isDraining && host.permits === permits) return Effect.succeed(true)
        host.isDraining = false
        host.permits = permits
        return Effect.as(refresh, true)
      }),
    drain: Effect.fnUntraced(function* (name) {
      const host = find(name)
      if (host === undefined) return false
      host.isDraining = true
      yield* refresh
      const isOver = () => host.running.size === 0 || !host.isDraining
      yield* Stream.runDrain(Stream.takeUntil(SubscriptionRef.changes(state), isOver))
      if (!host.isDraining) return true
      all = all.filter((each) => each !== host)
      yield* refresh
      return true
    })
  }
})

interface LineOptions extends Options {
  readonly hosts: Queue["hosts"]
  /** Run when the list or the permits have changed. */
  readonly publish: Effect.Effect<void>
}

/** Requests get a host at once, or wait in line for it. */
const makeLine = ({ hosts, maxWaiting, now, onWaited, publish, random, run }: LineOptions) => {
  const waiting = WaitingList.make<Ticket>()
  const grants = new Map<Ticket, Deferred.Deferred<Host.Host, Choose.Failure>>()
  const reserved = new Set<Host.Host>()
  let isClosed = false
  let isTicking = false

  const choose = (ticket: Ticket, ahead: number): Choose.Choice =>
    isClosed
      ? { _tag: "None", failure: new NetworkError({ description: "the pool was closed" }) }
      : Choose.choose(hosts(), ticket, { now: now(), random, reserved, ahead, waiting: waiting.size() })

  const grant = (ticket: Ticket, host: Host.Host, predicted: Predicted): void => {
    const { model, prompt } = ticket
    const running: Host.Running = { ...predicted, model, prompt, sentAt: now(), begunAt: undefined }
    ticket.host = host
    ticket.running = running
    ticket.history.inUse.add(host)
    Host.take(host, running)
  }

  /** Returns whether the request has left the line. */
  const serve = (ticket: Ticket, choice: Choose.Choice): boolean => {
    if (choice._tag === "Wait") return false
    const isChosen = choice._tag === "Chosen"
    const granted = grants.get(ticket)
    waiting.remove(ticket, isChosen)
    grants.delete(ticket)
    if (isChosen) grant(ticket, choice.host, choice.predicted)
    if (granted !== undefined)
      Deferred.doneUnsafe(granted, isChosen ? Effect.succeed(choice.host) : Effect.fail(choice.failure))
    return true
  }

  /**
   * The first requests of each group, which may prefer other hosts than the very first does, or else the last one: it would wait for so
   * long that it may go to a host that has to load.
   */
  const dispatch = (): void => {
    reserved.clear()
    const stuck = new Set<WaitingList.Group<Ticket>>()
    for (let group = waiting.next(now(), stuck); group !== undefined; group = waiting.next(now(), stuck)) {
      const { entries } = group
      const first = entries[0]?.item
      if (first === undefined) return
      const choice = choose(first, 0)
      if (serve(first, choice)) continue
      const others = hosts().some(Host.hasPermit) ? [...Arr.range(1, lookAhead - 1), entries.length - 1] : []
      const isServed = others.some((i) => {
        const other = entries[i]?.item
        return other !== undefined && other !== first && serve(other, choose(other, i))
      })
      if (isServed) continue
      stuck.add(group)
      const other = choice._tag === "Wait" ? choice.otherModel : undefined
      if (other !== undefined && now() - first.waitingSince >= overtakingMillis) reserved.add(other)
    }
  }

  const tick: Effect.Effect<void> = Effect.suspend(() => {
    const before = waiting.size()
    dispatch()
    const isOver = waiting.size() === 0
    if (isOver) isTicking = false
    const next = isOver ? Effect.void : Effect.delay(tick, retryEvery)
    return waiting.size() === before ? next : Effect.andThen(publish, next)
  })

  const wait = (ticket: Ticket, { kind, left, limit }: WaitLimit): Effect.Effect<Host.Host, Choose.Failure> => {
    const granted = Deferred.makeUnsafe<Host.Host, Choose.Failure>()
    ticket.waitingSince = now()
    grants.set(ticket, granted)
    waiting.add(ticket)
    if (!isTicking) {
      isTicking = true
      run(Effect.delay(tick, retryEvery))
    }
    const timeout = new Timeout({ kind, limit: Duration.millis(limit) })
    return Effect.andThen(publish, Deferred.await(granted)).pipe(
      Effect.timeoutOrElse({ duration: Math.max(0, left), orElse: () => Effect.fail(timeout) }),
      Effect.ensuring(
        Effect.suspend(() => {
          remove(ticket)
          return Effect.andThen(onWaited((now() - ticket.waitingSince) / 1000), publish)
        })
      ),
      // A grant resumes the request inside the step that gave the permit back. Without a yield, a long line would be one call stack.
      Effect.tap(() => Effect.yieldNow)
    )
  }

  const remove = (ticket: Ticket): boolean => {
    grants.delete(ticket)
    return waiting.remove(ticket, false)
  }

  return {
    size: waiting.size,
    dispatch,
    remove,
    enter: (ticket: Ticket, limit: WaitLimit): Effect.Effect<Host.Host, Choose.Failure> =>
      Effect.suspend(() => {
        const best = choose(ticket, waiting.countBefore(ticket))
        if (best._tag === "Wait" && waiting.size() < maxWaiting) return wait(ticket, limit)
        const choice: Choose.Choice =
          best._tag === "Wait" && best.free !== undefined ? { _tag: "Chosen", ...best.free } : best
        if (choice._tag === "Wait") {
          const retryAfter = Duration.millis(Math.max(1000, Math.ceil(choice.millis)))
          return Effect.fail(
            new RateLimited({ retryAfter, description: `${maxWaiting} requests already wait for a host` })
          )
        }
        serve(ticket, choice)
        const outcome = choice._tag === "Chosen" ? Effect.succeed(choice.host) : Effect.fail(choice.failure)
        return Effect.andThen(Effect.andThen(onWaited(0), publish), outcome)
      }),
    close: (): void => {
      isClosed = true
      for (const ticket of waiting.items()) serve(ticket, choose(ticket, 0))
    }
  }
}

interface GiveBackOptions extends Pick<Options, "knowledge" | "now" | "run"> {
  readonly judge: ReturnType<typeof Recovery.make>
  readonly refresh: Effect.Effect<void>
}

/** Gives the permit of a request back when it leaves its host, and learns from how it ended. */
const makeGiveBack =
  ({ judge, knowledge, now, refresh, run }: GiveBackOptions) =>
  (ticket: Ticket, host: Host.Host, running: Host.Running, { final, outcome, progress }: End): void => {
    const { history, model, request, sentAt, since } = ticket
    ticket.host = undefined
    ticket.running = undefined
    ticket.sentAt = undefined
    history.inUse.delete(host)
    Host.giveBack(host, running)
    if (sentAt === undefined) return
    const isComplete = outcome === "succeeded"
    // Embeddings come as a whole.
    if (isComplete && running.begunAt === undefined) knowledge.begin(host, running, now())
    knowledge.end(host, running, { isComplete, final }, now())
    const isStopped = outcome === "stopped" || (isProviderError(outcome) && outcome.reason._tag === "Timeout")
    const isGivenUp = isStopped && progress === "none"
    if (isGivenUp && host.abandonedMillis > 0) {
      Host.abandon(host, running)
      const forget = Effect.suspend(() => (host.abandoned.delete(running) ? refresh : Effect.void))
      run(Effect.delay(forget, host.abandonedMillis))
    }
    // A deadline that passed mostly in the pool says nothing about the host.
    const waitedLonger = now() - sentAt < sentAt - since
    judge(host, isGivenUp && waitedLonger ? "stopped" : outcome, { model, request, sentAt })
  }

const toState = (host: Host.Host): HostState => ({
  name: host.name,
  permits: host.permits,
  active: host.running.size,
  abandoned: host.abandoned.size,
  status: host.isDraining ? "draining" : Host.isAllOff(host) ? "off" : "ready",
  ...(host.prediction !== undefined && { prediction: host.prediction }),
  ...(host.firstChunk !== undefined && { firstChunk: host.firstChunk })
})
