/** Which host a request goes to: the one that is expected to send its first chunk the earliest. */
import type { ProviderErrorReason } from "../../ProviderError.ts"
import {
  AllProvidersFailed,
  ContextOverflow,
  isProviderError,
  ModelNotAvailable,
  NetworkError,
  type ProviderError
} from "../../ProviderError.ts"
import type { RequestHistory } from "../history.ts"
import * as Failures from "./failures.ts"
import * as Host from "./host.ts"
import * as Prediction from "./prediction.ts"
import type { Cached } from "./prompt.ts"

/** A request in the pool. */
export interface Wanted extends Prediction.Subject {
  readonly history: RequestHistory
  /** Hosts on which a request of the same content failed before. */
  readonly failedOn: Failures.FailedOn
  /** Hosts that failed before the completion committed, in this run of the request. */
  readonly tried: Set<Host.Host>
  /** The fewest tokens that the prompt has, if a host reported it; otherwise 0. */
  minTokens: number
  /** When a busy host that was preferred to a free one was expected to be free, doubled. After that, the free one is taken. */
  patientUntil: number | undefined
}

/** What a request fails with. */
export type Failure = ProviderErrorReason | ProviderError

export interface Candidate {
  readonly host: Host.Host
  readonly prediction: Host.Prediction
  readonly cached: Cached
  /** How many completions the host generates. */
  readonly generating: number
}

/** To wait is expected to take less time, or nothing else is possible. */
export interface Wait {
  readonly _tag: "Wait"
  /** The predicted time to the first chunk, in milliseconds. */
  readonly millis: number
  /** A host whose free permits are of no use until the requests for another model have ended. */
  readonly otherModel: Host.Host | undefined
  /** The host that is expected to be the first. */
  readonly preferred?: Candidate | undefined
  /** How many hosts are suitable, and their permits, if requests wait before this one. */
  readonly suitable: number
  readonly permits: number
  /** Another host that is free now. */
  readonly free?: Candidate | undefined
}

export type Choice =
  | ({ readonly _tag: "Chosen" } & Candidate)
  | Wait
  | { readonly _tag: "None"; readonly failure: Failure }

export interface Situation {
  readonly now: number
  readonly random: () => number
  /** Hosts that a request before this one waits for. */
  readonly reserved: ReadonlySet<Host.Host>
  /** How many requests wait before this one. */
  readonly ahead: number
  /** How many requests wait. */
  readonly waiting: number
}

export const choose = (hosts: ReadonlyArray<Host.Host>, wanted: Wanted, situation: Situation): Choice => {
  const { history, model } = wanted
  const { ahead, now, random, reserved, waiting } = situation
  if (history.crashed.size >= maxCrashes) return { _tag: "None", failure: crashed(hosts, history) }
  const suitable = findSuitable(hosts, wanted)
  if (suitable.length === 0) return explain(hosts.filter(isPresent(wanted)), wanted, now)
  const permits = ahead === 0 ? 1 : countPermits(suitable, model, now)
  const load = { ahead: ahead / permits, perHost: waiting / suitable.length }
  const best = makeBest(random)
  const free = makeBest(random)
  const otherModel = makeBest(random)
  for (const host of suitable) {
    const outlook = Prediction.outlookOf(host, wanted, now)
    const total = Prediction.predict(host, wanted, outlook, load, now)
    if (history.inUse.has(host)) continue
    offer(best, host, total, outlook)
    if (!outlook.isFull && !reserved.has(host)) offer(outlook.isOpen ? free : otherModel, host, total, outlook)
  }
  const wait: Wait = {
    _tag: "Wait",
    millis: best.host === undefined ? 0 : best.total,
    otherModel: free.host === undefined ? otherModel.host : undefined,
    preferred: toCandidate(best),
    free: toCandidate(free),
    suitable: suitable.length,
    permits
  }
  return decide(wanted, wait, situation)
}

/** A busy host may be preferred to one that is free, but not for longer than it is expected to take. */
const decide = (wanted: Wanted, wait: Wait, { now, reserved }: Situation): Choice => {
  const { free, preferred } = wait
  if (free === undefined) return wait
  const isFirst = preferred === undefined || preferred.host === free.host || reserved.has(preferred.host)
  return isFirst || !isPatient(wanted, preferred.prediction.permit, now) ? { _tag: "Chosen", ...free } : wait
}

/** Whether the request goes on waiting for a busy host that it prefers to a free one. `permit`: how long that is expected to take. */
export const isPatient = (wanted: Wanted, permit: number, now: number): boolean => {
  wanted.patientUntil ??= now + patience * permit
  return now < wanted.patientUntil
}

/**
 * Whether a request still waits after the change of one host: the host that it preferred is still expected to be earlier than the one
 * that has changed, and than the free one of then. All others are as they were.
 */
export const stillWaits = (wait: Wait, wanted: Wanted, changed: Host.Host, situation: Situation): boolean => {
  const { ahead, now, waiting } = situation
  const { free, permits, preferred, suitable } = wait
  if (preferred === undefined || now >= (wanted.patientUntil ?? Infinity)) return false
  const load = { ahead: ahead / permits, perHost: waiting / suitable }
  const totalOf = (host: Host.Host, outlook: Host.Outlook) => Prediction.predict(host, wanted, outlook, load, now)
  const outlook = Prediction.outlookOf(preferred.host, wanted, now)
  if (outlook.isOpen) return false
  const total = totalOf(preferred.host, outlook)
  const { permit } = preferred.host.prediction ?? preferred.prediction
  for (const host of [changed, free?.host]) {
    if (host === undefined || host === preferred.host) continue
    const other = Prediction.outlookOf(host, wanted, now)
    if (!other.isFull && (totalOf(host, other) <= total || !isPatient(wanted, permit, now))) return false
  }
  return true
}

/** Whether no host may get the request, whatever they do. */
export const isHopeless = ({ failedOn, history }: Wanted): boolean =>
  history.crashed.size >= maxCrashes || failedOn.isToBlame

const isPresent =
  ({ tried }: Wanted) =>
  (host: Host.Host): boolean =>
    !host.isDraining && !tried.has(host)

/** Of the hosts that have the model in memory, or else of all. */
const countPermits = (hosts: ReadonlyArray<Host.Host>, model: string | undefined, now: number): number => {
  const loaded = hosts.filter(({ models }) => Host.isLoaded(models.get(model ?? ""), now))
  return (loaded.length === 0 ? hosts : loaded).reduce((sum, { permits }) => sum + permits, 0)
}

/** How many hosts a request may take down. */
const maxCrashes = 2

const patience = 4

/** The host with the smallest prediction. Of equal ones, each is as likely. */
interface Best {
  readonly random: () => number
  host: Host.Host | undefined
  outlook: Host.Outlook | undefined
  total: number
  equals: number
}

const makeBest = (random: () => number): Best => ({
  random,
  host: undefined,
  outlook: undefined,
  total: Infinity,
  equals: 0
})

const offer = (best: Best, host: Host.Host, total: number, outlook: Host.Outlook): void => {
  if (total > best.total) return
  best.equals = total < best.total ? 1 : best.equals + 1
  if (best.equals > 1 && best.random() >= 1 / best.equals) return
  best.host = host
  best.outlook = outlook
  best.total = total
}

const toCandidate = ({ host, outlook }: Best): Candidate | undefined =>
  host?.prediction === undefined || outlook === undefined
    ? undefined
    : { host, prediction: { ...host.prediction }, cached: host.cached, generating: outlook.work.generating }

/** Those that may answer. A host that does not list the model, or whose context seems too small, only if all others do as well. */
const findSuitable = (hosts: ReadonlyArray<Host.Host>, wanted: Wanted): ReadonlyArray<Host.Host> => {
  const { failedOn, minTokens, promptTokens, tried } = wanted
  let best = 0
  let suitable: Array<Host.Host> = []
  for (const host of hosts) {
    if (host.isDraining || tried.has(host) || host.breaker.isOff()) continue
    if (failedOn.isToBlame && !failedOn.hosts.has(host)) continue
    const model = Host.findModel(host, wanted.model)
    const contextLength = Host.contextLength(model)
    if (model !== undefined && (model.isMissing || model.breaker.isOff() || minTokens > contextLength)) continue
    const rank = (model?.isUnlisted === true ? 0 : 2) + (promptTokens <= contextLength ? 1 : 0)
    if (rank > best) suitable = []
    best = Math.max(best, rank)
    if (rank === best) suitable.push(host)
  }
  return suitable
}

const lacksModel = (host: Host.Host, { model }: Wanted): boolean => Host.findModel(host, model)?.isMissing === true

const contextLength = (host: Host.Host, { model }: Wanted): number => Host.contextLength(Host.findModel(host, model))

/** A host that is off is probed often at first. Requests wait for it this long. */
const probedMillis = 30_000

const explain = (present: ReadonlyArray<Host.Host>, wanted: Wanted, now: number): Choice => {
  if (present.length === 0) return none(new NetworkError({ description: "the pool has no host for the request" }))
  const { minTokens, model = "" } = wanted
  const having = present.filter((host) => !lacksModel(host, wanted))
  if (having.length === 0) return none(new ModelNotAvailable({ model, description: "no host of the pool has it" }))
  const fitting = having.filter((host) => minTokens <= contextLength(host, wanted))
  if (fitting.length === 0) {
    const largest = Math.max(...having.map((host) => contextLength(host, wanted)))
    return none(new ContextOverflow({ promptTokens: minTokens, contextLength: largest }))
  }
  const isProbed = ({ breaker }: Host.Host) => now - (breaker.off()?.since ?? -Infinity) < probedMillis
  if (fitting.some(isProbed))
    return { _tag: "Wait", millis: probedMillis, otherModel: undefined, suitable: 0, permits: 0 }
  return none(toFailure(fitting.flatMap((host) => Host.lastErrorOf(host, wanted.model) ?? [])))
}

const none = (failure: Failure): Choice => ({ _tag: "None", failure })

/** A retryable error of a host, because the hosts may be back later. */
const toFailure = (errors: ReadonlyArray<ProviderError>): Failure => {
  const error = Failures.report(errors)
  return isProviderError(error) && error.isRetryable ? error : new AllProvidersFailed({ errors })
}

const crashed = (hosts: ReadonlyArray<Host.Host>, history: RequestHistory): Failure =>
  new AllProvidersFailed({
    errors: hosts.flatMap((host) => (history.crashed.has(host) && host.lastError !== undefined ? [host.lastError] : []))
  })
