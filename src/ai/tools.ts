/** Tools of `effect/ai`, and which of them the model may call. */
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as AiTool from "effect/ai/Tool"
import * as Result from "effect/Result"
import type { Tool, ToolChoice } from "../CompletionRequest.ts"
import { InvalidRequest, Unsupported } from "../ProviderError.ts"
import * as RequestBody from "../protocol/requestBody.ts"

export const toTools = (
  tools: ReadonlyArray<AiTool.Any>
): Result.Result<ReadonlyArray<Tool>, InvalidRequest | Unsupported> => Result.all(tools.map(toTool))

const toTool = (tool: AiTool.Any, i: number): Result.Result<Tool, InvalidRequest | Unsupported> => {
  if (AiTool.isProviderDefined(tool)) {
    return Result.fail(new Unsupported({ feature: "a tool that the provider defines" }))
  }
  const field = `tools[${i}].parameters`
  const schema = Result.try({
    try: () => AiTool.getJsonSchema(tool),
    catch: () => new InvalidRequest({ field, description: "this Schema has no JSON Schema" })
  })
  return Result.map(
    Result.flatMap(schema, (schema) => RequestBody.toParameters(schema, field)),
    (parameters) => ({ name: tool.name, description: AiTool.getDescription(tool), parameters })
  )
}

/** With `oneOf`, the list of tools has only the allowed ones already. */
export const toToolChoice = (toolChoice: LanguageModel.ProviderOptions["toolChoice"]): ToolChoice =>
  typeof toolChoice === "string"
    ? toolChoice
    : "tool" in toolChoice
      ? { name: toolChoice.tool }
      : (toolChoice.mode ?? "auto")
