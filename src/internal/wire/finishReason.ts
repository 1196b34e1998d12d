/** The end of an answer: what the server's word for it means, for all protocols. */
import type { ProviderErrorReason } from "../../ProviderError.ts"
import { StreamError } from "../../ProviderError.ts"
import type { FinishReason } from "../../StreamingChunk.ts"
import * as Json from "./json.ts"

/**
 * The finish reason of an answer with that many tool calls, or the reason why the answer is not a success. An answer that
 * was cut is reported as such even if it has calls.
 */
export const read = (word: string | null | undefined, toolCalls: number): FinishReason | ProviderErrorReason => {
  if (isFailure(word)) return new StreamError({ description: `the server ended the answer with "${word}"` })
  switch (word) {
    case "length":
    // Mistral's word for a full context.
    case "model_length":
      return "length"
    case "content_filter":
      return "content-filter"
    case "tool_calls":
    case "function_call":
      return toolCalls > 0 ? "tool-calls" : Json.parseError(word, "an answer that ends with tool calls has none")
    default:
      return toolCalls > 0 ? "tool-calls" : word === "stop" ? "stop" : "other"
  }
}

const failures: ReadonlySet<string | null | undefined> = new Set(["error", "abort", "aborted", "cancelled", "canceled"])

/** Whether an answer ended because the server could not go on. */
export const isFailure = (word: string | null | undefined): boolean => failures.has(word)

/** Whether an answer ended because no more tokens were allowed. */
export const isLength = (word: string | null | undefined): boolean => word === "length" || word === "model_length"
