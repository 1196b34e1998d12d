/**
 * Ollama's answers: one JSON object per line (NDJSON). Each is a part of the answer, the one with `done: true` is the last.
 * Sources: Ollama's `api/types.go` and `server/routes.go`, versions 0.1.35 to 0.33.
 */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ParseError, ProviderErrorReason } from "../../ProviderError.ts"
import { LineTooLong } from "../../ProviderError.ts"
import type { ContentChunk, FinalChunk, StreamingChunk, Timings, ToolCall, Usage } from "../../StreamingChunk.ts"
import * as ErrorReport from "../errorReport.ts"
import type { DecoderContext, Progress, RecordDecoder, Writable } from "../wire/endpoint.ts"
import * as FinishReason from "../wire/finishReason.ts"
import * as Json from "../wire/json.ts"
import * as ToolCallId from "../wire/toolCallId.ts"
import { utf8Length } from "../wire/utf8.ts"

const WireToolCall = Schema.Struct({
  id: Json.nullish(Schema.String),
  function: Schema.Struct({ name: Schema.String, arguments: Json.nullish(Schema.Unknown) })
})

const fields = {
  thinking: Json.nullish(Schema.String),
  tool_calls: Json.nullish(Schema.Array(WireToolCall))
}

const Message = Schema.Struct({
  content: Json.nullish(Schema.String),
  ...fields,
  // Parts of an answer that no chunk can carry.
  images: Json.nullish(Schema.Unknown),
  refusal: Json.nullish(Schema.Unknown)
})

/** A line of either route: chat puts the answer into `message`, generate puts it at the top, with `response` for the text. */
const Line = Schema.Struct({
  message: Json.nullish(Message),
  response: Json.nullish(Schema.String),
  ...fields,
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

export const makeDecoder = (context: DecoderContext): RecordDecoder<StreamingChunk> => {
  const calls = makeToolCalls()
  let hasAnswer = false
  /** A record with content in a field that is not read. It matters if there is no other answer. */
  let unread: string | undefined
  /** A record with a part of the answer that no chunk can carry. */
  let lost: string | undefined

  const fail = (text: string): Progress => ErrorReport.toReason({ ...context, report: ErrorReport.readBody(text) })

  const read = (text: string, chunks: Array<StreamingChunk>): Progress => {
    const record = Json.parse(text)
    if (!lineSchema.is(record)) return ErrorReport.isError(record) ? fail(text) : lineSchema.parseError(text)
    if (record.error != null) return fail(text)
    const { done, message, response } = record
    if (message == null && response == null && done == null && record.done_reason == null) {
      return ErrorReport.isError(record)
        ? fail(text)
        : Json.parseError(text, "neither a part of an answer nor an error")
    }
    const content = message?.content || response || ""
    const thinking = message?.thinking || record.thinking
    const wireCalls = message?.tool_calls?.length ? message.tool_calls : record.tool_calls
    const toolCalls = wireCalls == null || wireCalls.length === 0 ? noCalls : calls.read(wireCalls)
    if (calls.bytes() > context.maxLineBytes) return new LineTooLong({ limit: context.maxLineBytes })
    if (content !== "" || toolCalls.length > 0) hasAnswer = true
    else if (!hasAnswer && !thinking && hasUnreadContent(record)) unread ??= text.slice(0, 200)
    if (message != null && (Json.isContent(message.images) || Json.isContent(message.refusal))) {
      lost ??= text.slice(0, 200)
    }
    const chunk: Writable<ContentChunk> = { content, isFinal: false }
    if (thinking) chunk.thinking = thinking
    if (toolCalls.length > 0) chunk.toolCalls = toolCalls
    // Servers that imitate Ollama send `done_reason` without `done`.
    const isFinal = done ?? typeof record.done_reason === "string"
    const final = isFinal ? finish(record) : undefined
    if (final === undefined) {
      chunks.push(chunk)
      return "open"
    }
    if (Result.isSuccess(final)) {
      chunks.push({ ...chunk, isFinal: true, ...final.success })
      return "complete"
    }
    if (!isEmpty(chunk)) chunks.push(chunk)
    return final.failure
  }

  /** What a final chunk has besides its part of the answer, or the reason why the answer is not a success. */
  const finish = (record: Line): Result.Result<FinalFields, ProviderErrorReason> => {
    const finishReason = FinishReason.read(record.done_reason, calls.count())
    if (typeof finishReason !== "string") return Result.fail(finishReason)
    const failure = calls.failure()
    if (failure !== undefined && finishReason !== "length") return Result.fail(failure)
    if (lost !== undefined) {
      return Result.fail(Json.parseError(lost, "a part of the answer is an image or a refusal"))
    }
    if (!hasAnswer && unread !== undefined) {
      return Result.fail(Json.parseError(unread, "an answer only in fields that are not read"))
    }
    const usage = toUsage(record)
    const timings = toTimings(record)
    return Result.succeed({
      model: record.model || context.model,
      finishReason,
      ...(usage === undefined ? {} : { usage }),
      ...(timings === undefined ? {} : { timings })
    })
  }

  return { record: ({ data }, chunks) => read(data, chunks) }
}

type FinalFields = Pick<FinalChunk, "model" | "finishReason" | "usage" | "timings">

const noCalls: ReadonlyArray<ToolCall> = []

const isEmpty = (chunk: ContentChunk): boolean =>
  chunk.content === "" && chunk.thinking === undefined && chunk.toolCalls === undefined

/** An entry of a set takes memory too. */
const bytesPerId = 64

/** Ollama sends whole calls. Ids can be missing, and some servers reuse them. */
const makeToolCalls = () => {
  const ids = new Set<string>()
  let count = 0
  let bytes = 0
  let failure: ParseError | undefined

  return {
    read: (calls: ReadonlyArray<typeof WireToolCall.Type>): ReadonlyArray<ToolCall> => {
      const complete: Array<ToolCall> = []
      for (const { function: fn, id } of calls) {
        const value = toArguments(fn.arguments)
        const problem = findProblem(fn.name, value)
        if (problem !== undefined) {
          // If the answer was cut, such a call is expected. Only the last record says so.
          const text = typeof fn.arguments === "string" ? fn.arguments : ""
          failure ??= Json.parseError(text, problem.replace("X", `${count}`))
          continue
        }
        const unique = id && !ids.has(id) ? id : ToolCallId.make(count, ids)
        ids.add(unique)
        // Consumers run tools when the answer is complete, so they keep the arguments until then.
        bytes += bytesPerId + utf8Length(unique) + utf8Length(Json.stringify(value) ?? "")
        complete.push({ id: unique, name: fn.name, arguments: value })
        count++
      }
      return complete
    },
    count: () => count,
    /** Bytes kept so far, here and by the consumer. */
    bytes: () => bytes,
    failure: () => failure
  }
}

const findProblem = (name: string, value: unknown): string | undefined => {
  if (value === undefined) return "the arguments of tool call X are not JSON"
  if (name === "") return "tool call X has no name"
  const fault = Json.findFault(value)
  return fault === undefined ? undefined : `the arguments of tool call X are ${fault}`
}

/** Some servers send the arguments as JSON text. `undefined` if it is not JSON. */
const toArguments = (value: unknown): unknown => {
  if (typeof value !== "string") return value ?? {}
  return value.trim() === "" ? {} : Json.parse(value)
}

/** Whether a record may have a part of the answer in a field that is not read, such as `image`. */
const hasUnreadContent = (record: Line): boolean =>
  Json.hasOtherContent(record, lineFields) || Json.hasOtherContent(record.message, messageFields)

/** Fields that are read, and those that are not parts of an answer. */
const lineFields = new Set([
  ...Object.keys(Line.fields),
  "created_at",
  "context",
  "logprobs",
  "remote_model",
  "remote_host",
  "_debug_info"
])
const messageFields = new Set([...Object.keys(Message.fields), "role", "tool_name", "tool_call_id"])

const toUsage = (line: Line): Usage | undefined => {
  const promptTokens = Json.toCount(line.prompt_eval_count)
  const completionTokens = Json.toCount(line.eval_count)
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
