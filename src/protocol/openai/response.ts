/** Answers of the OpenAI-compatible routes: server-sent events, each with one JSON chunk, then `[DONE]`. */
import * as Result from "effect/Result"
import { ContextOverflow, LineTooLong, StreamTruncated } from "../../ProviderError.ts"
import type { ContentChunk, StreamingChunk, Timings, Usage } from "../../StreamingChunk.ts"
import * as ErrorReport from "../errors.ts"
import type { DecoderContext, Progress, Record, RecordDecoder, Writable } from "../endpoint.ts"
import * as Delivered from "../delivered.ts"
import * as FinishReason from "../finishReason.ts"
import * as Json from "../../values/json.ts"
import * as WireSchema from "../wireSchema.ts"
import type { Choice, Chunk, Piece } from "./chunk.ts"
import * as Chunks from "./chunk.ts"
import * as ToolCalls from "./toolCalls.ts"

/** Only exactly this marks the end. */
const isDone = (data: string): boolean => !data.startsWith("{") && data.trim() === "[DONE]"

export interface Options extends DecoderContext {
  /** Whether every complete answer of the server has a finish reason. */
  readonly hasFinishReason: boolean
  /** Whether the request offered tools. */
  readonly hasTools: boolean
  /** Whether the usage shows that the server dropped a part of the prompt. */
  readonly isPromptCut: (usage: Usage) => boolean
}

export const makeDecoder = (options: Options): RecordDecoder<StreamingChunk> => {
  const { isPromptCut, maxLineBytes } = options
  const calls = ToolCalls.make()
  const parts = makeParts()
  const metadata = makeMetadata(options.model, isPromptCut)
  const ending = makeEnding()
  let hasAnswer = false
  let isRefused = false
  /** A record with content in a field that is not read. It matters if there is no other answer. */
  let unread: string | undefined
  /** A record with a part of the answer that no chunk can carry. */
  let media: string | undefined

  const finish = (chunks: Array<StreamingChunk>): Progress => {
    const word = ending.word()
    // `[DONE]` alone proves little: servers send it after a failure too.
    if (word === undefined && (options.hasFinishReason || !hasAnswer)) {
      return new StreamTruncated({ missing: "finish-reason" })
    }
    const toolCalls = calls.complete(FinishReason.isLength(word))
    // A failure that the server reports comes before one that may only follow from it.
    const finishReason = FinishReason.read(word, {
      toolCalls: Result.isSuccess(toolCalls) ? toolCalls.success.length : 1,
      isOnlyText: hasAnswer && calls.count() === 0 && !options.hasTools
    })
    if (typeof finishReason !== "string") return finishReason
    if (Result.isFailure(toolCalls)) return toolCalls.failure
    if (media !== undefined) return WireSchema.parseError(media, "a part of the answer is an image or audio")
    if (!hasAnswer && unread !== undefined)
      return WireSchema.parseError(unread, "an answer only in fields that are not read")
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
    const isErrorEvent = eventName !== "" && eventName.toLowerCase() === "error"
    if (data === "" && !isErrorEvent) return ending.progress()
    if (!isErrorEvent && isDone(data)) return finish(chunks)
    const value = Json.parse(data)
    if (isErrorEvent || ErrorReport.isError(value)) {
      return ErrorReport.toReason({ ...options, report: ErrorReport.readBody(data) })
    }
    const isChunk = Json.isObject(value) && "choices" in value
    // Proxies add events of their own, such as pings. Only an event without a name must be a chunk.
    if (!isChunk && eventName !== "" && eventName !== "message" && !Chunks.isAnswerWithoutChoice(value)) {
      return ending.progress()
    }
    if (!Chunks.chunkSchema.is(value)) return Chunks.chunkSchema.parseError(data)
    return readChunk(value, data, chunks)
  }

  const readChunk = (chunk: Chunk, data: string, chunks: Array<StreamingChunk>): Progress => {
    if (!hasAnswer && chunk.usage != null && isPromptCut(Chunks.toUsage(chunk.usage) ?? {})) {
      return new ContextOverflow({ description: "the server dropped a part of the prompt" })
    }
    const choices = Chunks.toChoices(chunk)
    if (choices.length === 0) {
      if (Chunks.hasUnknownContent(chunk) || Chunks.isAnswerWithoutChoice(chunk)) {
        return WireSchema.parseError(data, "neither a part of an answer nor an error")
      }
      // A chunk without text, so that deadlines see that the server works.
      if (Json.isObject(chunk.prompt_progress)) addPiece(Chunks.emptyPiece, chunk, chunks)
    }
    let other: Choice | undefined
    for (let i = 0; i < choices.length; i++) {
      const choice = choices[i]
      if (choice === undefined) continue
      if ((Json.toCount(choice.index) ?? i) !== 0) {
        if (Chunks.hasAnswer(choice)) other = choice
        continue
      }
      const progress = readChoice(choice, chunk, data, chunks)
      if (progress !== "open") return progress
    }
    // Only one answer was requested. Parts of another one must not get into it, nor be lost.
    if (other !== undefined) {
      return WireSchema.parseError(data, "a part of another answer than the one that was requested")
    }
    if (calls.bytes() > maxLineBytes) return new LineTooLong({ limit: maxLineBytes })
    metadata.read(chunk, choices[0])
    return ending.progress()
  }

  const readChoice = (choice: Choice, chunk: Chunk, data: string, chunks: Array<StreamingChunk>): Progress => {
    // Nearly every chunk. The general case below takes twice the time.
    const text = Chunks.findOnlyText(choice)
    if (text !== undefined && ending.isOpen() && chunk.prompt_progress == null) {
      hasAnswer = true
      parts.addText(text)
      chunks.push({ content: text, isFinal: false })
      return "open"
    }
    if (choice.error) {
      const body = Json.stringify({ error: choice.error }) ?? ""
      return ErrorReport.toReason({ ...options, report: ErrorReport.readBody(body) })
    }
    const word = FinishReason.toWord(choice.finish_reason)
    const piece = parts.read(choice, { isLast: ending.isLast(word), calls: calls.count() })
    if (piece === undefined) return WireSchema.parseError(data, "a part of the content has no known form")
    const isEmpty = Chunks.isEmpty(piece)
    ending.read(word, { isEmpty, isFirst: isEmpty && !hasAnswer })
    if (piece.refusal !== "") isRefused = true
    if (piece.content !== "" || piece.refusal !== "" || piece.fragments.length > 0) hasAnswer = true
    else if (!hasAnswer && isEmpty && Chunks.hasUnreadContent(choice)) unread ??= WireSchema.beginning(data)
    if (Chunks.hasMedia(choice)) media ??= WireSchema.beginning(data)
    // The final chunk stands for a finish chunk without content.
    return ending.isOpen() || !isEmpty ? addPiece(piece, chunk, chunks) : "open"
  }

  const addPiece = (piece: Piece, chunk: Chunk, chunks: Array<StreamingChunk>): Progress => {
    const out: Writable<ContentChunk> = { content: piece.content + piece.refusal, isFinal: false }
    if (piece.thinking !== "") out.thinking = piece.thinking
    const promptProgress = Chunks.toPromptProgress(chunk.prompt_progress)
    if (promptProgress !== undefined) out.promptProgress = promptProgress
    if (piece.fragments.length > 0) {
      const deltas = Result.all(piece.fragments.map(calls.add))
      if (Result.isFailure(deltas)) return deltas.failure
      out.toolCallDeltas = deltas.success
    }
    chunks.push(out)
    return "open"
  }

  return { record, end: (chunks) => (ending.isOpen() ? "open" : finish(chunks)) }
}

/** vLLM and SGLang send the last token together with the finish reason. */
const longestToken = 16

/** The parts of an answer. What another field of a choice or the last chunk repeats is left out. */
const makeParts = () => {
  const content = Delivered.makeText(longestToken)
  const thinking = Delivered.makeText(longestToken)
  const refusal = Delivered.makeText(longestToken)
  let callsFrom = Infinity

  return {
    /** Adds text of a delta. */
    addText: (text: string): void => content.add(text),
    /** What is new in a choice; `undefined` if a part of its content has no known form. `calls`: how many were begun. */
    read: (
      choice: Choice,
      { calls, isLast }: { readonly calls: number; readonly isLast: boolean }
    ): Piece | undefined => {
      const added = { content: "", thinking: "", refusal: "", fragments: Chunks.emptyPiece.fragments }
      for (const [rank, piece] of Chunks.toPieces(choice).entries()) {
        if (piece === undefined) return undefined
        added.content += content.read(piece.content, isLast, rank)
        added.thinking += thinking.read(piece.thinking, isLast, rank)
        added.refusal += refusal.read(piece.refusal, isLast, rank)
        if (piece.fragments.length === 0) continue
        const isRepetition = rank > callsFrom
        callsFrom = Math.min(callsFrom, rank)
        const known = isRepetition ? Math.max(calls, added.fragments.length) : 0
        added.fragments = [...added.fragments, ...piece.fragments.slice(known)]
      }
      return added
    }
  }
}

/**
 * Whether an answer is over. A finish reason does not prove it: some servers send one with every chunk, so that only the end
 * marker or the end of the body counts.
 */
const makeEnding = () => {
  let word: string | undefined
  let isStarted = false
  let hadWord = false
  let hadWordWithPart = false
  let isEnding = false

  return {
    /** The server's finish reason. The last one counts, but nothing hides a failure. */
    word: () => word,
    isOpen: () => word === undefined,
    /** Whether a finish reason says that its chunk is the last one: not if one came with an earlier part of the answer. */
    isLast: (next: string | undefined): boolean => next !== undefined && !hadWordWithPart,
    progress: (): Progress => (isEnding ? "ending" : "open"),
    /** Reads the finish reason of a chunk. `isFirst`: nothing of the answer came before or with it. */
    read: (
      next: string | undefined,
      { isEmpty, isFirst }: { readonly isEmpty: boolean; readonly isFirst: boolean }
    ) => {
      const goesOn = isEnding && isEmpty
      isEnding = next === undefined || hadWord ? goesOn : goesOn || isStarted || !isFirst
      if (next !== undefined && !FinishReason.isFailure(word)) word = next
      isStarted = true
      hadWord = next !== undefined
      if (hadWord && !isEmpty) hadWordWithPart = true
    }
  }
}

/** What the chunks of an answer report besides its parts. The last report counts. */
const makeMetadata = (requestedModel: string, isPromptCut: (usage: Usage) => boolean) => {
  let model = requestedModel
  let responseId: string | undefined
  let usage: Usage | undefined
  let timings: Timings | undefined
  let cachedTokens: number | undefined

  return {
    read: (chunk: Chunk, choice: Choice | undefined): void => {
      model = Json.toText(chunk.model) ?? model
      responseId = Json.toText(chunk.id) ?? responseId
      if (Json.isObject(chunk.timings)) {
        timings = Chunks.toTimings(chunk.timings)
        cachedTokens = Json.toCount(chunk.timings.cache_n)
      }
      const reported = chunk.usage ?? choice?.usage
      if (reported != null) usage = Chunks.toUsage(reported) ?? usage
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
