/** Ollama's own protocol as endpoints: what is sent where, and how the answer is read. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type { CompletionRequest } from "../../CompletionRequest.ts"
import type { ModelInfo } from "../../ModelInfo.ts"
import type { StreamingChunk } from "../../StreamingChunk.ts"
import * as JsonEndpoint from "../jsonEndpoint.ts"
import type { ProviderError } from "../../ProviderError.ts"
import type { Call, Endpoint } from "../endpoint.ts"
import * as Models from "./models.ts"
import * as Names from "./names.ts"
import * as Request from "./request.ts"
import { makeDecoder } from "./response.ts"

/** `POST /api/chat`, for requests with `messages`. */
export const chat: Endpoint<CompletionRequest, StreamingChunk> = {
  method: "POST",
  path: "/api/chat",
  framing: "ndjson",
  encode: Request.encodeChat,
  decoder: makeDecoder
}

/** `POST /api/generate`, for requests with a `prompt`: raw, so the server adds no template. */
export const generate: Endpoint<CompletionRequest, StreamingChunk> = {
  method: "POST",
  path: "/api/generate",
  framing: "ndjson",
  encode: Request.encodeGenerate,
  decoder: makeDecoder
}

/** `GET /api/tags`. */
export const tags: Endpoint<void, ReadonlyArray<ModelInfo>> = JsonEndpoint.get(
  "/api/tags",
  Models.Tags,
  Models.toModelInfos
)

const showAs = <Out>(toOut: (model: string, shown: typeof Models.Shown.Type) => Out): Endpoint<string, Out> => ({
  method: "POST",
  path: "/api/show",
  framing: "json",
  encode: (model) => Result.succeed({ model }),
  decoder: (context) =>
    JsonEndpoint.decoder(Models.Shown, (shown) => Result.succeed(toOut(context.model, shown)))(context)
})

/** `POST /api/show`. */
export const show = showAs(Models.fromShown)

/** `POST /api/show`, with the texts that belong to the model. */
export const showDefinition = showAs((model, shown) => ({
  ...Models.fromShown(model, shown),
  ...Models.toDefinition(shown)
}))

/** `GET /api/ps`. */
export const running: Endpoint<void, ReadonlyArray<Models.RunningModel>> = JsonEndpoint.get(
  "/api/ps",
  Models.Running,
  ({ models }) => models ?? []
)

/** `GET /api/version`. */
export const version: Endpoint<void, string> = JsonEndpoint.get(
  "/api/version",
  Models.Version,
  ({ version }) => version
)

/** What Ollama reports about a model, and whether it is in memory. */
export const describe = (call: Call, model: string): Effect.Effect<ModelInfo, ProviderError> =>
  Effect.gen(function* () {
    const info = yield* call(show, model, model)
    // Servers before 0.1.33 do not have it.
    const found = yield* Effect.option(call(running, undefined))
    if (Option.isNone(found)) return info
    return { ...info, ...Models.fromRunning(found.value.find(({ name }) => Names.isSame(name, model))) }
  })
