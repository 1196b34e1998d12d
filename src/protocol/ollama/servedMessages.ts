/** The messages and tools of a request that a client of Ollama sent: the other direction of those in `endpoints.ts`. */
import * as Schema from "effect/Schema"
import type { Message, Tool } from "../../CompletionRequest.ts"
import type { ToolCall } from "../../StreamingChunk.ts"
import * as Json from "../../values/json.ts"
import * as ToolCalls from "../toolCall.ts"
import { nullish } from "../wireSchema.ts"

/** An object of JSON. Clients send null for none. */
export const object = nullish(Schema.declare(Json.isObject, { expected: "object" }))

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
  function: Schema.Struct({ name: Schema.String, arguments: object })
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
  function: Schema.Struct({ name: Schema.String, description: nullish(Schema.String), parameters: object })
})

export const toTools = (tools: ReadonlyArray<typeof WireTool.Type>): ReadonlyArray<Tool> =>
  tools.map(({ function: { description, name, parameters } }) => ({
    name,
    ...(description == null ? {} : { description }),
    ...(parameters == null ? {} : { parameters })
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
      ...(images == null || images.length === 0 ? {} : { images }),
      ...(thinking == null ? {} : { thinking }),
      ...(toolCalls.length === 0 ? {} : { toolCalls }),
      ...(role === "tool" ? calls.find(message) : {})
    }
  })
}

/** Calls in their order, from which those with a result are skipped. */
interface Queue {
  readonly calls: Array<ToolCall>
  next: number
}

/** The calls of a conversation so far, and those of the latest message with calls that have no result. */
const makeCalls = () => {
  const byId = new Map<string, ToolCall>()
  const finished = new Set<ToolCall>()
  /** Those of the latest message: all of them, and those of each tool. */
  let latest: Queue = { calls: [], next: 0 }
  let byName = new Map<string, Queue>()
  let count = 0

  const peek = (queue: Queue | undefined): ToolCall | undefined => {
    if (queue === undefined) return undefined
    for (;;) {
      const call = queue.calls[queue.next]
      if (call === undefined || !finished.has(call)) return call
      queue.next++
    }
  }

  const toCall = ({ function: { arguments: value, name }, id }: WireToolCall): ToolCall => {
    const call = { id: id || ToolCalls.makeId(count, byId), name, arguments: value ?? {} }
    count++
    byId.set(call.id, call)
    const queue = byName.get(name)
    if (queue === undefined) byName.set(name, { calls: [call], next: 0 })
    else queue.calls.push(call)
    return call
  }

  return {
    add: (calls: ReadonlyArray<WireToolCall>): ReadonlyArray<ToolCall> => {
      if (calls.length === 0) return []
      byName = new Map()
      latest = { calls: calls.map(toCall), next: 0 }
      return latest.calls
    },
    /** Which call a result belongs to. Without one, it keeps what it says of itself, for the check of the request. */
    find: ({ name, tool_call_id, tool_name }: WireMessage): Pick<Message, "toolCallId" | "toolName"> => {
      const toolName = tool_name || name || undefined
      const call = byId.get(tool_call_id ?? "") ?? peek(toolName === undefined ? latest : byName.get(toolName))
      if (call !== undefined) finished.add(call)
      const toolCallId = call?.id ?? (tool_call_id || undefined)
      return {
        ...(toolCallId === undefined ? {} : { toolCallId }),
        ...(toolName === undefined ? {} : { toolName })
      }
    }
  }
}
