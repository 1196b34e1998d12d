/** Requests to the OpenAI-compatible routes of LM Studio, llama.cpp's server and others. */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import type { CompletionRequest, ContentPart, Image, Message } from "../../CompletionRequest.ts"
import type { ProviderErrorReason } from "../../ProviderError.ts"
import { InvalidRequest, Unsupported } from "../../ProviderError.ts"
import * as Content from "../content.ts"
import type * as Json from "../../values/json.ts"
import * as Values from "../../values/objects.ts"
import * as RequestBody from "../requestBody.ts"
import type { Dialect } from "./dialect.ts"

export const encodeChat = (
  request: CompletionRequest,
  dialect: Dialect
): Result.Result<Json.JsonObject, ProviderErrorReason> =>
  Result.gen(function* () {
    const messages: Array<Json.JsonObject> = []
    for (const [i, message] of RequestBody.completeMessages(request.messages ?? []).entries()) {
      messages.push(yield* encodeMessage(message, i, dialect))
    }
    const tools = yield* RequestBody.encodeTools(request)
    const tool_choice = yield* encodeToolChoice(request.toolChoice, dialect)
    const think = request.think === undefined ? {} : yield* dialect.think(request.think)
    return yield* encodeBody(request, { messages, tools, tool_choice, ...think }, dialect)
  })

export const encodeCompletion = (
  request: CompletionRequest,
  dialect: Dialect
): Result.Result<Json.JsonObject, ProviderErrorReason> =>
  request.images !== undefined && request.images.length > 0
    ? Result.fail(new Unsupported({ feature: "images with prompt", description: "put them into messages" }))
    : encodeBody(request, { prompt: request.prompt }, dialect)

const encodeToolChoice = (
  toolChoice: CompletionRequest["toolChoice"],
  { namedToolChoice }: Dialect
): Result.Result<string | Json.JsonObject | undefined, Unsupported> => {
  if (typeof toolChoice !== "object") return Result.succeed(toolChoice)
  if (namedToolChoice) return Result.succeed({ type: "function", function: { name: toolChoice.name } })
  const description = 'this server knows "auto", "none" and "required" only'
  return Result.fail(new Unsupported({ feature: "toolChoice", description }))
}

const encodeMessage = (
  message: Message,
  i: number,
  { thinkingField }: Dialect
): Result.Result<Json.JsonObject, InvalidRequest> =>
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

const encodeBody = (
  request: CompletionRequest,
  input: Json.JsonObject,
  dialect: Dialect
): Result.Result<Json.JsonObject, ProviderErrorReason> =>
  Result.gen(function* () {
    if (request.contextLength !== undefined) {
      const description = "this server fixes it when it loads the model"
      return yield* Result.fail(new Unsupported({ feature: "contextLength", description }))
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
    return Values.merge(body, request.extra ?? {})
  })

const encodeFormat = (
  format: CompletionRequest["format"],
  { jsonFormat }: Dialect
): Result.Result<Json.JsonObject | undefined, ProviderErrorReason> => {
  if (format === undefined) return Result.succeed(undefined)
  if (format === "json" && jsonFormat === "json_object") return Result.succeed({ type: "json_object" })
  // A schema of any object means the same as `json_object`.
  const schema = format === "json" ? Result.succeed({ type: "object" }) : RequestBody.toJsonSchema(format, "format")
  return Result.map(schema, (schema) => ({
    type: "json_schema",
    json_schema: { name: "answer", strict: true, schema }
  }))
}

export const encodeKeepAlive = (
  input: CompletionRequest["keepAlive"],
  { keepAlive }: Dialect
): Result.Result<Json.JsonObject, ProviderErrorReason> => {
  if (input === undefined) return Result.succeed({})
  if (keepAlive === undefined) return Result.fail(new Unsupported({ feature: "keepAlive" }))
  const duration = Duration.fromInputUnsafe(input)
  return Duration.isFinite(duration)
    ? Result.succeed(keepAlive(Math.round(Duration.toSeconds(duration))))
    : Result.fail(new InvalidRequest({ field: "keepAlive", description: "this server accepts finite durations only" }))
}
