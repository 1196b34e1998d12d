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
import * as Predict from "./predict.ts"

/** A request in the pool. */
export interface Wanted extends Predict.Subject {
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
  readonly predicted: Predict.Predicted
}

export type Choice =
  | ({ readonly _tag: "Chosen" } & Candidate)
  /** To wait is expected to take less time, or nothing else is possible. */
  | {
      readonly _tag: "Wait"
      /** The predicted time to the first chunk, in milliseconds. */
      readonly millis: number
      /** A host whose free permits are of no use until the requests for another model have ended. */
      readonly otherModel: Host.Host | undefined
      /** Another host that is free now. */
      readonly free?: Candidate | undefined
    }
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
  if (history.crashed.size >= maxCrashes) return { _tag: "None", failure: crashed(hosts, history) }
  const present = hosts.filter((host) => !host.isDraining && !wanted.tried.has(host))
  const suitable = findSuitable(present, wanted)
  if (suitable.length === 0) return explain(present, wanted, situation.now)
  const { now, random, reserved } = situation
  const line = {
    ahead: situation.ahead === 0 ? 0 : situation.ahead / countPermits(suitable, model, now),
    perHost: situation.waiting / suitable.length
  }
  const best = makeBest(random)
  const bestFree = makeBest(random)
  const otherModel = makeBest(random)
  for (const host of suitable) {
    const predicted = Predict.predict(host, wanted, now, line)
    host.prediction = predicted.prediction
    if (history.inUse.has(host)) continue
    best.offer(host, predicted)
    if (!Host.hasPermit(host) || reserved.has(host)) continue
    if (Host.isLaneOpen(host, model)) bestFree.offer(host, predicted)
    else otherModel.offer(host, predicted)
  }
  const free = bestFree.get()
  const first = best.get()
  const millis = first?.predicted.prediction.total ?? 0
  if (free === undefined) return { _tag: "Wait", millis, otherModel: otherModel.get()?.host }
  if (first === undefined || first.host === free.host || reserved.has(first.host)) return { _tag: "Chosen", ...free }
  wanted.patientUntil ??= now + patience * first.predicted.prediction.permit
  return now >= wanted.patientUntil
    ? { _tag: "Chosen", ...free }
    : { _tag: "Wait", millis, otherModel: undefined, free }
}

/** Of the hosts that have the model in memory, or else of all. */
const countPermits = (hosts: ReadonlyArray<Host.Host>, model: string | undefined, now: number): number => {
  const loaded = hosts.filter(({ models }) => Host.isLoaded(models.get(model ?? ""), now))
  return (loaded.length === 0 ? hosts : loaded).reduce((sum, { permits }) => sum + permits, 0)
}

/** How many hosts a request may take down. */
const maxCrashes = 2

const patience = 4

/** The candidate with the smallest prediction. Of equal ones, each is as likely. */
const makeBest = (random: () => number) => {
  let best: Candidate | undefined
  let equals = 1
  return {
    offer: (host: Host.Host, predicted: Predict.Predicted): void => {
      const difference = best === undefined ? -1 : predicted.prediction.total - best.predicted.prediction.total
      if (difference > 0) return
      equals = difference < 0 ? 1 : equals + 1
      if (equals === 1 || random() < 1 / equals) best = { host, predicted }
    },
    get: () => best
  }
}

/** Those that may answer. A host that does not list the model, or whose context seems too small, only if all others do as well. */
const findSuitable = (present: ReadonlyArray<Host.Host>, wanted: Wanted): ReadonlyArray<Host.Host> => {
  const { failedOn, model = "", promptTokens } = wanted
  let best = 0
  let suitable: Array<Host.Host> = []
  for (const host of present) {
    if (lacksModel(host, wanted) || !fits(host, wanted) || Host.isOff(host, wanted.model)) continue
    if (failedOn.isToBlame && !failedOn.hosts.has(host)) continue
    const isListed = host.models.get(model)?.isUnlisted !== true
    const isLarge = promptTokens <= Host.contextLength(host, wanted.model)
    const rank = (isListed ? 2 : 0) + (isLarge ? 1 : 0)
    if (rank > best) suitable = []
    best = Math.max(best, rank)
    if (rank === best) suitable.push(host)
  }
  return suitable
}

const lacksModel = ({ models }: Host.Host, { model }: Wanted): boolean =>
  model !== undefined && models.get(model)?.isMissing === true

const fits = (host: Host.Host, { minTokens, model }: Wanted): boolean => minTokens <= Host.contextLength(host, model)

/** A host that is off is probed often at first. Requests wait for it this long. */
const probedMillis = 30_000

const explain = (present: ReadonlyArray<Host.Host>, wanted: Wanted, now: number): Choice => {
  if (present.length === 0) return none(new NetworkError({ description: "the pool has no host for the request" }))
  const { minTokens, model = "" } = wanted
  const having = present.filter((host) => !lacksModel(host, wanted))
  if (having.length === 0) return none(new ModelNotAvailable({ model, description: "no host of the pool has it" }))
  const fitting = having.filter((host) => fits(host, wanted))
  if (fitting.length === 0) {
    const contextLength = Math.max(...having.map((host) => Host.contextLength(host, wanted.model)))
    return none(new ContextOverflow({ promptTokens: minTokens, contextLength }))
  }
  const isProbed = ({ breaker }: Host.Host) => now - (breaker.off()?.since ?? -Infinity) < probedMillis
  if (fitting.some(isProbed)) return { _tag: "Wait", millis: probedMillis, otherModel: undefined }
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
