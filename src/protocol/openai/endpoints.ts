/** The OpenAI-compatible protocol as endpoints: what is sent where, and how the answer is read. */
import * as Result from "effect/Result"
import type { CompletionRequest } from "../../CompletionRequest.ts"
import type { ModelInfo } from "../../ModelInfo.ts"
import { StreamError } from "../../ProviderError.ts"
import type { StreamingChunk } from "../../StreamingChunk.ts"
import * as JsonEndpoint from "../jsonEndpoint.ts"
import * as PromptTruncation from "../promptTruncation.ts"
import type { Endpoint } from "../endpoint.ts"
import type { JsonObject } from "../../values/json.ts"
import type { Dialect } from "./dialect.ts"
import * as FinishReason from "../finishReason.ts"
import * as Models from "./models.ts"
import * as Request from "./request.ts"
import { makeDecoder } from "./response.ts"

/** `POST /v1/chat/completions`, for requests with `messages`. */
export const chat = (dialect: Dialect): Endpoint<CompletionRequest, StreamingChunk> => ({
  method: "POST",
  path: "/v1/chat/completions",
  framing: "sse",
  encode: (request) => Request.encodeChat(request, dialect),
  decoder: decoder(dialect)
})

/** `POST /v1/completions`, for requests with a `prompt`. */
export const completion = (dialect: Dialect): Endpoint<CompletionRequest, StreamingChunk> => ({
  method: "POST",
  path: "/v1/completions",
  framing: "sse",
  encode: (request) => Request.encodeCompletion(request, dialect),
  decoder: decoder(dialect)
})

const decoder =
  ({ hasFinishReason, isPromptWhole }: Dialect): Endpoint<CompletionRequest, StreamingChunk>["decoder"] =>
  (context, sent) =>
    makeDecoder({
      ...context,
      hasFinishReason,
      hasTools: FinishReason.hasTools(sent?.body),
      isPromptCut: isPromptWhole || sent === undefined ? () => false : PromptTruncation.makeCheck(sent.request)
    })

/** `GET /props` of llama.cpp's server. */
export const properties: Endpoint<void, Partial<ModelInfo>> = JsonEndpoint.get(
  "/props",
  Models.Properties,
  Models.fromProperties
)

/** `GET /slots` of llama.cpp's server. */
export const slots = JsonEndpoint.get("/slots", Models.Slots, Models.toSlots)

/** A command to llama.cpp's router, which reports whether it was carried out. */
const command = (path: string): Endpoint<JsonObject, void> => ({
  method: "POST",
  path,
  framing: "json",
  encode: Result.succeed,
  decoder: JsonEndpoint.decoder(Models.Done, ({ success }) =>
    success === false
      ? Result.fail(new StreamError({ description: "the server did not carry out the command" }))
      : Result.succeed<void>(undefined)
  )
})

/** `POST /models/load` and `/models/unload` of llama.cpp's server, if it is a router. */
export const load = command("/models/load")
export const unload = command("/models/unload")

/** `GET /v1/models`, and whether the list is that of Ollama. */
export const modelsOfAnyServer = JsonEndpoint.get("/v1/models", Models.Models, (answer) => ({
  infos: Models.toModelInfos(answer),
  isOllama: Models.isOfOllama(answer)
}))

/** `GET /v1/models`. */
export const models: Endpoint<void, ReadonlyArray<ModelInfo>> = JsonEndpoint.get(
  "/v1/models",
  Models.Models,
  Models.toModelInfos
)
