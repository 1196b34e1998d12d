/**
 * A request to a model: one type for all servers. A field for which a server has no equivalent fails with
 * `Unsupported`.
 *
 * @category Core
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { Deadlines } from "./Deadlines.ts"
import { Image, Message, Tool } from "./Message.ts"
import * as Checked from "./values/checked.ts"
import * as Json from "./values/json.ts"
import * as Values from "./values/objects.ts"
import { InvalidRequest } from "./ProviderError.ts"

export { Deadlines } from "./Deadlines.ts"
export { ContentPart, Image, Message, Tool } from "./Message.ts"

const KeepAlive = Values.durationInput((duration) => !Duration.isNegative(duration), "a duration of zero or more")

const between = (minimum: number, maximum: number) => Schema.Finite.check(Schema.isBetween({ minimum, maximum }))

const count = (minimum: number) => Schema.Int.check(Schema.isGreaterThanOrEqualTo(minimum))

const Extra = Schema.declare(Values.isJsonObject, { expected: "an object of JSON values" }).check(
  Schema.makeFilter((extra) => {
    for (const key of ["model", "messages", "prompt", "stream", "stream_options"]) {
      if (key in extra) return { path: [key], issue: "is set by the request itself" }
    }
    for (const [key, value] of Object.entries(extra)) {
      if ((key === "n" || key === "best_of") && value !== undefined && value !== 1) {
        return { path: [key], issue: "must be 1: a stream has one answer" }
      }
    }
    return undefined
  })
)

const commonOptions = {
  /** The model's name on the server, such as `llama3.2`. Required here or in the `defaults` of the layer. */
  model: Schema.optional(Schema.NonEmptyString),
  /** Randomness: 0 (always the most likely token) to 2. */
  temperature: Schema.optional(between(0, 2)),
  /** Sample from the most likely tokens that have this probability together: 0 to 1. */
  topP: Schema.optional(between(0, 1)),
  /** Sample from that many most likely tokens; 0 for all. */
  topK: Schema.optional(count(0)),
  /** Sample from the tokens whose likelihood is the most typical, up to this share: 0 to 1; 1 for all. */
  typicalP: Schema.optional(between(0, 1)),
  /** Exclude tokens less likely than this share of the most likely one: 0 to 1. */
  minP: Schema.optional(between(0, 1)),
  /** The same seed gives the same completion, as far as the server can. */
  seed: Schema.optional(Schema.Int),
  /** Texts that end the completion. They are not part of it. */
  stop: Schema.optional(Schema.Array(Schema.NonEmptyString)),
  /** The most tokens to generate, including thinking; 1 or more. */
  maxTokens: Schema.optional(count(1)),
  /** Penalty for repeated tokens: above 1 makes them less likely; more than 0. */
  repeatPenalty: Schema.optional(Schema.Finite.check(Schema.isGreaterThan(0))),
  /** Penalty for tokens that were used before: -2 to 2. */
  presencePenalty: Schema.optional(between(-2, 2)),
  /** Penalty for tokens in proportion to their use: -2 to 2. */
  frequencyPenalty: Schema.optional(between(-2, 2)),
  /** The format of the completion: any JSON, or JSON that matches a `Schema` or a JSON Schema object. */
  format: Schema.optional(Schema.Union([Schema.Literal("json"), Values.SchemaOrJsonSchema])),
  /** The context to load the model with, in tokens; 1 or more. Default: the server's own. Only Ollama accepts it. */
  contextLength: Schema.optional(count(1)),
  /** How long the server keeps the model in memory after this completion; `Infinity` for always, 0 to unload it. */
  keepAlive: Schema.optional(KeepAlive),
  /**
   * If the prompt does not fit: `"fail"` with `ContextOverflow` (needs Ollama 0.12.6), or `"truncate"`, which lets the
   * server drop parts of it silently. Default: `"fail"`. LM Studio decides by its own settings in either case.
   */
  overflow: Schema.optional(Schema.Literals(["fail", "truncate"])),
  /** Deadlines of this completion. Each replaces the one of the layer. */
  deadlines: Schema.optional(Deadlines),
  /**
   * Further fields of the body, as the server names them, such as `{ options: { num_gpu: 1 } }` for Ollama. They
   * replace others of their name; objects are merged. Fields of the request itself and more than one completion are
   * rejected.
   */
  extra: Schema.optional(Extra)
} as const

/**
 * Whether the model calls tools: as it decides, never, at least one, or the one with this name. Ollama accepts `"auto"`
 * and `"none"` only, LM Studio and llama.cpp's server no name.
 *
 * @category models
 * @since 0.2.0
 */
export const ToolChoice = Schema.Union([
  Schema.Literals(["auto", "none", "required"]),
  Schema.Struct({
    /** The name of one of the tools of the request. */
    name: Schema.NonEmptyString
  })
])
export type ToolChoice = typeof ToolChoice.Type

const chatOptions = {
  /** Functions that the model may request to call. */
  tools: Schema.optional(Schema.Array(Tool)),
  /** Whether the model calls tools. Requires `tools`. Default: `"auto"`. */
  toolChoice: Schema.optional(ToolChoice),
  /**
   * Whether, or how much, the model thinks: `"low"`, `"medium"`, `"high"`, or another level that the model defines,
   * which LM Studio does not support. `"max"` needs Ollama 0.22 or later. Default: the model's own setting.
   */
  think: Schema.optional(Schema.Union([Schema.Boolean, Schema.NonEmptyString]))
} as const

/** A result has to belong to a call, or the model cannot know what it is the result of. */
const findMessageFault = (messages: ReadonlyArray<Message>) => {
  const ids = new Set<string>()
  const names = new Set<string>()
  for (const [i, message] of messages.entries()) {
    const { role, toolCallId, toolCalls = [], toolName } = message
    if (role !== "tool") {
      const key = (["toolCallId", "toolName", "isError"] as const).find((key) => message[key] !== undefined)
      if (key !== undefined) return { path: [i, key], issue: "Expected with the role tool only" }
    } else if (toolCallId !== undefined ? !ids.has(toolCallId) : toolName === undefined || !names.has(toolName)) {
      return { path: [i], issue: "Expected toolCallId or toolName of a call in an earlier assistant message" }
    }
    if (role !== "assistant" && toolCalls.length > 0) {
      return { path: [i, "toolCalls"], issue: "Expected with the role assistant only" }
    }
    for (const [j, { arguments: value, id, name }] of toolCalls.entries()) {
      if (!Json.isExpressible(value)) return { path: [i, "toolCalls", j, "arguments"], issue: "Expected a JSON value" }
      ids.add(id)
      names.add(name)
    }
  }
  return undefined
}

/** A field of the other kind of request. */
const absent = (message: string) => Schema.optionalKey(Schema.Undefined.annotate({ message }))

/**
 * A request with a conversation, which the server puts into the chat template that the model is trained on.
 *
 * @category models
 * @since 0.2.0
 */
export const ChatRequest = Schema.Struct({
  /** The conversation, the oldest message first; at least one. */
  messages: Schema.Array(Message)
    .check(Schema.isMinLength(1), Schema.makeFilter(findMessageFault))
    .pipe(Schema.annotateKey({ messageMissingKey: "Expected messages or prompt" })),
  ...chatOptions,
  ...commonOptions,
  /** Only in a `PromptRequest`. */
  prompt: absent("Expected either messages or prompt, not both"),
  /** Only in a `PromptRequest`. The images of a chat are in its messages. */
  images: absent("Expected images of a chat in its messages")
}).check(
  Schema.makeFilter(({ toolChoice, tools = [] }) => {
    if (toolChoice === undefined) return undefined
    if (tools.length === 0) return { path: ["toolChoice"], issue: "Expected tools to choose from" }
    const isKnown = typeof toolChoice === "string" || tools.some(({ name }) => name === toolChoice.name)
    return isKnown ? undefined : { path: ["toolChoice", "name"], issue: "Expected the name of one of the tools" }
  })
)
export interface ChatRequest extends Schema.Schema.Type<typeof ChatRequest> {}

const chatOnly = () => absent("Expected with messages only, not with prompt")

/**
 * A request with a text that the model continues as it is, such as code, without its chat template: `POST
 * /v1/completions`, on Ollama `POST /api/generate`.
 *
 * @category models
 * @since 0.2.0
 */
export const PromptRequest = Schema.Struct({
  /** The text to continue; not empty. */
  prompt: Schema.NonEmptyString,
  /** Images that belong to the prompt. Ollama only. */
  images: Schema.optional(Schema.Array(Image)),
  ...commonOptions,
  /** Only in a `ChatRequest`. */
  messages: absent("Expected either messages or prompt, not both"),
  /** Only in a `ChatRequest`. */
  tools: chatOnly(),
  /** Only in a `ChatRequest`. */
  toolChoice: chatOnly(),
  /** Only in a `ChatRequest`. */
  think: chatOnly()
})
export interface PromptRequest extends Schema.Schema.Type<typeof PromptRequest> {}

/**
 * A request for a completion: either `messages` or `prompt`, and options. Options without a value are not sent: the
 * defaults of the layer apply, or else the model's own settings on the server.
 *
 * @category models
 */
export const CompletionRequest = Schema.Union([ChatRequest, PromptRequest])
export type CompletionRequest = ChatRequest | PromptRequest

/**
 * A request that passed `validate`, so it names a model.
 *
 * @category models
 * @since 0.2.0
 */
export type ValidRequest = CompletionRequest & { readonly model: string }

/**
 * Options of all requests of a layer: those of a request, except its input.
 *
 * @category models
 * @since 0.2.0
 */
export const Defaults = Schema.Struct({ ...commonOptions, ...chatOptions })
export interface Defaults extends Schema.Schema.Type<typeof Defaults> {}

/**
 * The request with defaults for the options that it does not set and can have; the request itself if there are none. `deadlines` and
 * `extra` are merged field by field.
 *
 * @category combinators
 * @since 0.2.0
 */
export const withDefaults = (defaults: Defaults | undefined, request: CompletionRequest): CompletionRequest => {
  // What is not an object stays as it is, for `validate` to reject.
  if (defaults === undefined || !Values.isRecord(request)) return request
  const { think, toolChoice, tools, ...common } = defaults
  let merged = request
  if (common.deadlines !== undefined && Values.isRecord(request.deadlines)) {
    merged = { ...merged, deadlines: Values.addMissing(request.deadlines, common.deadlines) }
  }
  if (common.extra !== undefined && Values.isRecord(request.extra)) {
    merged = { ...merged, extra: Values.merge(common.extra, request.extra) }
  }
  if (merged.messages === undefined) return Values.addMissing(merged, common)
  const hasTools = (request.tools ?? tools ?? []).length > 0
  return Values.addMissing(merged, { ...common, tools, think, toolChoice: hasTools ? toolChoice : undefined })
}

/**
 * Validates a request, defaults included. The error names the first invalid field and does not quote the request.
 *
 * @category validation
 * @since 0.2.0
 */
export const validate = (request: unknown): Result.Result<ValidRequest, InvalidRequest> =>
  Result.flatMap(check(request), requireModel)

/**
 * As `validate`, for a request whose model may come from the defaults of the provider that it is passed on to.
 *
 * **Details**
 *
 * The result is a copy that nobody can change; what is JSON in it, such as the `parameters` of a tool, is the caller's. To check it again
 * takes no time, so a request is checked once, by the outermost provider, unless a policy changes it.
 *
 * @category validation
 * @since 0.3.0
 */
export const check: (request: unknown) => Result.Result<CompletionRequest, InvalidRequest> = Checked.make((request) => {
  const isPrompt = Predicate.isObject(request) && request["prompt"] !== undefined && request["messages"] === undefined
  const result: Result.Result<CompletionRequest, Schema.SchemaError> = isPrompt
    ? validatePrompt(request)
    : validateChat(request)
  return Result.mapError(result, toInvalidRequest)
})

/**
 * The request if it names a model.
 *
 * @category validation
 * @since 0.3.0
 */
export const requireModel = <R extends { readonly model?: string | undefined }>(
  request: R
): Result.Result<R & Pick<ValidRequest, "model">, InvalidRequest> =>
  Result.liftPredicate(
    request,
    (request): request is R & Pick<ValidRequest, "model"> => request.model !== undefined,
    () =>
      new InvalidRequest({ field: "model", description: "set it in the request, or in the `defaults` of the layer" })
  )

/**
 * What is invalid in the options of a layer, if anything.
 *
 * @category validation
 * @since 0.2.0
 */
export const checkOptions = ({
  deadlines,
  defaults
}: {
  /** The deadlines of the layer. */
  readonly deadlines?: Deadlines | undefined
  /** The defaults of the layer. */
  readonly defaults?: Defaults | undefined
}): InvalidRequest | undefined => {
  const result = validateOptions({ deadlines, defaults })
  return Result.isFailure(result) ? toInvalidRequest(result.failure) : undefined
}

const strict = { onExcessProperty: "error" } as const
const validateChat = Schema.decodeUnknownResult(Schema.toType(ChatRequest), strict)
const validatePrompt = Schema.decodeUnknownResult(Schema.toType(PromptRequest), strict)
const validateOptions = Schema.decodeUnknownResult(
  Schema.toType(Schema.Struct({ deadlines: Schema.optional(Deadlines), defaults: Schema.optional(Defaults) })),
  strict
)

const toFault = Values.makeToFault({
  request: { ...ChatRequest.fields, ...PromptRequest.fields },
  messages: Message.fields,
  tools: Tool.fields,
  deadlines: Deadlines.fields
})

const toInvalidRequest = (error: Schema.SchemaError) => new InvalidRequest(toFault(error))
