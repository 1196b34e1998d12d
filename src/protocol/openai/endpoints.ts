/** The OpenAI-compatible routes that all of these servers have: completions, embeddings and the list of models. */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import type { CompletionRequest, ContentPart, Image, Message } from "../../CompletionRequest.ts"
import type { Embedding, EmbeddingRequest } from "../../Embedding.ts"
import type { ModelInfo } from "../../ModelInfo.ts"
import { InvalidRequest, Unsupported } from "../../ProviderError.ts"
import type { StreamingChunk } from "../../StreamingChunk.ts"
import * as Json from "../../values/json.ts"
import * as Values from "../../values/objects.ts"
import * as Content from "../content.ts"
import * as Endpoint from "../endpoint.ts"
import * as FinishReason from "../finishReason.ts"
import { embeddingErrors } from "../knownErrors.ts"
import * as PromptTruncation from "../promptTruncation.ts"
import type { Encoded } from "../requestBody.ts"
import * as RequestBody from "../requestBody.ts"
import * as WireSchema from "../wireSchema.ts"
import { makeDecoder } from "./response.ts"

/** In what these servers differ. */
export interface Dialect {
  /** How `format: "json"` is requested: LM Studio rejects `json_object`. */
  readonly jsonFormat: "json_object" | "json_schema"
  /** How long a model stays in memory, as the request states it. `undefined`: the server has no such setting. */
  readonly keepAlive?: ((seconds: number) => Json.JsonObject) | undefined
  /** How thinking is switched on, off or to a level. */
  readonly think: (think: NonNullable<CompletionRequest["think"]>) => Result.Result<Json.JsonObject, Unsupported>
  /** The field of a message in which the thinking of an earlier completion is sent back. `undefined`: the server has none. */
  readonly thinkingField?: "reasoning_content" | "reasoning" | "thinking" | undefined
  /** Whether `tool_choice` can name one tool. */
  readonly namedToolChoice: boolean
  /** Whether the usage is requested with `stream_options`, which some gateways reject. Default: `true`. */
  readonly streamOptions?: boolean | undefined
  /** Whether the server rejects a prompt that does not fit. Others may drop a part of it silently. Default: `false`. */
  readonly isPromptWhole?: boolean | undefined
  /** Fields of every request. */
  readonly always?: Json.JsonObject | undefined
  /**
   * Whether every complete response has a finish reason. If not, `[DONE]` alone completes a response that has
   * content or tool calls, with the finish reason `other`.
   */
  readonly hasFinishReason: boolean
}

/** `reasoning_effort`, with `none` for off. On is the default of a model that thinks. */
export const reasoningEffort: Dialect["think"] = (think) =>
  Result.succeed(think === true ? {} : { reasoning_effort: think === false ? "none" : think })

/** `enable_thinking` of the chat template, which is on or off. */
export const enableThinking: Dialect["think"] = (think) =>
  Result.succeed({ chat_template_kwargs: { enable_thinking: think !== false } })

const encodeChat = (request: CompletionRequest, dialect: Dialect): Encoded =>
  Result.gen(function* () {
    const messages = yield* Result.all(
      RequestBody.completeMessages(request.messages ?? []).map((message, i) => encodeMessage(message, i, dialect))
    )
    const tools = yield* RequestBody.encodeTools(request)
    const tool_choice = yield* encodeToolChoice(request.toolChoice, dialect)
    const think = request.think === undefined ? {} : yield* dialect.think(request.think)
    return yield* encodeBody(request, { messages, tools, tool_choice, ...think }, dialect)
  })

const encodeCompletion = (request: CompletionRequest, dialect: Dialect): Encoded =>
  request.images !== undefined && request.images.length > 0
    ? unsupported("images with prompt", "put them into messages")
    : encodeBody(request, { prompt: request.prompt }, dialect)

const unsupported = (feature: string, description?: string): Result.Result<never, Unsupported> =>
  Result.fail(new Unsupported({ feature, description }))

const encodeToolChoice = (
  toolChoice: CompletionRequest["toolChoice"],
  { namedToolChoice }: Dialect
): Encoded<string | Json.JsonObject | undefined> => {
  if (typeof toolChoice !== "object") return Result.succeed(toolChoice)
  if (namedToolChoice) return Result.succeed({ type: "function", function: { name: toolChoice.name } })
  return unsupported("toolChoice", 'this server knows "auto", "none" and "required" only')
}

const encodeMessage = (message: Message, i: number, { thinkingField }: Dialect): Encoded =>
  Result.gen(function* () {
    const calls: Array<Json.JsonObject> = []
    for (const [j, { arguments: value, id, name }] of (message.toolCalls ?? []).entries()) {
      const text = yield* RequestBody.stringify(value ?? {}, `messages[${i}].toolCalls[${j}].arguments`)
      calls.push({ id, type: "function", function: { name, arguments: text } })
    }
    const parts = Content.toParts(message)
    return {
      role: message.role,
      // Templates of models without images may accept a text only.
      content: parts.every(({ type }) => type === "text") ? Content.toText(message) : parts.map(encodePart),
      ...(thinkingField === undefined ? {} : { [thinkingField]: message.thinking }),
      tool_calls: calls.length === 0 ? undefined : calls,
      tool_call_id: message.toolCallId
    }
  })

const encodePart = (part: ContentPart): Json.JsonObject => (part.type === "text" ? part : encodeImage(part.image))

/** LM Studio accepts data URIs only, and requires the media type in them. */
const encodeImage = (image: Image): Json.JsonObject => {
  const base64 = RequestBody.toBase64(image)
  const type = base64.startsWith("/9j/") ? "image/jpeg" : base64.startsWith("UklGR") ? "image/webp" : "image/png"
  return { type: "image_url", image_url: { url: `data:${type};base64,${base64}` } }
}

const encodeBody = (request: CompletionRequest, input: Json.JsonObject, dialect: Dialect): Encoded =>
  Result.gen(function* () {
    if (request.contextLength !== undefined) {
      return yield* unsupported("contextLength", "this server fixes it when it loads the model")
    }
    const body = {
      model: request.model,
      ...input,
      stream: true,
      // Without this there is no usage in a stream.
      stream_options: dialect.streamOptions === false ? undefined : { include_usage: true },
      ...RequestBody.encodeSampling(request),
      max_tokens: request.maxTokens,
      response_format: yield* encodeFormat(request.format, dialect),
      ...(yield* encodeKeepAlive(request.keepAlive, dialect)),
      ...dialect.always
    }
    return request.extra === undefined ? body : Values.merge(body, request.extra)
  })

const encodeFormat = (
  format: CompletionRequest["format"],
  { jsonFormat }: Dialect
): Encoded<Json.JsonObject | undefined> => {
  if (format === undefined) return Result.succeed(undefined)
  if (format === "json" && jsonFormat === "json_object") return Result.succeed({ type: "json_object" })
  // A schema of any object means the same as `json_object`.
  const schema = format === "json" ? Result.succeed({ type: "object" }) : RequestBody.toJsonSchema(format, "format")
  return Result.map(schema, (schema) => ({
    type: "json_schema",
    json_schema: { name: "answer", strict: true, schema }
  }))
}

const encodeKeepAlive = (input: CompletionRequest["keepAlive"], { keepAlive }: Dialect): Encoded => {
  if (input === undefined) return Result.succeed({})
  if (keepAlive === undefined) return unsupported("keepAlive")
  const duration = Duration.fromInputUnsafe(input)
  return Duration.isFinite(duration)
    ? Result.succeed(keepAlive(Math.round(Duration.toSeconds(duration))))
    : Result.fail(new InvalidRequest({ field: "keepAlive", description: "this server accepts finite durations only" }))
}

/** For requests with `messages`. */
export const chat = (dialect: Dialect) => completions("/v1/chat/completions", encodeChat, dialect)

/** For requests with a `prompt`. */
export const completion = (dialect: Dialect) => completions("/v1/completions", encodeCompletion, dialect)

const completions = (
  path: string,
  encode: typeof encodeChat,
  dialect: Dialect
): Endpoint.Endpoint<CompletionRequest, StreamingChunk> => ({
  method: "POST",
  path,
  framing: "sse",
  encode: (request) => encode(request, dialect),
  decoder: (context, sent) =>
    makeDecoder({
      ...context,
      hasFinishReason: dialect.hasFinishReason,
      hasTools: FinishReason.hasTools(sent?.body),
      isPromptCut: dialect.isPromptWhole || sent === undefined ? () => false : PromptTruncation.makeCheck(sent.request)
    })
})

const Embedded = Schema.Struct({
  model: WireSchema.metadata,
  data: Schema.Array(Schema.Struct({ index: WireSchema.metadata, embedding: Schema.Array(Schema.Finite) })),
  usage: WireSchema.metadata
})

/** `POST /v1/embeddings`. */
export const embed = (dialect: Dialect): Endpoint.Endpoint<EmbeddingRequest, Embedding> => ({
  method: "POST",
  path: "/v1/embeddings",
  framing: "json",
  errorRules: embeddingErrors,
  encode: ({ dimensions, extra, input, keepAlive, model, overflow }) =>
    Result.gen(function* () {
      if (overflow === "truncate") {
        return yield* unsupported("overflow", "this server cannot truncate texts; shorten them before")
      }
      // Others may send base64, and LM Studio ignores the field.
      const body = { model, input, dimensions, encoding_format: "float" }
      return Values.merge({ ...body, ...(yield* encodeKeepAlive(keepAlive, dialect)) }, extra ?? {})
    }),
  decoder: Endpoint.json(Embedded, ({ data, model, usage }, context) => {
    const vectors = inOrder(data)
    if (vectors === undefined)
      return Result.fail(WireSchema.parseError("", "the indices of the vectors are not 0, 1, 2, …"))
    return Result.succeed<Embedding>({
      model: Json.toText(model) ?? context.model ?? "",
      vectors,
      promptTokens: Json.toCount(Json.get(usage, "prompt_tokens"))
    })
  })
})

/** The vectors by `index`, or as they came if no entry has one. `undefined` if an index is missing, unknown or double. */
const inOrder = (data: (typeof Embedded.Type)["data"]): ReadonlyArray<ReadonlyArray<number>> | undefined => {
  if (data.every(({ index }) => Json.toCount(index) === undefined)) return data.map(({ embedding }) => embedding)
  const byIndex = new Map(data.map(({ embedding, index }) => [Json.toCount(index), embedding]))
  const vectors = data.map((_, i) => byIndex.get(i)).filter(Predicate.isNotUndefined)
  return vectors.length === data.length ? vectors : undefined
}

/** `meta` is llama.cpp's, `max_model_len` vLLM's; LM Studio reports the name only. */
export const Model = Schema.Struct({
  id: Schema.String,
  ...Struct.Record(["meta", "max_model_len", "owned_by"], WireSchema.metadata)
})

const Models = Schema.Struct({ data: WireSchema.nullish(Schema.Array(Model)) })

export const toModelInfo = ({ id, max_model_len, meta }: typeof Model.Type): ModelInfo => ({
  id,
  sizeBytes: Json.toCount(Json.get(meta, "size")),
  contextLength: Json.toCount(Json.get(meta, "n_ctx_train")) ?? Json.toCount(max_model_len)
})

const toModelInfos = ({ data }: typeof Models.Type): ReadonlyArray<ModelInfo> =>
  (data ?? []).map((model) => toModelInfo(model))

/** `GET /v1/models`. */
export const models = Endpoint.get("/v1/models", Models, toModelInfos)

/**
 * `GET /v1/models`, and whether the list is that of Ollama: all its names have a tag, and the owner is the namespace. Facts:
 * Ollama's `openai/openai.go`.
 */
export const modelsOfAnyServer = Endpoint.get("/v1/models", Models, (list) => ({
  infos: toModelInfos(list),
  isOllama:
    list.data != null &&
    list.data.length > 0 &&
    list.data.every(({ id, owned_by }) => /:[^:/]+$/.test(id) && owned_by === (id.split("/").at(-2) ?? "library"))
}))

/** The routes that all of these servers have. */
export const make = (dialect: Dialect) => ({
  chat: chat(dialect),
  completion: completion(dialect),
  embed: embed(dialect),
  models
})
