/** How many tokens a prompt has: the server counts them where it can. Elsewhere earlier completions of the model show how long its tokens are. */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import type { CompletionRequest, ValidRequest } from "../CompletionRequest.ts"
import type { Opened } from "../Deadlines.ts"
import * as Content from "../protocol/content.ts"
import type { ProviderError, ProviderErrorReason } from "../ProviderError.ts"
import type { StreamingChunk } from "../StreamingChunk.ts"
import * as TokenCount from "../TokenCount.ts"

type Open = Effect.Effect<Opened<StreamingChunk, ProviderErrorReason>>

export interface Tokens {
  readonly count: (request: ValidRequest) => Effect.Effect<TokenCount.TokenCount, ProviderError>
  /** A completion from whose usage later estimates learn, once one was needed. Until then nothing is added to it. */
  readonly learnFrom: (request: ValidRequest, open: Open) => Open
}

/** `countTexts`: as `ServerDefinition.countTokens`. */
export const make = (
  countTexts: ((request: ValidRequest) => Effect.Effect<number | undefined, ProviderError>) | undefined,
  toError: (reason: ProviderErrorReason) => ProviderError
): Tokens => {
  const rates = makeRates()
  let canCount = countTexts !== undefined
  let isEstimating = false

  const estimate = (request: ValidRequest) =>
    Effect.suspend(() => {
      isEstimating = true
      const estimated = TokenCount.estimate(request, { tokensPerByte: rates.of(request.model) })
      return Effect.mapError(Effect.fromResult(estimated), toError)
    })
  const count = (request: ValidRequest) =>
    Effect.suspend(() => {
      // What a server counts for an image differs, and some count none.
      if (!canCount || countTexts === undefined || hasImages(request)) return estimate(request)
      return Effect.matchEffect(countTexts(request), {
        onSuccess: (tokens) => (tokens === undefined ? estimate(request) : Effect.succeed({ tokens, exact: true })),
        onFailure: (error) => {
          if (error.reason._tag !== "Unsupported") return Effect.fail(error)
          canCount = false
          return estimate(request)
        }
      })
    })
  return {
    count,
    learnFrom: (request, open) =>
      isEstimating && request.overflow !== "truncate" && !hasImages(request)
        ? Effect.map(open, (opened) => ({
            ...opened,
            items: Stream.map(opened.items, (chunk) => {
              if (chunk.isFinal) rates.learn(request, chunk.usage?.promptTokens)
              return chunk
            })
          }))
        : open
  }
}

const hasImages = ({ images = [], messages = [] }: CompletionRequest): boolean =>
  images.length > 0 || messages.some((message) => Content.toImages(message).length > 0)

/** Of how many completions the highest rate is taken, and for how many models. */
const maxRates = 16
const maxModels = 100

/** Shorter prompts consist of their template rather than of their text. */
const minBytes = 1000

/** The next text may have shorter tokens. */
const margin = 1.1

/** No text has longer tokens on average. Ollama before 0.30.1 reports the tokens that it read anew, without those in its cache. */
const minRate = 1 / 8

/** The tokens of each byte of the latest prompts, for each model. Mutable state. No prompt is kept. */
const makeRates = () => {
  /** The model that was used last is the last. */
  const rates = new Map<string, ReadonlyArray<number>>()
  const highest = (model: string): number => Math.max(0, ...(rates.get(model) ?? []))
  return {
    /** `undefined` before the first completion. */
    of: (model: string): number | undefined => (rates.has(model) ? Math.min(1, highest(model) * margin) : undefined),
    learn: (request: ValidRequest, promptTokens = 0): void => {
      const { model } = request
      const size = Result.getOrUndefined(TokenCount.estimate(request, { tokensPerByte: 1 }))
      if (size === undefined || size.tokens < minBytes) return
      const rate = promptTokens / size.tokens
      if (rate < Math.max(minRate, highest(model) / 2)) return
      const latest = [...(rates.get(model) ?? []), rate].slice(-maxRates)
      rates.delete(model)
      rates.set(model, latest)
      for (const oldest of rates.keys()) if (rates.size > maxModels) rates.delete(oldest)
    }
  }
}
