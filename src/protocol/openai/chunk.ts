/**
 * One chunk of an OpenAI-style completion. Servers differ in what they leave out, send as null or name differently, so every
 * known form is read.
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import type { ContentChunk, Timings, Usage } from "../../StreamingChunk.ts"
import * as Json from "../../values/json.ts"
import type { Text } from "../textLines.ts"
import * as WireSchema from "../wireSchema.ts"
import * as ToolCalls from "./toolCalls.ts"

const optionalText = WireSchema.nullish(Schema.String)
const partText = WireSchema.part(Schema.String)

/** Content as a list of parts: Mistral sends it, and gateways that pass on whole messages. */
const Part = Schema.Struct({
  text: optionalText,
  refusal: optionalText,
  thinking: WireSchema.nullish(Schema.Union([Schema.String, Schema.Array(Schema.Struct({ text: Schema.String }))]))
})

/** A part of the completion, or all of it. */
const Delta = Schema.Struct({
  content: WireSchema.part(Schema.Union([Schema.String, Schema.Array(Part)])),
  refusal: partText,
  // Thinking is read if it is a text.
  reasoning_content: WireSchema.metadata,
  reasoning: WireSchema.metadata,
  thinking: WireSchema.metadata,
  // One call without a list: TGI.
  tool_calls: WireSchema.part(Schema.Union([Schema.Array(ToolCalls.Fragment), ToolCalls.Fragment])),
  function_call: WireSchema.part(ToolCalls.FunctionFragment),
  // Parts of a completion that no chunk can carry.
  images: WireSchema.metadata,
  audio: WireSchema.metadata
})

interface Delta extends Schema.Schema.Type<typeof Delta> {}

/** `delta` in a chat, or `message` from servers that send whole messages; `text` in a plain completion. */
const Choice = Schema.Struct({
  index: WireSchema.metadata,
  delta: WireSchema.part(Delta),
  message: WireSchema.part(Delta),
  text: partText,
  finish_reason: partText,
  error: WireSchema.metadata,
  usage: WireSchema.metadata
})

export interface Choice extends Schema.Schema.Type<typeof Choice> {}

/** The chunk that reports the usage has no choice. Only llama.cpp's server sends `timings` and `prompt_progress`. */
const Chunk = Schema.Struct({
  choices: WireSchema.part(Schema.Array(Choice)),
  id: WireSchema.metadata,
  model: WireSchema.metadata,
  usage: WireSchema.metadata,
  timings: WireSchema.metadata,
  prompt_progress: WireSchema.metadata
})

export interface Chunk extends Schema.Schema.Type<typeof Chunk> {}

export const chunkSchema = WireSchema.lineSchema(Chunk)

/** The choices of a chunk. */
export const toChoices = ({ choices }: Chunk): ReadonlyArray<Choice> => (Json.isList(choices) ? choices : [])

/** What a choice adds to the completion. */
export interface Piece {
  readonly content: string
  readonly thinking: string
  readonly refusal: string
  readonly fragments: ReadonlyArray<ToolCalls.Fragment>
}

/** What a chunk without a choice adds. */
export const emptyPiece: Piece = { content: "", thinking: "", refusal: "", fragments: [] }

/**
 * The parts of a completion in one choice, in the order in which servers prefer these fields: if several are sent, or one after
 * another, each repeats those before it. `undefined` if a part of the content has no known form.
 */
export const toPieces = ({ delta, message, text }: Choice): ReadonlyArray<Piece | undefined> => [
  toPiece(delta),
  typeof text === "string" && text !== "" ? { ...emptyPiece, content: text } : emptyPiece,
  toPiece(message)
]

const toPiece = (delta: Choice["delta"]): Piece | undefined => {
  if (!Json.isObject(delta)) return emptyPiece
  const { content, reasoning, reasoning_content, refusal, thinking } = delta
  const piece = {
    content: Json.toText(content) ?? "",
    thinking: Json.toText(reasoning_content) ?? Json.toText(reasoning) ?? Json.toText(thinking) ?? "",
    refusal: Json.toText(refusal) ?? "",
    fragments: toFragments(delta)
  }
  if (!Json.isList(content)) return piece
  for (const { refusal, text, thinking } of content) {
    if (text == null && refusal == null && thinking == null) return undefined
    piece.content += text ?? ""
    piece.refusal += refusal ?? ""
    piece.thinking += typeof thinking === "string" ? thinking : (thinking ?? []).map((part) => part.text).join("")
  }
  return piece
}

/** The text of a chunk that adds nothing else. */
export const findOnlyText = (chunk: Chunk): Text | undefined => {
  const choices = toChoices(chunk)
  const choice = choices[0]
  if (choice === undefined || choices.length > 1 || chunk.prompt_progress != null) return undefined
  const { delta, error, finish_reason, index, message, text } = choice
  if (error || finish_reason || message != null || text != null || (Json.toCount(index) ?? 0) !== 0) return undefined
  const piece = toPiece(delta)
  if (piece === undefined || piece.refusal !== "" || piece.fragments.length > 0 || hasMedia(choice)) return undefined
  if ((piece.content === "") === (piece.thinking === "")) return undefined
  return piece.content === "" ? { kind: "thinking", text: piece.thinking } : { kind: "content", text: piece.content }
}

/** `function_call` is how calls were sent before there were several in one completion. */
const toFragments = ({ function_call: call, tool_calls: calls }: Delta): Piece["fragments"] => {
  if (Json.isList(calls) && calls.length > 0) return calls
  if (Json.isObject(calls) && Json.isContent(calls)) return [calls]
  return Json.isObject(call) && Json.isContent(call) ? [{ function: call }] : []
}

export const isEmpty = (piece: Piece): boolean =>
  piece.content === "" && piece.thinking === "" && piece.refusal === "" && piece.fragments.length === 0

/** Whether a choice has an image or audio. */
export const hasMedia = ({ delta, message }: Choice): boolean =>
  [delta, message].some((part) => [Json.get(part, "images"), Json.get(part, "audio")].some(Json.isContent))

/** Whether a choice has any part of a completion. */
export const hasAnswer = (choice: Choice): boolean =>
  toPieces(choice).some((piece) => piece === undefined || !isEmpty(piece)) ||
  hasMedia(choice) ||
  hasUnreadContent(choice)

/** Whether a choice may have a part of the completion in a field that is not read. */
export const hasUnreadContent = (choice: Choice): boolean =>
  Json.hasOtherContent(choice, choiceFields) ||
  [choice.delta, choice.message].some(
    (part) => Json.isObject(part) && (Json.hasOtherContent(part, deltaFields) || hasOtherThinking(part))
  )

/** Whether thinking has another form than text. */
const hasOtherThinking = ({ reasoning, reasoning_content, thinking }: Delta): boolean =>
  [reasoning_content, reasoning, thinking].some((value) => typeof value === "object" && Json.isContent(value))

/** Fields that are read, and those that are not parts of a completion. */
const deltaFields = new Set([...Object.keys(Delta.fields), "role", "name", "reasoning_details", "annotations"])

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

/** Whether a chunk that has neither choices nor a report has content all the same, in fields that are not read. */
export const hasUnknownContent = (chunk: Chunk): boolean =>
  chunk.choices === undefined &&
  chunk.usage == null &&
  chunk.prompt_progress == null &&
  Json.hasOtherContent(chunk, chunkFields)

/** Fields that are read, and those that are not parts of a completion. */
const chunkFields = new Set([
  ...Object.keys(Chunk.fields),
  "object",
  "created",
  "system_fingerprint",
  "service_tier",
  "provider"
])

/**
 * Whether an event without choices has a part of a completion: at its top, where a delta or a message belongs, or as a chunk in one
 * of its fields. A `message` that is a text belongs to a proxy.
 */
export const isAnswerWithoutChoice = (value: unknown): boolean => {
  if (Array.isArray(value)) return value.some((entry) => Json.isObject(entry) && "choices" in entry)
  if (!Json.isObject(value)) return false
  return (
    Json.toText(value.delta) !== undefined ||
    [value, value.delta, value.message].some(hasPart) ||
    Object.values(value).some((inner) => Json.isObject(inner) && Json.isContent(inner.choices))
  )
}

const hasPart = (value: unknown): boolean =>
  Json.isObject(value) &&
  (textFields.some((field) => Json.toText(value[field]) !== undefined) ||
    [value.content, value.tool_calls, value.function_call].some(Json.isContent))

const textFields = ["text", "response", "refusal", "reasoning_content", "reasoning", "thinking"]

/** Servers that do not count tokens send zeros, which are not a usage. */
export const toUsage = (usage: unknown): Usage | undefined => {
  const promptTokens = Json.toCount(Json.get(usage, "prompt_tokens"))
  const completionTokens = Json.toCount(Json.get(usage, "completion_tokens"))
  const totalTokens = Json.toCount(Json.get(usage, "total_tokens"))
  if (!promptTokens && !completionTokens && !totalTokens) return undefined
  const cachedTokens = Json.toCount(Json.get(Json.get(usage, "prompt_tokens_details"), "cached_tokens"))
  const reasoningTokens = Json.toCount(Json.get(Json.get(usage, "completion_tokens_details"), "reasoning_tokens"))
  return {
    promptTokens,
    completionTokens,
    totalTokens,
    ...(cachedTokens === undefined ? {} : { cachedTokens }),
    ...(reasoningTokens === undefined ? {} : { reasoningTokens })
  }
}

export const toTimings = (timings: unknown): Timings => ({
  prompt: toDuration(Json.get(timings, "prompt_ms")),
  completion: toDuration(Json.get(timings, "predicted_ms"))
})

const toDuration = (value: unknown): Duration.Duration | undefined => {
  const milliseconds = Json.toCount(value)
  return milliseconds === undefined ? undefined : Duration.millis(milliseconds)
}

export const toPromptProgress = (progress: unknown): ContentChunk["promptProgress"] => {
  const processed = Json.toCount(Json.get(progress, "processed"))
  const total = Json.toCount(Json.get(progress, "total"))
  if (processed === undefined || total === undefined) return undefined
  const cached = Json.toCount(Json.get(progress, "cache"))
  return { processed, total, ...(cached === undefined ? {} : { cached }) }
}
