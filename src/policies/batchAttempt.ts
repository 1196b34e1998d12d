/** One attempt at a request of a batch, and what its failure means. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Served from "../protocol/openai/served.ts"
import * as Embeddings from "../protocol/openai/servedEmbeddings.ts"
import * as Failures from "../protocol/openai/servedFailures.ts"
import { toRequest, type WriterContext } from "../protocol/served.ts"
import { Provider } from "../Provider.ts"
import { isProviderError, type ProviderError, type ProviderErrorReason } from "../ProviderError.ts"
import type * as Json from "../values/json.ts"
import * as Text from "../values/text.ts"

export const urls = ["/v1/chat/completions", "/v1/completions", "/v1/embeddings"] as const

export interface Sent {
  readonly custom_id: string
  readonly url?: (typeof urls)[number] | undefined
  readonly body: Json.JsonObject
}

export type Failure = ProviderError | ProviderErrorReason

/** Sends a request once. Returns the body of its response. */
export const send = Effect.fnUntraced(function* ({
  body,
  custom_id,
  url = "/v1/chat/completions"
}: Sent): Effect.fn.Return<Json.JsonObject, Failure, Provider> {
  const provider = yield* Provider
  const createdAt = yield* Clock.currentTimeMillis
  const context = (model: string): WriterContext => ({ model, id: custom_id, createdAt })
  return yield* url === "/v1/embeddings" ? embed(provider, body, context) : complete(provider, url, body, context)
})

const complete = (
  provider: Provider,
  url: Exclude<(typeof urls)[number], "/v1/embeddings">,
  body: Json.JsonObject,
  contextOf: (model: string) => WriterContext
): Effect.Effect<Json.JsonObject, Failure> =>
  Effect.gen(function* () {
    const { decode } = url === "/v1/completions" ? Served.completion : Served.chat
    const received = yield* Effect.fromResult(decode(body))
    const request = yield* Effect.fromResult(toRequest(received, Served.kinds.includes(provider.kind ?? "")))
    const completion = yield* provider.complete(request)
    return received.encode(completion, contextOf(request.model ?? completion.model))
  })

const embed = (
  provider: Provider,
  body: Json.JsonObject,
  contextOf: (model: string) => WriterContext
): Effect.Effect<Json.JsonObject, Failure> =>
  Effect.gen(function* () {
    const { encode, request, tuning } = yield* Effect.fromResult(Embeddings.decode(body))
    const isKind = Served.kinds.includes(provider.kind ?? "")
    const embedding = yield* provider.embed(isKind ? { ...request, ...tuning } : request)
    return encode(embedding, contextOf(request.model ?? embedding.model))
  })

/** The request was not sent, or no server took it. */
export const isUntaken = (failure: Failure): failure is ProviderError => {
  if (!isProviderError(failure)) return false
  const { reason } = failure
  switch (reason._tag) {
    case "AllProvidersFailed":
      return reason.errors.length > 0 && reason.errors.every(isUntaken)
    case "NetworkError":
      return reason.kind === "refused" || reason.kind === "unknown-host" || reason.kind === "unreachable"
    case "ApiError":
      return reason.status === 503
    default:
      return reason._tag === "RateLimited"
  }
}

/** A timeout is not: its deadlines are those that the caller has. */
export const isWorthAgain = (failure: Failure): boolean =>
  (isProviderError(failure) ? failure.reason : failure)._tag !== "Timeout" && failure.isRetryable

/** As a response has it. */
export const describe = (failure: Failure) => {
  const reason = isProviderError(failure) ? failure.reason : failure
  const error = { code: reason._tag, message: Text.withoutAddresses(reason.message) }
  return { ...Failures.fail(reason, isProviderError(failure) ? undefined : reason.message), error }
}
