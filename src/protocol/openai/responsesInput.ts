/**
 * The input of OpenAI's responses: items, one for each message, call, result and piece of thinking.
 *
 * Facts: https://developers.openai.com/api/reference/resources/responses
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ContentPart, Message } from "../../CompletionRequest.ts"
import type { ToolCall } from "../../StreamingChunk.ts"
import type * as Json from "../../values/json.ts"
import * as Content from "../content.ts"
import type { Read, Typed } from "../receivedBody.ts"
import * as Body from "../receivedBody.ts"
import { nullish } from "../wireSchema.ts"
import * as Tools from "./responsesTools.ts"

/** The messages that the items are. */
export const decode = (
  input: string | ReadonlyArray<Json.JsonObject>,
  instructions: string
): Read<ReadonlyArray<Message>> => {
  if (typeof input === "string")
    return Result.succeed(withInstructions(instructions, [{ role: "user", content: input }]))
  const conversation = makeConversation()
  return Result.gen(function* () {
    for (const [i, item] of input.entries()) {
      const path = `input[${i}]`
      const { type } = yield* readType(item, path)
      const decodeItem = items.get(type ?? "message")
      if (decodeItem === undefined) {
        return yield* Body.invalid(`${path}.type`, `items of the type ${Body.quote(type ?? "")} are not supported here`)
      }
      yield* decodeItem(item, path, conversation)
    }
    return withInstructions(instructions, conversation.end())
  })
}

/** Templates of many models accept one message with instructions, at the beginning. Codex sends several. */
const withInstructions = (instructions: string, messages: ReadonlyArray<Message>): ReadonlyArray<Message> => {
  const found = messages.findIndex(({ content, role }) => role !== "system" || typeof content !== "string")
  const count = found === -1 ? messages.length : found
  const texts = [instructions, ...messages.slice(0, count).map(({ content }) => content)].filter((text) => text !== "")
  if (texts.length === 0) return messages
  return [{ role: "system", content: texts.join("\n\n") }, ...messages.slice(count)]
}

/** The texts of instructions with a blank line between them. */
const joinTexts = (content: Message["content"]): Message["content"] => {
  if (typeof content === "string") return content
  const texts = content.flatMap((part) => (part.type === "text" ? [part.text] : []))
  return texts.length === content.length ? texts.join("\n\n") : content
}

/** Items become messages. Those of one message of the assistant follow each other: thinking, text, calls. */
const makeConversation = () => {
  const messages: Array<Message> = []
  const calls = new Set<string>()
  /** The latest message of the assistant, whose parts are items of their own. */
  let draft: Content.Draft | undefined
  /** Whether it has more than thinking. */
  let hasAnswer = false

  const finish = (): void => {
    if (draft !== undefined) messages.push({ role: "assistant", ...Content.ofDraft(draft) })
    draft = undefined
    hasAnswer = false
  }
  const assistant = (): Content.Draft => (draft ??= { thinking: [], content: "", calls: [] })

  return {
    hasCall: (id: string): boolean => calls.has(id),
    think: (text: string): void => {
      if (hasAnswer) finish()
      assistant().thinking.push(text)
    },
    say: (content: Message["content"]): void => {
      if (hasAnswer) finish()
      assistant().content = content
      hasAnswer = true
    },
    call: (call: ToolCall): void => {
      calls.add(call.id)
      assistant().calls.push(call)
      hasAnswer = true
    },
    add: (message: Message): void => {
      finish()
      messages.push(message)
    },
    end: (): ReadonlyArray<Message> => {
      finish()
      return messages
    }
  }
}

type Conversation = ReturnType<typeof makeConversation>

type DecodeItem = (item: Json.JsonObject, path: string, conversation: Conversation) => Read<void>

const WireContent = Schema.Union([Schema.String, Schema.Array(Body.Typed)])

const readType = Body.reader(Schema.Struct({ type: nullish(Schema.String) }))

const readMessage = Body.reader(
  Schema.Struct({ role: Schema.Literals(["user", "assistant", "system", "developer"]), content: WireContent })
)

const addMessage: DecodeItem = (item, path, conversation) =>
  Result.gen(function* () {
    const { content: wire, role } = yield* readMessage(item, path)
    const content = yield* decodeContent(wire, `${path}.content`)
    if (role === "assistant") conversation.say(content)
    else if (role === "user") conversation.add({ role, content })
    else conversation.add({ role: "system", content: joinTexts(content) })
  })

const decodeContent = (content: string | ReadonlyArray<Typed>, path: string): Read<Message["content"]> =>
  typeof content === "string"
    ? Result.succeed(content)
    : Result.map(Result.all(content.map((part, i) => decodePart(part, `${path}[${i}]`))), Content.ofParts)

const readText = Body.reader(Schema.Struct({ text: Schema.String }))
const readRefusal = Body.reader(Schema.Struct({ refusal: Schema.String }))
const readImage = Body.reader(Schema.Struct({ image_url: nullish(Schema.String), file_id: nullish(Schema.String) }))

const decodePart = (part: Typed, path: string): Read<ContentPart> => {
  switch (part.type) {
    case "input_text":
    case "output_text":
    case "text":
      return Result.map(readText(part, path), ({ text }) => ({ type: "text", text }))
    case "refusal":
      return Result.map(readRefusal(part, path), ({ refusal }) => ({ type: "text", text: refusal }))
    case "input_image":
      return decodeImage(part, path)
    default:
      return Body.invalid(`${path}.type`, `parts of the type ${Body.quote(part.type)} are not supported here`)
  }
}

const decodeImage = (part: Typed, path: string): Read<ContentPart> =>
  Result.gen(function* () {
    const { file_id, image_url } = yield* readImage(part, path)
    if (image_url == null) {
      const [field, description] =
        file_id == null ? ["image_url", "Missing key"] : ["file_id", "no files are stored here"]
      return yield* Body.invalid(`${path}.${field}`, description)
    }
    const [head = ""] = /^data:[^,]{0,200};base64,/i.exec(image_url) ?? []
    if (head === "") {
      return yield* Body.invalid(
        `${path}.image_url`,
        "images are not loaded from an address; send them as a data: URI with base64"
      )
    }
    const image = yield* Body.base64(image_url.slice(head.length), `${path}.image_url`)
    return { type: "image", image }
  })

const readCall = Body.reader(
  Schema.Struct({
    call_id: Schema.NonEmptyString,
    name: Schema.NonEmptyString,
    namespace: nullish(Schema.String),
    arguments: Schema.String
  })
)

const addCall: DecodeItem = (item, path, conversation) =>
  Result.gen(function* () {
    const { arguments: text, call_id: id, name, namespace } = yield* readCall(item, path)
    const value = Content.parseArguments(text)
    const fault = Content.findArgumentsFault(value)
    if (fault !== undefined) return yield* Body.invalid(`${path}.arguments`, `it is ${fault}`)
    conversation.call({ id, name: Tools.qualify(name, namespace), arguments: value })
  })

const readResult = Body.reader(Schema.Struct({ call_id: Schema.NonEmptyString, output: WireContent }))

const addResult: DecodeItem = (item, path, conversation) =>
  Result.gen(function* () {
    const { call_id: toolCallId, output } = yield* readResult(item, path)
    if (!conversation.hasCall(toolCallId)) {
      return yield* Body.invalid(`${path}.call_id`, "Expected the call_id of an earlier function_call")
    }
    const content = yield* decodeContent(output, `${path}.output`)
    conversation.add({ role: "tool", content, toolCallId })
  })

const Texts = nullish(Schema.Array(Schema.Struct({ text: Schema.String })))

const readReasoning = Body.reader(Schema.Struct({ summary: Texts, content: Texts }))

/** The thinking itself, or else its summary. What is encrypted can only be read by the one who wrote it. */
const addReasoning: DecodeItem = (item, path, conversation) =>
  Result.map(readReasoning(item, path), ({ content, summary }) => {
    const texts = content != null && content.length > 0 ? content : (summary ?? [])
    const text = texts.map(({ text }) => text).join("\n\n")
    if (text !== "") conversation.think(text)
  })

/** By type: how items are read. */
const items: ReadonlyMap<string, DecodeItem> = new Map([
  ["message", addMessage],
  ["function_call", addCall],
  ["function_call_output", addResult],
  ["reasoning", addReasoning]
])
