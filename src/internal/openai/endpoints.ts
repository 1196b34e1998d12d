/** The OpenAI-compatible protocol as endpoints: paths, request encoders and response decoders. */
import * as Result from "effect/Result"
import { Unsupported } from "../../ProviderError.ts"
import type { Protocol } from "../wire/endpoint.ts"
import type * as Json from "../wire/json.ts"
import * as RequestBody from "../wire/requestBody.ts"
import { encodeBody, encodeMessage } from "./request.ts"
import { makeDecoder } from "./response.ts"

const accept = "text/event-stream"

/** `POST /v1/chat/completions`, for requests with `messages`. */
export const chat: Protocol = {
  path: "/v1/chat/completions",
  accept,
  encode: (request) =>
    Result.gen(function* () {
      const messages: Array<Json.JsonObject> = []
      for (const [i, message] of (request.messages ?? []).entries()) messages.push(yield* encodeMessage(message, i))
      const tools = yield* RequestBody.encodeTools(request)
      const effort = request.think === true ? undefined : request.think === false ? "none" : request.think
      return yield* encodeBody(request, { messages, tools, reasoning_effort: effort })
    }),
  decoder: (options) => makeDecoder(options)
}

/** `POST /v1/completions`, for requests with a `prompt`. */
export const completion: Protocol = {
  path: "/v1/completions",
  accept,
  encode: (request) =>
    request.images !== undefined && request.images.length > 0
      ? Result.fail(new Unsupported({ feature: "images with prompt", description: "put them into messages" }))
      : encodeBody(request, { prompt: request.prompt }),
  decoder: (options) => makeDecoder(options)
}
