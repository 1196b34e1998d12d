/** The line of a pool: requests get a host at once, or wait until one suits them. */
import * as Arr from "effect/Array"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { NetworkError, RateLimited, Timeout } from "../../ProviderError.ts"
import * as Choose from "./choose.ts"
import * as Host from "./host.ts"
import * as WaitingList from "./waitingList.ts"

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

export interface Line {
  /** How many requests wait. */
  readonly size: () => number
  /** Gives free permits to those who wait. */
  readonly dispatch: () => void
  /** As `dispatch`, and requests fail that no host suits any more. */
  readonly review: () => void
  /** Waits for a host, at most this long. */
  readonly enter: (ticket: Ticket, limit: WaitLimit) => Effect.Effect<Host.Host, Choose.Failure>
  /** Returns whether the request was waiting. */
  readonly remove: (ticket: Ticket) => boolean
  /** Requests that wait, and those that will, fail. */
  readonly close: () => void
}

export interface Options {
  readonly hosts: () => ReadonlyArray<Host.Host>
  readonly maxWaiting: number
  readonly now: () => number
  readonly random: () => number
  /** Runs an effect in the background, as long as the pool lives. */
  readonly run: (effect: Effect.Effect<void>) => void
  /** Run for each request that has waited, or need not. */
  readonly onWaited: (seconds: number) => Effect.Effect<void>
  /** Run when the list or the permits have changed. */
  readonly publish: Effect.Effect<void>
}

/** How long requests for the loaded model may overtake one for another model, so that a server does not load for each request. */
const overtakingMillis = 5000

/** How many requests of a group are tried. */
const lookAhead = 8

/** Predictions change with time, so requests that wait although a host is free are tried again. */
const retryEvery = "250 millis"

interface State extends Options {
  readonly waiting: WaitingList.WaitingList<Ticket>
  readonly grants: Map<Ticket, Deferred.Deferred<Host.Host, Choose.Failure>>
  /** Hosts whose requests for another model have to end first. */
  readonly reserved: Set<Host.Host>
  isClosed: boolean
  isTicking: boolean
}

export const make = (options: Options): Line => {
  const state: State = {
    ...options,
    waiting: WaitingList.make(),
    grants: new Map(),
    reserved: new Set(),
    isClosed: false,
    isTicking: false
  }
  const { maxWaiting, onWaited, publish } = options
  const { waiting } = state
  return {
    size: waiting.size,
    dispatch: () => dispatch(state, hasFree),
    review: () => dispatch(state, always),
    remove: (ticket) => remove(state, ticket),
    enter: (ticket, limit) =>
      Effect.suspend(() => {
        const best = choose(state, ticket, waiting.countBefore(ticket))
        if (best._tag === "Wait" && waiting.size() < maxWaiting) return wait(state, ticket, limit)
        const choice: Choose.Choice =
          best._tag === "Wait" && best.free !== undefined ? { _tag: "Chosen", ...best.free } : best
        if (choice._tag === "Wait") {
          const retryAfter = Duration.millis(Math.max(1000, Math.ceil(choice.millis)))
          const description = `${maxWaiting} requests already wait for a host`
          return Effect.fail(new RateLimited({ retryAfter, description }))
        }
        serve(state, ticket, choice)
        const outcome = choice._tag === "Chosen" ? Effect.succeed(choice.host) : Effect.fail(choice.failure)
        return Effect.andThen(Effect.andThen(onWaited(0), publish), outcome)
      }),
    close: () => {
      state.isClosed = true
      for (const ticket of waiting.items()) serve(state, ticket, choose(state, ticket, 0))
    }
  }
}

type Outlooks = Choose.Situation["outlooks"]

/** `ahead`: how many requests of its group wait before this one. */
const choose = (
  { hosts, isClosed, now, random, reserved, waiting }: State,
  ticket: Ticket,
  ahead: number,
  outlooks: Outlooks = new Map()
): Choose.Choice =>
  isClosed
    ? { _tag: "None", failure: new NetworkError({ description: "the pool was closed" }) }
    : Choose.choose(hosts(), ticket, { now: now(), random, reserved, ahead, waiting: waiting.size(), outlooks })

/** Returns whether the request has left the line. */
const serve = ({ grants, now, waiting }: State, ticket: Ticket, choice: Choose.Choice): boolean => {
  if (choice._tag === "Wait") return false
  const isChosen = choice._tag === "Chosen"
  const granted = grants.get(ticket)
  waiting.remove(ticket, isChosen)
  grants.delete(ticket)
  if (isChosen) {
    const { host, predicted } = choice
    const { history, model, prompt } = ticket
    ticket.host = host
    ticket.running = { ...predicted, model, prompt, sentAt: now(), begunAt: undefined }
    history.inUse.add(host)
    Host.take(host, ticket.running)
  }
  if (granted !== undefined)
    Deferred.doneUnsafe(granted, isChosen ? Effect.succeed(choice.host) : Effect.fail(choice.failure))
  return true
}

const hasFree = ({ hosts }: State): boolean => hosts().some(Host.hasPermit)

const always = (): boolean => true

/** `goesOn`: whether the next group is tried. There may be as many groups as requests. */
const dispatch = (state: State, goesOn: (state: State) => boolean): void => {
  const { now, reserved, waiting } = state
  reserved.clear()
  const stuck = new Set<WaitingList.Group<Ticket>>()
  while (waiting.size() > 0 && goesOn(state)) {
    const group = waiting.next(now(), stuck)
    const first = group?.entries[0]?.item
    if (group === undefined || first === undefined) return
    const outlooks: Outlooks = new Map()
    const choice = choose(state, first, 0, outlooks)
    if (serve(state, first, choice) || serveOther(state, group, outlooks)) continue
    stuck.add(group)
    const other = choice._tag === "Wait" ? choice.otherModel : undefined
    if (other !== undefined && now() - first.waitingSince >= overtakingMillis) reserved.add(other)
  }
}

/**
 * The requests after the first may prefer other hosts than that does. The last one would wait for so long that it may go to a host that
 * has to load the model.
 */
const serveOther = (state: State, { entries }: WaitingList.Group<Ticket>, outlooks: Outlooks): boolean =>
  state.hosts().some(Host.hasPermit) &&
  [...Arr.range(1, lookAhead - 1), entries.length - 1].some((i) => {
    const other = i === 0 ? undefined : entries[i]?.item
    return other !== undefined && serve(state, other, choose(state, other, i, outlooks))
  })

const wait = (state: State, ticket: Ticket, { kind, left, limit }: WaitLimit) => {
  const { grants, now, onWaited, publish, run, waiting } = state
  const granted = Deferred.makeUnsafe<Host.Host, Choose.Failure>()
  ticket.waitingSince = now()
  grants.set(ticket, granted)
  waiting.add(ticket)
  if (!state.isTicking) {
    state.isTicking = true
    run(Effect.delay(tick(state), retryEvery))
  }
  const timeout = new Timeout({ kind, limit: Duration.millis(limit) })
  return Effect.andThen(publish, Deferred.await(granted)).pipe(
    Effect.timeoutOrElse({ duration: Math.max(0, left), orElse: () => Effect.fail(timeout) }),
    Effect.ensuring(
      Effect.suspend(() => {
        remove(state, ticket)
        return Effect.andThen(onWaited((now() - ticket.waitingSince) / 1000), publish)
      })
    ),
    // A grant resumes the request inside the step that gave the permit back. Without a yield, a long line would be one call stack.
    Effect.tap(() => Effect.yieldNow)
  )
}

const remove = ({ grants, waiting }: State, ticket: Ticket): boolean => {
  grants.delete(ticket)
  return waiting.remove(ticket, false)
}

/** Runs as long as requests wait. */
const tick = (state: State): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { publish, waiting } = state
    const before = waiting.size()
    dispatch(state, always)
    const isOver = waiting.size() === 0
    if (isOver) state.isTicking = false
    const next = isOver ? Effect.void : Effect.delay(tick(state), retryEvery)
    return waiting.size() === before ? next : Effect.andThen(publish, next)
  })
