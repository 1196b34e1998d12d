/** What a person may read of a failure, whatever failed: no text of a server, no prompt and no address. */
import * as AiError from "effect/ai/AiError"
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as PublicMessage from "../protocol/publicMessage.ts"
import type { Failure } from "../protocol/uiPart.ts"
import type { ProviderError, ProviderErrorReason } from "../ProviderError.ts"
import { isProviderError, StreamTruncated } from "../ProviderError.ts"
import * as AiReason from "./reason.ts"

export const toFailure = (error: unknown): Failure => {
  if (isProviderError(error)) return ofReason(error.reason, error)
  if (AiError.isAiError(error)) {
    const reason = AiReason.decode(error)
    if (reason !== undefined) return ofReason(reason, error)
    const { _tag } = error.reason
    return make(_tag, messages[_tag] ?? "the model server failed", error.isRetryable, error.retryAfter)
  }
  // A failure of a tool, which the program decides to fail with.
  return make(Predicate.hasProperty(error, "_tag") ? String(error._tag) : "Error", "the answer failed", false)
}

const ofReason = (reason: ProviderErrorReason, { isRetryable, retryAfter }: ProviderError | AiError.AiError): Failure =>
  make(reason._tag, PublicMessage.make(reason), isRetryable, retryAfter)

/** The parts ended without an end. */
export const truncated: Failure = make(new StreamTruncated()._tag, PublicMessage.make(new StreamTruncated()), true)

function make(reason: string, message: string, isRetryable: boolean, retryAfter?: Duration.Duration): Failure {
  const retryAfterMillis = retryAfter === undefined ? undefined : Duration.toMillis(retryAfter)
  return { _tag: "Failure", reason, message, isRetryable, ...(retryAfterMillis !== undefined && { retryAfterMillis }) }
}

/** Of those that a person can do something about. */
const messages: { readonly [Tag in AiError.AiErrorReason["_tag"]]?: string } = {
  RateLimitError: "the model server is busy",
  QuotaExhaustedError: "the model server has no quota left",
  AuthenticationError: "the model server does not accept the credentials",
  ContentPolicyError: "the model server refuses this request",
  InvalidRequestError: "the model server cannot answer this request",
  InvalidUserInputError: "the request is invalid",
  NetworkError: "the model server cannot be reached"
}
