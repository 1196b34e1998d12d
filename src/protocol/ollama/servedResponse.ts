/**
 * Completions and failures as Ollama sends them: the other direction of `response.ts`. Fields are in the order of version 0.33, which is
 * that of Ollama's `api/types.go`.
 */
import * as Duration from "effect/Duration"
import type { Completion } from "../../Completion.ts"
import type { ProviderErrorReason } from "../../ProviderError.ts"
import type { FinalChunk, FinishReason, StreamingChunk, ToolCall } from "../../StreamingChunk.ts"
import type { JsonObject } from "../../values/json.ts"
import * as PublicMessage from "../publicMessage.ts"
import * as Served from "../served.ts"

/** Where a route has the parts of a completion. */
export interface Form {
  /** What comes before the text in a record, and after the last part. */
  readonly open: string
  readonly close: string
  readonly whole: (text: string, others: JsonObject) => JsonObject
}

/** `/api/chat`. */
export const message: Form = {
  open: '"message":{"role":"assistant","content":',
  close: "}",
  whole: (content, others) => ({ message: { role: "assistant", content, ...others } })
}

/** `/api/generate`. */
export const response: Form = {
  open: '"response":',
  close: "",
  whole: (response, others) => ({ response, ...others })
}

/** What a record adds to a completion. */
export type Parts = Pick<StreamingChunk, "content" | "thinking" | "toolCalls">
type End = Pick<FinalChunk, "finishReason" | "timings" | "usage">

/** The records of one response. All have the time of the response, so that a record is a fixed head and its text. */
export interface Records {
  /** `index` is that of the first tool call. */
  readonly content: (parts: Parts, index: number) => string
  readonly end: (end: End) => string
}

export const makeRecords = ({ close, open }: Form, { createdAt, model }: Omit<Served.WriterContext, "id">): Records => {
  const head = `{"model":${JSON.stringify(model)},"created_at":"${toTime(createdAt)}",${open}`
  const more = `${close},"done":false}\n`
  return {
    content: ({ content, thinking, toolCalls }, index) => {
      let parts = JSON.stringify(content)
      if (thinking !== undefined) parts += `,"thinking":${JSON.stringify(thinking)}`
      if (toolCalls !== undefined) parts += `,"tool_calls":${JSON.stringify(toCalls(toolCalls, index))}`
      return head + parts + more
    },
    end: (end) => `${head}""${close},${JSON.stringify(toEnd(end)).slice(1)}\n`
  }
}

/** The text of the last chunk gets a record of its own, because readers may take that of the last record for a repetition. */
export const makeWriter = (form: Form, context: Served.WriterContext): Served.CompletionWriter => {
  const records = makeRecords(form, context)
  let calls = 0
  return {
    chunk: (chunk) => {
      const { content, thinking, toolCalls = [] } = chunk
      const isEmpty = content === "" && (thinking === undefined || thinking === "") && toolCalls.length === 0
      const parts = isEmpty ? "" : records.content(chunk, calls)
      calls += toolCalls.length
      return chunk.isFinal ? parts + records.end(chunk) : parts
    },
    failure: toLine
  }
}

/** The record of a failure after the beginning. Ollama's has no status, but with one readers know what can be done about the failure. */
export const toLine = (reason: ProviderErrorReason): string => {
  const status = Served.statusOf(reason)
  return error(PublicMessage.make(reason), status < 500 ? status : undefined)
}

/** A record with an error. */
export const error = (message: string, status?: number): string => `${JSON.stringify({ error: message, status })}\n`

/** A failure before the response begins. */
export const fail = (reason: ProviderErrorReason, message = PublicMessage.make(reason)): Served.FailureResponse => ({
  status: Served.statusOf(reason),
  body: refuse(message)
})

/** The body of a failure. */
export const refuse = (message: string): JsonObject => ({ error: message })

/** The response as a whole. */
export const encode = (form: Form, completion: Completion, context: Served.WriterContext): JsonObject => {
  const { content, thinking, toolCalls } = completion
  const calls = toolCalls.length === 0 ? {} : { tool_calls: toCalls(toolCalls, 0) }
  const others = { ...(thinking === undefined ? {} : { thinking }), ...calls }
  return { ...encodeHead(context), ...form.whole(content, others), ...toEnd(completion) }
}

/** The response to a request that generates nothing. */
export const encodeEmpty = (form: Form, doneReason: "load" | "unload", context: Served.WriterContext): JsonObject => ({
  ...encodeHead(context),
  ...form.whole("", {}),
  done: true,
  done_reason: doneReason
})

const encodeHead = ({ createdAt, model }: Served.WriterContext): JsonObject => ({
  model,
  created_at: toTime(createdAt)
})

const toTime = (millis: number): string => new Date(millis).toISOString()

/** Clients expect an object as the arguments. Any other value is sent as its JSON text, as some servers do. */
const toCalls = (calls: ReadonlyArray<ToolCall>, index: number): ReadonlyArray<JsonObject> =>
  calls.map(({ arguments: value, id, name }, i) => ({
    id,
    function: {
      index: index + i,
      name,
      arguments: typeof value === "object" && value !== null ? value : JSON.stringify(value ?? null)
    }
  }))

/** Counts that the server did not report are absent. */
const toEnd = ({ finishReason, timings, usage }: End): JsonObject => ({
  done: true,
  done_reason: doneReasons[finishReason],
  total_duration: toNanos(timings?.total),
  load_duration: toNanos(timings?.load),
  prompt_eval_count: usage?.promptTokens,
  prompt_eval_cached_count: usage?.cachedTokens,
  prompt_eval_duration: toNanos(timings?.prompt),
  eval_count: usage?.completionTokens,
  eval_duration: toNanos(timings?.completion)
})

/** Ollama has no reason of its own for tool calls, and none for a filter: that is OpenAI's. */
const doneReasons: { readonly [K in FinishReason]: string } = {
  stop: "stop",
  length: "length",
  "content-filter": "content_filter",
  "tool-calls": "stop",
  other: "other"
}

const toNanos = (duration: Duration.Duration | undefined): number | undefined =>
  duration === undefined ? undefined : Math.round(Duration.toMillis(duration) * 1e6)
