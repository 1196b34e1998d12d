/** The line of a pool: requests get a host at once, or wait until one suits them. */
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
  /** Why it waits, by the last choice. */
  lastWait: LastWait | undefined
}

interface LastWait {
  readonly choice: Choose.Wait
  /** How many requests of its group waited before it. */
  readonly ahead: number
  /** The `passes` of then. */
  readonly pass: number
  /** Of the preferred host. */
  readonly version: number | undefined
}

export interface WaitLimit {
  readonly kind: Timeout["kind"]
  /** The deadline as it is configured. */
  readonly limit: number
  /** When it has passed. */
  readonly until: number
}

export interface Line {
  /** How many requests wait. */
  readonly size: () => number
  /** Gives free permits to those who wait. `changed`: the only host that has changed. */
  readonly dispatch: (changed?: Host.Host) => void
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
  /** Called when the list or the permits have changed, except by one of the functions. */
  readonly onChange: () => void
}

/** How long requests for the loaded model may overtake one for another model, so that a server does not load for each request. */
const overtakingMillis = 5000

/** How many requests of a group are tried. */
const lookAhead = 8

/** Predictions change with time, so requests that wait although a host is free are tried again. */
const retryMillis = 250

/** How a request that waits goes on. */
interface Grant {
  readonly host: Deferred.Deferred<Host.Host, Choose.Failure>
  readonly limit: WaitLimit
  /** When it has waited for too long. */
  readonly until: number
}

interface State extends Options {
  readonly waiting: WaitingList.WaitingList<Ticket>
  readonly grants: Map<Ticket, Grant>
  /** Hosts whose requests for another model have to end first. */
  readonly reserved: Set<Host.Host>
  /** When requests that were refused come back, as they were told to. */
  refused: Array<{ readonly caller: string; readonly until: number }>
  /** How often requests that wait were gone through. */
  passes: number
  isClosed: boolean
  /** When requests that wait are looked at the next time; `Infinity`: none wait. */
  nextTickAt: number
}

export const make = (options: Options): Line => {
  const state: State = {
    ...options,
    waiting: WaitingList.make(),
    grants: new Map(),
    reserved: new Set(),
    refused: [],
    passes: 0,
    isClosed: false,
    nextTickAt: Infinity
  }
  const { waiting } = state
  return {
    size: waiting.size,
    dispatch: (changed) => dispatch(state, hasFree, changed),
    review: () => dispatch(state, always),
    remove: (ticket) => remove(state, ticket),
    enter: (ticket, limit) => Effect.suspend(() => enter(state, ticket, limit)),
    close: () => {
      state.isClosed = true
      for (const ticket of waiting.items()) serve(state, ticket, choose(state, ticket, 0))
    }
  }
}

const enter = (state: State, ticket: Ticket, limit: WaitLimit): Effect.Effect<Host.Host, Choose.Failure> => {
  const { maxWaiting, onChange, onWaited, waiting } = state
  const ahead = waiting.countBefore(ticket)
  const isLineFull = waiting.size() >= maxWaiting
  // Those before it wait for the same hosts.
  if (ahead > 0 && !isLineFull && !hasFree(state) && !Choose.isHopeless(ticket)) return wait(state, ticket, limit)
  const best = choose(state, ticket, ahead)
  if (best._tag === "Wait" && !isLineFull) return wait(state, ticket, limit)
  const choice: Choose.Choice =
    best._tag === "Wait" && best.free !== undefined ? { _tag: "Chosen", ...best.free } : best
  if (choice._tag === "Wait") return Effect.fail(refuse(state, ticket, ahead))
  serve(state, ticket, choice)
  onChange()
  const outcome = choice._tag === "Chosen" ? Effect.succeed(choice.host) : Effect.fail(choice.failure)
  return Effect.andThen(onWaited(0), outcome)
}

/** How many refused requests are expected to come back. Callers choose when they do, so their number is bounded. */
const maxRefused = 1000

/** Before any completion of the model has ended, a longer wait would be a guess. By then, more is known. */
const unknownMillis = 30_000

/** The line is full. `retryAfter` is when a host is expected to be free, after those that wait and those that its caller was refused. */
const refuse = (state: State, ticket: Ticket, ahead: number): RateLimited => {
  const { maxWaiting, now } = state
  const time = now()
  const { name } = ticket.caller
  state.refused = state.refused.filter(({ until }) => until > time).slice(-maxRefused)
  const before = state.refused.filter(({ caller }) => caller === name).length
  const choice = choose(state, ticket, ahead + before, time)
  // What the reading costs others is no part of the wait.
  const expected = choice._tag === "Wait" ? (choice.preferred?.prediction.permit ?? choice.millis) : 0
  const isMeasured = ticket.learned?.values.generation !== undefined
  const millis = Math.max(1000, Math.ceil(isMeasured ? expected : Math.min(expected, unknownMillis)))
  const retryAfter = Duration.millis(millis)
  state.refused.push({ caller: name, until: time + millis })
  return new RateLimited({ retryAfter, description: `${maxWaiting} requests already wait for a host` })
}

/** `ahead`: how many requests of its group wait before this one. */
const choose = (state: State, ticket: Ticket, ahead: number, time = state.now()): Choose.Choice => {
  if (state.isClosed) return { _tag: "None", failure: new NetworkError({ description: "the pool was closed" }) }
  const choice = Choose.choose(state.hosts(), ticket, situationOf(state, ahead, time))
  const version = choice._tag === "Wait" ? choice.preferred?.host.version : undefined
  ticket.lastWait = choice._tag === "Wait" ? { choice, ahead, pass: state.passes, version } : undefined
  return choice
}

const situationOf = ({ random, reserved, waiting }: State, ahead: number, now: number): Choose.Situation => ({
  now,
  random,
  reserved,
  ahead,
  waiting: waiting.size()
})

/** Returns whether the request has left the line. */
const serve = ({ grants, now, waiting }: State, ticket: Ticket, choice: Choose.Choice): boolean => {
  if (choice._tag === "Wait") return false
  const isChosen = choice._tag === "Chosen"
  const granted = grants.get(ticket)
  waiting.remove(ticket, isChosen)
  grants.delete(ticket)
  if (isChosen) give(ticket, choice, now())
  if (granted !== undefined)
    Deferred.doneUnsafe(granted.host, isChosen ? Effect.succeed(choice.host) : Effect.fail(choice.failure))
  return true
}

/** The request has a permit of the host from now on. */
export const give = (ticket: Ticket, { cached, generating, host, prediction }: Choose.Candidate, now: number): void => {
  const { history, model, prompt } = ticket
  ticket.host = host
  ticket.running = { model, prompt, prediction, cached, generating, sentAt: now, begunAt: undefined }
  history.inUse.add(host)
  Host.take(host, ticket.running)
}

const hasFree = ({ hosts }: State): boolean => hosts().some((host) => !host.isDraining && Host.hasPermit(host))

const always = (): boolean => true

/** `goesOn`: whether the next group is tried. There may be as many groups as requests. `changed`: the only host that has changed. */
const dispatch = (state: State, goesOn: (state: State) => boolean, changed?: Host.Host): void => {
  const { now, reserved, waiting } = state
  if (waiting.size() === 0) return
  const time = now()
  // Those that are no longer reserved have changed too.
  const only = reserved.size === 0 ? changed : undefined
  reserved.clear()
  state.passes++
  const stuck = new Set<WaitingList.Group<Ticket>>()
  while (waiting.size() > 0 && goesOn(state)) {
    const group = waiting.next(time, stuck)
    const first = group?.entries[0]?.item
    if (group === undefined || first === undefined) return
    const choice = reconsider(state, first, 0, time, only)
    if (serve(state, first, choice) || serveOther(state, group, time, only)) continue
    stuck.add(group)
    const other = choice._tag === "Wait" ? choice.otherModel : undefined
    if (other !== undefined && time - first.waitingSince >= overtakingMillis) reserved.add(other)
  }
}

/**
 * The requests after the first may prefer other hosts than that does. The last one would wait for so long that it may go to a host that
 * has to load the model.
 */
const serveOther = (
  state: State,
  { entries }: WaitingList.Group<Ticket>,
  time: number,
  changed: Host.Host | undefined
): boolean => {
  if (!hasFree(state)) return false
  const tries = (i: number): boolean => {
    const other = entries[i]?.item
    return other !== undefined && serve(state, other, reconsider(state, other, i, time, changed))
  }
  for (let i = 1; i < lookAhead; i++) if (tries(i)) return true
  return entries.length > lookAhead && tries(entries.length - 1)
}

/** Chooses again, unless the change of one host leaves the choice as it was: the request still waits. */
const reconsider = (
  state: State,
  ticket: Ticket,
  ahead: number,
  time: number,
  changed: Host.Host | undefined
): Choose.Choice => {
  const { lastWait: last } = ticket
  if (last === undefined || ahead > last.ahead || state.isClosed) return choose(state, ticket, ahead, time)
  const { choice, pass, version } = last
  const isPreferred = choice.preferred !== undefined && choice.preferred.host.version === version
  const isTheSame =
    // Since then, other hosts have only got requests.
    (pass === state.passes && isPreferred && time < (ticket.patientUntil ?? Infinity)) ||
    (changed !== undefined && Choose.stillWaits(choice, ticket, changed, situationOf(state, ahead, time)))
  return isTheSame ? choice : choose(state, ticket, ahead, time)
}

const wait = (state: State, ticket: Ticket, limit: WaitLimit) => {
  const { grants, now, onChange, onWaited, run, waiting } = state
  const host = Deferred.makeUnsafe<Host.Host, Choose.Failure>()
  ticket.waitingSince = now()
  const until = Math.max(ticket.waitingSince, limit.until)
  grants.set(ticket, { host, limit, until })
  waiting.add(ticket)
  if (state.nextTickAt === Infinity) run(tick(state, ticket.waitingSince))
  else if (until < state.nextTickAt) run(expireAt(state, until))
  onChange()
  return Deferred.await(host).pipe(
    Effect.ensuring(
      Effect.suspend(() => {
        remove(state, ticket)
        onChange()
        return onWaited((now() - ticket.waitingSince) / 1000)
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

/** A timer for all requests that wait takes less than one for each. Runs as long as any wait. */
const tick = (state: State, time: number): Effect.Effect<void> => {
  const { grants, now, onChange, waiting } = state
  if (waiting.size() === 0) {
    state.nextTickAt = Infinity
    return Effect.void
  }
  state.nextTickAt = time + retryMillis
  for (const { until } of grants.values()) state.nextTickAt = Math.min(state.nextTickAt, until)
  const next = Effect.suspend(() => {
    const before = waiting.size()
    expire(state)
    dispatch(state, always)
    if (waiting.size() !== before) onChange()
    return tick(state, now())
  })
  return Effect.delay(next, Math.max(0, state.nextTickAt - time))
}

/** Timers may be early by a part of a millisecond. */
const expireAt = (state: State, until: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    const left = until - state.now()
    return left > 0 ? Effect.delay(expireAt(state, until), left) : Effect.sync(() => expire(state))
  })

/** Fails requests that have waited for too long. */
const expire = (state: State): void => {
  const { grants, now } = state
  const time = now()
  for (const [ticket, { limit, until }] of grants) {
    if (until > time) continue
    const failure = new Timeout({ kind: limit.kind, limit: Duration.millis(limit.limit) })
    serve(state, ticket, { _tag: "None", failure })
  }
}
