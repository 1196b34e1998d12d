/** Prompts of `effect/ai` as messages. What no server can express is an error, so nothing is dropped. */
import type * as Prompt from "effect/ai/Prompt"
import * as Result from "effect/Result"
import type { ContentPart, Message } from "../CompletionRequest.ts"
import { type InvalidRequest, Unsupported } from "../ProviderError.ts"
import * as RequestBody from "../protocol/requestBody.ts"

type Fault = InvalidRequest | Unsupported

export const toMessages = (prompt: Prompt.Prompt): Result.Result<ReadonlyArray<Message>, Fault> =>
  Result.gen(function* () {
    const messages: Array<Message> = []
    for (const [i, message] of prompt.content.entries()) {
      switch (message.role) {
        case "system":
          messages.push({ role: "system", content: message.content })
          break
        case "user":
          messages.push({ role: "user", content: yield* toContent(message.content, `messages[${i}]`) })
          break
        case "assistant":
          messages.push(yield* toAssistantMessage(message.content, `messages[${i}]`))
          break
        case "tool":
          for (const part of message.content) {
            // Approvals are resolved before a prompt is sent.
            if (part.type === "tool-result") messages.push(yield* toToolMessage(part, `messages[${i}]`))
          }
      }
    }
    return messages
  })

/** The ids of the calls in a prompt. An answer to it must not use them again. */
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
  let content = ""
  let thinking = ""
  const toolCalls: Array<NonNullable<Message["toolCalls"]>[number]> = []
  for (const part of parts) {
    switch (part.type) {
      case "text":
        content += part.text
        break
      case "reasoning":
        thinking += part.text
        break
      case "tool-call":
        if (part.providerExecuted) return unsupported(`a tool call that the server executes, in ${field}`)
        toolCalls.push({ id: part.id, name: part.name, arguments: part.params })
        break
      case "tool-result":
        return unsupported(`the result of a tool that the server executes, in ${field}`)
      case "file":
        return unsupported(`a file of the assistant, in ${field}`)
      case "tool-approval-request":
    }
  }
  return Result.succeed({
    role: "assistant",
    content,
    ...(thinking === "" ? {} : { thinking }),
    ...(toolCalls.length === 0 ? {} : { toolCalls })
  })
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
