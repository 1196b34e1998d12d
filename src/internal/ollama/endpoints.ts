/** Ollama's own protocol as endpoints: paths, request encoders and response decoders. */
import * as Result from "effect/Result"
import type { Protocol } from "../wire/endpoint.ts"
import type * as Json from "../wire/json.ts"
import * as RequestBody from "../wire/requestBody.ts"
import { encodeBody, encodeMessage } from "./request.ts"
import { makeDecoder } from "./response.ts"

const accept = "application/x-ndjson"

/** `POST /api/chat`, for requests with `messages`. */
export const chat: Protocol = {
  path: "/api/chat",
  accept,
  encode: (request) =>
    Result.gen(function* () {
      const messages: Array<Json.JsonObject> = []
      for (const [i, message] of (request.messages ?? []).entries()) messages.push(yield* encodeMessage(message, i))
      const tools = yield* RequestBody.encodeTools(request)
      return yield* encodeBody(request, { messages, tools, think: request.think })
    }),
  decoder: (options) => makeDecoder(options)
}

/** `POST /api/generate`, for requests with a `prompt`: raw, so that no chat template is applied. */
export const generate: Protocol = {
  path: "/api/generate",
  accept,
  encode: (request) =>
    encodeBody(request, { prompt: request.prompt, raw: true, images: request.images?.map(RequestBody.toBase64) }),
  decoder: (options) => makeDecoder(options)
}
