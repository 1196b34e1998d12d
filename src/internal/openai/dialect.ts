/** In what the OpenAI-compatible servers differ. */
import * as Result from "effect/Result"
import type { CompletionRequest } from "../../CompletionRequest.ts"
import { Unsupported } from "../../ProviderError.ts"
import type * as Json from "../wire/json.ts"

export interface Dialect {
  /** How `format: "json"` is requested: LM Studio rejects `json_object`. */
  readonly jsonFormat: "json_object" | "json_schema"
  /** How long a model stays in memory, as the request states it. `undefined`: the server has no such setting. */
  readonly keepAlive?: ((seconds: number) => Json.JsonObject) | undefined
  /** How thinking is switched on, off or to a level. */
  readonly think: (think: NonNullable<CompletionRequest["think"]>) => Result.Result<Json.JsonObject, Unsupported>
  /** Whether `tool_choice` can name one tool. */
  readonly namedToolChoice: boolean
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

const noMaximum = new Unsupported({ feature: 'think: "max"', description: '"high" is the highest level here' })

/** Facts: LM Studio's documentation, versions 0.3 to 0.4. */
export const lmStudio: Dialect = {
  jsonFormat: "json_schema",
  keepAlive: (seconds) => ({ ttl: seconds }),
  think: (think) => (think === "max" ? Result.fail(noMaximum) : reasoningEffort(think)),
  namedToolChoice: false,
  hasFinishReason: true
}

/** Facts: llama.cpp's `tools/server/README.md`. */
export const llamaServer: Dialect = {
  jsonFormat: "json_object",
  think: (think) =>
    Result.succeed(
      typeof think === "boolean" ? { chat_template_kwargs: { enable_thinking: think } } : { reasoning_effort: think }
    ),
  namedToolChoice: false,
  hasFinishReason: true,
  always: { return_progress: true }
}
