/** What messages consist of, whatever the protocol: texts, images and tool calls. */
import type { ContentPart, Image, Message } from "../CompletionRequest.ts"
import type { ToolCall } from "../StreamingChunk.ts"
import * as Json from "../values/json.ts"

/** The text, and then the images, as the parts that they are. */
export const toParts = ({ content, images = [] }: Message): ReadonlyArray<ContentPart> => [
  ...(typeof content === "string" ? [{ type: "text" as const, text: content }] : content),
  ...images.map((image) => ({ type: "image" as const, image }))
]

export const toText = ({ content }: Message): string =>
  typeof content === "string"
    ? content
    : content.reduce((text, part) => (part.type === "text" ? text + part.text : text), "")

export const toImages = ({ content, images = [] }: Message): ReadonlyArray<Image> =>
  typeof content === "string"
    ? images
    : [...content.flatMap((part) => (part.type === "image" ? [part.image] : [])), ...images]

/** A single text as it is: templates of models without images may accept a text only. */
export const ofParts = (parts: ReadonlyArray<ContentPart>): Message["content"] => {
  const [first, second] = parts
  if (first === undefined) return ""
  return second === undefined && first.type === "text" ? first.text : parts
}

/** The parts of a message of the model as they were collected. */
export interface Draft {
  readonly thinking: Array<string>
  content: Message["content"]
  readonly calls: Array<ToolCall>
}

/** The message, without what is empty. */
export const ofDraft = ({ calls, content, thinking }: Draft) => ({
  content,
  ...(thinking.length === 0 ? {} : { thinking: thinking.join("") }),
  ...(calls.length === 0 ? {} : { toolCalls: calls })
})

/** An id for a call that came without one, or with the id of another call. */
export const makeCallId = (position: number, taken: { readonly has: (id: string) => boolean }): string => {
  let id = `call_${position}`
  while (taken.has(id)) id += "_"
  return id
}

/** The arguments of a call from JSON text, which is empty for a call without any; `undefined` if it is not JSON. */
export const parseArguments = (text: string): unknown => (text.trim() === "" ? {} : Json.parse(text))

/** Why the arguments of a call must not be used. */
export const findArgumentsFault = (value: unknown): string | undefined =>
  value === undefined ? "not JSON" : Json.findFault(value)

/** Why a call that a model wrote must not be run. */
export const findCallProblem = (
  position: number,
  { arguments: value, name }: Pick<ToolCall, "arguments" | "name">
): string | undefined => {
  const fault = findArgumentsFault(value)
  if (value !== undefined && name === "") return `tool call ${position} has no name`
  return fault === undefined ? undefined : `the arguments of tool call ${position} are ${fault}`
}
