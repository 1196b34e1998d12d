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
import * as Knowledge from "./knowledge.ts"
import type { Cached, Prompt } from "./prompt.ts"

/** What a prediction is about. */
export interface Subject {
  readonly model: string | undefined
  readonly prompt: Prompt
  /** How many tokens the prompt has, estimated. */
  readonly promptTokens: number
  /** What is known of the model from all hosts. */
  readonly learned: Host.Learned | undefined
  /** Whether the request has failed on a host. */
  readonly hasFailedOn: (host: Host.Host) => boolean
}

export interface Predicted {
  readonly prediction: Host.Prediction
  readonly cached: Cached
  readonly generating: number
}

/** A request in the pool. */
export interface Wanted extends Subject {
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
  readonly predicted: Predicted
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
  /** For the requests for one model, until anything changes. */
  readonly outlooks: Map<Host.Host, Outlook>
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
  const outlookOf = (host: Host.Host): Outlook => {
    const known = situation.outlooks.get(host)
    if (known !== undefined) return known
    const outlook = makeOutlook(host, wanted, now)
    situation.outlooks.set(host, outlook)
    return outlook
  }
  const best = makeBest(random)
  const bestFree = makeBest(random)
  const otherModel = makeBest(random)
  for (const host of suitable) {
    const predicted = predict(host, wanted, outlookOf(host), line)
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
    offer: (host: Host.Host, predicted: Predicted): void => {
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

/** What waits in the pool. */
interface Line {
  /** How many requests wait before this one, for each permit of the suitable hosts. */
  readonly ahead: number
  /** How many requests wait, for each host. */
  readonly perHost: number
}

/** What is expected of a host for any request for a model. */
export interface Outlook extends Omit<Work, "isLoading"> {
  readonly times: Host.Times
  /** Until a permit is free, in milliseconds. */
  readonly permit: number
  /** Whether a permit is free for the model. */
  readonly isOpen: boolean
  readonly load: number
  /** Prompts that were read before are not cached. */
  readonly cachedSince: number
}

const makeOutlook = (host: Host.Host, { learned, model: name }: Subject, now: number): Outlook => {
  const model = host.models.get(name ?? "")
  const times = Knowledge.estimate(model?.learned, learned, now)
  const { generating, isLoading, queue } = observe(host, name, now)
  const isOpen = Host.hasPermit(host) && Host.isLaneOpen(host, name)
  const isInMemory = isLoading || name === undefined || Host.isLoaded(model, now)
  return {
    times,
    generating,
    queue,
    isOpen,
    permit: isOpen ? 0 : waitForPermit(host, queue, times, now),
    load: isInMemory ? 0 : times.load + evicting(host, name, times.load, now),
    cachedSince: cachedSince(model, now)
  }
}

const predict = (host: Host.Host, subject: Subject, outlook: Outlook, { ahead, perHost }: Line): Predicted => {
  const { prompt, promptTokens } = subject
  const { cachedSince, generating, isOpen, load, queue, times } = outlook
  const cached = host.prefixes.find(prompt, cachedSince, host.running)
  const cachedTokens = prompt.characters === 0 ? 0 : (promptTokens * cached.characters) / prompt.characters
  const read = times.base + (promptTokens - cachedTokens) * times.perToken + generating * times.perRunning
  const permit = isOpen ? 0 : outlook.permit + ahead * (times.generation + read)
  const failed = subject.hasFailedOn(host) ? failedMillis : 0
  const others = othersWeight * read * perHost
  const total = Math.max(permit, queue) + load + read + others + failed
  return {
    prediction: { permit, queue, load, read, others, failed, total, promptTokens, cachedTokens },
    cached,
    generating
  }
}

/** Reading keeps a host from the prompts of those who wait, and from generating, which gives permits back. */
const othersWeight = 2

/** A request that failed on a host waits so long for another one. */
const failedMillis = 30_000

/** Servers unload models and drop caches that nobody used for a while. */
const cacheMillis = 10 * 60_000

const cachedSince = (model: Host.Model | undefined, now: number): number =>
  model === undefined || now - model.answeredAt > cacheMillis ? Infinity : model.cachedSince

interface Work {
  /** How long the host still reads. */
  readonly queue: number
  /** How many completions it generates. */
  readonly generating: number
  /** Whether it loads the model for another request. */
  readonly isLoading: boolean
}

/** A server reads one prompt after the other. If it takes longer than expected, it is expected to take half as long again. */
const observe = (host: Host.Host, model: string | undefined, now: number): Work => {
  let expected = 0
  let since = Infinity
  let generating = 0
  let isLoading = false
  const add = ({ model: other, prediction, sentAt }: Host.Running): void => {
    expected += prediction.load + prediction.read
    since = Math.min(since, sentAt)
    isLoading ||= other === model
  }
  for (const running of host.running) {
    if (running.begunAt === undefined) add(running)
    else generating++
  }
  for (const abandoned of host.abandoned) add(abandoned)
  if (since === Infinity) return { queue: 0, generating, isLoading }
  const left = expected - (now - Math.max(since, host.lastBegunAt))
  return { queue: left >= 0 ? left : -left / 2, generating, isLoading }
}

/** Until the first of the requests that run ends, or all of them if another model is in the way. */
const waitForPermit = (host: Host.Host, queue: number, { generation }: Host.Times, now: number): number => {
  const isFull = !Host.hasPermit(host)
  let wait = isFull ? Infinity : 0
  for (const { begunAt } of host.running) {
    const left = begunAt === undefined ? queue + generation : Math.max(generation - (now - begunAt), generation / 4)
    wait = isFull ? Math.min(wait, left) : Math.max(wait, left)
  }
  return wait
}

/** How long a model counts as used after its last completion began. */
const usedMillis = 60_000

/** A host that cannot hold one more model drops another one, which those who use it then wait for. */
const evicting = (host: Host.Host, name: string, load: number, now: number): number => {
  let loaded = 0
  let cost = 0
  for (const [other, model] of host.models) {
    if (other === name || !Host.isLoaded(model, now)) continue
    loaded++
    if (now - model.answeredAt < usedMillis) cost = Math.max(cost, model.learned.values.load ?? load)
  }
  return loaded < host.holds ? 0 : cost
}
