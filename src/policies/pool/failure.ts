/** What a failed request shows about its host. */
import type { ProviderError, ProviderErrorReason, Timeout } from "../../ProviderError.ts"

/** Whether the breaker of the host counts the failure. It does not count busy servers and wrong requests. */
export const isOfHost = (reason: ProviderErrorReason): boolean => {
  switch (reason._tag) {
    case "RateLimited":
    case "ContextOverflow":
    case "InvalidRequest":
    case "InvalidAnswer":
    case "ModelNotAvailable":
    case "Unsupported":
    case "LineTooLong":
      return false
    case "ApiError":
      return reason.status >= 500 ? reason.retryAfter === undefined : reason.status < 400
    // It includes the time of the consumer.
    case "Timeout":
      return reason.kind !== "total"
    default:
      return true
  }
}

/** Whether the request may have hung: the server accepted it and sent nothing. The model may be to blame, or the host. */
export const isHang = (reason: ProviderErrorReason): reason is Timeout =>
  reason._tag === "Timeout" && reason.kind === "first-chunk"

/** Whether another host may answer, if the request failed before its answer committed. Nothing was generated then. */
export const isForAnotherHost = (reason: ProviderErrorReason): boolean =>
  reason._tag === "NetworkError" ||
  // This host is busy, or it is starting.
  reason._tag === "RateLimited" ||
  (reason._tag === "ApiError" && reason.status === 503) ||
  reason._tag === "ModelNotAvailable" ||
  (reason._tag === "ContextOverflow" && reason.promptTokens !== undefined)

/** The error to report of several: a retryable one, or the last. */
export const report = (errors: ReadonlyArray<ProviderError>): ProviderError | undefined =>
  errors.findLast(({ isRetryable }) => isRetryable) ?? errors.at(-1)
