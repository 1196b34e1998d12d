/** A conversation as it arrives through protocols whose messages consist of parts. */
import type { Message } from "../../src/CompletionRequest.ts"
import * as Content from "../../src/protocol/content.ts"
import * as RequestBody from "../../src/protocol/requestBody.ts"

/** Results name the call instead of the tool, images are base64 at their place, and what is empty is left out. */
export const toReceived = (messages: ReadonlyArray<Message>): ReadonlyArray<Message> =>
  RequestBody.completeMessages(messages)
    .filter(({ content, role }) => role !== "system" || content !== "")
    .map(toMessage)

const toMessage = (message: Message): Message => {
  const { images = [], role, thinking = "", toolCallId, toolCalls = [] } = message
  const parts = Content.toParts(message)
    .filter((part) => images.length === 0 || part.type === "image" || part.text !== "")
    .map((part) => (part.type === "image" ? { type: part.type, image: RequestBody.toBase64(part.image) } : part))
  return {
    role,
    content: images.length === 0 ? message.content : parts,
    ...(thinking === "" ? {} : { thinking }),
    ...(toolCalls.length === 0 ? {} : { toolCalls }),
    ...(toolCallId === undefined ? {} : { toolCallId })
  }
}
