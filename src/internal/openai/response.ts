/**
 * Answers of the OpenAI-compatible routes: server-sent events, each with one JSON chunk, then `[DONE]`. Servers differ in
 * what they leave out, send as null or spell differently, so every known spelling is read.
 */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { LineTooLong, StreamTruncated } from "../../ProviderError.ts"
import type { FinishReason, StreamingChunk, Timings, Usage } from "../../StreamingChunk.ts"
import * as ErrorReport from "../errorReport.ts"
import type { DecoderContext, Progress, Record, RecordDecoder, Writable } from "../wire/endpoint.ts"
import * as Json from "../wire/json.ts"
import * as ToolCalls from "./toolCalls.ts"

/** One chunk: `delta` in a chat, `text` in a plain completion; no choice at all in the chunk that tells the usage. */
const Chunk = Schema.Struct({
  choices: Json.nullish(
    Schema.Array(
      Schema.Struct({
        delta: Json.nullish(
          Schema.Struct({
            content: Json.nullish(Schema.String),
            reasoning_content: Json.nullish(Schema.String),
            reasoning: Json.nullish(Schema.String),
            tool_calls: Json.nullish(Schema.Array(ToolCalls.Fragment))
          })
        ),
        text: Json.nullish(Schema.String),
        finish_reason: Json.nullish(Schema.String)
      })
    )
  ),
  // The rest counts on the last chunks.
  model: Json.nullish(Schema.String),
  usage: Json.nullish(
    Schema.Struct({
      prompt_tokens: Json.nullish(Schema.Number),
      completion_tokens: Json.nullish(Schema.Number),
      total_tokens: Json.nullish(Schema.Number)
    })
  ),
  timings: Json.nullish(
    Schema.Struct({ prompt_ms: Json.nullish(Schema.Number), predicted_ms: Json.nullish(Schema.Number) })
  )
})

interface Chunk extends Schema.Schema.Type<typeof Chunk> {}

const chunkSchema = Json.lineSchema(Chunk)

const doneMarker = "[DONE]"

export const makeDecoder = ({
  endpoint,
  maxLineBytes,
  model: askedModel
}: DecoderContext): RecordDecoder<StreamingChunk> => {
  const calls = ToolCalls.make()
  let model = askedModel
  let finishReason: string | undefined
  let usage: Usage | undefined
  let timings: Timings | undefined

  const finish = (chunks: Array<StreamingChunk>): Progress => {
    // `[DONE]` alone is no proof: servers send it after a failure too.
    if (finishReason === undefined) return new StreamTruncated()
    const toolCalls = calls.complete()
    if (Result.isFailure(toolCalls)) return toolCalls.failure
    chunks.push({
      content: "",
      isFinal: true,
      ...(toolCalls.success.length === 0 ? {} : { toolCalls: toolCalls.success }),
      model,
      finishReason: toolCalls.success.length > 0 ? "tool-calls" : toFinishReason(finishReason),
      ...(usage === undefined ? {} : { usage }),
      ...(timings === undefined ? {} : { timings })
    })
    return "complete"
  }

  const event = ({ data, name }: Record, chunks: Array<StreamingChunk>): Progress => {
    if (data === "" && name !== "error") return "open"
    if (data.startsWith(doneMarker)) return finish(chunks)
    const value = Json.parse(data)
    if (name === "error" || (Json.isObject(value) && Boolean(value.error))) {
      return ErrorReport.toReason({ report: ErrorReport.readBody(data), endpoint, model: askedModel })
    }
    const isChunk = Json.isObject(value) && "choices" in value
    // Proxies put in events of their own, such as pings; only what has no name must be a chunk.
    if (!isChunk && name !== "" && name !== "message") return "open"
    if (!chunkSchema.is(value)) return chunkSchema.parseError(data)
    if (value.choices === undefined && value.usage == null) {
      return Json.parseError(data, "neither a piece of an answer nor an error")
    }
    return chunk(value, chunks)
  }

  const chunk = (record: Chunk, chunks: Array<StreamingChunk>): Progress => {
    const choice = record.choices?.[0]
    if (choice !== undefined) {
      if (choice.finish_reason) finishReason = choice.finish_reason
      const { delta } = choice
      const content = delta?.content ?? choice.text ?? ""
      const thinking = delta?.reasoning_content || delta?.reasoning
      const fragments = delta?.tool_calls ?? []
      // The final chunk stands for a finish chunk that says nothing else.
      if (finishReason === undefined || content !== "" || thinking || fragments.length > 0) {
        const piece: Writable<StreamingChunk> = { content, isFinal: false }
        if (thinking) piece.thinking = thinking
        if (fragments.length > 0) piece.toolCallDeltas = fragments.map(calls.add)
        chunks.push(piece)
      }
    }
    if (calls.length() > maxLineBytes) return new LineTooLong({ limit: maxLineBytes })
    if (record.model) model = record.model
    if (record.timings) timings = toTimings(record.timings)
    const told = record.usage ? toUsage(record.usage) : undefined
    if (told !== undefined) usage = told
    // Nothing that is worth waiting for comes behind both.
    return finishReason !== undefined && told !== undefined ? finish(chunks) : "open"
  }

  return {
    record: event,
    end: (chunks) => (finishReason === undefined ? "open" : finish(chunks))
  }
}

const toFinishReason = (reason: string): FinishReason => {
  switch (reason) {
    case "stop":
    case "length":
      return reason
    case "tool_calls":
    case "function_call":
      return "tool-calls"
    case "content_filter":
      return "content-filter"
    default:
      return "other"
  }
}

/** All zeros were seen from servers that do not count: the same as nothing. */
const toUsage = (usage: NonNullable<Chunk["usage"]>): Usage | undefined => {
  const promptTokens = usage.prompt_tokens ?? undefined
  const completionTokens = usage.completion_tokens ?? undefined
  const totalTokens = usage.total_tokens ?? undefined
  return promptTokens || completionTokens || totalTokens ? { promptTokens, completionTokens, totalTokens } : undefined
}

const toTimings = (timings: NonNullable<Chunk["timings"]>): Timings => ({
  prompt: timings.prompt_ms == null ? undefined : Duration.millis(timings.prompt_ms),
  completion: timings.predicted_ms == null ? undefined : Duration.millis(timings.predicted_ms)
})
