/**
 * The permits of all hosts, and one waiting list for them. A semaphore for each host would make a request choose its host
 * before it is known which one has a free permit first.
 *
 * Everything that changes the hosts happens in one synchronous step, so no interruption can come in between. What a request has,
 * its place in the list or its permit, belongs to its ticket, and `leave` gives it back whenever the request is interrupted.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import type { ProviderError, ProviderErrorReason } from "../../ProviderError.ts"
import { NetworkError, RateLimited, Timeout } from "../../ProviderError.ts"
import * as Blame from "./blame.ts"
import * as Choose from "./choose.ts"
import * as Failure from "./failure.ts"
import * as Host from "./host.ts"
import * as Latency from "./latency.ts"

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

/** A request in the pool: it waits, or it has a host, or neither. */
export interface Ticket extends Choose.Wanted {
  readonly request: object
  /** When it entered the pool, in milliseconds. */
  readonly since: number
  host: Host.Host | undefined
  /** When it was sent to its host, if it was. */
  sentAt: number | undefined
  /** Whatever it carries: progress shows that the server can stop. */
  hasFirstChunk: boolean
}

type Sent = Pick<Ticket, "model" | "request" | "sentAt">

/** How a request left its host: it succeeded, it failed, or the consumer stopped. */
export type Outcome = "succeeded" | "stopped" | ProviderError

export interface Queue {
  readonly hosts: () => ReadonlyArray<Host.Host>
  readonly now: () => number
  readonly blame: Blame.Blame
  readonly state: SubscriptionRef.SubscriptionRef<State>
  /** Waits for a host, at most this long. */
  readonly enter: (ticket: Ticket, limit: WaitLimit) => Effect.Effect<Host.Host, ProviderErrorReason>
  /** The request has its first chunk that carries anything. */
  readonly begin: (ticket: Ticket) => Effect.Effect<void>
  /** The request gives its permit back, or stops waiting. Has no effect the second time. */
  readonly leave: (ticket: Ticket, outcome: Outcome) => Effect.Effect<void>
  /** Returns whether the host was added: its name may be taken. */
  readonly add: (settings: Host.Settings) => Effect.Effect<boolean>
  /** Returns whether there is such a host, after its answers have ended and it was removed. */
  readonly drain: (name: string) => Effect.Effect<boolean>
  /** Something that is known about the hosts has changed. */
  readonly refresh: Effect.Effect<void>
}

export interface WaitLimit {
  readonly kind: Timeout["kind"]
  /** The deadline as it is configured. */
  readonly limit: number
  /** What is left of it, in milliseconds. */
  readonly left: number
}

export interface Options {
  readonly maxWaiting: number
  readonly abandonedMillis: number
  /** Whether a model whose requests hang is unloaded. */
  readonly unloadHanging: boolean
  readonly now: () => number
  readonly random: () => number
  /** Runs an effect in the background, as long as the pool lives. */
  readonly run: (effect: Effect.Effect<void>) => void
  readonly onWaited: (seconds: number) => Effect.Effect<void>
}

/** How long requests for the loaded model may overtake one for another model, so that a server does not load for each request. */
const overtakingMillis = 5000

/** How long a probe may take, in place of the deadline of the host, which allows for a load. */
const probeTimeout = "10 seconds"

const closed: Choose.Choice = { _tag: "None", reason: new NetworkError({ description: "the pool was closed" }) }

export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Queue, never, Scope.Scope> {
  const { abandonedMillis, maxWaiting, now, onWaited, random, run, unloadHanging } = options
  const blame = Blame.make()
  let hosts: ReadonlyArray<Host.Host> = []
  let isClosed = false
  const waiters = new Map<Ticket, Deferred.Deferred<Host.Host, ProviderErrorReason>>()
  const state = yield* SubscriptionRef.make<State>({ hosts: [], waiting: 0 })
  const publish = SubscriptionRef.update(state, () => ({ hosts: hosts.map(toState), waiting: waiters.size }))

  const take = (ticket: Ticket, host: Host.Host): void => {
    host.active++
    host.lane ??= { model: ticket.model }
    ticket.host = host
  }

  /** Gives free permits to those who wait, the oldest first. */
  const dispatch = (): void => {
    const time = now()
    const reserved = new Set<Host.Host>()
    for (const [ticket, granted] of waiters) {
      const choice = isClosed ? closed : Choose.choose(hosts, ticket, { now: time, random, reserved })
      if (choice._tag === "Busy") {
        const first = choice.otherModel.toSorted((a, b) => Host.used(a) - Host.used(b))[0]
        if (first !== undefined && time - ticket.since >= overtakingMillis) reserved.add(first)
        continue
      }
      waiters.delete(ticket)
      if (choice._tag === "Chosen") take(ticket, choice.host)
      Deferred.doneUnsafe(granted, choice._tag === "Chosen" ? Effect.succeed(choice.host) : Effect.fail(choice.reason))
    }
  }

  const refresh = Effect.andThen(Effect.sync(dispatch), publish)

  const clearLane = (host: Host.Host): void => {
    if (Host.used(host) === 0) host.lane = undefined
  }

  const endAbandoned = (host: Host.Host, which: (each: Host.Abandoned) => boolean): boolean => {
    const ended = [...host.abandoned].filter(which)
    for (const each of ended) host.abandoned.delete(each)
    clearLane(host)
    return ended.length > 0
  }

  const abandon = (host: Host.Host, abandoned: Host.Abandoned): void => {
    host.abandoned.add(abandoned)
    const end = Effect.suspend(() => (endAbandoned(host, (each) => each === abandoned) ? refresh : Effect.void))
    run(Effect.delay(end, abandonedMillis))
  }

  /** Whether an effect succeeds in time. */
  const works = (effect: Effect.Effect<unknown, ProviderError>): Effect.Effect<boolean> =>
    Effect.map(
      Effect.timeoutOption(Effect.exit(effect), probeTimeout),
      (result) => result._tag === "Some" && result.value._tag === "Success"
    )

  /** Off until a probe succeeds. A probe is a list of models, never a generation. */
  const recover = (host: Host.Host, off: object | undefined): Effect.Effect<void> =>
    Effect.suspend(() =>
      Effect.flatMap(Effect.delay(works(host.provider.listModels), host.breaker.nextOffMillis()), (isBack) => {
        // Its failures may have been forgiven since.
        if (!hosts.includes(host) || host.breaker.offSince() !== off) return Effect.void
        if (!isBack) return recover(host, off)
        host.breaker.restore(now())
        return refresh
      })
    )

  /** The model is off. If the host does not list its models either, it is the host that hangs. */
  const recoverModel = Effect.fnUntraced(function* (host: Host.Host, name: string, { breaker }: Host.Model) {
    const { listModels, unload } = host.provider
    const isHostOff = !(yield* works(listModels)) && host.breaker.turnOff()
    if (isHostOff) run(recover(host, host.breaker.offSince()))
    else yield* refresh
    const isUnloaded = unloadHanging && !isHostOff && unload !== undefined && (yield* works(unload(name)))
    if (!isUnloaded) yield* Effect.sleep(breaker.nextOffMillis())
    breaker.restore(now())
    yield* refresh
  })

  const judge = (host: Host.Host, outcome: Outcome, { model: name, request, sentAt }: Sent): void => {
    if (outcome === "stopped" || sentAt === undefined) return
    const time = now()
    const model = name === undefined ? undefined : Host.modelOf(host, name)
    if (outcome === "succeeded") {
      model?.breaker.record(true, sentAt, time)
      host.breaker.record(true, sentAt, time)
      return
    }
    const { reason } = outcome
    host.lastError = outcome
    if (!Failure.isOfHost(reason) || blame.isOfRequest(request, reason, host, time)) return
    if (name !== undefined && model !== undefined && Failure.isHang(reason)) {
      model.lastError = outcome
      if (model.breaker.record(false, sentAt, time)) run(recoverModel(host, name, model))
      return
    }
    const turnsOff = host.breaker.record(false, sentAt, time)
    blame.suspect(request, reason, host, time)
    if (turnsOff) run(recover(host, host.breaker.offSince()))
  }

  yield* Effect.addFinalizer(() =>
    Effect.suspend(() => {
      isClosed = true
      return refresh
    })
  )

  return {
    hosts: () => hosts,
    now,
    blame,
    state,
    refresh,
    enter: (ticket, { kind, left, limit }) =>
      Effect.suspend(() => {
        const granted = Deferred.makeUnsafe<Host.Host, ProviderErrorReason>()
        waiters.set(ticket, granted)
        dispatch()
        if (!waiters.has(ticket)) {
          return Effect.andThen(Effect.andThen(onWaited(0), publish), Deferred.await(granted))
        }
        if (waiters.size > maxWaiting) {
          waiters.delete(ticket)
          return Effect.fail(new RateLimited({ description: `${maxWaiting} requests already wait for a host` }))
        }
        const since = now()
        const timeout = new Timeout({ kind, limit: Duration.millis(limit) })
        return Effect.andThen(publish, Deferred.await(granted)).pipe(
          Effect.timeoutOrElse({ duration: Math.max(0, left), orElse: () => Effect.fail(timeout) }),
          Effect.ensuring(
            Effect.suspend(() => {
              waiters.delete(ticket)
              return Effect.andThen(onWaited((now() - since) / 1000), publish)
            })
          )
        )
      }),
    begin: (ticket) =>
      Effect.suspend(() => {
        const { host, model = "", sentAt } = ticket
        if (host === undefined || sentAt === undefined) return Effect.void
        const known = Host.modelOf(host, model)
        known.answeredAt = now()
        known.latency = Latency.observe(known.latency, known.answeredAt - sentAt, known.answeredAt)
        // A server reads prompts in their order, so it has read or dropped those before.
        return endAbandoned(host, (each) => each.model === ticket.model && each.sentAt < sentAt) ? refresh : Effect.void
      }),
    leave: (ticket, outcome) => {
      const give = Effect.suspend(() => {
        const { hasFirstChunk, host, model, request, sentAt, since } = ticket
        if (host === undefined) return waiters.delete(ticket) ? publish : Effect.void
        ticket.host = undefined
        ticket.sentAt = undefined
        host.active--
        const isGivenUp = outcome === "stopped" || (outcome !== "succeeded" && outcome.reason._tag === "Timeout")
        if (isGivenUp && !hasFirstChunk && sentAt !== undefined) abandon(host, { model, sentAt })
        clearLane(host)
        // A deadline that passed mostly in the pool says nothing about the host.
        const waitedLonger = sentAt !== undefined && now() - sentAt < sentAt - since
        const judged = isGivenUp && !hasFirstChunk && waitedLonger ? "stopped" : outcome
        judge(host, judged, { model, request, sentAt })
        dispatch()
        return publish
      })
      // A second call would not publish what an interrupt kept the first one from.
      return Effect.uninterruptible(give)
    },
    add: (settings) =>
      Effect.suspend(() => {
        if (hosts.some(({ name }) => name === settings.name)) return Effect.succeed(false)
        hosts = [...hosts, Host.make(settings, random)]
        return Effect.as(refresh, true)
      }),
    drain: (name) =>
      Effect.suspend(() => {
        const host = hosts.find((host) => host.name === name)
        if (host === undefined) return Effect.succeed(false)
        host.isDraining = true
        return Effect.gen(function* () {
          yield* refresh
          yield* Stream.runDrain(Stream.takeUntil(SubscriptionRef.changes(state), () => host.active === 0))
          hosts = hosts.filter((each) => each !== host)
          yield* refresh
          return true
        })
      })
  }
})

const toState = (host: Host.Host): HostState => ({
  name: host.name,
  permits: host.permits,
  active: host.active,
  abandoned: host.abandoned.size,
  status: host.isDraining ? "draining" : Host.isAllOff(host) ? "off" : "ready"
})
