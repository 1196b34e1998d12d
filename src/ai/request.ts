/** What `effect/ai` asks for, as a request. What no server can express is an error, so nothing is dropped. */
import type * as LanguageModel from "effect/ai/LanguageModel"
import type * as Prompt from "effect/ai/Prompt"
import * as AiTool from "effect/ai/Tool"
import * as Result from "effect/Result"
import type { ChatRequest, ContentPart, Message, Tool, ToolChoice } from "../CompletionRequest.ts"
import { InvalidRequest, Unsupported } from "../ProviderError.ts"
import * as Content from "../protocol/content.ts"
import * as RequestBody from "../protocol/requestBody.ts"
import type { ToolCall } from "../StreamingChunk.ts"

type Fault = InvalidRequest | Unsupported

/** The fields of a request that the call decides. */
export const make = ({
  prompt,
  responseFormat,
  toolChoice,
  tools
}: LanguageModel.ProviderOptions): Result.Result<ChatRequest, Fault> =>
  Result.gen(function* () {
    return {
      messages: yield* toMessages(prompt),
      ...(responseFormat.type === "json" ? { format: responseFormat.schema } : {}),
      ...(tools.length === 0 ? {} : { tools: yield* toTools(tools), toolChoice: toToolChoice(toolChoice) })
    }
  })

export const toMessages = (prompt: Prompt.Prompt): Result.Result<ReadonlyArray<Message>, Fault> =>
  Result.map(Result.all(prompt.content.map((message, i) => convert(message, `messages[${i}]`))), (messages) =>
    messages.flat()
  )

const convert = (message: Prompt.Message, field: string): Result.Result<ReadonlyArray<Message>, Fault> => {
  switch (message.role) {
    case "system":
      return Result.succeed([{ role: "system", content: message.content }])
    case "user":
      return Result.map(toContent(message.content, field), (content) => [{ role: "user", content }])
    case "assistant":
      return Result.map(toAssistantMessage(message.content, field), (message) => [message])
    case "tool":
      // Approvals are resolved before a prompt is sent.
      return Result.all(
        message.content.flatMap((part) => (part.type === "tool-result" ? [toToolMessage(part, field)] : []))
      )
  }
}

/** The ids of the calls in a prompt. The completion must not use them again. */
export const callIds = (prompt: Prompt.Prompt): ReadonlyArray<string> =>
  prompt.content.flatMap((message) =>
    message.role === "assistant" ? message.content.flatMap((part) => (part.type === "tool-call" ? [part.id] : [])) : []
  )

const toContent = (
  parts: ReadonlyArray<Prompt.TextPart | Prompt.FilePart>,
  field: string
): Result.Result<Message["content"], Fault> => {
  const [first] = parts
  if (parts.length === 1 && first?.type === "text") return Result.succeed(first.text)
  return Result.all(
    parts.map((part): Result.Result<ContentPart, Unsupported> =>
      part.type === "text" ? Result.succeed({ type: "text", text: part.text }) : toImage(part, field)
    )
  )
}

const toImage = ({ data, mediaType }: Prompt.FilePart, field: string): Result.Result<ContentPart, Unsupported> => {
  if (!mediaType.startsWith("image/")) return unsupported(`a file that is not an image, in ${field}`)
  const isAddress = data instanceof URL ? data.protocol !== "data:" : typeof data === "string" && /^https?:/i.test(data)
  return isAddress
    ? unsupported(`an image as a URL, in ${field}`, "pass its bytes: the servers do not load images")
    : Result.succeed({ type: "image", image: data })
}

const toAssistantMessage = (
  parts: ReadonlyArray<Prompt.AssistantMessagePart>,
  field: string
): Result.Result<Message, Fault> => {
  const draft = { content: "", thinking: new Array<string>(), calls: new Array<ToolCall>() }
  for (const part of parts) {
    switch (part.type) {
      case "text":
        draft.content += part.text
        break
      case "reasoning":
        if (part.text !== "") draft.thinking.push(part.text)
        break
      case "tool-call":
        if (part.providerExecuted) return unsupported(`a tool call that the server executes, in ${field}`)
        draft.calls.push({ id: part.id, name: part.name, arguments: part.params })
        break
      case "tool-result":
        return unsupported(`the result of a tool that the server executes, in ${field}`)
      case "file":
        return unsupported(`a file of the assistant, in ${field}`)
      case "tool-approval-request":
    }
  }
  return Result.succeed({ role: "assistant", ...Content.ofDraft(draft) })
}

const toToolMessage = (part: Prompt.ToolResultPart, field: string): Result.Result<Message, Fault> => {
  const content = part.modelOutput === undefined ? toText(part.result, field) : toContent(part.modelOutput, field)
  return Result.map(content, (content) => ({
    role: "tool",
    content,
    toolCallId: part.id,
    toolName: part.name,
    isError: part.isFailure
  }))
}

/** A text stays as it is; any other result is JSON. */
const toText = (result: unknown, field: string): Result.Result<string, InvalidRequest> =>
  typeof result === "string"
    ? Result.succeed(result)
    : // There is no JSON text for `undefined`, the result of tools that return nothing.
      Result.map(RequestBody.stringify(result ?? null, field), (text: string | undefined) => text ?? "null")

const unsupported = (feature: string, description?: string): Result.Result<never, Unsupported> =>
  Result.fail(new Unsupported({ feature, description }))

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
