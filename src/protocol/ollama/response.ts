/**
 * Ollama's completions: one JSON object per line (NDJSON). Each is a part of the completion, the one with `done: true` is the last.
 * Sources: Ollama's `api/types.go` and `server/routes.go`, versions 0.1.35 to 0.34.
 */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ParseError } from "../../ProviderError.ts"
import { LineTooLong } from "../../ProviderError.ts"
import type { ContentChunk, StreamingChunk, Timings, ToolCall, Usage } from "../../StreamingChunk.ts"
import * as Content from "../content.ts"
import * as Errors from "../errors.ts"
import type { DecoderContext, Progress, RecordDecoder, Sent, Writable } from "../endpoint.ts"
import * as Delivered from "../delivered.ts"
import * as FinishReason from "../finishReason.ts"
import * as Json from "../../values/json.ts"
import type { Text } from "../textLines.ts"
import * as TextLines from "../textLines.ts"
import * as WireSchema from "../wireSchema.ts"
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
  // Parts of a completion that no chunk can carry.
  images: WireSchema.metadata,
  refusal: WireSchema.metadata
})

/** A line of either route: chat puts the completion into `message`, generate puts it at the top, with `response` for the text. */
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

/** Ollama sends no text with its last record. Servers that imitate it may, as a rule all of the text. */
const longestPiece = 4

const noCalls: ReadonlyArray<ToolCall> = []

interface State {
  readonly context: DecoderContext
  readonly calls: ReturnType<typeof makeToolCalls>
  readonly parts: { readonly [K in Text["kind"]]: ReturnType<typeof Delivered.makeText> }
  readonly seen: FinishReason.Seen
  readonly lines: TextLines.TextLines
}

export const makeDecoder = (context: DecoderContext, sent?: Sent<unknown>): RecordDecoder<StreamingChunk> => {
  const state: State = {
    context,
    calls: makeToolCalls(),
    parts: { content: Delivered.makeText(longestPiece), thinking: Delivered.makeText(longestPiece) },
    seen: { hasAnswer: false, hasTools: FinishReason.hasTools(sent?.body), media: "a refusal" },
    lines: TextLines.make(findText, '"created_at":"')
  }
  return {
    record: ({ data }, chunks) => {
      const text = state.lines.read(data)
      return text === undefined ? readLine(state, data, chunks) : addText(state, text, chunks)
    }
  }
}

const addText = ({ parts, seen }: State, text: Text, chunks: Array<StreamingChunk>): Progress => {
  parts[text.kind].add(text.text)
  if (text.kind === "content") seen.hasAnswer = true
  chunks.push(TextLines.toChunk(text))
  return "open"
}

const readLine = (state: State, data: string, chunks: Array<StreamingChunk>): Progress => {
  const fail = () => Errors.toReason({ ...state.context, report: Errors.readBody(data) })
  const record = Json.parse(data)
  if (!lineSchema.is(record)) return Errors.isError(record) ? fail() : lineSchema.parseError(data)
  if (record.error != null) return fail()
  if (record.message == null && record.response == null && record.done == null && record.done_reason == null) {
    return Errors.isError(record) ? fail() : WireSchema.parseError(data, "neither a part of an answer nor an error")
  }
  const text = findOnlyText(record)
  if (text === undefined) {
    state.lines.forget()
    return readParts(state, record, data, chunks)
  }
  state.lines.learn(data, text)
  return addText(state, text, chunks)
}

const readParts = (state: State, record: Line, data: string, chunks: Array<StreamingChunk>): Progress => {
  const { calls, context, parts, seen } = state
  const message = toMessage(record)
  const word = FinishReason.toWord(record.done_reason)
  // Servers that imitate Ollama send `done_reason` without `done`.
  const isFinal = record.done ?? word !== undefined
  const wireCalls = toCalls(message?.tool_calls) ?? toCalls(record.tool_calls)
  const toolCalls = wireCalls === undefined ? noCalls : calls.read(wireCalls, isFinal)
  if (calls.bytes() > context.maxLineBytes) return new LineTooLong({ limit: context.maxLineBytes })
  const content = parts.content.read(toContent(record), isFinal)
  const thinking = parts.thinking.read(toThinking(record), isFinal)
  if (content !== "" || toolCalls.length > 0) seen.hasAnswer = true
  else if (!seen.hasAnswer && thinking === "" && hasUnreadContent(record)) seen.unread ??= WireSchema.beginning(data)
  if (hasMedia(message)) seen.lost ??= WireSchema.beginning(data)
  const chunk: Writable<ContentChunk> = { content, isFinal: false }
  if (thinking !== "") chunk.thinking = thinking
  if (toolCalls.length > 0) chunk.toolCalls = toolCalls
  if (isFinal) return finish(state, record, chunk, chunks)
  chunks.push(chunk)
  return "open"
}

/** Adds the final chunk, or what is left of the completion before the reason why it is not a success. */
const finish = (
  { calls, context, seen }: State,
  record: Line,
  chunk: ContentChunk,
  chunks: Array<StreamingChunk>
): Progress => {
  const word = FinishReason.toWord(record.done_reason)
  const finishReason = FinishReason.read(word, calls.complete(FinishReason.isLength(word)), seen)
  if (Result.isFailure(finishReason)) {
    if (chunk.content !== "" || chunk.thinking !== undefined || chunk.toolCalls !== undefined) chunks.push(chunk)
    return finishReason.failure
  }
  const usage = toUsage(record)
  const timings = toTimings(record)
  chunks.push({
    ...chunk,
    isFinal: true,
    model: Json.toText(record.model) ?? context.model ?? "",
    finishReason: finishReason.success,
    ...(usage === undefined ? {} : { usage }),
    ...(timings === undefined ? {} : { timings }),
    ...(context.provider === undefined ? {} : { provider: context.provider })
  })
  return "complete"
}

const toMessage = ({ message }: Line) => (Json.isObject(message) ? message : undefined)

const toContent = (record: Line): string =>
  Json.toText(toMessage(record)?.content) ?? Json.toText(record.response) ?? ""

const toThinking = (record: Line): string =>
  Json.toText(toMessage(record)?.thinking) ?? Json.toText(record.thinking) ?? ""

/** The text of a record that adds nothing else. */
const findOnlyText = (record: Line): Text | undefined => {
  const { done, done_reason, error, tool_calls } = record
  const message = toMessage(record)
  const content = toContent(record)
  const thinking = toThinking(record)
  const isOther = error != null || done || done_reason || tool_calls != null || message?.tool_calls != null
  if (isOther || hasMedia(message) || (content === "") === (thinking === "")) return undefined
  return content === "" ? { kind: "thinking", text: thinking } : { kind: "content", text: content }
}

const findText = (line: string): Text | undefined => {
  const record = Json.parse(line)
  return lineSchema.is(record) ? findOnlyText(record) : undefined
}

/** Whether a message has a part that no chunk can carry. */
const hasMedia = (message: ReturnType<typeof toMessage>): boolean =>
  message !== undefined && (Json.isContent(message.images) || Json.isContent(message.refusal))

/** The calls of a field; `undefined` if it has none. */
const toCalls = (value: Line["tool_calls"]): ReadonlyArray<WireToolCall> | undefined => {
  if (Json.isList(value)) return value.length === 0 ? undefined : value
  return Json.isObject(value) && value.function !== undefined ? [{ id: value.id, function: value.function }] : undefined
}

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
        const call = { name: fn.name, arguments: toArguments(fn.arguments) }
        const problem = Content.findCallProblem(count, call)
        if (problem !== undefined) {
          // If the completion was cut, such a call is expected. Only the last record reports that.
          failure ??= WireSchema.parseError(typeof fn.arguments === "string" ? fn.arguments : "", problem)
          continue
        }
        const id = Json.toText(wireId)
        const unique = id !== undefined && !ids.has(id) ? id : Content.makeCallId(count, ids)
        ids.add(unique)
        // Consumers run tools when the completion is complete, so they keep the arguments until then.
        bytes += bytesPerId + utf8Length(unique) + utf8Length(Json.stringify(call.arguments) ?? "")
        complete.push({ id: unique, ...call })
        count++
      }
      return complete
    },
    /** How many there were, or what is wrong with one. */
    complete: (isCut: boolean): Result.Result<number, ParseError> =>
      failure === undefined || isCut ? Result.succeed(count) : Result.fail(failure),
    /** Bytes kept so far, here and by the consumer. */
    bytes: () => bytes
  }
}

/** Some servers send the arguments as JSON text. */
const toArguments = (value: unknown): unknown =>
  typeof value === "string" ? Content.parseArguments(value) : (value ?? {})

/** Whether a record may have a part of the completion in a field that is not read, such as `image`. */
const hasUnreadContent = (record: Line): boolean =>
  Json.hasOtherContent(record, lineFields) ||
  (Json.isObject(record.message) && Json.hasOtherContent(record.message, messageFields))

/** Fields that are read, and those that are not parts of a completion. */
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
