/**
 * The hosts of a pool, their permits, and one waiting list for them. A semaphore for each host would make a request choose its host
 * before it is known which one has a free permit first.
 *
 * Everything that changes the hosts happens in one synchronous step, so no interruption can come in between. What a request has,
 * its place in the list or its permit, belongs to its ticket, and `leave` gives it back whenever the request is interrupted.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import { isProviderError } from "../../ProviderError.ts"
import type * as Choose from "./choose.ts"
import type { End } from "../attempt.ts"
import * as ComputedRef from "./computedRef.ts"
import * as Failures from "./failures.ts"
import * as Health from "./health.ts"
import * as Host from "./host.ts"
import type { Final, Knowledge } from "./knowledge.ts"
import * as Line from "./line.ts"
import * as Prompt from "./prompt.ts"
import * as Recovery from "./recovery.ts"

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

/** How an attempt ended, with what is learned from it. */
export interface Ended extends Omit<End, "final"> {
  readonly final?: Final | undefined
}

export interface Queue {
  readonly hosts: () => ReadonlyArray<Host.Host>
  readonly now: () => number
  readonly blame: Failures.Blame
  readonly state: SubscriptionRef.SubscriptionRef<State>
  /** Waits for a host. */
  readonly enter: (ticket: Line.Ticket, limit: Line.WaitLimit) => Effect.Effect<Host.Host, Choose.Failure>
  /** The request has its first chunk that carries anything. */
  readonly begin: (ticket: Line.Ticket) => void
  /** The request gives its permit back, or stops waiting. Has no effect the second time. */
  readonly leave: (ticket: Line.Ticket, end: Ended) => void
  /** A request that the host has already gets a permit of it, even if all are taken. */
  readonly hold: (ticket: Line.Ticket, host: Host.Host, hasBegun: boolean) => void
  /** Returns whether the host was added: its name may be taken. */
  readonly add: (settings: Host.Settings) => Effect.Effect<boolean>
  /** A host that is there gets these permits, and is no longer drained. Returns whether it is there. */
  readonly keep: (name: string, permits: number) => Effect.Effect<boolean>
  /** Returns whether there is such a host, after its requests have ended and it was removed. */
  readonly drain: (name: string) => Effect.Effect<boolean>
  /** Something that is known about the hosts, or about this one, has changed. */
  readonly refresh: (host?: Host.Host) => void
}

export interface Options
  extends Omit<Recovery.Options, "blame" | "health" | "hosts" | "refresh">, Omit<Line.Options, "hosts" | "onChange"> {
  readonly knowledge: Knowledge
  /** Where other pools report which hosts are off. */
  readonly health?: Health.Store | undefined
}

export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Queue, never, Scope.Scope> {
  const { knowledge, now, random, run } = options
  const blame = Failures.makeBlame()
  const members = makeMembers(random)
  const { find, hosts } = members
  const state = yield* ComputedRef.make<State>({ hosts: [], waiting: 0 }, () => ({
    hosts: hosts().map(toState),
    waiting: line.size()
  }))
  const line = Line.make({ ...options, hosts, onChange: state.change })
  const refresh = (host?: Host.Host): void => {
    line.dispatch(host)
    state.change()
  }
  const review = (): void => {
    line.review()
    state.change()
  }
  const health = options.health === undefined ? Health.none : yield* Health.make(options.health)
  const { hear, judge } = Recovery.make({ ...options, health, hosts, blame, refresh: Effect.sync(review) })
  const giveBack = makeGiveBack({ knowledge, now, run, judge, refresh })
  const names = () => hosts().map(({ name }) => name)
  yield* Effect.forkScoped(
    health.follow(names, ({ host: name, isOff }) => {
      const host = find(name)
      if (host !== undefined) hear(host, isOff)
    })
  )
  yield* Effect.addFinalizer(() =>
    Effect.sync(() => {
      line.close()
      state.change()
    })
  )

  return {
    hosts,
    now,
    blame,
    state: state.ref,
    refresh,
    enter: line.enter,
    begin: (ticket) => {
      begin(knowledge, ticket, now)
      refresh(ticket.host)
    },
    leave: (ticket, end) => {
      const { host } = ticket
      if (giveBack(ticket, end)) refresh(host)
      else if (line.remove(ticket)) state.change()
    },
    hold: (ticket, host, hasBegun) => {
      hold(ticket, host, hasBegun, now())
      refresh(host)
    },
    ...makeChanges(members, { state: state.ref, refresh, review })
  }
})

const makeMembers = (random: () => number) => {
  const readers: Prompt.Readers = new Map()
  let all: ReadonlyArray<Host.Host> = []
  const find = (name: string) => all.find((host) => host.name === name)
  return {
    find,
    hosts: () => all,
    /** Returns whether the name was free. */
    add: (settings: Host.Settings): boolean => {
      if (find(settings.name) !== undefined) return false
      all = [...all, Host.make(settings, random, readers)]
      return true
    },
    /** Returns whether there is such a host. */
    keep: (name: string, permits: number): boolean => {
      const host = find(name)
      if (host === undefined) return false
      host.isDraining = false
      host.permits = permits
      Host.change(host)
      return true
    },
    remove: (host: Host.Host): void => {
      all = all.filter((each) => each !== host)
      host.prefixes.close()
    }
  }
}

/** The changes of the hosts, which requests that wait may go on with. */
const makeChanges = (
  { add, find, keep, remove }: ReturnType<typeof makeMembers>,
  { refresh, review, state }: Pick<Queue, "state"> & Record<"refresh" | "review", () => void>
): Pick<Queue, "add" | "drain" | "keep"> => {
  const changing = (isChanged: () => boolean) =>
    Effect.sync(() => {
      const has = isChanged()
      if (has) refresh()
      return has
    })
  return {
    add: (settings) => changing(() => add(settings)),
    keep: (name, permits) => changing(() => keep(name, permits)),
    drain: (name) =>
      Effect.suspend(() => {
        const host = find(name)
        return host === undefined ? Effect.succeed(false) : Effect.as(drain(host, state, review, remove), true)
      })
  }
}

/** Removes a host when its requests have ended, unless it is kept meanwhile. */
const drain = Effect.fnUntraced(function* (
  host: Host.Host,
  state: SubscriptionRef.SubscriptionRef<State>,
  review: () => void,
  remove: (host: Host.Host) => void
) {
  host.isDraining = true
  review()
  const isOver = () => host.running.size === 0 || !host.isDraining
  yield* Stream.runDrain(Stream.takeUntil(SubscriptionRef.changes(state), isOver))
  if (!host.isDraining) return
  remove(host)
  review()
  yield* host.release
})

/** Nothing is known of how the request came to the host. */
const hold = (ticket: Line.Ticket, host: Host.Host, hasBegun: boolean, now: number): void => {
  Line.give(ticket, { host, prediction: Host.makePrediction(), cached: Prompt.nothingCached, generating: 0 }, now)
  ticket.sentAt = now
  if (hasBegun && ticket.running !== undefined) ticket.running.begunAt = now
}

const begin = (knowledge: Knowledge, { host, model, running }: Line.Ticket, now: () => number): void => {
  if (host === undefined || running === undefined) return
  knowledge.begin(host, running, now())
  // A server reads prompts in their order, so it has read or dropped those before.
  for (const each of host.abandoned) {
    if (each.model === model && each.sentAt < running.sentAt) host.abandoned.delete(each)
  }
}

interface GiveBackOptions extends Pick<Options, "knowledge" | "now" | "run"> {
  readonly judge: Recovery.Recovery["judge"]
  readonly refresh: Queue["refresh"]
}

/** Gives the permit of a request back, and learns from how it ended. Returns whether it had one. */
const makeGiveBack =
  ({ judge, knowledge, now, refresh, run }: GiveBackOptions) =>
  (ticket: Line.Ticket, { final, outcome, progress }: Ended): boolean => {
    const { history, host, model, prompt, request, running, sentAt, since } = ticket
    if (host === undefined || running === undefined) return false
    ticket.host = undefined
    ticket.running = undefined
    ticket.sentAt = undefined
    history.inUse.delete(host)
    Host.giveBack(host, running)
    if (sentAt === undefined) return true
    const isComplete = outcome === "succeeded"
    // Embeddings come as a whole.
    if (isComplete && running.begunAt === undefined) knowledge.begin(host, running, now())
    knowledge.end(host, running, { isComplete, final }, now())
    const isStopped = outcome === "stopped" || (isProviderError(outcome) && outcome.reason._tag === "Timeout")
    const isGivenUp = isStopped && progress === "none"
    if (isGivenUp && host.abandonedMillis > 0) {
      Host.abandon(host, running)
      const forget = Effect.sync(() => {
        if (!host.abandoned.delete(running)) return
        Host.change(host)
        refresh(host)
      })
      run(Effect.delay(forget, host.abandonedMillis))
    }
    // A deadline that passed mostly in the pool says nothing about the host.
    const waitedLonger = now() - sentAt < sentAt - since
    judge(host, isGivenUp && waitedLonger ? "stopped" : outcome, { model, prompt, request, sentAt })
    return true
  }

const toState = (host: Host.Host): HostState => ({
  name: host.name,
  permits: host.permits,
  active: host.running.size,
  abandoned: host.abandoned.size,
  status: host.isDraining ? "draining" : Host.isAllOff(host) ? "off" : "ready",
  // It changes with the next request.
  ...(host.prediction !== undefined && { prediction: { ...host.prediction } }),
  ...(host.firstChunk !== undefined && { firstChunk: host.firstChunk })
})
