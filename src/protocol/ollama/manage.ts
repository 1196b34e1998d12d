/** The endpoints of Ollama that change its models. */
import type * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as CompletionRequest from "../../CompletionRequest.ts"
import type { ModelProgress } from "../../ModelProgress.ts"
import { InvalidRequest } from "../../ProviderError.ts"
import * as ErrorReport from "../errors.ts"
import type { DecoderContext, Endpoint, RecordDecoder } from "../endpoint.ts"
import type { JsonObject } from "../../values/json.ts"
import * as Json from "../../values/json.ts"
import { makeDecoder } from "./progress.ts"
import { toKeepAlive } from "./request.ts"
import { transferErrors } from "./transferErrors.ts"

const transfer = (path: string): Endpoint<JsonObject, ModelProgress> => ({
  method: "POST",
  path,
  framing: "ndjson",
  errorRules: transferErrors,
  encode: (body) => Result.succeed({ ...body, stream: true }),
  decoder: makeDecoder
})

export const pull = transfer("/api/pull")
export const push = transfer("/api/push")
export const create = transfer("/api/create")

/** The body is empty, or it repeats what the status reports. */
const decodeNothing = (context: DecoderContext): RecordDecoder<void> => ({
  record: ({ data }, out) => {
    const value = Json.parse(data)
    if (Json.isObject(value) && value.error != null) {
      return ErrorReport.toReason({ ...context, report: ErrorReport.readBody(data) })
    }
    out.push(undefined)
    return "complete"
  }
})

export const deleteModel: Endpoint<{ readonly model: string }, void> = {
  method: "DELETE",
  path: "/api/delete",
  framing: "json",
  encode: Result.succeed,
  decoder: decodeNothing
}

export const copy: Endpoint<{ readonly source: string; readonly destination: string }, void> = {
  method: "POST",
  path: "/api/copy",
  framing: "json",
  encode: (body) =>
    Predicate.isString(body.destination) && body.destination.trim() !== ""
      ? Result.succeed(body)
      : Result.fail(new InvalidRequest({ field: "to", description: "Expected the name of a model" })),
  decoder: decodeNothing
}

export interface LoadOptions {
  /** How long the model stays in memory after its last use; `Infinity` for always. Default: the server's own, 5 minutes. */
  readonly keepAlive?: Duration.Input | undefined
  /** The context to load it with, in tokens; 1 or more. Default: the server's own. */
  readonly contextLength?: number | undefined
}

export interface LoadRequest extends LoadOptions {
  readonly model: string
}

const encodeLoad = (request: LoadRequest): Result.Result<JsonObject, InvalidRequest> =>
  // These options mean the same in a request for an answer.
  Result.map(CompletionRequest.validate({ ...request, prompt: "-" }), ({ contextLength, keepAlive, model }) => ({
    model,
    keep_alive: toKeepAlive(keepAlive),
    options: contextLength === undefined ? undefined : { num_ctx: contextLength }
  }))

const makeLoad = (path: string, fixed: JsonObject): Endpoint<LoadRequest, void> => ({
  method: "POST",
  path,
  framing: "json",
  encode: (request) => Result.map(encodeLoad(request), (body) => ({ ...body, ...fixed })),
  decoder: decodeNothing
})

/** Without a prompt, these load the model, or unload it with a `keep_alive` of 0. */
export const load = makeLoad("/api/generate", { stream: false })
export const loadForEmbeddings = makeLoad("/api/embed", { input: [] })
