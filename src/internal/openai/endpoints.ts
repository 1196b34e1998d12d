/** The OpenAI-compatible protocol as endpoints: what is sent where, and how the answer is read. */
import type { CompletionRequest } from "../../CompletionRequest.ts"
import type { ModelInfo } from "../../ModelInfo.ts"
import type { StreamingChunk } from "../../StreamingChunk.ts"
import * as JsonEndpoint from "../jsonEndpoint.ts"
import type { Endpoint } from "../wire/endpoint.ts"
import type { Dialect } from "./dialect.ts"
import * as Models from "./models.ts"
import * as Request from "./request.ts"
import { makeDecoder } from "./response.ts"

/** `POST /v1/chat/completions`, for requests with `messages`. */
export const chat = (dialect: Dialect): Endpoint<CompletionRequest, StreamingChunk> => ({
  method: "POST",
  path: "/v1/chat/completions",
  framing: "sse",
  encode: (request) => Request.encodeChat(request, dialect),
  decoder: makeDecoder
})

/** `POST /v1/completions`, for requests with a `prompt`. */
export const completion = (dialect: Dialect): Endpoint<CompletionRequest, StreamingChunk> => ({
  method: "POST",
  path: "/v1/completions",
  framing: "sse",
  encode: (request) => Request.encodeCompletion(request, dialect),
  decoder: makeDecoder
})

/** `GET /props` of llama.cpp's server. */
export const properties: Endpoint<void, Partial<ModelInfo>> = JsonEndpoint.get(
  "/props",
  Models.Properties,
  Models.fromProperties
)

/** `GET /slots` of llama.cpp's server. */
export const slots = JsonEndpoint.get("/slots", Models.Slots, Models.toSlots)

/** `POST /models/load` and `/models/unload` of llama.cpp's server, if it is a router. */
export const load = JsonEndpoint.post("/models/load", Models.Done, () => undefined)
export const unload = JsonEndpoint.post("/models/unload", Models.Done, () => undefined)

/** `GET /v1/models`. */
export const models: Endpoint<void, ReadonlyArray<ModelInfo>> = JsonEndpoint.get(
  "/v1/models",
  Models.Models,
  Models.toModelInfos
)
