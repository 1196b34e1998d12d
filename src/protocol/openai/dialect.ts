/** In what the OpenAI-compatible servers differ. */
import * as Result from "effect/Result"
import type { CompletionRequest } from "../../CompletionRequest.ts"
import type { Unsupported } from "../../ProviderError.ts"
import type * as Json from "../../values/json.ts"

export interface Dialect {
  /** How `format: "json"` is requested: LM Studio rejects `json_object`. */
  readonly jsonFormat: "json_object" | "json_schema"
  /** How long a model stays in memory, as the request states it. `undefined`: the server has no such setting. */
  readonly keepAlive?: ((seconds: number) => Json.JsonObject) | undefined
  /** How thinking is switched on, off or to a level. */
  readonly think: (think: NonNullable<CompletionRequest["think"]>) => Result.Result<Json.JsonObject, Unsupported>
  /** The field of a message in which the thinking of an earlier answer is sent back. `undefined`: the server has none. */
  readonly thinkingField?: "reasoning_content" | "reasoning" | "thinking" | undefined
  /** Whether `tool_choice` can name one tool. */
  readonly namedToolChoice: boolean
  /** Whether the usage is requested with `stream_options`, which some gateways reject. Default: `true`. */
  readonly streamOptions?: boolean | undefined
  /** Whether the server rejects a prompt that does not fit. Others may drop a part of it silently. Default: `false`. */
  readonly isPromptWhole?: boolean | undefined
  /** Fields of every request. */
  readonly always?: Json.JsonObject | undefined
  /**
   * Whether every complete answer of the server has a finish reason. If not, `[DONE]` alone completes an answer that has
   * content or tool calls, with the finish reason `other`.
   */
  readonly hasFinishReason: boolean
}

/** `reasoning_effort`, with `none` for off. On is the default of a model that thinks. */
export const reasoningEffort: Dialect["think"] = (think) =>
  Result.succeed(think === true ? {} : { reasoning_effort: think === false ? "none" : think })

/** `enable_thinking` of the chat template, which is on or off. */
export const enableThinking: Dialect["think"] = (think) =>
  Result.succeed({ chat_template_kwargs: { enable_thinking: think !== false } })
