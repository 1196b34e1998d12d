/**
 * What to ask a model: one request type for all servers.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import { InvalidRequest } from "./ProviderError.ts"
import { ToolCall } from "./StreamingChunk.ts"

const durationInput = (isAllowed: (duration: Duration.Duration) => boolean, expected: string) =>
  Schema.declare(
    (u): u is Duration.Input =>
      Option.match(Duration.fromInput(u as Duration.Input), { onNone: () => false, onSome: isAllowed }),
    { expected: `${expected}, such as "30 seconds" or Infinity` }
  )

const DurationInput = durationInput((duration) => !Duration.isNegative(duration), "a duration of zero or more")

const Limit = durationInput(Duration.isPositive, "a duration of more than zero")

const JsonObject = Schema.Record(Schema.String, Schema.Unknown)

const SchemaOrJsonSchema = Schema.Union([Schema.declare(Schema.isSchema, { expected: "a Schema" }), JsonObject])

/**
 * A picture: its bytes, or its base64 text (with or without the `data:` prefix). Servers take PNG and JPEG, Ollama also
 * WebP.
 *
 * @since 0.1.0
 */
export const Image = Schema.Union([Schema.NonEmptyString, Schema.Uint8Array])

/**
 * @since 0.1.0
 */
export type Image = typeof Image.Type

/**
 * One message of a conversation.
 *
 * @since 0.1.0
 */
export const Message = Schema.Struct({
  role: Schema.Literals(["system", "user", "assistant", "tool"]),
  content: Schema.String,
  /** Pictures that go with the text, for models that can see. */
  images: Schema.optional(Schema.Array(Image)),
  /** What the assistant thought before it answered, from an earlier answer. Only Ollama takes it back. */
  thinking: Schema.optional(Schema.String),
  /** The calls that the assistant made, from an earlier answer. */
  toolCalls: Schema.optional(Schema.Array(ToolCall)),
  /** Which call a `tool` message answers. */
  toolCallId: Schema.optional(Schema.String),
  /** Which tool a `tool` message comes from. */
  toolName: Schema.optional(Schema.String)
})

/**
 * @since 0.1.0
 */
export interface Message extends Schema.Schema.Type<typeof Message> {}

/**
 * A function that the model may ask to be called.
 *
 * @since 0.1.0
 */
export const Tool = Schema.Struct({
  name: Schema.NonEmptyString,
  description: Schema.optional(Schema.String),
  /** What it takes: a `Schema` or a JSON Schema object. Default: nothing. */
  parameters: Schema.optional(SchemaOrJsonSchema)
})

/**
 * @since 0.1.0
 */
export interface Tool extends Schema.Schema.Type<typeof Tool> {}

/**
 * How long one answer may take. `Infinity` switches a deadline off.
 *
 * @since 0.1.0
 */
export const Deadlines = Schema.Struct({
  /** From the request to the first chunk, model load and prompt reading included. Default: 5 minutes. */
  firstChunk: Schema.optional(Limit),
  /** From the moment the consumer asks for the next chunk until it is there. Default: 2 minutes. */
  idle: Schema.optional(Limit),
  /** From the request to the end of the answer, the consumer's own time included. Default: none. */
  total: Schema.optional(Limit)
})

/**
 * @since 0.1.0
 */
export interface Deadlines extends Schema.Schema.Type<typeof Deadlines> {}

const between = (minimum: number, maximum: number) => Schema.Finite.check(Schema.isBetween({ minimum, maximum }))

const count = (minimum: number) => Schema.Int.check(Schema.isGreaterThanOrEqualTo(minimum))

/**
 * A request for an answer: `model` and either `messages` or `prompt`, the rest is optional.
 *
 * **Details**
 *
 * What is left out is not sent, so that the model's own settings on the server hold.
 *
 * **Example** (a chat with a system message)
 *
 * ```ts
 * import type { CompletionRequest } from "effect-local-llm"
 *
 * const request: CompletionRequest.CompletionRequest = {
 *   model: "llama3.2",
 *   messages: [
 *     { role: "system", content: "Answer in one sentence." },
 *     { role: "user", content: "Why is the sky blue?" }
 *   ],
 *   temperature: 0.2,
 *   maxTokens: 200
 * }
 * ```
 *
 * @since 0.1.0
 */
export const CompletionRequest = Schema.Struct({
  /** The model's name on the server, such as `llama3.2` or `qwen/qwen3-8b`. */
  model: Schema.NonEmptyString,
  /** A conversation, put into the model's chat template by the server. Either this or `prompt`. */
  messages: Schema.optional(Schema.Array(Message).check(Schema.isMinLength(1))),
  /** A text to go on from as it is, without the chat template. Either this or `messages`. */
  prompt: Schema.optional(Schema.NonEmptyString),

  /** How freely tokens are drawn: 0 (always the likeliest) to 2. */
  temperature: Schema.optional(between(0, 2)),
  /** Draw from the likeliest tokens that make up this probability: 0 to 1. */
  topP: Schema.optional(between(0, 1)),
  /** Draw from that many likeliest tokens; 0 for all. */
  topK: Schema.optional(count(0)),
  /** Leave out tokens less likely than this share of the likeliest: 0 to 1. */
  minP: Schema.optional(between(0, 1)),
  /** The same seed gives the same answer, as far as the server can. */
  seed: Schema.optional(Schema.Int),
  /** Texts that end the answer; they are not part of it. */
  stop: Schema.optional(Schema.Array(Schema.NonEmptyString)),
  /** The most tokens to generate, thinking included; 1 or more. */
  maxTokens: Schema.optional(count(1)),
  /** Against saying the same again: above 1 punishes it; more than 0. */
  repeatPenalty: Schema.optional(Schema.Finite.check(Schema.isGreaterThan(0))),
  /** Against tokens that were used already: -2 to 2. */
  presencePenalty: Schema.optional(between(-2, 2)),
  /** Against tokens in proportion to their use: -2 to 2. */
  frequencyPenalty: Schema.optional(between(-2, 2)),

  /** Functions that the model may ask for. With `messages` only. */
  tools: Schema.optional(Schema.Array(Tool)),
  /** The answer's form: any JSON, or JSON after a `Schema` or a JSON Schema object. */
  format: Schema.optional(Schema.Union([Schema.Literal("json"), SchemaOrJsonSchema])),
  /** Pictures that go with `prompt`; those of `messages` are in the messages. Ollama only. */
  images: Schema.optional(Schema.Array(Image)),
  /** Whether, or how hard, the model thinks before it answers. With `messages` only. Default: the model's own way. */
  think: Schema.optional(Schema.Union([Schema.Boolean, Schema.Literals(["low", "medium", "high"])])),
  /** How long the server keeps the model in memory after this answer; `Infinity` for good, 0 to unload. */
  keepAlive: Schema.optional(DurationInput),
  /**
   * What becomes of a prompt that does not fit: `"fail"` with `ContextOverflow`, or `"truncate"`, the server's own way of
   * dropping parts of it in silence. Default: `"fail"`. LM Studio decides by its own settings in either case.
   */
  overflow: Schema.optional(Schema.Literals(["fail", "truncate"])),
  /** Deadlines of this answer, each in place of the one of the layer. */
  deadlines: Schema.optional(Deadlines),
  /**
   * Further keys for the body as the server knows them, such as `{ options: { num_ctx: 8192 } }` for Ollama. A key that the
   * body has already is replaced, but objects are merged; `model`, `messages`, `prompt` and `stream` are rejected,
   * and so is more than one answer (`n`, `best_of`).
   */
  extra: Schema.optional(JsonObject)
}).check(
  Schema.makeFilter((request) => {
    if (request.messages === undefined && request.prompt === undefined) {
      return { path: ["messages"], issue: "either messages or prompt is required" }
    }
    if (request.messages !== undefined && request.prompt !== undefined) {
      return { path: ["prompt"], issue: "messages and prompt exclude each other" }
    }
    for (const key of ["tools", "think"] as const) {
      if (request.prompt !== undefined && request[key] !== undefined) {
        return { path: [key], issue: "goes with messages, not with prompt" }
      }
    }
    if (request.messages !== undefined && request.images !== undefined) {
      return { path: ["images"], issue: "goes with prompt; pictures of a chat are in its messages" }
    }
    for (const key of ["model", "messages", "prompt", "stream"]) {
      if (request.extra !== undefined && key in request.extra) {
        return { path: ["extra", key], issue: "is set by the request itself" }
      }
    }
    for (const key of ["n", "best_of"]) {
      const value = request.extra?.[key]
      if (value !== undefined && value !== 1) {
        return { path: ["extra", key], issue: "must be 1: a stream has one answer" }
      }
    }
    return undefined
  })
)

/**
 * @since 0.1.0
 */
export interface CompletionRequest extends Schema.Schema.Type<typeof CompletionRequest> {}

/**
 * What is wrong with a request, if anything: the first field at fault and what it should be. Every provider checks this
 * before it sends anything.
 *
 * @since 0.1.0
 */
export const check = (request: CompletionRequest): InvalidRequest | undefined => findFault(validate(request))

/**
 * As `check`, for the deadlines of a layer.
 *
 * @since 0.1.0
 */
export const checkDeadlines = (deadlines: Deadlines | undefined): InvalidRequest | undefined =>
  findFault(validateOptions({ deadlines }))

const strict = { onExcessProperty: "error" } as const
const validate = Schema.decodeUnknownResult(Schema.toType(CompletionRequest), strict)
const validateOptions = Schema.decodeUnknownResult(
  Schema.toType(Schema.Struct({ deadlines: Schema.optional(Deadlines) })),
  strict
)
const toStandardIssues = SchemaIssue.makeFormatterStandardSchemaV1()

const findFault = (result: Result.Result<unknown, Schema.SchemaError>): InvalidRequest | undefined => {
  if (Result.isSuccess(result)) return undefined
  const issue = toStandardIssues(result.failure.issue).issues[0]
  const field = issue?.path?.map((segment) => (typeof segment === "object" ? segment.key : segment))
  return new InvalidRequest({
    field: field === undefined || field.length === 0 ? undefined : formatPath(field),
    description: issue?.message
  })
}

const formatPath = (path: ReadonlyArray<PropertyKey>): string =>
  path.map((key, i) => (typeof key === "number" ? `[${key}]` : i === 0 ? String(key) : `.${String(key)}`)).join("")
