/**
 * Failures as clients of Anthropic's API expect them.
 *
 * Facts: https://platform.claude.com/docs/en/api/errors
 */
import type { ContextOverflow, ProviderErrorReason } from "../../ProviderError.ts"
import type { JsonObject } from "../../values/json.ts"
import * as PublicMessage from "../publicMessage.ts"
import type { FailureResponse } from "../served.ts"
import * as Served from "../served.ts"

const types: ReadonlyMap<number, string> = new Map([
  [400, "invalid_request_error"],
  [401, "authentication_error"],
  [403, "permission_error"],
  [404, "not_found_error"],
  [405, "invalid_request_error"],
  [408, "timeout_error"],
  [413, "request_too_large"],
  [415, "invalid_request_error"],
  [421, "invalid_request_error"],
  [429, "rate_limit_error"],
  [503, "overloaded_error"],
  [504, "timeout_error"],
  [529, "overloaded_error"]
])

/** The body of a failure with this status. */
export const encode = (status: number, message: string): JsonObject => ({
  type: "error",
  error: { type: types.get(status) ?? "api_error", message }
})

/** A failure before the response begins. Default of the message: what the client may know of the reason. */
export const fail = (reason: ProviderErrorReason, message = messageOf(reason)): FailureResponse => {
  const status = statusOf(reason)
  return { status, body: encode(status, message) }
}

/** Statuses of servers that have too much to do. The second is Anthropic's own. */
const overloaded: ReadonlySet<number> = new Set([503, 529])

const statusOf = (reason: ProviderErrorReason): number =>
  reason._tag === "ApiError" && overloaded.has(reason.status) ? 529 : Served.statusOf(reason)

/** Claude Code compacts a conversation if it reads these words of Anthropic's. */
const messageOf = (reason: ProviderErrorReason): string =>
  reason._tag === "ContextOverflow"
    ? `prompt is too long${toNumbers(reason)}: ${PublicMessage.make(reason)}`
    : PublicMessage.make(reason)

const toNumbers = ({ contextLength, promptTokens }: ContextOverflow): string =>
  contextLength === undefined || promptTokens === undefined ? "" : `: ${promptTokens} tokens > ${contextLength} maximum`
