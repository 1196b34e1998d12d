/** A host of a pool: its permits, and what is known about it. */
import type * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type { ModelInfo } from "../../ModelInfo.ts"
import type * as Provider from "../../Provider.ts"
import type { ProviderError } from "../../ProviderError.ts"
import * as Breaker from "./breaker.ts"
import * as Prompt from "./prompt.ts"

export interface Settings {
  readonly name: string
  readonly provider: Provider.Provider
  readonly permits: number
  readonly oneModelAtATime: boolean
  /** How long a request that was given up before its first chunk counts against the host. */
  readonly abandonedMillis: number
  /** Run when the host has left the pool. */
  readonly release: Effect.Effect<void>
}

/** The parts of a predicted time to the first chunk, in milliseconds. */
export interface Prediction {
  /** Until a permit of the host is free. */
  readonly permit: number
  /** Until the host has read the prompts of the requests before this one. It passes while a permit is waited for. */
  readonly queue: number
  /** To load the model, and for others to load theirs again if it takes their place in memory. */
  readonly load: number
  /** To read what is not cached of the prompt, beside the completions that the host generates. */
  readonly read: number
  /** What the reading costs those who wait now. */
  readonly others: number
  /** What is added because the request has failed on this host. */
  readonly failed: number
  /** The sum: the request goes to the host where it is smallest. */
  readonly total: number
  /** How many tokens the prompt has, estimated. */
  readonly promptTokens: number
  /** How many of them are expected in the cache of the host. */
  readonly cachedTokens: number
}

export const makePrediction = (): { -readonly [K in keyof Prediction]: Prediction[K] } => ({
  permit: 0,
  queue: 0,
  load: 0,
  read: 0,
  others: 0,
  failed: 0,
  total: 0,
  promptTokens: 0,
  cachedTokens: 0
})

/** How long a model takes, in milliseconds. */
export interface Times {
  /** To the first chunk of a prompt that is cached. */
  base: number
  /** For each token of the prompt that is not cached. */
  perToken: number
  /** For each completion that the host generates at the same time. */
  perRunning: number
  /** To load the model. */
  load: number
  /** From the first chunk to the end of a completion. */
  generation: number
}

/** What was measured; `undefined`: nothing yet. */
export interface Learned {
  readonly values: { [K in keyof Times]: Times[K] | undefined }
  at: number
  /** How often a value has changed. */
  changes: number
}

export const makeLearned = (): Learned => ({
  values: { base: undefined, perToken: undefined, perRunning: undefined, load: undefined, generation: undefined },
  at: -Infinity,
  changes: 0
})

/** The requests that a host has. */
export interface Work {
  /** How long the prompts take that are not read yet, with what is loaded for them, in milliseconds. */
  readonly expected: number
  /** Since when the host reads them; `Infinity`: there are none. */
  readonly readingSince: number
  /** How many completions it generates. */
  readonly generating: number
  /** When the first and the last of them began. */
  readonly firstBegunAt: number
  readonly lastBegunAt: number
  /** Whether a request with a permit has no first chunk yet. */
  readonly isAnyUnread: boolean
  /** Whether it may load the model for another request. */
  readonly isLoading: boolean
}

/** What is expected of a host for any request for a model, until the host changes. */
export interface Outlook {
  /** Of the host. */
  readonly version: number
  readonly madeAt: number
  /** The `changes` of what was learned on all hosts, if nothing was on this one. */
  readonly changes: number | undefined
  readonly times: Times
  readonly work: Work
  /** Whether all permits are taken. */
  readonly isFull: boolean
  /** Whether a permit is free for the model. */
  readonly isOpen: boolean
  /** To load the model. */
  readonly load: number
  /** Prompts that were read before are not cached. */
  readonly cachedSince: number
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
  /** Since when the model is as `info` describes it. */
  describedAt: number
  /** Set while the host is asked. */
  asking: Fiber.Fiber<void> | undefined
  /** When a completion last began. */
  answeredAt: number
  /** How much the host had read when it last was found without the model. Prompts before that are not cached. */
  cachedSince: number
  readonly learned: Learned
  /** Off while requests for this model hang on the host. */
  readonly breaker: Breaker.Breaker
  lastError: ProviderError | undefined
  /** Computed when it is needed. */
  outlook: Outlook | undefined
}

/** A request that has a permit of the host. */
export interface Running {
  readonly model: string | undefined
  readonly prompt: Prompt.Prompt
  /** What was expected of it when it got the permit. */
  readonly prediction: Prediction
  readonly cached: Prompt.Cached
  /** How many completions the host generated then. */
  readonly generating: number
  sentAt: number
  /** When its first chunk came, if it did. */
  begunAt: number | undefined
}

export interface Host extends Settings {
  /** Another one after each change of what predictions depend on. */
  version: number
  permits: number
  readonly random: () => number
  readonly breaker: Breaker.Breaker
  readonly models: Map<string, Model>
  readonly prefixes: Prompt.Prefixes
  readonly running: Set<Running>
  /** Requests that were given up before their first chunk. The server may still read their prompts. */
  readonly abandoned: Set<Running>
  /** The model of these requests, for `oneModelAtATime`. */
  lane: { readonly model: string | undefined } | undefined
  /** When the last first chunk came. */
  lastBegunAt: number
  /** The most models that were seen in memory at a time. */
  holds: number
  isDraining: boolean
  lastError: ProviderError | undefined
  /** For the last request that could have gone here. The next one overwrites it. */
  prediction: ReturnType<typeof makePrediction> | undefined
  /** What is cached of its prompt. */
  cached: Prompt.Cached
  /** The last first chunk, in milliseconds after the request. */
  firstChunk:
    | {
        /** When it was expected. */
        readonly predicted: number
        /** When it came. */
        readonly observed: number
      }
    | undefined
}

export const make = (settings: Settings, random: () => number, readers?: Prompt.Readers): Host => ({
  ...settings,
  version: 0,
  random,
  breaker: Breaker.make(random),
  models: new Map(),
  prefixes: Prompt.makePrefixes(readers),
  running: new Set(),
  abandoned: new Set(),
  lane: undefined,
  lastBegunAt: -Infinity,
  holds: 1,
  isDraining: false,
  lastError: undefined,
  prediction: undefined,
  cached: Prompt.nothingCached,
  firstChunk: undefined
})

export const hasPermit = ({ permits, running }: Host): boolean => running.size < permits

export const countFree = (hosts: ReadonlyArray<Host>): number =>
  hosts.reduce((sum, { isDraining, permits, running }) => sum + (isDraining ? 0 : permits - running.size), 0)

export const change = (host: Host): void => {
  host.version++
}

export const take = (host: Host, running: Running): void => {
  change(host)
  host.running.add(running)
  host.lane ??= { model: running.model }
}

export const giveBack = (host: Host, running: Running): void => {
  change(host)
  host.running.delete(running)
  if (host.running.size === 0) host.lane = undefined
}

const maxAbandoned = 64

export const abandon = (host: Host, running: Running): void => {
  const { abandoned } = host
  change(host)
  const [oldest] = abandoned
  if (oldest !== undefined && abandoned.size >= maxAbandoned) abandoned.delete(oldest)
  abandoned.add(running)
}

/** Names of models come from callers, so their number is bounded. */
const maxModels = 256

/** After so many requests in a row without a first chunk in time. Each of them has cost its caller the whole deadline. */
const maxHangs = 3
const firstHangMillis = 5000

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
    describedAt: -Infinity,
    asking: undefined,
    answeredAt: -Infinity,
    cachedSince: -Infinity,
    learned: makeLearned(),
    breaker: Breaker.make(random, maxHangs, firstHangMillis),
    lastError: undefined,
    outlook: undefined
  }
  models.set(name, model)
  return model
}

/** The model, if it was asked for before. */
export const findModel = ({ models }: Host, name: string | undefined): Model | undefined => models.get(name ?? "")

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

/** How long a completion counts as evidence that the model is in memory, although an older description says otherwise. */
const answerTrustMillis = 30_000

/** Whether the model is in memory, as far as is known. A host that does not report it is trusted, and so is one that was not asked. */
export const isLoaded = (model: Model | undefined, now: number): boolean => {
  if (model === undefined) return true
  const { answeredAt, describedAt, info } = model
  const isShown = answeredAt >= describedAt && now - answeredAt < answerTrustMillis
  return isShown || (info !== undefined && info.isLoaded !== false)
}

/** The most tokens that are known to fit, or `Infinity`. */
export const contextLength = (model: Model | undefined): number =>
  model?.info?.loadedContextLength ?? model?.info?.contextLength ?? Infinity

/** Whether a request for the model may begin now, as far as other models are concerned. */
export const isLaneOpen = ({ lane, oneModelAtATime, provider }: Host, model: string | undefined): boolean => {
  if (!oneModelAtATime || lane === undefined || lane.model === model) return true
  return lane.model !== undefined && model !== undefined && provider.isSameModel(lane.model, model)
}

/** The host was found without the model: its prompts are no longer cached. */
export const forgetModel = (host: Host, model: Model): void => {
  model.info = undefined
  model.answeredAt = -Infinity
  // What was read until now does not count.
  model.cachedSince = host.prefixes.read() + 1
  change(host)
}
