/** Requests to the OpenAI-compatible routes of LM Studio, llama.cpp's server and others. */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import type { CompletionRequest, Image, Message } from "../../CompletionRequest.ts"
import { InvalidRequest } from "../../ProviderError.ts"
import type * as Json from "../wire/json.ts"
import * as RequestBody from "../wire/requestBody.ts"

export const encodeMessage = (message: Message, i: number): Result.Result<Json.JsonObject, InvalidRequest> =>
  Result.gen(function* () {
    const calls: Array<Json.JsonObject> = []
    for (const [j, { arguments: value, id, name }] of (message.toolCalls ?? []).entries()) {
      const text = yield* RequestBody.stringify(value ?? {}, `messages[${i}].toolCalls[${j}].arguments`)
      calls.push({ id, type: "function", function: { name, arguments: text } })
    }
    const images = message.images ?? []
    return {
      role: message.role,
      content:
        images.length === 0 ? message.content : [{ type: "text", text: message.content }, ...images.map(encodeImage)],
      tool_calls: calls.length === 0 ? undefined : calls,
      tool_call_id: message.toolCallId
    }
  })

/** LM Studio accepts data URIs only, and requires the media type in them. */
const encodeImage = (image: Image): Json.JsonObject => {
  const base64 = RequestBody.toBase64(image)
  const type = base64.startsWith("/9j/") ? "image/jpeg" : base64.startsWith("UklGR") ? "image/webp" : "image/png"
  return { type: "image_url", image_url: { url: `data:${type};base64,${base64}` } }
}

export const encodeBody = (
  request: CompletionRequest,
  input: Json.JsonObject
): Result.Result<Json.JsonObject, InvalidRequest> =>
  Result.gen(function* () {
    const schema =
      request.format === undefined || request.format === "json"
        ? { type: "object" }
        : yield* RequestBody.toJsonSchema(request.format, "format")
    const ttl = request.keepAlive === undefined ? undefined : Duration.fromInputUnsafe(request.keepAlive)
    if (ttl !== undefined && !Duration.isFinite(ttl)) {
      return yield* Result.fail(
        new InvalidRequest({ field: "keepAlive", description: "this server accepts finite durations only" })
      )
    }
    const body = {
      model: request.model,
      ...input,
      stream: true,
      // Without this there is no usage in a stream.
      stream_options: { include_usage: true },
      ...RequestBody.encodeSampling(request),
      max_tokens: request.maxTokens,
      // LM Studio rejects `json_object`. A schema of any object means the same.
      response_format:
        request.format === undefined
          ? undefined
          : { type: "json_schema", json_schema: { name: "answer", strict: true, schema } },
      ttl: ttl === undefined ? undefined : Math.round(Duration.toSeconds(ttl))
    }
    return RequestBody.merge(body, request.extra ?? {})
  })
