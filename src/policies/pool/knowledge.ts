/** What a pool learns from its requests: how long models take, on each host and in all, how long their tokens are, and what is cached. */
import * as Duration from "effect/Duration"
import type { FinalChunk } from "../../StreamingChunk.ts"
import * as Host from "./host.ts"
import * as Learned from "./learned.ts"
import type { Prompt } from "./prompt.ts"

/** What is known of a model from all hosts. */
interface Model {
  readonly learned: Learned.Learned
  /** The average length of a token in characters. */
  tokenLength: number
}

export interface Knowledge {
  /** What is known of a model, and of the length of a prompt for it. */
  readonly about: (model: string, prompt: Prompt) => { readonly learned: Learned.Learned; readonly promptTokens: number }
  /** The first chunk of a request came. */
  readonly begin: (host: Host.Host, running: Host.Running, now: number) => void
  /** A completion is complete. */
  readonly end: (host: Host.Host, running: Host.Running, final: FinalChunk | undefined, now: number) => void
}

const firstTokenLength = 4
/** Short prompts consist mostly of the template of the model. */
const minCharacters = 400

/** Names of models and prompts come from callers, so their number is bounded. */
const maxModels = 256
const maxPrompts = 10_000

export const make = (): Knowledge => {
  const models = new Map<string, Model>()
  /** The tokens of prompts, as servers counted them, by the hashes of their last blocks. The oldest first. */
  const tokens = new Map<number, number>()

  const modelOf = (name: string): Model => {
    const model = models.get(name) ?? { learned: Learned.make(), tokenLength: firstTokenLength }
    models.set(name, model)
    trim(models, maxModels)
    return model
  }

  /** Those of the longest known prefix, and the rest by its length. */
  const countTokens = ({ characters, ends, hashes }: Prompt, { tokenLength }: Model): number => {
    for (let i = hashes.length - 1; i >= 0; i--) {
      const known = tokens.get(hashes[i] ?? Number.NaN)
      if (known !== undefined) return known + (characters - (ends[i] ?? 0)) / tokenLength
    }
    return characters / tokenLength
  }

  return {
    about: (name, prompt) => {
      const model = modelOf(name)
      return { learned: model.learned, promptTokens: countTokens(prompt, model) }
    },
    begin: (host, running, now) => {
      const { cached, model: name = "", prediction, prompt, sentAt } = running
      const model = Host.modelOf(host, name)
      running.begunAt = now
      const observed = now - sentAt
      host.lastBegunAt = now
      host.firstChunk = { predicted: prediction.queue + prediction.load + prediction.read, observed }
      model.answeredAt = now
      host.prefixes.add(prompt, cached)
      for (const learned of [model.learned, modelOf(name).learned]) observeFirstChunk(learned, running, observed, now)
      if (prediction.load > 0 && host.holds === 1) forgetOthers(host, name)
    },
    end: (host, running, final, now) => {
      const { begunAt, cached, model: name = "", prompt } = running
      if (begunAt === undefined) return
      const own = Host.modelOf(host, name)
      const all = modelOf(name)
      for (const learned of [own.learned, all.learned]) Learned.observe(learned, "generation", now - begunAt, now)
      const { cachedTokens, promptTokens } = final?.usage ?? {}
      if (promptTokens === undefined || promptTokens <= 0) return
      const last = prompt.hashes.at(-1)
      if (last !== undefined) {
        tokens.delete(last)
        tokens.set(last, promptTokens)
        trim(tokens, maxPrompts)
      }
      if (prompt.characters >= minCharacters) {
        const length = Math.min(10, Math.max(0.5, prompt.characters / promptTokens))
        all.tokenLength += (length - all.tokenLength) * 0.3
      }
      if (cachedTokens === undefined) return
      host.prefixes.correct(prompt, cached, (prompt.characters * cachedTokens) / promptTokens)
      const millis = final?.timings?.prompt === undefined ? 0 : Duration.toMillis(final.timings.prompt)
      const read = promptTokens - cachedTokens
      if (millis <= 0 || read < minReportedTokens) return
      for (const learned of [own.learned, all.learned]) Learned.observe(learned, "perToken", millis / read, now)
    }
  }
}

/** The time to read fewer tokens is mostly not that of the tokens. */
const minReportedTokens = 64

/** What the first chunk took, without the parts that were expected, is the time of the part that had the largest share. */
const observeFirstChunk = (learned: Learned.Learned, running: Host.Running, observed: number, now: number): void => {
  const { generating, prediction } = running
  const { cachedTokens, load, promptTokens, queue } = prediction
  if (load > 0) return Learned.observe(learned, "load", Math.max(0, observed - queue - prediction.read), now)
  // Less is known if other prompts were read before.
  const weight = queue > 0 ? 0.1 : 0.3
  const rest = Math.max(0, observed - queue)
  const tokens = promptTokens - cachedTokens
  const { base, perRunning, perToken } = Learned.estimate(learned, undefined, now)
  const reading = tokens * perToken
  const beside = generating * perRunning
  if (generating > 0) Learned.observe(learned, "perRunning", Math.max(0, rest - base - reading) / generating, now, weight)
  if (reading > base) {
    const millis = Math.max(rest - base - beside, rest / 4)
    return Learned.observe(learned, "perToken", millis / tokens, now, weight)
  }
  Learned.observe(learned, "base", Math.max(0, rest - reading - beside), now, weight)
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
