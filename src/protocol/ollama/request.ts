/** Requests to Ollama's own routes. Facts: Ollama's `api/types.go` and `server/routes.go`. */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import type { CompletionRequest, Message } from "../../CompletionRequest.ts"
import { InvalidRequest, Unsupported } from "../../ProviderError.ts"
import * as Content from "../content.ts"
import * as Json from "../../values/json.ts"
import * as Values from "../../values/objects.ts"
import * as RequestBody from "../requestBody.ts"

export const encodeChat = (request: CompletionRequest): Result.Result<Json.JsonObject, InvalidRequest | Unsupported> =>
  Result.gen(function* () {
    const messages: Array<Json.JsonObject> = []
    for (const [i, message] of RequestBody.completeMessages(request.messages ?? []).entries()) {
      messages.push(yield* encodeMessage(message, i))
    }
    const { toolChoice = "auto" } = request
    if (toolChoice !== "auto" && toolChoice !== "none") {
      const description = 'Ollama knows "auto" and "none" only'
      return yield* Result.fail(new Unsupported({ feature: "toolChoice", description }))
    }
    const tools = toolChoice === "none" ? undefined : yield* RequestBody.encodeTools(request)
    return yield* encodeBody(request, { messages, tools, think: request.think })
  })

/** `raw`: the prompt is continued as it is. */
export const encodeGenerate = (request: CompletionRequest): Result.Result<Json.JsonObject, InvalidRequest> =>
  encodeBody(request, { prompt: request.prompt, raw: true, images: request.images?.map(RequestBody.toBase64) })

const encodeMessage = (message: Message, i: number): Result.Result<Json.JsonObject, InvalidRequest> => {
  // Ollama accepts arguments as an object only.
  const bad = message.toolCalls?.findIndex((call) => !Json.isObject(call.arguments)) ?? -1
  if (bad !== -1) {
    return Result.fail(
      new InvalidRequest({ field: `messages[${i}].toolCalls[${bad}].arguments`, description: "Expected an object" })
    )
  }
  const images = Content.toImages(message)
  return Result.succeed({
    role: message.role,
    content: Content.toText(message),
    thinking: message.thinking,
    images: images.length === 0 ? undefined : images.map(RequestBody.toBase64),
    tool_calls: message.toolCalls?.map((call) => ({
      id: call.id,
      function: { name: call.name, arguments: call.arguments }
    })),
    tool_call_id: message.toolCallId,
    tool_name: message.toolName
  })
}

const encodeBody = (
  request: CompletionRequest,
  input: Json.JsonObject
): Result.Result<Json.JsonObject, InvalidRequest> =>
  Result.map(encodeFormat(request.format), (format) => {
    // Without these two, Ollama silently drops what does not fit. It knows them since 0.12.6 and ignores them before.
    const whole = request.overflow === "truncate" ? {} : { truncate: false, shift: false }
    const body = {
      model: request.model,
      ...input,
      stream: true,
      format,
      keep_alive: toKeepAlive(request.keepAlive),
      ...whole,
      options: {
        ...RequestBody.encodeSampling(request),
        num_predict: request.maxTokens,
        num_ctx: request.contextLength
      }
    }
    return request.extra === undefined ? body : Values.merge(body, request.extra)
  })

const encodeFormat = (
  format: CompletionRequest["format"]
): Result.Result<"json" | Json.JsonObject | undefined, InvalidRequest> =>
  format === undefined || format === "json" ? Result.succeed(format) : RequestBody.toJsonSchema(format, "format")

/** Ollama reads a number as seconds; below zero means always. */
export const toKeepAlive = (input: CompletionRequest["keepAlive"]): number | undefined => {
  if (input === undefined) return undefined
  const duration = Duration.fromInputUnsafe(input)
  return Duration.isFinite(duration) ? Duration.toSeconds(duration) : -1
}
