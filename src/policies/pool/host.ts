/** A host of a pool: its permits, and what is known about it. */
import type * as Fiber from "effect/Fiber"
import type { ModelInfo } from "../../ModelInfo.ts"
import type * as Provider from "../../Provider.ts"
import type { ProviderError } from "../../ProviderError.ts"
import * as Breaker from "./breaker.ts"

/** The time to the first chunk as a moving average that rises at once and falls slowly. */
export interface Latency {
  readonly millis: number
  readonly at: number
}

export interface Settings {
  readonly name: string
  readonly provider: Provider.Provider
  readonly permits: number
  readonly oneModelAtATime: boolean
}

/** What is known about a model on a host. */
export interface Model {
  /** As the host reported it; `undefined` if it did not answer. */
  info: ModelInfo | undefined
  /** The host does not list the model. One that has others than it lists may still answer. */
  isUnlisted: boolean
  /** The host does not have the model, by its list or by its answer to a request. */
  isMissing: boolean
  askedAt: number
  /** Set while the host is asked. */
  asking: Fiber.Fiber<void> | undefined
  answeredAt: number
  latency: Latency | undefined
  /** Off while requests for this model hang on the host. */
  readonly breaker: Breaker.Breaker
  lastError: ProviderError | undefined
}

/** A request that was given up before its first chunk. The server may still read its prompt. */
export interface Abandoned {
  readonly model: string | undefined
  readonly sentAt: number
}

export interface Host extends Settings {
  readonly random: () => number
  readonly breaker: Breaker.Breaker
  readonly models: Map<string, Model>
  readonly abandoned: Set<Abandoned>
  /** The number of requests that it answers. */
  active: number
  /** The model of these requests and of those that were abandoned. */
  lane: { readonly model: string | undefined } | undefined
  isDraining: boolean
  lastError: ProviderError | undefined
}

export const make = (settings: Settings, random: () => number): Host => ({
  ...settings,
  random,
  breaker: Breaker.make(random),
  models: new Map(),
  abandoned: new Set(),
  active: 0,
  lane: undefined,
  isDraining: false,
  lastError: undefined
})

/** The permits that are not free. */
export const used = ({ abandoned, active }: Host): number => active + abandoned.size

export const isFree = (host: Host): boolean => used(host) < host.permits

/** Names of models come from callers, so their number is bounded. */
const maxModels = 256

/** After so many requests in a row without a first chunk in time. Each of them has cost its caller the whole deadline. */
const maxHangs = 3

export const modelOf = ({ models, random }: Host, name: string): Model => {
  const found = models.get(name)
  if (found !== undefined) return found
  const [oldest] = models.keys()
  if (oldest !== undefined && models.size >= maxModels) models.delete(oldest)
  const model: Model = {
    info: undefined,
    isUnlisted: false,
    isMissing: false,
    askedAt: -Infinity,
    asking: undefined,
    answeredAt: -Infinity,
    latency: undefined,
    breaker: Breaker.make(random, maxHangs),
    lastError: undefined
  }
  models.set(name, model)
  return model
}

/** Whether the host, or the model there, is off. */
export const isOff = ({ breaker, models }: Host, name: string | undefined): boolean =>
  breaker.isOff() || (name !== undefined && models.get(name)?.breaker.isOff() === true)

/** Whether the host, or every model that it was asked for, is off. */
export const isAllOff = ({ breaker, models }: Host): boolean =>
  breaker.isOff() || (models.size > 0 && [...models.values()].every(({ breaker }) => breaker.isOff()))

/** The last failure of the model, if it is off, or of the host. */
export const lastErrorOf = (host: Host, name: string | undefined): ProviderError | undefined => {
  const model = name === undefined ? undefined : host.models.get(name)
  return (model?.breaker.isOff() === true ? model.lastError : undefined) ?? host.lastError
}

/** Whether the host has answered requests for other models since then. */
export const hasAnsweredOthers = ({ models }: Host, name: string | undefined, since: number): boolean =>
  [...models].some(([other, { answeredAt }]) => other !== name && answeredAt >= since)

/** How long an answer counts as evidence that the model is in memory, although an older description says otherwise. */
const answerTrustMillis = 30_000

/** Whether the model is in memory, as far as is known. A host that does not report it is trusted. */
export const isLoaded = ({ models }: Host, name: string | undefined, now: number): boolean => {
  if (name === undefined) return true
  const model = models.get(name)
  if (model?.info === undefined) return false
  return model.info.isLoaded !== false || now - model.answeredAt < answerTrustMillis
}

/** The most tokens that are known to fit, or `Infinity`. */
export const contextLength = ({ models }: Host, name: string | undefined): number => {
  const info = name === undefined ? undefined : models.get(name)?.info
  return info?.loadedContextLength ?? info?.contextLength ?? Infinity
}

/** Whether a request for the model may begin now, as far as other models are concerned. */
export const isLaneOpen = ({ lane, oneModelAtATime, provider }: Host, model: string | undefined): boolean => {
  if (!oneModelAtATime || lane === undefined || lane.model === model) return true
  return lane.model !== undefined && model !== undefined && provider.isSameModel(lane.model, model)
}

/** What the next request would wait for: the lower, the better. A host that was not tried yet is tried with one request. */
export const cost = (host: Host, model: string | undefined, now: number): number => {
  const latency = host.models.get(model ?? "")?.latency
  if (latency === undefined) return used(host) === 0 ? 0 : Infinity
  return readLatency(latency, now) * (used(host) + 1)
}

/** How fast a latency falls: after this time, a value has 37 % of its weight. */
const decayMillis = 10_000

const weight = (from: number, to: number): number => Math.exp(-Math.max(0, to - from) / decayMillis)

export const observeLatency = (before: Latency | undefined, millis: number, at: number): Latency => {
  if (before === undefined || millis >= before.millis) return { millis, at }
  const old = weight(before.at, at)
  return { millis: before.millis * old + millis * (1 - old), at }
}

/** Without requests it falls, so that a host that was slow once is tried again. */
export const readLatency = ({ at, millis }: Latency, now: number): number => millis * weight(at, now)

/** An answer began. */
export const observeAnswer = (
  host: Host,
  model: string | undefined,
  { now, sentAt }: { readonly now: number; readonly sentAt: number }
): void => {
  const known = modelOf(host, model ?? "")
  known.answeredAt = now
  known.latency = observeLatency(known.latency, now - sentAt, now)
}
