/** When a host would send the first chunk of a request. */
import * as Host from "./host.ts"
import * as Learned from "./learned.ts"
import type { Cached, Prompt } from "./prompt.ts"

/** What a prediction is about. */
export interface Subject {
  readonly model: string | undefined
  readonly prompt: Prompt
  /** How many tokens the prompt has, estimated. */
  readonly promptTokens: number
  /** What is known of the model from all hosts. */
  readonly learned: Learned.Learned | undefined
  /** Whether the request has failed on a host. */
  readonly hasFailedOn: (host: Host.Host) => boolean
}

export interface Predicted {
  readonly prediction: Host.Prediction
  readonly cached: Cached
  readonly generating: number
}

/** What waits in the pool. */
export interface Line {
  /** How many requests wait before this one, for each permit of the suitable hosts. */
  readonly ahead: number
  /** How many requests wait, for each host. */
  readonly perHost: number
}

export const predict = (host: Host.Host, subject: Subject, now: number, { ahead, perHost }: Line): Predicted => {
  const { model: name, prompt, promptTokens } = subject
  const model = host.models.get(name ?? "")
  const times = Learned.estimate(model?.learned, subject.learned, now)
  const cached = host.prefixes.find(prompt, cachedSince(model, now), host.running)
  const cachedTokens = prompt.characters === 0 ? 0 : (promptTokens * cached.characters) / prompt.characters
  const work = observe(host, name, now)
  const isOpen = Host.hasPermit(host) && Host.isLaneOpen(host, name)
  const read = times.base + (promptTokens - cachedTokens) * times.perToken + work.generating * times.perRunning
  const load =
    work.isLoading || name === undefined || Host.isLoaded(model, now)
      ? 0
      : times.load + evicting(host, name, times.load, now)
  const permit = isOpen ? 0 : waitForPermit(host, work, times, now) + ahead * (times.generation + read)
  const failed = subject.hasFailedOn(host) ? failedMillis : 0
  const others = othersWeight * read * perHost
  const total = Math.max(permit, work.queue) + load + read + others + failed
  return {
    prediction: { permit, queue: work.queue, load, read, others, failed, total, promptTokens, cachedTokens },
    cached,
    generating: work.generating
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
const waitForPermit = (host: Host.Host, { queue }: Work, { generation }: Learned.Times, now: number): number => {
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
