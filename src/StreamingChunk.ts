/**
 * One chunk of a completion, as `Provider.stream` emits it, and a whole completion, which `Completion` exports too.
 *
 * @category Core
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"

/**
 * Why the model stopped, in the words of `effect/ai`.
 *
 * - `stop`: the model ended, or generated a stop text.
 * - `length`: `maxTokens` or the context was used up, so the completion is truncated. Takes precedence over
 *   `tool-calls`; a call with truncated arguments is not in `toolCalls`.
 * - `tool-calls`: there are tool calls, whatever word the server uses for it.
 * - `content-filter`: a filter ended it, or it is a refusal.
 * - `other`: any other word of the server, or none.
 *
 * @category models
 */
export const FinishReason = Schema.Literals(["stop", "length", "content-filter", "tool-calls", "other"])
export type FinishReason = typeof FinishReason.Type

/**
 * The number of tokens, as the server counted them. Nothing is estimated: a field that the server did not report is
 * absent.
 *
 * @category models
 */
export class Usage extends Schema.Opaque<Usage>()(
  Schema.Struct({
    /** Tokens of the prompt, including cached ones. */
    promptTokens: Schema.optional(Schema.Finite),
    /** Generated tokens, including thinking. */
    completionTokens: Schema.optional(Schema.Finite),
    /** The sum of both. */
    totalTokens: Schema.optional(Schema.Finite),
    /** Tokens of the prompt that the server had in its cache. A part of `promptTokens`. */
    cachedTokens: Schema.optional(Schema.Finite),
    /** Generated tokens that are thinking. A part of `completionTokens`. */
    reasoningTokens: Schema.optional(Schema.Finite)
  })
) {}

const Milliseconds = Schema.Finite.pipe(Schema.decodeTo(Schema.Duration, SchemaTransformation.durationFromMillis))

/**
 * How long the server took, as it reported; LM Studio reports nothing. Durations are encoded as milliseconds.
 *
 * @category models
 */
export const Timings = Schema.Struct({
  /** From the receipt of the request to the end of the completion. */
  total: Schema.optional(Milliseconds),
  /** Loading the model; close to zero if it was in memory. */
  load: Schema.optional(Milliseconds),
  /** Processing the prompt. */
  prompt: Schema.optional(Milliseconds),
  /** Generating the completion. */
  completion: Schema.optional(Milliseconds)
})
export interface Timings extends Schema.Schema.Type<typeof Timings> {}

/**
 * How much of the prompt the server has processed, in tokens. Only llama.cpp's server reports it.
 *
 * @category models
 * @since 0.2.0
 */
export const PromptProgress = Schema.Struct({
  /** Tokens processed so far, including cached ones. */
  processed: Schema.Finite,
  /** Tokens of the whole prompt. */
  total: Schema.Finite,
  /** Tokens that the server had in its cache. */
  cached: Schema.optional(Schema.Finite)
})
export interface PromptProgress extends Schema.Schema.Type<typeof PromptProgress> {}

/**
 * A complete tool call: the model requests that `name` be called with `arguments`.
 *
 * @category models
 */
export class ToolCall extends Schema.Opaque<ToolCall>()(
  Schema.Struct({
    /**
     * Identifies the call; the message with its result has it as `toolCallId`. Generated (`call_0`, …) if the server sent
     * none.
     */
    id: Schema.String,
    /** The name of the tool. The model may invent one: it is not compared with the tools of the request. */
    name: Schema.String,
    /** Parsed JSON, as the model wrote it: not validated against the tool's parameters. */
    arguments: Schema.Unknown
  })
) {}

/**
 * A fragment of a tool call while the model writes it. Only the OpenAI-compatible servers send fragments.
 *
 * @category models
 */
export const ToolCallDelta = Schema.Struct({
  /** Which call of this completion the fragment belongs to, counted from 0. */
  index: Schema.Finite,
  /** On the first fragment of a call. */
  id: Schema.optional(Schema.String),
  /** On the fragment that contains it, usually the first. */
  name: Schema.optional(Schema.String),
  /** The next part of the arguments' JSON text; may be `""`. */
  argumentsDelta: Schema.String
})
export interface ToolCallDelta extends Schema.Schema.Type<typeof ToolCallDelta> {}

const fields = {
  /**
   * The next part of the text; may be `""`, since servers also send records with only thinking, tool calls or nothing.
   */
  content: Schema.String,
  /** The next part of the model's thinking. */
  thinking: Schema.optional(Schema.String),
  /** Fragments of tool calls. Each call follows as a whole in `toolCalls`. */
  toolCallDeltas: Schema.optional(Schema.Array(ToolCallDelta)),
  /** Complete tool calls. */
  toolCalls: Schema.optional(Schema.Array(ToolCall))
} as const

/**
 * Any chunk but the last.
 *
 * @category models
 * @since 0.2.0
 */
export const ContentChunk = Schema.Struct({
  ...fields,
  /** Always `false`. */
  isFinal: Schema.Literal(false),
  /** How much of the prompt is processed, on chunks before the first text. */
  promptProgress: Schema.optional(PromptProgress)
})
export interface ContentChunk extends Schema.Schema.Type<typeof ContentChunk> {}

/** Of the completion as a whole. */
const ending = {
  /** The model that generated it. It can differ from the one that was requested. */
  model: Schema.String,
  /** Why the model stopped; `length` if the text is truncated. */
  finishReason: FinishReason,
  /** The number of tokens, if the server reported it. */
  usage: Schema.optional(Usage),
  /** How long the server took, if it reported it. */
  timings: Schema.optional(Timings),
  /** The server's name for this completion, if it has one. Not every server makes it unique. */
  responseId: Schema.optional(Schema.String),
  /**
   * Whether the server dropped a part of the prompt to fit it into the context. Only with `overflow: "truncate"`, and
   * only where it is certain: from the tokens that the server counted, the size of the prompt, and `contextLength` if
   * the request has it.
   */
  promptTruncated: Schema.optional(Schema.Boolean),
  /** The name of the provider that answered, which a policy may have chosen among several. Absent in chunks of your own alone. */
  provider: Schema.optional(Schema.String),
  /** `true` if `Cache` had the completion, or another request generated it: it cost no tokens of its own. */
  fromCache: Schema.optional(Schema.Boolean)
} as const

/**
 * The last chunk of a completion. It may contain text, thinking and tool calls like any other.
 *
 * @category models
 * @since 0.2.0
 */
export const FinalChunk = Schema.Struct({
  ...fields,
  /** Always `true`. */
  isFinal: Schema.Literal(true),
  ...ending
})
export interface FinalChunk extends Schema.Schema.Type<typeof FinalChunk> {}

/**
 * One chunk of a completion. `isFinal` is true on exactly one chunk of a successful stream, its last, and narrows the
 * type. The text is the `content` of all chunks, including the final one; likewise for `thinking` and `toolCalls`.
 *
 * @category models
 */
export const StreamingChunk = Schema.Union([ContentChunk, FinalChunk])
export type StreamingChunk = ContentChunk | FinalChunk

/**
 * A whole completion. Its text is cut if the `finishReason` is `length`. For a file or a database, encode it with this
 * schema.
 *
 * @category models
 * @since 0.2.0
 */
export const Completion = Schema.Struct({
  /** The whole text. */
  content: Schema.String,
  /** The model's thinking, if there is any. */
  thinking: Schema.optional(Schema.String),
  /** The tool calls that the model requests; may be empty. */
  toolCalls: Schema.Array(ToolCall),
  ...ending
})
export interface Completion extends Schema.Schema.Type<typeof Completion> {}

/**
 * The codec between a chunk and its JSON text, for a browser, another process or a log. It writes durations as
 * milliseconds; `JSON.stringify` alone would write Effect's internal form. Decoding the text gives the same chunk
 * again.
 *
 * @category models
 * @since 0.2.0
 */
export const FromJsonString = Schema.fromJsonString(StreamingChunk)
