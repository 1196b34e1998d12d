/** The messages and tools of a request that a client of Ollama sent: the other direction of those in `endpoints.ts`. */
import * as Schema from "effect/Schema"
import type { Message, Tool } from "../../CompletionRequest.ts"
import type { ToolCall } from "../../StreamingChunk.ts"
import { JsonObject } from "../receivedBody.ts"
import * as Content from "../content.ts"
import { nullish } from "../wireSchema.ts"

/** Base64 texts. */
export const images = nullish(Schema.Array(Schema.String))

/** `role` in any case, as Ollama reads it. */
const role = Schema.declare((u): u is string => typeof u === "string" && roleOf(u) !== undefined, {
  expected: '"system" | "user" | "assistant" | "tool"'
})

const roles = ["system", "user", "assistant", "tool"] as const

const roleOf = (text: string): Message["role"] | undefined => roles.find((role) => role === text.toLowerCase())

const WireToolCall = Schema.Struct({
  id: nullish(Schema.String),
  function: Schema.Struct({ name: Schema.String, arguments: nullish(JsonObject) })
})

interface WireToolCall extends Schema.Schema.Type<typeof WireToolCall> {}

export const WireMessage = Schema.Struct({
  role,
  content: nullish(Schema.String),
  thinking: nullish(Schema.String),
  images,
  tool_calls: nullish(Schema.Array(WireToolCall)),
  tool_call_id: nullish(Schema.String),
  tool_name: nullish(Schema.String),
  // Before Ollama 0.9.6.
  name: nullish(Schema.String)
})

interface WireMessage extends Schema.Schema.Type<typeof WireMessage> {}

export const WireTool = Schema.Struct({
  function: Schema.Struct({ name: Schema.String, description: nullish(Schema.String), parameters: nullish(JsonObject) })
})

/** `undefined` for none. */
export const toTools = (tools: ReadonlyArray<typeof WireTool.Type>): ReadonlyArray<Tool> | undefined =>
  tools.length === 0
    ? undefined
    : tools.map(({ function: { description, name, parameters } }) => ({
        name,
        description: description ?? undefined,
        parameters: parameters ?? undefined
      }))

/**
 * Ollama knows neither that calls have ids nor that a result has to name its call, and older clients send neither. So a call without an id
 * gets one, and a result that names no call is that of the next call of the latest message with calls.
 */
export const toMessages = (messages: ReadonlyArray<WireMessage>): ReadonlyArray<Message> => {
  const calls = makeCalls()
  return messages.map((message): Message => {
    const { content, images, thinking } = message
    const role = roleOf(message.role) ?? "user"
    const toolCalls = calls.add(message.tool_calls ?? [])
    return {
      role,
      content: content ?? "",
      images: images == null || images.length === 0 ? undefined : images,
      thinking: thinking ?? undefined,
      toolCalls: toolCalls.length === 0 ? undefined : toolCalls,
      ...(role === "tool" && calls.find(message))
    }
  })
}

/** The calls of a conversation so far, and which of them have a result. */
const makeCalls = () => {
  const byId = new Map<string, ToolCall>()
  const finished = new Set<ToolCall | undefined>()
  /** Those of the latest message, the first call last: all of them, and by the name of the tool. */
  let latest = new Map<string | undefined, Array<ToolCall>>()
  let count = 0

  const next = (name: string | undefined): ToolCall | undefined => {
    const calls = latest.get(name) ?? []
    while (calls.length > 0 && finished.has(calls.at(-1))) calls.pop()
    return calls.at(-1)
  }
  const toCall = ({ function: { arguments: value, name }, id }: WireToolCall): ToolCall => {
    const call = { id: id || Content.makeCallId(count, byId), name, arguments: value ?? {} }
    count++
    byId.set(call.id, call)
    return call
  }

  return {
    add: (wireCalls: ReadonlyArray<WireToolCall>): ReadonlyArray<ToolCall> => {
      if (wireCalls.length === 0) return []
      const calls = wireCalls.map(toCall)
      latest = new Map([[undefined, calls.toReversed()]])
      for (const { name } of calls) latest.set(name, [])
      for (const call of calls.toReversed()) latest.get(call.name)?.push(call)
      return calls
    },
    /** The call that a result belongs to. Without one, the result keeps its own id and name, which the check of the request rejects. */
    find: ({ name, tool_call_id, tool_name }: WireMessage): Pick<Message, "toolCallId" | "toolName"> => {
      const toolName = tool_name || name || undefined
      const call = byId.get(tool_call_id ?? "") ?? next(toolName)
      finished.add(call)
      return { toolCallId: call?.id ?? (tool_call_id || undefined), toolName }
    }
  }
}
