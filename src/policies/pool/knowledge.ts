/** What a pool learns from its requests: how long models take, on each host and in all, how long their tokens are, and what is cached. */
import * as Duration from "effect/Duration"
import type { FinalChunk } from "../../StreamingChunk.ts"
import * as Host from "./host.ts"
import type { Prompt } from "./prompt.ts"

/** What is known of a model from all hosts. */
interface Model {
  readonly learned: Host.Learned
  /** The average length of a token in characters. */
  tokenLength: number
}

export interface Knowledge {
  /** What is known of a model, and of the length of a prompt for it. */
  readonly about: (model: string, prompt: Prompt) => { readonly learned: Host.Learned; readonly promptTokens: number }
  /** The first chunk of a request came. */
  readonly begin: (host: Host.Host, running: Host.Running, now: number) => void
  /** A request that had its first chunk is over. It is learned now what the first chunk took, because the server reports what was cached. */
  readonly end: (host: Host.Host, running: Host.Running, end: Ended, now: number) => void
}

export interface Ended {
  readonly isComplete: boolean
  readonly final: Final | undefined
}

/** What is learned from a final chunk. */
export interface Final extends Pick<FinalChunk, "timings" | "usage"> {}

const firstTokenLength = 4
/** Short prompts consist mostly of the template of the model. */
const minCharacters = 400

/** Names of models and prompts come from callers, so their number is bounded. */
const maxModels = 256
const maxPrompts = 10_000

interface State {
  readonly models: Map<string, Model>
  /** The tokens of prompts, as servers counted them, by the hashes of their last blocks. The oldest first. */
  readonly tokens: Map<number, number>
}

export const make = (): Knowledge => {
  const state: State = { models: new Map(), tokens: new Map() }
  return {
    about: (name, prompt) => {
      const model = modelOf(state, name)
      return { learned: model.learned, promptTokens: countTokens(state, prompt, model) }
    },
    begin,
    end: (host, running, ended, now) => end(state, host, running, ended, now)
  }
}

const modelOf = ({ models }: State, name: string): Model => {
  const model = models.get(name) ?? { learned: Host.makeLearned(), tokenLength: firstTokenLength }
  models.set(name, model)
  trim(models, maxModels)
  return model
}

/** Those of the longest known prefix, and the rest by its length. */
const countTokens = (state: State, { characters, ends, hashes }: Prompt, { tokenLength }: Model): number => {
  if (state.tokens.size === 0) return characters / tokenLength
  for (let i = hashes.length - 1; i >= 0; i--) {
    const known = state.tokens.get(hashes[i] ?? Number.NaN)
    if (known !== undefined) return known + (characters - (ends[i] ?? 0)) / tokenLength
  }
  return characters / tokenLength
}

const begin: Knowledge["begin"] = (host, running, now) => {
  const { cached, model: name = "", prediction, prompt, sentAt } = running
  running.begunAt = now
  Host.change(host)
  Host.modelOf(host, name).answeredAt = now
  host.lastBegunAt = now
  host.firstChunk = { predicted: prediction.queue + prediction.load + prediction.read, observed: now - sentAt }
  host.prefixes.add(prompt, cached)
  if (prediction.load > 0 && host.holds === 1) forgetOthers(host, name)
}

const end = (state: State, host: Host.Host, running: Host.Running, { final, isComplete }: Ended, now: number): void => {
  const { begunAt, cached, model: name = "", prediction, prompt } = running
  if (begunAt === undefined) return
  Host.change(host)
  const all = modelOf(state, name)
  const cachedTokens = counted(final?.usage?.cachedTokens)
  const promptTokens = counted(final?.usage?.promptTokens)
  if (promptTokens !== undefined && promptTokens > 0) {
    observeTokens(state, all, prompt, promptTokens)
    if (cachedTokens !== undefined)
      host.prefixes.correct(prompt, cached, (prompt.characters * cachedTokens) / promptTokens)
  }
  const read = (promptTokens ?? prediction.promptTokens) - (cachedTokens ?? prediction.cachedTokens)
  const reported = cachedTokens === undefined ? undefined : final?.timings?.prompt
  for (const learned of [Host.modelOf(host, name).learned, all.learned]) {
    if (isComplete) observe(learned, "generation", now - begunAt, now)
    observeFirstChunk(learned, running, Math.max(0, read), begunAt)
    if (reported !== undefined && read >= minReportedTokens)
      observe(learned, "perToken", Duration.toMillis(reported) / read, now)
  }
}

/** More than any context. A count that is wrong would be in predictions, and in the turns of the caller, from then on. */
const maxTokens = 10_000_000

const counted = (tokens: number | undefined): number | undefined =>
  tokens !== undefined && tokens >= 0 && tokens <= maxTokens ? tokens : undefined

const observeTokens = ({ tokens }: State, model: Model, { characters, hashes }: Prompt, promptTokens: number): void => {
  const last = hashes.at(-1)
  if (last !== undefined) {
    tokens.delete(last)
    tokens.set(last, promptTokens)
    trim(tokens, maxPrompts)
  }
  if (characters < minCharacters) return
  const length = Math.min(10, Math.max(0.5, characters / promptTokens))
  model.tokenLength += (length - model.tokenLength) * 0.3
}

/** The time to read fewer tokens is mostly not that of the tokens. */
const minReportedTokens = 64

/** So many tokens show about as much as all measurements before. */
const manyTokens = 500

/** What the first chunk took, without the parts that were expected, is the time of the part that had the largest share. */
const observeFirstChunk = (learned: Host.Learned, running: Host.Running, tokens: number, begunAt: number): void => {
  const { generating, prediction, sentAt } = running
  const observed = begunAt - sentAt
  const learn = (key: keyof Host.Times, millis: number, weight?: number) =>
    observe(learned, key, Math.max(0, millis), begunAt, weight)
  if (prediction.load > 0) return learn("load", observed - prediction.queue - prediction.read)
  // Less is known if other prompts were read before.
  const weight = prediction.queue > 0 ? 0.1 : 0.3
  const rest = Math.max(0, observed - prediction.queue)
  const { base, perRunning, perToken } = estimate(learned, undefined, begunAt)
  const reading = tokens * perToken
  const beside = generating * perRunning
  if (generating > 0) learn("perRunning", (rest - base - reading) / generating, weight)
  if (reading <= base) return learn("base", rest - reading - beside, weight)
  learn("perToken", Math.max(rest - base - beside, rest / 4) / tokens, (weight * tokens) / (tokens + manyTokens))
}

/** A host that was not seen with two models in memory may have dropped the other one. It is asked again. */
const forgetOthers = (host: Host.Host, name: string): void => {
  for (const [other, model] of host.models) {
    if (other === name || host.provider.isSameModel(other, name)) continue
    Host.forgetModel(host, model)
    model.askedAt = -Infinity
  }
}

const trim = (map: Map<unknown, unknown>, size: number): void => {
  for (const oldest of map.keys()) {
    if (map.size <= size) return
    map.delete(oldest)
  }
}

/** Used until something is measured. */
const defaults: Host.Times = { base: 20, perToken: 1, perRunning: 1, load: 10_000, generation: 5000 }

/** What seems to take no time still costs something, so that a cached prompt and an idle host are preferred. */
const least: Host.Times = { base: 1, perToken: 0.02, perRunning: 0.1, load: 200, generation: 1 }

/** Without requests, what is known of a host becomes what is known of all, so that a host that was slow once is tried again. */
const forgetMillis = 5 * 60_000

/** What to expect of a host, by its own measurements and those of all hosts. */
export const estimate = (own: Host.Learned | undefined, all: Host.Learned | undefined, now: number): Host.Times => {
  const weight = own === undefined ? 0 : Math.exp(Math.min(0, own.at - now) / forgetMillis)
  return {
    base: mix("base", own, all, weight),
    perToken: mix("perToken", own, all, weight),
    perRunning: mix("perRunning", own, all, weight),
    load: mix("load", own, all, weight),
    generation: mix("generation", own, all, weight)
  }
}

const mix = (
  key: keyof Host.Times,
  own: Host.Learned | undefined,
  all: Host.Learned | undefined,
  weight: number
): number => {
  const general = all?.values[key] ?? defaults[key]
  const measured = own?.values[key] ?? general
  return Math.max(least[key], general + (measured - general) * weight)
}

const share = 0.3

/** A moving average. One value counts for at most four times the average, so that an outlier does little. */
const observe = (learned: Host.Learned, key: keyof Host.Times, value: number, now: number, weight = share): void => {
  if (!(value >= 0 && value < Infinity)) return
  const before = learned.values[key]
  const bounded = before === undefined ? value : Math.min(value, 4 * before + defaults[key])
  learned.values[key] = before === undefined ? bounded : before + (bounded - before) * weight
  learned.at = now
  learned.changes++
}
