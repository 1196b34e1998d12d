/**
 * One chunk of an OpenAI-style answer. Servers differ in what they leave out, send as null or name differently, so every
 * known form is read.
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import type { ContentChunk, Timings, Usage } from "../../StreamingChunk.ts"
import * as Json from "../wire/json.ts"
import * as ToolCalls from "./toolCalls.ts"

const optionalText = Json.nullish(Schema.String)
const optionalNumber = Json.nullish(Schema.Number)

/** Content as a list of parts: Mistral sends it, and gateways that pass on whole messages. */
const Part = Schema.Struct({
  text: optionalText,
  refusal: optionalText,
  thinking: Json.nullish(Schema.Union([Schema.String, Schema.Array(Schema.Struct({ text: Schema.String }))]))
})

/** A part of the answer, or all of it. */
const Delta = Schema.Struct({
  content: Json.nullish(Schema.Union([Schema.String, Schema.Array(Part)])),
  refusal: optionalText,
  reasoning_content: optionalText,
  reasoning: optionalText,
  thinking: Json.nullish(Schema.Unknown),
  tool_calls: Json.nullish(Schema.Array(ToolCalls.Fragment)),
  function_call: Json.nullish(ToolCalls.FunctionFragment),
  // Parts of an answer that no chunk can carry.
  images: Json.nullish(Schema.Unknown),
  audio: Json.nullish(Schema.Unknown)
})

interface Delta extends Schema.Schema.Type<typeof Delta> {}

/** `delta` in a chat, or `message` from servers that send whole messages; `text` in a plain completion. */
const Choice = Schema.Struct({
  index: optionalNumber,
  delta: Json.nullish(Delta),
  message: Json.nullish(Delta),
  text: optionalText,
  finish_reason: optionalText,
  error: Json.nullish(Schema.Unknown)
})

export interface Choice extends Schema.Schema.Type<typeof Choice> {}

/** The chunk that reports the usage has no choice. */
const Chunk = Schema.Struct({
  choices: Json.nullish(Schema.Array(Choice)),
  object: Json.nullish(Schema.Unknown),
  id: Json.nullish(Schema.Unknown),
  model: optionalText,
  usage: Json.nullish(
    Schema.Struct({
      prompt_tokens: optionalNumber,
      completion_tokens: optionalNumber,
      total_tokens: optionalNumber,
      prompt_tokens_details: Json.nullish(Schema.Struct({ cached_tokens: optionalNumber })),
      completion_tokens_details: Json.nullish(Schema.Struct({ reasoning_tokens: optionalNumber }))
    })
  ),
  // Only llama.cpp's server sends these.
  timings: Json.nullish(
    Schema.Struct({ prompt_ms: optionalNumber, predicted_ms: optionalNumber, cache_n: optionalNumber })
  ),
  prompt_progress: Json.nullish(
    Schema.Struct({ total: optionalNumber, processed: optionalNumber, cache: optionalNumber })
  )
})

export interface Chunk extends Schema.Schema.Type<typeof Chunk> {}

export const chunkSchema = Json.lineSchema(Chunk)

/** What a choice adds to the answer. */
export interface Piece {
  readonly content: string
  readonly thinking: string
  readonly refusal: string
  readonly fragments: ReadonlyArray<ToolCalls.Fragment>
}

/** Reads the part of an answer in one choice; `undefined` if a part of its content has no known form. */
export const toPiece = (delta: Delta | null | undefined, text: string | null | undefined): Piece | undefined => {
  const content = delta?.content
  const piece = {
    content: (typeof content === "string" ? content : "") || (text ?? ""),
    thinking:
      delta?.reasoning_content || delta?.reasoning || (typeof delta?.thinking === "string" ? delta.thinking : ""),
    refusal: delta?.refusal ?? "",
    fragments: toFragments(delta)
  }
  if (content == null || typeof content === "string") return piece
  for (const { refusal, text, thinking } of content) {
    if (text == null && refusal == null && thinking == null) return undefined
    piece.content += text ?? ""
    piece.refusal += refusal ?? ""
    piece.thinking += typeof thinking === "string" ? thinking : (thinking ?? []).map((part) => part.text).join("")
  }
  return piece
}

/** The text of a choice that adds nothing else. */
export const findOnlyText = ({ delta, error, finish_reason, text }: Choice): string | undefined =>
  delta != null &&
  typeof delta.content === "string" &&
  delta.content !== "" &&
  delta.tool_calls == null &&
  !delta.reasoning_content &&
  !delta.reasoning &&
  delta.thinking == null &&
  !delta.refusal &&
  delta.images == null &&
  delta.audio == null &&
  delta.function_call == null &&
  text == null &&
  !finish_reason &&
  !error
    ? delta.content
    : undefined

/** What a chunk without a choice adds. */
export const emptyPiece: Piece = { content: "", thinking: "", refusal: "", fragments: [] }

const noFragments: ReadonlyArray<ToolCalls.Fragment> = []

/** `function_call` is how calls were sent before there were several in one answer. */
const toFragments = (delta: Delta | null | undefined): ReadonlyArray<ToolCalls.Fragment> => {
  if (delta?.tool_calls != null && delta.tool_calls.length > 0) return delta.tool_calls
  const call = delta?.function_call
  return call?.name || call?.arguments ? [{ function: call }] : noFragments
}

export const isEmpty = (piece: Piece): boolean =>
  piece.content === "" && piece.thinking === "" && piece.refusal === "" && piece.fragments.length === 0

/** Whether a choice has an image or audio. */
export const hasMedia = ({ delta, message }: Choice): boolean =>
  [delta?.images, delta?.audio, message?.images, message?.audio].some(Json.isContent)

/** Whether a choice may have a part of the answer in a field that is not read. */
export const hasUnreadContent = (choice: Choice): boolean =>
  Json.hasOtherContent(choice, choiceFields) ||
  Json.hasOtherContent(choice.delta, deltaFields) ||
  Json.hasOtherContent(choice.message, deltaFields)

/** Fields that are read, and those that are not parts of an answer. */
const deltaFields = new Set([...Object.keys(Delta.fields), "role", "name", "reasoning_details", "annotations"])
// It is read if it is a text.
deltaFields.delete("thinking")

const choiceFields = new Set([
  ...Object.keys(Choice.fields),
  "logprobs",
  "native_finish_reason",
  "stop_reason",
  "matched_stop",
  "token_ids",
  "prompt_token_ids",
  "prompt_logprobs",
  "hidden_states",
  "content_filter_results"
])

/** All zeros were seen from servers that do not count, so they are no usage. */
export const toUsage = (usage: NonNullable<Chunk["usage"]>): Usage | undefined => {
  const promptTokens = Json.toCount(usage.prompt_tokens)
  const completionTokens = Json.toCount(usage.completion_tokens)
  const totalTokens = Json.toCount(usage.total_tokens)
  if (!promptTokens && !completionTokens && !totalTokens) return undefined
  const cachedTokens = Json.toCount(usage.prompt_tokens_details?.cached_tokens)
  const reasoningTokens = Json.toCount(usage.completion_tokens_details?.reasoning_tokens)
  return {
    promptTokens,
    completionTokens,
    totalTokens,
    ...(cachedTokens === undefined ? {} : { cachedTokens }),
    ...(reasoningTokens === undefined ? {} : { reasoningTokens })
  }
}

export const toTimings = (timings: NonNullable<Chunk["timings"]>): Timings => ({
  prompt: toDuration(timings.prompt_ms),
  completion: toDuration(timings.predicted_ms)
})

const toDuration = (milliseconds: number | null | undefined): Duration.Duration | undefined =>
  milliseconds == null || !Number.isFinite(milliseconds) ? undefined : Duration.millis(Math.max(0, milliseconds))

export const toPromptProgress = (progress: Chunk["prompt_progress"]): ContentChunk["promptProgress"] => {
  const processed = Json.toCount(progress?.processed)
  const total = Json.toCount(progress?.total)
  if (processed === undefined || total === undefined) return undefined
  const cached = Json.toCount(progress?.cache)
  return { processed, total, ...(cached === undefined ? {} : { cached }) }
}
