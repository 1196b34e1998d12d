/**
 * How completions are written for OpenAI's clients: as chunks, and as a whole. The head of a record is made once for each response, and the
 * text is put into it.
 */
import type { Completion } from "../../Completion.ts"
import type { FinishReason, StreamingChunk, ToolCall, ToolCallDelta, Usage } from "../../StreamingChunk.ts"
import type { JsonObject } from "../../values/json.ts"
import { argumentsOf } from "../blocks.ts"
import type { CompletionWriter, WriterContext } from "../served.ts"
import * as Content from "../content.ts"
import { toEvent } from "./servedFailures.ts"

/** In what the two routes differ. */
export interface Form {
  /** Of the ids of responses. */
  readonly prefix: string
  /** The value of `object` in a chunk, and in a response as a whole. */
  readonly objects: readonly [chunk: string, whole: string]
  /** What stands before and after the fields of a choice, in a chunk. */
  readonly around: readonly [before: string, after: string]
  /** The field of an empty text. */
  readonly empty: string
  /** The finish reason of a completion with tool calls. */
  readonly callsWord: string
  /** The fields of the chunks of a new response, and those of its end. */
  readonly makeFields: () => { readonly read: (chunk: StreamingChunk) => string; readonly end: () => string }
  /** The fields of the only choice of a whole response. */
  readonly toChoice: (completion: Completion) => JsonObject
}

/** Writes the events of one response. The usage is an event of its own. */
export const makeWriter = (form: Form, context: WriterContext, withUsage: boolean): CompletionWriter => {
  const { around, empty, makeFields, objects } = form
  const head = `data: ${JSON.stringify(toHead(form, objects[0], context)).slice(0, -1)},"choices":[`
  const before = `${head}{"index":0,${around[0]}`
  const after = (finishReason: string): string => `${around[1]},"logprobs":null,"finish_reason":${finishReason}}]}\n\n`
  const afterText = after("null")
  const fields = makeFields()
  let isBegun = false

  const end = (finishReason: FinishReason, usage: Usage | undefined): string => {
    const finish = `${before}${fields.end()}${after(`"${toWord(form, finishReason)}"`)}`
    const report = withUsage && usage !== undefined ? `${head}],"usage":${JSON.stringify(toUsage(usage))}}\n\n` : ""
    return `${finish}${report}data: [DONE]\n\n`
  }
  return {
    chunk: (chunk) => {
      // Nothing begins a response before there is something of it: until then, a failure has a status.
      const text = fields.read(chunk) || (isBegun && isEmpty(chunk) ? empty : "")
      if (text !== "") isBegun = true
      const record = text === "" ? "" : before + text + afterText
      return chunk.isFinal ? record + end(chunk.finishReason, chunk.usage) : record
    },
    failure: toEvent
  }
}

/** The response as a whole. */
export const encode = (form: Form, completion: Completion, context: WriterContext): JsonObject => {
  const { finishReason, usage } = completion
  const choice = { index: 0, ...form.toChoice(completion), logprobs: null, finish_reason: toWord(form, finishReason) }
  return { ...toHead(form, form.objects[1], context), choices: [choice], usage: toUsage(usage ?? {}) }
}

const toHead = ({ prefix }: Form, object: string, { createdAt, id, model }: WriterContext): JsonObject => ({
  id: prefix + id,
  object,
  created: Math.floor(createdAt / 1000),
  model,
  // As LM Studio has it.
  system_fingerprint: model
})

/** Whether a server sent a record with nothing in it, which shows that it is at work. */
const isEmpty = ({ content, isFinal, thinking, toolCallDeltas, toolCalls }: StreamingChunk): boolean =>
  content === "" && !isFinal && thinking === undefined && toolCallDeltas === undefined && toolCalls === undefined

/** OpenAI does not have the word `other`. Clients pass it on. */
const toWord = ({ callsWord }: Form, finishReason: FinishReason): string =>
  finishReason === "tool-calls" ? callsWord : finishReason.replaceAll("-", "_")

/** Some clients do not read a response without all three numbers. Zero is what servers send that do not count. */
const toUsage = ({
  cachedTokens,
  completionTokens,
  promptTokens,
  reasoningTokens,
  totalTokens
}: Usage): JsonObject => ({
  prompt_tokens: promptTokens ?? 0,
  completion_tokens: completionTokens ?? 0,
  total_tokens: totalTokens ?? (promptTokens ?? 0) + (completionTokens ?? 0),
  ...(cachedTokens === undefined ? {} : { prompt_tokens_details: { cached_tokens: cachedTokens } }),
  ...(reasoningTokens === undefined ? {} : { completion_tokens_details: { reasoning_tokens: reasoningTokens } })
})

/** Plain completions. They have neither thinking nor tool calls. */
export const completion: Form = {
  prefix: "cmpl-",
  objects: ["text_completion", "text_completion"],
  around: ["", ""],
  empty: `"text":""`,
  callsWord: "stop",
  makeFields: () => ({
    read: ({ content }) => (content === "" ? "" : `"text":${JSON.stringify(content)}`),
    end: () => `"text":""`
  }),
  toChoice: ({ content }) => ({ text: content })
}

/** Chats. */
export const chat: Form = {
  prefix: "chatcmpl-",
  objects: ["chat.completion.chunk", "chat.completion"],
  around: [`"delta":{`, "}"],
  empty: `"content":""`,
  callsWord: "tool_calls",
  makeFields: () => {
    const calls = makeCalls()
    // The first delta names the role.
    let role = `"role":"assistant"`
    const takeRole = (): string => {
      const taken = role
      role = ""
      return taken
    }
    return {
      read: ({ content, thinking, toolCallDeltas, toolCalls }) => {
        let fields = ""
        if (thinking) fields += `,"reasoning_content":${JSON.stringify(thinking)}`
        if (content !== "") fields += `,"content":${JSON.stringify(content)}`
        if (toolCallDeltas !== undefined || toolCalls !== undefined) {
          const deltas = calls.read(toolCallDeltas ?? [], toolCalls ?? [])
          if (deltas.length > 0) fields += `,"tool_calls":${JSON.stringify(deltas)}`
        }
        if (fields === "") return ""
        return role === "" ? fields.slice(1) : takeRole() + fields
      },
      end: takeRole
    }
  },
  toChoice: ({ content, thinking, toolCalls }) => {
    const tool_calls = toolCalls.map((call) => ({
      id: call.id,
      type: "function",
      function: { name: call.name, arguments: argumentsOf(call) }
    }))
    const message = {
      role: "assistant",
      content: content === "" && toolCalls.length > 0 ? null : content,
      ...(thinking === undefined ? {} : { reasoning_content: thinking }),
      ...(tool_calls.length === 0 ? {} : { tool_calls })
    }
    return { message }
  }
}

/** What the fragments of a call have so far. */
interface Call {
  id: string
  name: string
  /** The arguments that are not written. */
  arguments: string
  isBegun: boolean
}

/**
 * The calls of one response. Servers send fragments, whole calls, or first the one and then the other. Each call gets an id of its own with
 * its first fragment, since clients know it by that. Calls begin in their order.
 */
const makeCalls = () => {
  const fragmented = new Map<number, Call>()
  const ids = new Set<string>()
  let begun = 0
  let wholes = 0

  const begin = (index: number, id: string, name: string, text: string): JsonObject => {
    const own = id === "" || ids.has(id) ? Content.makeCallId(index, ids) : id
    ids.add(own)
    begun++
    return { index, id: own, type: "function", function: { name, arguments: text } }
  }
  const readDelta = ({ argumentsDelta, id = "", index, name = "" }: ToolCallDelta): ReadonlyArray<JsonObject> => {
    const call = fragmented.get(index) ?? { id: "", name: "", arguments: "", isBegun: false }
    fragmented.set(index, call)
    call.id ||= id
    // Some servers repeat what they sent of a name. Clients put its parts together.
    const rest = name.startsWith(call.name) ? name.slice(call.name.length) : name
    call.name += rest
    if (!call.isBegun) {
      call.arguments += argumentsDelta
      // One that does not begin here follows as a whole.
      if (call.name === "" || index !== begun) return []
      call.isBegun = true
      return [begin(index, call.id, call.name, call.arguments)]
    }
    if (rest === "" && argumentsDelta === "") return []
    return [{ index, function: { ...(rest === "" ? {} : { name: rest }), arguments: argumentsDelta } }]
  }
  const readWhole = (call: ToolCall): ReadonlyArray<JsonObject> => {
    const index = wholes++
    return index < begun ? [] : [begin(index, call.id, call.name, argumentsOf(call))]
  }
  return {
    read: (deltas: ReadonlyArray<ToolCallDelta>, calls: ReadonlyArray<ToolCall>): ReadonlyArray<JsonObject> => [
      ...deltas.flatMap(readDelta),
      ...calls.flatMap(readWhole)
    ]
  }
}
