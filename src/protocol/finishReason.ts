/** The end of an answer: what the server's word for it means, for all protocols. */
import type { ProviderErrorReason } from "../ProviderError.ts"
import { StreamError } from "../ProviderError.ts"
import type { FinishReason } from "../StreamingChunk.ts"
import * as Json from "../values/json.ts"
import * as WireSchema from "./wireSchema.ts"

/** How servers write that an answer goes on. */
const noWords: ReadonlySet<string> = new Set(["", "null", "none", "undefined", "nil", "false"])

/** The server's word for why an answer ended, in lower case; `undefined` if the value says that the answer goes on. */
export const toWord = (value: unknown): string | undefined => {
  if (typeof value !== "string") return undefined
  const word = value.trim().toLowerCase()
  return noWords.has(word) ? undefined : word
}

export interface Answer {
  /** How many tool calls it has. */
  readonly toolCalls: number
  /** Whether it has text and the request offered no tools, so that no call can be missing. */
  readonly isOnlyText: boolean
}

/**
 * The finish reason of an answer, or the reason why the answer is not a success. An answer that was cut is reported as such
 * even if it has calls.
 */
export const read = (
  word: string | undefined,
  { isOnlyText, toolCalls }: Answer
): FinishReason | ProviderErrorReason => {
  if (isFailure(word)) return new StreamError({ description: `the server ended the answer with "${word}"` })
  const meaning = meanings.get(word)
  switch (meaning) {
    case "length":
    case "content-filter":
      return meaning
    case "tool-calls":
      if (toolCalls > 0) return meaning
      return isOnlyText ? "stop" : WireSchema.parseError(word ?? "", "an answer that ends with tool calls has none")
    default:
      return toolCalls > 0 ? "tool-calls" : (meaning ?? "other")
  }
}

const wordsOf: Readonly<Record<Exclude<FinishReason, "other">, string>> = {
  // The second is TGI's, the others those of Anthropic and Google, which gateways pass on.
  stop: "stop eos_token end_turn stop_sequence",
  // The second is Mistral's, for a full context.
  length: "length model_length max_tokens max_output_tokens model_context_window_exceeded context_length_exceeded",
  "content-filter": "content_filter safety sensitive",
  "tool-calls": "tool_calls function_call tool_use"
}

const meanings: ReadonlyMap<string | undefined, FinishReason> = new Map(
  (["stop", "length", "content-filter", "tool-calls"] as const).flatMap((reason) =>
    wordsOf[reason].split(" ").map((word) => [word, reason] as const)
  )
)

/** The last three are those of Google, DeepSeek and Zhipu. */
const failures: ReadonlySet<string | undefined> = new Set(
  "error abort aborted cancelled canceled timeout time_limit malformed_function_call insufficient_system_resource network_error".split(
    " "
  )
)

/** Whether an answer ended because the server could not go on. */
export const isFailure = (word: string | undefined): boolean => failures.has(word)

/** Whether an answer ended because no more tokens were allowed. */
export const isLength = (word: string | undefined): boolean => meanings.get(word) === "length"

/** Whether the body of a request offers tools, so that its answer may have calls. */
export const hasTools = (body: Json.JsonObject | undefined): boolean =>
  body !== undefined && body.tool_choice !== "none" && [body.tools, body.functions].some(Json.isContent)
