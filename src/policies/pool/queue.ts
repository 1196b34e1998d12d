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
import type { End } from "../attempt.ts"
import * as Blame from "./blame.ts"
import * as Host from "./host.ts"
import * as Permits from "./permits.ts"
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
  /** How many requests were given up before their first chunk and still count against the permits. */
  readonly abandoned: number
  /** `off`: its requests fail, or hang for every model that was asked for, so it gets none for now. `draining`: it gets no new requests. */
  readonly status: "ready" | "off" | "draining"
}

/** What `state` reports. */
export interface State {
  /** The hosts, in the order in which they were added. */
  readonly hosts: ReadonlyArray<HostState>
  /** How many requests wait for a host. */
  readonly waiting: number
}

export interface Queue extends Pick<WaitingList.WaitingList, "enter"> {
  readonly hosts: () => ReadonlyArray<Host.Host>
  readonly now: () => number
  readonly blame: Blame.Blame
  readonly state: SubscriptionRef.SubscriptionRef<State>
  /** The request has its first chunk that carries anything. */
  readonly begin: (ticket: WaitingList.Ticket) => Effect.Effect<void>
  /** The request gives its permit back, or stops waiting. Has no effect the second time. */
  readonly leave: (ticket: WaitingList.Ticket, end: End) => Effect.Effect<void>
  /** Returns whether the host was added: its name may be taken. */
  readonly add: (settings: Host.Settings) => Effect.Effect<boolean>
  /** Returns whether there is such a host, after its answers have ended and it was removed. */
  readonly drain: (name: string) => Effect.Effect<boolean>
  /** Something that is known about the hosts has changed. */
  readonly refresh: Effect.Effect<void>
}

export interface Options
  extends Omit<WaitingList.Options, "hosts" | "publish">, Omit<Recovery.Options, "blame" | "hosts" | "refresh"> {
  readonly abandonedMillis: number
}

export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Queue, never, Scope.Scope> {
  const { now, random } = options
  const blame = Blame.make()
  let all: ReadonlyArray<Host.Host> = []
  const hosts = () => all
  const state = yield* SubscriptionRef.make<State>({ hosts: [], waiting: 0 })
  const publish = SubscriptionRef.update(state, () => ({ hosts: all.map(toState), waiting: waiting.size() }))
  const waiting = WaitingList.make({ ...options, hosts, publish })
  const refresh = Effect.andThen(Effect.sync(waiting.dispatch), publish)
  const judge = Recovery.make({ ...options, hosts, blame, refresh })
  yield* Effect.addFinalizer(() => Effect.andThen(Effect.sync(waiting.close), publish))

  const endAbandoned = (host: Host.Host, which: (each: Host.Abandoned) => boolean) =>
    Effect.suspend(() => (Permits.endAbandoned(host, which) ? refresh : Effect.void))

  const giveBack = makeGiveBack(options, judge, endAbandoned)

  return {
    hosts,
    now,
    blame,
    state,
    refresh,
    enter: waiting.enter,
    begin: (ticket) =>
      Effect.suspend(() => {
        const { host, model, sentAt } = ticket
        if (host === undefined || sentAt === undefined) return Effect.void
        Host.observeAnswer(host, model, { sentAt, now: now() })
        // A server reads prompts in their order, so it has read or dropped those before.
        return endAbandoned(host, (each) => each.model === model && each.sentAt < sentAt)
      }),
    leave: (ticket, end) =>
      // A second call would not publish what an interrupt kept the first one from.
      Effect.uninterruptible(
        Effect.suspend(() => {
          if (ticket.host === undefined) return waiting.remove(ticket) ? publish : Effect.void
          giveBack(ticket, ticket.host, end)
          waiting.dispatch()
          return publish
        })
      ),
    add: (settings) =>
      Effect.suspend(() => {
        if (all.some(({ name }) => name === settings.name)) return Effect.succeed(false)
        all = [...all, Host.make(settings, random)]
        return Effect.as(refresh, true)
      }),
    drain: Effect.fnUntraced(function* (name) {
      const host = all.find((host) => host.name === name)
      if (host === undefined) return false
      host.isDraining = true
      yield* refresh
      yield* Stream.runDrain(Stream.takeUntil(SubscriptionRef.changes(state), () => host.active === 0))
      all = all.filter((each) => each !== host)
      yield* refresh
      return true
    })
  }
})

/** Gives the permit of a request back when it leaves its host, or keeps it for a while. */
const makeGiveBack =
  (
    { abandonedMillis, now, run }: Options,
    judge: ReturnType<typeof Recovery.make>,
    endAbandoned: (host: Host.Host, which: (each: Host.Abandoned) => boolean) => Effect.Effect<void>
  ) =>
  (ticket: WaitingList.Ticket, host: Host.Host, { outcome, progress }: End): void => {
    const { model, request, sentAt, since } = ticket
    ticket.host = undefined
    ticket.sentAt = undefined
    if (sentAt === undefined) return Permits.give(host, undefined)
    const isStopped = outcome === "stopped" || (isProviderError(outcome) && outcome.reason._tag === "Timeout")
    const isGivenUp = isStopped && progress === "none"
    const abandoned = isGivenUp ? { model, sentAt } : undefined
    Permits.give(host, abandoned)
    if (abandoned !== undefined)
      run(
        Effect.delay(
          endAbandoned(host, (each) => each === abandoned),
          abandonedMillis
        )
      )
    // A deadline that passed mostly in the pool says nothing about the host.
    const waitedLonger = now() - sentAt < sentAt - since
    judge(host, isGivenUp && waitedLonger ? "stopped" : outcome, { model, request, sentAt })
  }

const toState = (host: Host.Host): HostState => ({
  name: host.name,
  permits: host.permits,
  active: host.active,
  abandoned: host.abandoned.size,
  status: host.isDraining ? "draining" : Host.isAllOff(host) ? "off" : "ready"
})
