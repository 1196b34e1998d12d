/**
 * Ollama's answers: one JSON object per line (NDJSON). Each is a part of the answer, the one with `done: true` is the last.
 * Sources: Ollama's `api/types.go` and `server/routes.go`, versions 0.1.35 to 0.34.
 */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ParseError, ProviderErrorReason } from "../../ProviderError.ts"
import { LineTooLong } from "../../ProviderError.ts"
import type { ContentChunk, FinalChunk, StreamingChunk, Timings, ToolCall, Usage } from "../../StreamingChunk.ts"
import * as ErrorReport from "../errors.ts"
import type { DecoderContext, Progress, RecordDecoder, Sent, Writable } from "../endpoint.ts"
import * as Delivered from "../delivered.ts"
import * as FinishReason from "../finishReason.ts"
import * as Json from "../../values/json.ts"
import * as WireSchema from "../wireSchema.ts"
import * as ToolCallId from "../toolCallId.ts"
import { utf8Length } from "../../values/text.ts"

const WireToolCall = Schema.Struct({
  id: WireSchema.metadata,
  function: Schema.Struct({ index: WireSchema.metadata, name: Schema.String, arguments: WireSchema.metadata })
})

interface WireToolCall extends Schema.Schema.Type<typeof WireToolCall> {}

const fields = {
  thinking: WireSchema.part(Schema.String),
  // One call without a list: servers that imitate Ollama.
  tool_calls: WireSchema.part(Schema.Union([Schema.Array(WireToolCall), WireToolCall]))
}

const Message = Schema.Struct({
  content: WireSchema.part(Schema.String),
  ...fields,
  // Parts of an answer that no chunk can carry.
  images: WireSchema.metadata,
  refusal: WireSchema.metadata
})

/** A line of either route: chat puts the answer into `message`, generate puts it at the top, with `response` for the text. */
const Line = Schema.Struct({
  message: WireSchema.part(Message),
  response: WireSchema.part(Schema.String),
  ...fields,
  done: WireSchema.nullish(Schema.Boolean),
  done_reason: WireSchema.part(Schema.String),
  error: WireSchema.metadata,
  // The rest is on the last line: durations in nanoseconds, counts absent when zero.
  model: WireSchema.metadata,
  total_duration: WireSchema.metadata,
  load_duration: WireSchema.metadata,
  prompt_eval_count: WireSchema.metadata,
  prompt_eval_cached_count: WireSchema.metadata,
  prompt_eval_duration: WireSchema.metadata,
  eval_count: WireSchema.metadata,
  eval_duration: WireSchema.metadata
})

interface Line extends Schema.Schema.Type<typeof Line> {}

const lineSchema = WireSchema.lineSchema(Line)

/** Ollama sends no text with its last record. Servers that imitate it may, as a rule all of the answer. */
const longestPiece = 4

export const makeDecoder = (context: DecoderContext, sent?: Sent<unknown>): RecordDecoder<StreamingChunk> => {
  const hasTools = FinishReason.hasTools(sent?.body)
  const calls = makeToolCalls()
  const parts = { content: Delivered.makeText(longestPiece), thinking: Delivered.makeText(longestPiece) }
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
    const { done, response } = record
    const message = Json.isObject(record.message) ? record.message : undefined
    const word = FinishReason.toWord(record.done_reason)
    if (record.message == null && response == null && done == null && record.done_reason == null) {
      return ErrorReport.isError(record)
        ? fail(text)
        : WireSchema.parseError(text, "neither a part of an answer nor an error")
    }
    // Servers that imitate Ollama send `done_reason` without `done`.
    const isFinal = done ?? word !== undefined
    const content = parts.content.read(Json.toText(message?.content) ?? Json.toText(response) ?? "", isFinal)
    const thinking = parts.thinking.read(Json.toText(message?.thinking) ?? Json.toText(record.thinking) ?? "", isFinal)
    const wireCalls = toCalls(message?.tool_calls) ?? toCalls(record.tool_calls)
    const toolCalls = wireCalls === undefined ? noCalls : calls.read(wireCalls, isFinal)
    if (calls.bytes() > context.maxLineBytes) return new LineTooLong({ limit: context.maxLineBytes })
    if (content !== "" || toolCalls.length > 0) hasAnswer = true
    else if (!hasAnswer && thinking === "" && hasUnreadContent(record)) unread ??= WireSchema.beginning(text)
    if (message !== undefined && (Json.isContent(message.images) || Json.isContent(message.refusal))) {
      lost ??= WireSchema.beginning(text)
    }
    const chunk: Writable<ContentChunk> = { content, isFinal: false }
    if (thinking !== "") chunk.thinking = thinking
    if (toolCalls.length > 0) chunk.toolCalls = toolCalls
    const final = isFinal ? finish(record, word) : undefined
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
  const finish = (record: Line, word: string | undefined): Result.Result<FinalFields, ProviderErrorReason> => {
    const finishReason = FinishReason.read(word, { toolCalls: calls.count(), isOnlyText: hasAnswer && !hasTools })
    if (typeof finishReason !== "string") return Result.fail(finishReason)
    const failure = calls.failure()
    if (failure !== undefined && finishReason !== "length") return Result.fail(failure)
    if (lost !== undefined) {
      return Result.fail(WireSchema.parseError(lost, "a part of the answer is an image or a refusal"))
    }
    if (!hasAnswer && unread !== undefined) {
      return Result.fail(WireSchema.parseError(unread, "an answer only in fields that are not read"))
    }
    const usage = toUsage(record)
    const timings = toTimings(record)
    return Result.succeed({
      model: Json.toText(record.model) ?? context.model,
      finishReason,
      ...(usage === undefined ? {} : { usage }),
      ...(timings === undefined ? {} : { timings })
    })
  }

  return { record: ({ data }, chunks) => read(data, chunks) }
}

/** The calls of a field; `undefined` if it has none. */
const toCalls = (value: Line["tool_calls"]): ReadonlyArray<WireToolCall> | undefined => {
  if (Json.isList(value)) return value.length === 0 ? undefined : value
  return Json.isObject(value) && value.function !== undefined ? [{ id: value.id, function: value.function }] : undefined
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
  const delivered = Delivered.make(0)
  let sent = 0

  return {
    /** The last record may repeat all calls. */
    read: (calls: ReadonlyArray<WireToolCall>, isLast: boolean): ReadonlyArray<ToolCall> => {
      const text = calls
        .map(({ function: fn, id }) => Json.stringify([id, fn.index, fn.name, fn.arguments]) ?? "")
        .join("")
      const known = isLast && delivered.isRepeatedBy(text) ? sent : 0
      delivered.add(text)
      sent += calls.length
      const complete: Array<ToolCall> = []
      for (const { function: fn, id: wireId } of calls.slice(known)) {
        const id = Json.toText(wireId)
        const value = toArguments(fn.arguments)
        const problem = findProblem(fn.name, value)
        if (problem !== undefined) {
          // If the answer was cut, such a call is expected. Only the last record says so.
          const text = typeof fn.arguments === "string" ? fn.arguments : ""
          failure ??= WireSchema.parseError(text, problem.replace("X", `${count}`))
          continue
        }
        const unique = id !== undefined && !ids.has(id) ? id : ToolCallId.make(count, ids)
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
  Json.hasOtherContent(record, lineFields) ||
  (Json.isObject(record.message) && Json.hasOtherContent(record.message, messageFields))

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
  const cachedTokens = Json.toCount(line.prompt_eval_cached_count)
  if (promptTokens === undefined && completionTokens === undefined) return undefined
  return {
    promptTokens,
    completionTokens,
    totalTokens:
      promptTokens === undefined || completionTokens === undefined ? undefined : promptTokens + completionTokens,
    ...(cachedTokens === undefined ? {} : { cachedTokens })
  }
}

const toTimings = (line: Line): Timings | undefined => {
  const total = nanoseconds(line.total_duration)
  if (total === undefined) return undefined
  return {
    total,
    load: nanoseconds(line.load_duration),
    prompt: nanoseconds(line.prompt_eval_duration),
    completion: nanoseconds(line.eval_duration)
  }
}

const nanoseconds = (value: unknown): Duration.Duration | undefined => {
  const count = Json.toCount(value)
  return count === undefined ? undefined : Duration.nanos(BigInt(Math.round(count)))
}
