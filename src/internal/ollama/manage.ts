/** The endpoints of Ollama that change its models. */
import type * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import type { ModelProgress } from "../../ModelProgress.ts"
import * as ErrorReport from "../errorReport.ts"
import type { Endpoint, JsonObject, RecordDecoder } from "../wire/endpoint.ts"
import * as Json from "../wire/json.ts"
import { makeDecoder } from "./progress.ts"
import { toKeepAlive } from "./request.ts"

const transfer = (path: string): Endpoint<JsonObject, ModelProgress> => ({
  method: "POST",
  path,
  framing: "ndjson",
  encode: (body) => Result.succeed({ ...body, stream: true }),
  decoder: makeDecoder
})

export const pull = transfer("/api/pull")
export const push = transfer("/api/push")
export const create = transfer("/api/create")

const command = (
  method: Endpoint<never, void>["method"],
  path: string,
  fixed: JsonObject = {}
): Endpoint<JsonObject, void> => ({
  method,
  path,
  framing: "json",
  encode: (body) => Result.succeed({ ...body, ...fixed }),
  decoder: (context): RecordDecoder<void> => ({
    // The answer is empty, or a report that the status has told already.
    record: ({ data }, out) => {
      const value = Json.parse(data)
      if (Json.isObject(value) && value.error != null) {
        return ErrorReport.toReason({ ...context, report: ErrorReport.readBody(data) })
      }
      out.push(undefined)
      return "complete"
    }
  })
})

export const deleteModel = command("DELETE", "/api/delete")
export const copy = command("POST", "/api/copy")

/** Without a prompt, these load the model, or unload it with a `keep_alive` of 0. */
export const load = command("POST", "/api/generate", { stream: false })
export const loadForEmbeddings = command("POST", "/api/embed", { input: [] })

export interface LoadOptions {
  /** How long the model stays in memory after its last use; `Infinity` for always. Default: the server's own, 5 minutes. */
  readonly keepAlive?: Duration.Input | undefined
  /** The context to load it with, in tokens. Default: the server's own. */
  readonly contextLength?: number | undefined
}

export const toLoadBody = (model: string, { contextLength, keepAlive }: LoadOptions): JsonObject => ({
  model,
  keep_alive: toKeepAlive(keepAlive),
  ...(contextLength === undefined ? {} : { options: { num_ctx: contextLength } })
})
