/** The end of a completion, for all protocols. */
import * as Result from "effect/Result"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { StreamError } from "../ProviderError.ts"
import type { FinishReason } from "../StreamingChunk.ts"
import * as Json from "../values/json.ts"
import * as WireSchema from "./wireSchema.ts"

/** How servers write that a completion goes on. */
const noWords: ReadonlySet<string> = new Set(["", "null", "none", "undefined", "nil", "false"])

/** The server's word for why a completion ended, in lower case; `undefined` if the value says that the completion goes on. */
export const toWord = (value: unknown): string | undefined => {
  if (typeof value !== "string") return undefined
  const word = value.trim().toLowerCase()
  return noWords.has(word) ? undefined : word
}

/** What the records of a completion had. It decides whether the end is a success. */
export interface Seen {
  /** Whether there was any part of the completion besides thinking. */
  hasAnswer: boolean
  /** The beginning of a record with content in a field that is not read. It matters if there is no other content. */
  unread?: string
  /** The beginning of a record with a part that no chunk can carry. */
  lost?: string
  /** Whether it refuses. */
  isRefused?: boolean
  /** Whether the request offered tools. */
  readonly hasTools: boolean
  /** What `lost` has, in this protocol. */
  readonly media: string
}

/**
 * The finish reason of a completion, or the reason why it is not a success. `calls`: how many tool calls it has, or what is wrong
 * with them. A completion that was cut is reported as such even if it has calls.
 */
export const read = (
  word: string | undefined,
  calls: Result.Result<number, ProviderErrorReason>,
  { hasAnswer, hasTools, isRefused, lost, media, unread }: Seen
): Result.Result<FinishReason, ProviderErrorReason> => {
  // A failure that the server reports comes before one that may only follow from it.
  if (isFailure(word))
    return Result.fail(new StreamError({ description: `the server ended the answer with "${word}"` }))
  if (Result.isFailure(calls)) return Result.fail(calls.failure)
  const meaning = meanings.get(word)
  const hasCalls = calls.success > 0
  const isOnlyText = hasAnswer && !hasCalls && !hasTools
  const problem = (text: string, description: string) => Result.fail(WireSchema.parseError(text, description))
  if (meaning === "tool-calls" && !hasCalls && !isOnlyText) {
    return problem(word ?? "", "an answer that ends with tool calls has none")
  }
  if (lost !== undefined) return problem(lost, `a part of the answer is an image or ${media}`)
  if (!hasAnswer && unread !== undefined) return problem(unread, "an answer only in fields that are not read")
  if (isRefused === true) return Result.succeed("content-filter")
  if (meaning === "length" || meaning === "content-filter") return Result.succeed(meaning)
  if (hasCalls) return Result.succeed("tool-calls")
  return Result.succeed(meaning === "tool-calls" ? "stop" : (meaning ?? "other"))
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

/** Whether a completion ended because the server could not go on. */
export const isFailure = (word: string | undefined): boolean => failures.has(word)

/** Whether a completion ended because no more tokens were allowed. */
export const isLength = (word: string | undefined): boolean => meanings.get(word) === "length"

/** Whether the body of a request offers tools, so that its completion may have calls. */
export const hasTools = (body: Json.JsonObject | undefined): boolean =>
  body !== undefined && body.tool_choice !== "none" && [body.tools, body.functions].some(Json.isContent)
