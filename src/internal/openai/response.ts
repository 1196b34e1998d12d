/** Answers of the OpenAI-compatible routes: server-sent events, each with one JSON chunk, then `[DONE]`. */
import * as Result from "effect/Result"
import { ContextOverflow, LineTooLong, StreamTruncated } from "../../ProviderError.ts"
import type { ContentChunk, StreamingChunk, Timings, Usage } from "../../StreamingChunk.ts"
import * as ErrorReport from "../errorReport.ts"
import type { DecoderContext, Progress, Record, RecordDecoder, Writable } from "../wire/endpoint.ts"
import * as FinishReason from "../wire/finishReason.ts"
import * as Json from "../wire/json.ts"
import type { Choice, Chunk, Piece } from "./chunk.ts"
import {
  chunkSchema,
  findOnlyText,
  emptyPiece,
  hasMedia,
  hasUnreadContent,
  isEmpty,
  toPiece,
  toPromptProgress,
  toTimings,
  toUsage
} from "./chunk.ts"
import * as ToolCalls from "./toolCalls.ts"

/** Only exactly this marks the end. */
const isDone = (data: string): boolean => !data.startsWith("{") && data.trim() === "[DONE]"

export const makeDecoder = (
  context: DecoderContext,
  isPromptCut: (usage: Usage) => boolean = () => false
): RecordDecoder<StreamingChunk> => {
  const { maxLineBytes } = context
  const calls = ToolCalls.make()
  const metadata = makeMetadata(context.model, isPromptCut)
  /** The server's finish reason. */
  let finishWord: string | undefined
  let hasAnswer = false
  let hasDelta = false
  let isRefused = false
  /** A record with content in a field that is not read. It matters if there is no other answer. */
  let unread: string | undefined
  /** A record with a part of the answer that no chunk can carry. */
  let media: string | undefined

  const finish = (chunks: Array<StreamingChunk>): Progress => {
    // `[DONE]` alone proves nothing: servers send it after a failure too.
    if (finishWord === undefined) return new StreamTruncated()
    const toolCalls = calls.complete(FinishReason.isLength(finishWord))
    // A failure that the server reports comes before one that may only follow from it.
    const finishReason = FinishReason.read(finishWord, Result.isSuccess(toolCalls) ? toolCalls.success.length : 1)
    if (typeof finishReason !== "string") return finishReason
    if (Result.isFailure(toolCalls)) return toolCalls.failure
    if (media !== undefined) return Json.parseError(media, "a part of the answer is an image or audio")
    if (!hasAnswer && unread !== undefined) return Json.parseError(unread, "an answer only in fields that are not read")
    chunks.push({
      content: "",
      isFinal: true,
      ...(toolCalls.success.length === 0 ? {} : { toolCalls: toolCalls.success }),
      finishReason: isRefused ? "content-filter" : finishReason,
      ...metadata.fields()
    })
    return "complete"
  }

  const record = ({ data, name: eventName }: Record, chunks: Array<StreamingChunk>): Progress => {
    if (data === "" && eventName !== "error") return "open"
    if (eventName !== "error" && isDone(data)) return finish(chunks)
    const value = Json.parse(data)
    if (eventName === "error" || ErrorReport.isError(value)) {
      return ErrorReport.toReason({ ...context, report: ErrorReport.readBody(data) })
    }
    const isChunk = Json.isObject(value) && "choices" in value
    // Proxies add events of their own, such as pings. Only an event without a name must be a chunk.
    if (!isChunk && eventName !== "" && eventName !== "message") return "open"
    if (!chunkSchema.is(value)) return chunkSchema.parseError(data)
    if (value.choices === undefined && value.usage == null && value.prompt_progress == null) {
      return Json.parseError(data, "neither a part of an answer nor an error")
    }
    return readChunk(value, data, chunks)
  }

  const readChunk = (chunk: Chunk, data: string, chunks: Array<StreamingChunk>): Progress => {
    const choices = chunk.choices ?? []
    const emitted = chunks.length
    let isRead = choices.length === 0
    if (!hasDelta && chunk.usage && isPromptCut(toUsage(chunk.usage) ?? {})) {
      return new ContextOverflow({ description: "the server dropped a part of the prompt" })
    }
    for (let i = 0; i < choices.length; i++) {
      const choice = choices[i]
      // Only one answer was requested. Parts of another one must not get into it.
      if (choice === undefined || (choice.index ?? i) !== 0) continue
      isRead = true
      const progress = readChoice(choice, chunk, data, chunks)
      if (progress !== "open") return progress
    }
    if (!isRead) return Json.parseError(data, "a part of another answer than the one that was requested")
    // A chunk without text, so that deadlines see that the server works.
    if (choices.length === 0 && chunk.prompt_progress) addPiece(emptyPiece, chunk, chunks)
    if (calls.bytes() > maxLineBytes) return new LineTooLong({ limit: maxLineBytes })
    const isUsageReported = metadata.read(chunk)
    // Nothing that is needed comes after both. Servers that report both with every piece of text go on.
    const isEnd = finishWord !== undefined && isUsageReported && chunks.length === emitted
    return isEnd ? finish(chunks) : "open"
  }

  const readChoice = (choice: Choice, chunk: Chunk, data: string, chunks: Array<StreamingChunk>): Progress => {
    // Nearly every chunk. The general case below takes twice the time.
    const text = findOnlyText(choice)
    if (text !== undefined && finishWord === undefined && chunk.prompt_progress == null) {
      hasAnswer = true
      hasDelta = true
      chunks.push({ content: text, isFinal: false })
      return "open"
    }
    if (choice.error) {
      const body = Json.stringify({ error: choice.error }) ?? ""
      return ErrorReport.toReason({ ...context, report: ErrorReport.readBody(body) })
    }
    const piece = findPiece(choice, chunk)
    if (piece === undefined) return Json.parseError(data, "a part of the content has no known form")
    if (choice.finish_reason && !FinishReason.isFailure(finishWord)) finishWord = choice.finish_reason
    if (piece.refusal !== "") isRefused = true
    if (piece.content !== "" || piece.refusal !== "" || piece.fragments.length > 0) hasAnswer = true
    else if (!hasAnswer && isEmpty(piece) && hasUnreadContent(choice)) unread ??= data.slice(0, 200)
    if (hasMedia(choice)) media ??= data.slice(0, 200)
    // The final chunk stands for a finish chunk without content.
    return finishWord === undefined || !isEmpty(piece) ? addPiece(piece, chunk, chunks) : "open"
  }

  /** A message is read like a delta. A whole completion after deltas repeats them, and no text is delivered twice. */
  const findPiece = (choice: Choice, chunk: Chunk): Piece | undefined => {
    const piece = toPiece(choice.delta, choice.text)
    if (piece === undefined || !isEmpty(piece)) {
      hasDelta = true
      return piece
    }
    const isRepetition = hasDelta && chunk.object === "chat.completion"
    return choice.message == null || isRepetition ? piece : toPiece(choice.message, undefined)
  }

  const addPiece = (piece: Piece, chunk: Chunk, chunks: Array<StreamingChunk>): Progress => {
    const out: Writable<ContentChunk> = { content: piece.content + piece.refusal, isFinal: false }
    if (piece.thinking !== "") out.thinking = piece.thinking
    const promptProgress = toPromptProgress(chunk.prompt_progress)
    if (promptProgress !== undefined) out.promptProgress = promptProgress
    if (piece.fragments.length > 0) {
      const deltas = Result.all(piece.fragments.map(calls.add))
      if (Result.isFailure(deltas)) return deltas.failure
      out.toolCallDeltas = deltas.success
    }
    chunks.push(out)
    return "open"
  }

  return { record, end: (chunks) => (finishWord === undefined ? "open" : finish(chunks)) }
}

/** What the chunks of an answer report besides its parts. The last report counts. */
const makeMetadata = (requestedModel: string, isPromptCut: (usage: Usage) => boolean) => {
  let model = requestedModel
  let responseId: string | undefined
  let usage: Usage | undefined
  let timings: Timings | undefined
  let cachedTokens: number | undefined

  return {
    /** Returns whether the chunk reports the usage. */
    read: (chunk: Chunk): boolean => {
      if (chunk.model) model = chunk.model
      if (typeof chunk.id === "string" && chunk.id !== "") responseId = chunk.id
      if (chunk.timings) {
        timings = toTimings(chunk.timings)
        cachedTokens = Json.toCount(chunk.timings.cache_n)
      }
      const reported = chunk.usage ? toUsage(chunk.usage) : undefined
      if (reported !== undefined) usage = reported
      return reported !== undefined
    },
    /** Its fields on the final chunk. */
    fields: () => ({
      model,
      ...(usage === undefined ? {} : { usage: cachedTokens === undefined ? usage : { cachedTokens, ...usage } }),
      ...(timings === undefined ? {} : { timings }),
      ...(usage !== undefined && isPromptCut(usage) ? { promptTruncated: true } : {}),
      ...(responseId === undefined ? {} : { responseId })
    })
  }
}
