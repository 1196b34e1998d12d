/**
 * One piece of an answer, as it comes out of `Provider.stream`.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Why the model stopped, in the words of `effect/ai`.
 *
 * **Details**
 *
 * - `stop`: the model ended its answer, or generated a stop word.
 * - `length`: `maxTokens` or the context was used up, so the answer is cut. Takes precedence over `tool-calls`; a call with
 *   cut arguments is not in `toolCalls`.
 * - `tool-calls`: the answer has tool calls, whatever word the server uses for it.
 * - `content-filter`: a filter cut the answer, or the answer is a refusal.
 * - `other`: any other word of the server, or none.
 *
 * @since 0.1.0
 */
export const FinishReason = Schema.Literals(["stop", "length", "content-filter", "tool-calls", "other"])

/**
 * @since 0.1.0
 */
export type FinishReason = typeof FinishReason.Type

/**
 * What an answer cost, in tokens, as the server counted it. Absent fields were not reported: nothing is estimated.
 *
 * @since 0.1.0
 */
export const Usage = Schema.Struct({
  /** Tokens of the prompt, the cached ones included. */
  promptTokens: Schema.optional(Schema.Number),
  /** Tokens generated, thinking included. */
  completionTokens: Schema.optional(Schema.Number),
  /** The sum of both. */
  totalTokens: Schema.optional(Schema.Number),
  /** Tokens of the prompt that the server had in its cache. A part of `promptTokens`. */
  cachedTokens: Schema.optional(Schema.Number),
  /** Tokens generated as reasoning. A part of `completionTokens`. */
  reasoningTokens: Schema.optional(Schema.Number)
})

/**
 * @since 0.1.0
 */
export interface Usage extends Schema.Schema.Type<typeof Usage> {}

/**
 * Where the server spent its time, as it reported it. LM Studio does not report it.
 *
 * @since 0.1.0
 */
export const Timings = Schema.Struct({
  /** From the server's receipt of the request to the end of the answer. */
  total: Schema.optional(Schema.Duration),
  /** Loading the model; next to zero when it was in memory. */
  load: Schema.optional(Schema.Duration),
  /** Reading the prompt. */
  prompt: Schema.optional(Schema.Duration),
  /** Generating the answer. */
  completion: Schema.optional(Schema.Duration)
})

/**
 * @since 0.1.0
 */
export interface Timings extends Schema.Schema.Type<typeof Timings> {}

/**
 * A whole tool call: the model asks to run `name` with `arguments`.
 *
 * @since 0.1.0
 */
export const ToolCall = Schema.Struct({
  /** Names the call; send it back as `toolCallId` with the result. Made up (`call_0`, …) where the server gave none. */
  id: Schema.String,
  name: Schema.String,
  /** Parsed JSON, as the model wrote it: not checked against the tool's parameters. */
  arguments: Schema.Unknown
})

/**
 * @since 0.1.0
 */
export interface ToolCall extends Schema.Schema.Type<typeof ToolCall> {}

/**
 * A fragment of a tool call while it is being written. Only the OpenAI-style servers send fragments.
 *
 * @since 0.1.0
 */
export const ToolCallDelta = Schema.Struct({
  /** Which call of this answer the fragment belongs to, counted from 0. */
  index: Schema.Number,
  /** On the first fragment of a call. */
  id: Schema.optional(Schema.String),
  /** On the fragment that brings it, mostly the first. */
  name: Schema.optional(Schema.String),
  /** The next piece of the arguments' JSON text, may be `""`. */
  argumentsDelta: Schema.String
})

/**
 * @since 0.1.0
 */
export interface ToolCallDelta extends Schema.Schema.Type<typeof ToolCallDelta> {}

/**
 * How much of the prompt has been processed, in tokens.
 *
 * @since 0.2.0
 */
export const PromptProgress = Schema.Struct({
  /** Tokens processed so far, the cached ones included. */
  processed: Schema.Number,
  /** Tokens of the prompt. */
  total: Schema.Number,
  /** Tokens that the server had in its cache. */
  cached: Schema.optional(Schema.Number)
})

/**
 * @since 0.2.0
 */
export interface PromptProgress extends Schema.Schema.Type<typeof PromptProgress> {}

/**
 * One piece of an answer.
 *
 * **Details**
 *
 * Text comes in pieces: join `content` (and `thinking`) of all chunks, the final one included. `toolCalls` are whole
 * calls: collect them over all chunks. `model`, `finishReason`, `usage` and `timings` are on the final chunk.
 *
 * **Gotchas**
 *
 * `content` may be `""` on any chunk: a server also sends records that carry only thinking, tool calls, or nothing.
 *
 * @since 0.1.0
 */
export const StreamingChunk = Schema.Struct({
  /** The next piece of the answer's text, may be `""`. */
  content: Schema.String,
  /** True on exactly one chunk of a successful stream, its last. */
  isFinal: Schema.Boolean,
  /** The next piece of the model's reasoning. */
  thinking: Schema.optional(Schema.String),
  /** Fragments of tool calls as they are written; each call comes whole in `toolCalls` later. */
  toolCallDeltas: Schema.optional(Schema.Array(ToolCallDelta)),
  /** Whole tool calls. */
  toolCalls: Schema.optional(Schema.Array(ToolCall)),
  /** The model that answered, which need not be the one that was asked. Always on the final chunk. */
  model: Schema.optional(Schema.String),
  /** Always on the final chunk. */
  finishReason: Schema.optional(FinishReason),
  /** On the final chunk, if the server reported it. */
  usage: Schema.optional(Usage),
  /** On the final chunk, if the server reported it. */
  timings: Schema.optional(Timings),
  /** On the final chunk, if the server reported it: its id of the answer. */
  responseId: Schema.optional(Schema.String),
  /** On chunks without text before the answer, if the server reports it: `llama-server` with `return_progress`. */
  promptProgress: Schema.optional(PromptProgress)
})

/**
 * @since 0.1.0
 */
export interface StreamingChunk extends Schema.Schema.Type<typeof StreamingChunk> {}
