/**
 * Ollama's answers: one JSON object a line (NDJSON), deltas until the one with `done: true`.
 * Facts: Ollama's `api/types.go` and `server/routes.go`, versions 0.1.35 to 0.33.
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import type { FinishReason, StreamingChunk, Timings, ToolCall, Usage } from "../../StreamingChunk.ts"
import * as ErrorReport from "../errorReport.ts"
import type { DecoderContext, Progress, Record, RecordDecoder, Writable } from "../wire/endpoint.ts"
import * as Json from "../wire/json.ts"

const WireToolCall = Schema.Struct({
  id: Json.nullish(Schema.String),
  function: Schema.Struct({ name: Schema.String, arguments: Json.nullish(Schema.Unknown) })
})

const said = {
  thinking: Json.nullish(Schema.String),
  tool_calls: Json.nullish(Schema.Array(WireToolCall))
}

/** A line of either route: chat puts what is said into `message`, generate at the top, with `response` for the text. */
const Line = Schema.Struct({
  message: Json.nullish(Schema.Struct({ content: Json.nullish(Schema.String), ...said })),
  response: Json.nullish(Schema.String),
  ...said,
  done: Json.nullish(Schema.Boolean),
  error: Json.nullish(Schema.Unknown),
  // The rest is on the last line: durations in nanoseconds, counts absent when zero.
  model: Json.nullish(Schema.String),
  done_reason: Json.nullish(Schema.String),
  total_duration: Json.nullish(Schema.Number),
  load_duration: Json.nullish(Schema.Number),
  prompt_eval_count: Json.nullish(Schema.Number),
  prompt_eval_duration: Json.nullish(Schema.Number),
  eval_count: Json.nullish(Schema.Number),
  eval_duration: Json.nullish(Schema.Number)
})

interface Line extends Schema.Schema.Type<typeof Line> {}

const lineSchema = Json.lineSchema(Line)

export const makeDecoder = ({ endpoint, model: askedModel }: DecoderContext): RecordDecoder<StreamingChunk> => {
  let calls = 0

  const toToolCall = (call: typeof WireToolCall.Type): ToolCall => {
    const id = call.id || `call_${calls}`
    calls++
    return { id, name: call.function.name, arguments: call.function.arguments ?? {} }
  }

  const record = ({ data: text }: Record, chunks: Array<StreamingChunk>): Progress => {
    const value = Json.parse(text)
    if (!lineSchema.is(value)) return lineSchema.parseError(text)
    if (value.error != null) {
      return ErrorReport.toReason({ report: ErrorReport.readBody(text), endpoint, model: askedModel })
    }
    const { done, message, response } = value
    if (message == null && response == null && done == null && value.done_reason == null) {
      return Json.parseError(text, "neither a piece of an answer nor an error")
    }
    const { thinking, tool_calls: toolCalls } = message ?? value
    // `done_reason` alone was seen on servers that imitate Ollama.
    const isFinal = done ?? typeof value.done_reason === "string"
    const chunk: Writable<StreamingChunk> = { content: message?.content ?? response ?? "", isFinal }
    if (thinking) chunk.thinking = thinking
    if (toolCalls != null && toolCalls.length > 0) chunk.toolCalls = toolCalls.map(toToolCall)
    if (isFinal) {
      chunk.model = value.model || askedModel
      chunk.finishReason = calls > 0 ? "tool-calls" : toFinishReason(value.done_reason)
      const usage = toUsage(value)
      if (usage !== undefined) chunk.usage = usage
      const timings = toTimings(value)
      if (timings !== undefined) chunk.timings = timings
    }
    chunks.push(chunk)
    return isFinal ? "complete" : "open"
  }

  return { record }
}

/** Servers before 0.1.35 gave no reason; `load` and `unload` are not about an answer. */
const toFinishReason = (reason: string | null | undefined): FinishReason =>
  reason === "stop" || reason === "length" ? reason : "other"

const toUsage = (line: Line): Usage | undefined => {
  const promptTokens = line.prompt_eval_count ?? undefined
  const completionTokens = line.eval_count ?? undefined
  if (promptTokens === undefined && completionTokens === undefined) return undefined
  return {
    promptTokens,
    completionTokens,
    totalTokens:
      promptTokens === undefined || completionTokens === undefined ? undefined : promptTokens + completionTokens
  }
}

const toTimings = (line: Line): Timings | undefined =>
  line.total_duration == null
    ? undefined
    : {
        total: nanoseconds(line.total_duration),
        load: nanoseconds(line.load_duration),
        prompt: nanoseconds(line.prompt_eval_duration),
        completion: nanoseconds(line.eval_duration)
      }

const nanoseconds = (n: number | null | undefined): Duration.Duration | undefined =>
  n == null || !Number.isFinite(n) ? undefined : Duration.nanos(BigInt(Math.max(0, Math.round(n))))
