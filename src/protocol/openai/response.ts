/** Completions of the OpenAI-compatible routes: server-sent events, each with one JSON chunk, then `[DONE]`. */
import * as Result from "effect/Result"
import { ContextOverflow, LineTooLong, StreamTruncated } from "../../ProviderError.ts"
import type { ContentChunk, StreamingChunk, Timings, Usage } from "../../StreamingChunk.ts"
import * as Errors from "../errors.ts"
import type { DecoderContext, Progress, RecordDecoder, Writable } from "../endpoint.ts"
import * as Delivered from "../delivered.ts"
import * as FinishReason from "../finishReason.ts"
import * as Json from "../../values/json.ts"
import type { Text } from "../textLines.ts"
import * as TextLines from "../textLines.ts"
import * as WireSchema from "../wireSchema.ts"
import type { Choice, Chunk, Piece } from "./chunk.ts"
import * as Chunks from "./chunk.ts"
import * as ToolCalls from "./toolCalls.ts"

/** Only exactly this marks the end. */
const isDone = (data: string): boolean => !data.startsWith("{") && data.trim() === "[DONE]"

export interface Options extends DecoderContext {
  /** Whether every complete completion of the server has a finish reason. */
  readonly hasFinishReason: boolean
  /** Whether the request offered tools. */
  readonly hasTools: boolean
  /** Whether the usage shows that the server dropped a part of the prompt. */
  readonly isPromptCut: (usage: Usage) => boolean
}

interface State {
  readonly options: Options
  readonly calls: ToolCalls.ToolCallAssembly
  readonly parts: ReturnType<typeof makeParts>
  readonly metadata: ReturnType<typeof makeMetadata>
  readonly ending: ReturnType<typeof makeEnding>
  readonly seen: FinishReason.Seen
  readonly lines: TextLines.TextLines
}

export const makeDecoder = (options: Options): RecordDecoder<StreamingChunk> => {
  const state: State = {
    options,
    calls: ToolCalls.make(),
    parts: makeParts(),
    metadata: makeMetadata(options),
    ending: makeEnding(),
    seen: { hasAnswer: false, hasTools: options.hasTools, media: "audio" },
    lines: TextLines.make(findText)
  }
  return {
    record: ({ data, name }, chunks) => {
      const text = name === "" && state.ending.isOpen() ? state.lines.read(data) : undefined
      return text === undefined ? readRecord(state, data, name, chunks) : addText(state, text, chunks)
    },
    end: (chunks) => (state.ending.isOpen() ? "open" : finish(state, chunks))
  }
}

const findText = (data: string): Text | undefined => {
  const value = Json.parse(data)
  return Chunks.chunkSchema.is(value) && !Errors.isError(value) ? Chunks.findOnlyText(value) : undefined
}

const addText = ({ ending, parts, seen }: State, text: Text, chunks: Array<StreamingChunk>): Progress => {
  parts.addText(text)
  ending.start()
  if (text.kind === "content") seen.hasAnswer = true
  chunks.push(TextLines.toChunk(text))
  return "open"
}

const fail = ({ options }: State, body: string): Progress =>
  Errors.toReason({ ...options, report: Errors.readBody(body) })

const readRecord = (state: State, data: string, eventName: string, chunks: Array<StreamingChunk>): Progress => {
  const { ending, lines, metadata } = state
  const isErrorEvent = eventName.toLowerCase() === "error"
  if (data === "" && !isErrorEvent) return ending.progress()
  if (!isErrorEvent && isDone(data)) return finish(state, chunks)
  const value = Json.parse(data)
  if (isErrorEvent || Errors.isError(value)) return fail(state, data)
  const isChunk = Json.isObject(value) && "choices" in value
  // Proxies add events of their own, such as pings. Only an event without a name must be a chunk.
  if (!isChunk && eventName !== "" && eventName !== "message" && !Chunks.isAnswerWithoutChoice(value)) {
    return ending.progress()
  }
  if (!Chunks.chunkSchema.is(value)) return Chunks.chunkSchema.parseError(data)
  const text = ending.isOpen() ? Chunks.findOnlyText(value) : undefined
  if (text === undefined) {
    lines.forget()
    return readChunk(state, value, data, chunks)
  }
  if (isPromptCut(state, value)) return promptCut()
  lines.learn(data, text)
  metadata.read(value)
  return addText(state, text, chunks)
}

const isPromptCut = ({ options, seen }: State, { usage }: Chunk): boolean =>
  !seen.hasAnswer && usage != null && options.isPromptCut(Chunks.toUsage(usage) ?? {})

const promptCut = () => new ContextOverflow({ description: "the server dropped a part of the prompt" })

const readChunk = (state: State, chunk: Chunk, data: string, chunks: Array<StreamingChunk>): Progress => {
  const { calls, ending, metadata, options } = state
  if (isPromptCut(state, chunk)) return promptCut()
  const choices = Chunks.toChoices(chunk)
  if (choices.length === 0) {
    if (Chunks.hasUnknownContent(chunk) || Chunks.isAnswerWithoutChoice(chunk)) {
      return WireSchema.parseError(data, "neither a part of an answer nor an error")
    }
    // A chunk without text, so that deadlines see that the server works.
    if (Json.isObject(chunk.prompt_progress)) addPiece(state, Chunks.emptyPiece, chunk, chunks)
  }
  let other: Choice | undefined
  for (const [position, choice] of choices.entries()) {
    if ((Json.toCount(choice.index) ?? position) !== 0) {
      if (Chunks.hasAnswer(choice)) other = choice
      continue
    }
    const progress = readChoice(state, choice, chunk, data, chunks)
    if (progress !== "open") return progress
  }
  // Only one completion was requested. Parts of another one must not get into it, nor be lost.
  if (other !== undefined) {
    return WireSchema.parseError(data, "a part of another answer than the one that was requested")
  }
  if (calls.bytes() > options.maxLineBytes) return new LineTooLong({ limit: options.maxLineBytes })
  metadata.read(chunk)
  return ending.progress()
}

const readChoice = (
  state: State,
  choice: Choice,
  chunk: Chunk,
  data: string,
  chunks: Array<StreamingChunk>
): Progress => {
  const { calls, ending, parts, seen } = state
  if (choice.error) return fail(state, Json.stringify({ error: choice.error }) ?? "")
  const word = FinishReason.toWord(choice.finish_reason)
  const piece = parts.read(choice, { isLast: ending.isLast(word), calls: calls.count() })
  if (piece === undefined) return WireSchema.parseError(data, "a part of the content has no known form")
  const isEmpty = Chunks.isEmpty(piece)
  ending.read(word, { isEmpty, isFirst: isEmpty && !seen.hasAnswer })
  if (piece.refusal !== "") seen.isRefused = true
  if (piece.content !== "" || piece.refusal !== "" || piece.fragments.length > 0) seen.hasAnswer = true
  else if (!seen.hasAnswer && isEmpty && Chunks.hasUnreadContent(choice)) seen.unread ??= WireSchema.beginning(data)
  if (Chunks.hasMedia(choice)) seen.lost ??= WireSchema.beginning(data)
  // The final chunk stands for a finish chunk without content.
  return ending.isOpen() || !isEmpty ? addPiece(state, piece, chunk, chunks) : "open"
}

const addPiece = ({ calls }: State, piece: Piece, chunk: Chunk, chunks: Array<StreamingChunk>): Progress => {
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

const finish = ({ calls, ending, metadata, options, seen }: State, chunks: Array<StreamingChunk>): Progress => {
  const word = ending.word()
  // `[DONE]` alone proves little: servers send it after a failure too.
  if (word === undefined && (options.hasFinishReason || !seen.hasAnswer)) {
    return new StreamTruncated({ missing: "finish-reason" })
  }
  const toolCalls = calls.complete(FinishReason.isLength(word))
  const finishReason = FinishReason.read(
    word,
    Result.map(toolCalls, ({ length }) => length),
    calls.count() === 0 ? seen : { ...seen, hasTools: true }
  )
  if (Result.isFailure(finishReason)) return finishReason.failure
  const complete = Result.getOrElse(toolCalls, () => [])
  chunks.push({
    content: "",
    isFinal: true,
    ...(complete.length === 0 ? {} : { toolCalls: complete }),
    finishReason: finishReason.success,
    ...metadata.fields()
  })
  return "complete"
}

/** vLLM and SGLang send the last token together with the finish reason. */
const longestToken = 16

/** The parts of a completion. What another field of a choice or the last chunk repeats is left out. */
const makeParts = () => {
  const content = Delivered.makeText(longestToken)
  const thinking = Delivered.makeText(longestToken)
  const refusal = Delivered.makeText(longestToken)
  let callsFrom = Infinity

  return {
    /** Adds the text of a delta. */
    addText: ({ kind, text }: Text): void => (kind === "content" ? content : thinking).add(text),
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
 * Whether a completion is over. A finish reason does not prove it: some servers send one with every chunk, so that only the end
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
    /** Whether a finish reason says that its chunk is the last one: not if one came with an earlier part of the completion. */
    isLast: (next: string | undefined): boolean => next !== undefined && !hadWordWithPart,
    /** A part of the completion came. */
    start: (): void => {
      isStarted = true
    },
    progress: (): Progress => (isEnding ? "ending" : "open"),
    /** Reads the finish reason of a chunk. `isFirst`: nothing of the completion came before or with it. */
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

/** What the chunks of a completion report besides its parts. The last report counts. */
const makeMetadata = ({ isPromptCut, model: requestedModel = "", provider }: Options) => {
  let model = requestedModel
  let responseId: string | undefined
  let usage: Usage | undefined
  let timings: Timings | undefined
  let cachedTokens: number | undefined

  return {
    read: (chunk: Chunk): void => {
      model = Json.toText(chunk.model) ?? model
      responseId = Json.toText(chunk.id) ?? responseId
      if (Json.isObject(chunk.timings)) {
        timings = Chunks.toTimings(chunk.timings)
        cachedTokens = Json.toCount(chunk.timings.cache_n)
      }
      const reported = chunk.usage ?? Chunks.toChoices(chunk)[0]?.usage
      if (reported != null) usage = Chunks.toUsage(reported) ?? usage
    },
    /** Its fields on the final chunk. */
    fields: () => ({
      model,
      ...(usage === undefined ? {} : { usage: cachedTokens === undefined ? usage : { cachedTokens, ...usage } }),
      ...(timings === undefined ? {} : { timings }),
      ...(usage !== undefined && isPromptCut(usage) ? { promptTruncated: true } : {}),
      ...(responseId === undefined ? {} : { responseId }),
      ...(provider === undefined ? {} : { provider })
    })
  }
}
