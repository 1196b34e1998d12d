/**
 * How completions are written for OpenAI's clients: as chunks, and as a whole. The head of a record is made once for each response, and the
 * text is put into it.
 */
import type { Completion } from "../../Completion.ts"
import type { FinishReason, StreamingChunk, ToolCall, ToolCallDelta, Usage } from "../../StreamingChunk.ts"
import type { JsonObject } from "../../values/json.ts"
import type { CompletionWriter, WriterContext } from "../served.ts"
import * as ToolCallRules from "../toolCall.ts"
import { toEvent } from "./servedFailures.ts"

/** In what the two routes differ. */
export interface Form {
  /** What stands before and after the fields of a choice. */
  readonly open: string
  readonly close: string
  /** The field of an empty text. */
  readonly empty: string
  readonly head: (context: WriterContext) => JsonObject
  /** The fields of a new response, one after another. */
  readonly makeFields: () => { readonly read: (chunk: StreamingChunk) => string; readonly end: () => string }
  readonly encode: (completion: Completion, context: WriterContext) => JsonObject
}

const doneEvent = "data: [DONE]\n\n"

/** Writes the events of one response. The usage is a chunk of its own. */
export const makeWriter = (form: Form, context: WriterContext, withUsage: boolean): CompletionWriter => {
  const head = `data: ${JSON.stringify(form.head(context)).slice(0, -1)},"choices":[`
  const open = `${head}{"index":0,${form.open}`
  const close = `${form.close},"logprobs":null,"finish_reason":null}]}\n\n`
  const fields = form.makeFields()
  const end = (finishReason: FinishReason, usage: Usage | undefined): string => {
    const finish = `${open}${fields.end()}${form.close},"logprobs":null,"finish_reason":"${toWord(finishReason)}"}]}\n\n`
    const report = withUsage && usage !== undefined ? `${head}],"usage":${JSON.stringify(toUsage(usage))}}\n\n` : ""
    return `${finish}${report}${doneEvent}`
  }
  let isBegun = false
  return {
    chunk: (chunk) => {
      // Nothing begins a response before there is something of it: until then, a failure has a status.
      const text = fields.read(chunk) || (isBegun && isEmpty(chunk) ? form.empty : "")
      if (text !== "") isBegun = true
      const record = text === "" ? "" : open + text + close
      return chunk.isFinal ? record + end(chunk.finishReason, chunk.usage) : record
    },
    failure: toEvent
  }
}

/** Whether a server sent a record with nothing in it, which tells that it works. */
const isEmpty = ({ content, isFinal, thinking, toolCallDeltas, toolCalls }: StreamingChunk): boolean =>
  content === "" && !isFinal && thinking === undefined && toolCallDeltas === undefined && toolCalls === undefined

/** `other` is a word that clients pass on. */
const toWord = (finishReason: FinishReason): string => finishReason.replaceAll("-", "_")

const toUsage = ({
  cachedTokens,
  completionTokens,
  promptTokens,
  reasoningTokens,
  totalTokens
}: Usage): JsonObject => ({
  prompt_tokens: promptTokens,
  completion_tokens: completionTokens,
  total_tokens: totalTokens ?? (promptTokens ?? 0) + (completionTokens ?? 0),
  ...(cachedTokens === undefined ? {} : { prompt_tokens_details: { cached_tokens: cachedTokens } }),
  ...(reasoningTokens === undefined ? {} : { completion_tokens_details: { reasoning_tokens: reasoningTokens } })
})

const makeHead =
  (prefix: string, object: string) =>
  ({ createdAt, id, model }: WriterContext): JsonObject => ({
    id: prefix + id,
    object,
    created: Math.floor(createdAt / 1000),
    model,
    // Some clients require one.
    system_fingerprint: model
  })

/** The response as a whole: the head, the only choice and the usage. */
const toWhole = (head: JsonObject, choice: JsonObject, { finishReason, usage }: Completion): JsonObject => ({
  ...head,
  choices: [{ index: 0, ...choice, logprobs: null, finish_reason: toWord(finishReason) }],
  ...(usage === undefined ? {} : { usage: toUsage(usage) })
})

const completionHead = makeHead("cmpl-", "text_completion")

/** Plain completions. They have neither thinking nor tool calls. */
export const completion: Form = {
  open: "",
  close: "",
  empty: `"text":""`,
  head: completionHead,
  makeFields: () => ({
    read: ({ content }) => (content === "" ? "" : `"text":${JSON.stringify(content)}`),
    end: () => `"text":""`
  }),
  encode: (completion, context) => toWhole(completionHead(context), { text: completion.content }, completion)
}

const wholeHead = makeHead("chatcmpl-", "chat.completion")

/** Chats. */
export const chat: Form = {
  open: `"delta":{`,
  close: "}",
  empty: `"content":""`,
  head: makeHead("chatcmpl-", "chat.completion.chunk"),
  makeFields: () => {
    const calls = makeCalls()
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
  encode: (completion, context) => {
    const { content, thinking, toolCalls } = completion
    const tool_calls = toolCalls.map(({ arguments: value, id, name }) => ({
      id,
      type: "function",
      function: { name, arguments: toArguments(value) }
    }))
    const message = {
      role: "assistant",
      content: content === "" && toolCalls.length > 0 ? null : content,
      ...(thinking === undefined ? {} : { reasoning_content: thinking }),
      ...(tool_calls.length === 0 ? {} : { tool_calls })
    }
    return toWhole(wholeHead(context), { message }, completion)
  }
}

const toArguments = (value: unknown): string => JSON.stringify(value ?? {})

/** A call whose fragments are written. */
interface Call {
  /** What clients have of the name. */
  name: string
  /** What came before the name, with which clients begin a call. */
  id: string
  arguments: string
}

/**
 * The calls of one response. Servers send fragments, whole calls, or first the one and then the other. Each call gets an id of its own with
 * its first fragment, since clients know it by that.
 */
const makeCalls = () => {
  const begun = new Map<number, Call>()
  const ids = new Set<string>()
  let wholes = 0

  const takeId = (id: string, index: number): string => {
    const own = id === "" || ids.has(id) ? ToolCallRules.makeId(index, ids) : id
    ids.add(own)
    return own
  }
  const begin = (index: number, id: string, name: string, text: string): JsonObject => ({
    index,
    id: takeId(id, index),
    type: "function",
    function: { name, arguments: text }
  })
  const readDelta = ({ argumentsDelta, id = "", index, name = "" }: ToolCallDelta): ReadonlyArray<JsonObject> => {
    const call = begun.get(index) ?? { name: "", id: "", arguments: "" }
    begun.set(index, call)
    if (call.name === "") {
      call.id ||= id
      call.arguments += argumentsDelta
      if (name === "") return []
      call.name = name
      return [begin(index, call.id, name, call.arguments)]
    }
    // Some servers repeat what they sent of a name. Clients put its parts together.
    const rest = name.startsWith(call.name) ? name.slice(call.name.length) : name
    call.name += rest
    if (rest === "" && argumentsDelta === "") return []
    return [{ index, function: { ...(rest === "" ? {} : { name: rest }), arguments: argumentsDelta } }]
  }
  const readWhole = ({ arguments: value, id, name }: ToolCall): ReadonlyArray<JsonObject> => {
    const index = wholes++
    return begun.has(index) ? [] : [begin(index, id, name, toArguments(value))]
  }
  return {
    read: (deltas: ReadonlyArray<ToolCallDelta>, calls: ReadonlyArray<ToolCall>): ReadonlyArray<JsonObject> => [
      ...deltas.flatMap(readDelta),
      ...calls.flatMap(readWhole)
    ]
  }
}
