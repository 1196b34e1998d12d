/** The messages and tools of a chat, as clients of OpenAI's protocol send them. */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ChatRequest, ContentPart, Message, Tool } from "../../CompletionRequest.ts"
import type { ToolCall } from "../../StreamingChunk.ts"
import * as Content from "../content.ts"
import type { Read } from "../receivedBody.ts"
import { invalid, JsonObject } from "../receivedBody.ts"
import { metadata, nullish } from "../wireSchema.ts"

const text = nullish(Schema.String)

const Part = Schema.Struct({
  type: Schema.String,
  text,
  refusal: text,
  // The second form is that of some clients.
  image_url: nullish(Schema.Union([Schema.Struct({ url: Schema.String }), Schema.String]))
})

const Call = Schema.Struct({
  id: Schema.String,
  type: text,
  function: Schema.Struct({ name: Schema.String, arguments: metadata })
})

/** A message of a request. The names of participants are not passed on. */
export const WireMessage = Schema.Struct({
  role: Schema.Literals(["system", "developer", "user", "assistant", "tool"]),
  content: nullish(Schema.Union([Schema.String, Schema.Array(Part)])),
  name: text,
  refusal: text,
  // Servers differ in the name for thinking, and clients send back what they got.
  reasoning_content: metadata,
  reasoning: metadata,
  thinking: metadata,
  tool_calls: nullish(Schema.Array(Call)),
  tool_call_id: text
})
interface WireMessage extends Schema.Schema.Type<typeof WireMessage> {}

/** A tool of a request. */
export const WireTool = Schema.Struct({
  type: Schema.String,
  function: nullish(Schema.Struct({ name: Schema.String, description: text, parameters: nullish(JsonObject) }))
})

/** Which tool is called. */
export const WireToolChoice = Schema.Union([
  Schema.Literals(["auto", "none", "required"]),
  Schema.Struct({ type: Schema.Literal("function"), function: Schema.Struct({ name: Schema.String }) })
])

/** The messages of the request. */
export const toMessages = (messages: ReadonlyArray<WireMessage>): Read<ReadonlyArray<Message>> =>
  Result.all(messages.map((message, i) => toMessage(message, `messages[${i}]`)))

const toMessage = (message: WireMessage, field: string): Read<Message> =>
  Result.gen(function* () {
    const { name, reasoning, reasoning_content, role, thinking, tool_call_id, tool_calls } = message
    const isTool = role === "tool"
    return {
      role: role === "developer" ? "system" : role,
      content: yield* toContent(message, `${field}.content`),
      thinking: [reasoning_content, reasoning, thinking].find(Predicate.isString),
      toolCalls: yield* toCalls(tool_calls ?? [], `${field}.tool_calls`),
      toolCallId: isTool ? (tool_call_id ?? undefined) : undefined,
      toolName: isTool ? (name ?? undefined) : undefined
    }
  })

const toContent = ({ content, refusal }: WireMessage, field: string): Read<Message["content"]> => {
  if (typeof content === "string") return Result.succeed(content)
  if (content == null) return Result.succeed(refusal ?? "")
  return Result.all(content.map((part, i) => toPart(part, `${field}[${i}]`)))
}

const toPart = ({ image_url: image, refusal, text, type }: typeof Part.Type, field: string): Read<ContentPart> => {
  if (type === "text" || type === "refusal") {
    const value = type === "text" ? text : refusal
    return value == null
      ? invalid(`${field}.${type}`, "Expected string")
      : Result.succeed({ type: "text", text: value })
  }
  if (type !== "image_url") return invalid(`${field}.type`, 'Expected "text" or "image_url"')
  const url = typeof image === "string" ? image : image?.url
  // Nothing is loaded for a client: the address may be one inside the network of the gateway.
  return url === undefined || !/^data:/i.test(url)
    ? invalid(`${field}.image_url`, "Expected the image itself, as a data URI with base64")
    : Result.succeed({ type: "image", image: url })
}

const toCalls = (calls: ReadonlyArray<typeof Call.Type>, field: string): Read<ReadonlyArray<ToolCall> | undefined> =>
  calls.length === 0 ? Result.succeed(undefined) : Result.all(calls.map((call, i) => toCall(call, `${field}[${i}]`)))

const toCall = (call: typeof Call.Type, field: string): Read<ToolCall> => {
  const { arguments: value, name } = call.function
  if (call.type != null && call.type !== "function") return invalid(`${field}.type`, 'Expected "function"')
  const path = `${field}.function.arguments`
  const parsed = typeof value === "string" ? Content.parseArguments(value) : (value ?? {})
  const fault = Content.findArgumentsFault(parsed)
  return fault === undefined
    ? Result.succeed({ id: call.id, name, arguments: parsed })
    : invalid(path, `it is ${fault}`)
}

/** The tools of the request; `undefined` if there are none. */
export const toTools = (
  tools: ReadonlyArray<typeof WireTool.Type> | null | undefined
): Read<ReadonlyArray<Tool> | undefined> =>
  tools == null || tools.length === 0
    ? Result.succeed(undefined)
    : Result.all(tools.map((tool, i) => toTool(tool, `tools[${i}]`)))

const toTool = ({ function: fn, type }: typeof WireTool.Type, field: string): Read<Tool> => {
  if (type !== "function") return invalid(`${field}.type`, 'Expected "function"')
  if (fn == null) return invalid(`${field}.function`, "Expected an object")
  const { description, name, parameters } = fn
  return Result.succeed({ name, description: description ?? undefined, parameters: parameters ?? undefined })
}

/** Clients send `auto` and `none` without any tool too, where they mean nothing. */
export const toToolChoice = (
  choice: typeof WireToolChoice.Type | null | undefined,
  tools: ReadonlyArray<Tool> | undefined
): ChatRequest["toolChoice"] => {
  if (choice == null || (tools === undefined && (choice === "auto" || choice === "none"))) return undefined
  return typeof choice === "string" ? choice : { name: choice.function.name }
}
