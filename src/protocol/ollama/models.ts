/** The routes of Ollama that report its models, and change those that it has. Facts: Ollama's `api/types.go`. */
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import type { ModelInfo } from "../../ModelInfo.ts"
import type { ProviderError } from "../../ProviderError.ts"
import { InvalidRequest } from "../../ProviderError.ts"
import * as Json from "../../values/json.ts"
import * as Endpoint from "../endpoint.ts"
import * as Errors from "../errors.ts"
import * as WireSchema from "../wireSchema.ts"
import * as KeepAlive from "./keepAlive.ts"

/** `GET /api/version`. */
export const version = Endpoint.get("/api/version", Schema.Struct({ version: Schema.String }), ({ version }) => version)

const Model = Schema.Struct({
  name: Schema.String,
  ...Struct.Record(["size", "details", "capabilities"], WireSchema.metadata)
})

const toModelInfo = ({ capabilities, details, name, size }: typeof Model.Type): ModelInfo => ({
  id: name,
  sizeBytes: Json.toCount(size) || undefined,
  ...toDetails(details),
  capabilities: Json.toTexts(capabilities)
})

const toDetails = (details: unknown) => ({
  family: Json.toText(Json.get(details, "family")),
  parameterSize: Json.toText(Json.get(details, "parameter_size")),
  quantization: Json.toText(Json.get(details, "quantization_level")),
  contextLength: Json.toCount(Json.get(details, "context_length"))
})

/** `GET /api/tags`. */
export const tags = Endpoint.get(
  "/api/tags",
  Schema.Struct({ models: WireSchema.nullish(Schema.Array(Model)) }),
  ({ models }): ReadonlyArray<ModelInfo> => (models ?? []).map(toModelInfo)
)

/** `model_info` has keys such as `llama.context_length`. */
const Shown = Schema.Struct(
  Struct.Record(
    ["details", "capabilities", "model_info", "template", "system", "parameters", "license"],
    WireSchema.metadata
  )
)

/** What only Ollama reports about a model. Each is absent if the model has none. */
export interface Definition {
  /** The template of its prompts, in Go's template language. */
  readonly template?: string | undefined
  /** Its default system message. */
  readonly system?: string | undefined
  /** Its default options, one on each line as in a Modelfile, such as `stop "<|end|>"`. */
  readonly parameters?: string | undefined
  /** The text of its license. */
  readonly license?: string | undefined
}

/** `POST /api/show`: the model, and the texts that belong to it. */
export const show = Endpoint.post(
  "/api/show",
  Endpoint.json(Shown, (shown, { model = "" }) => {
    const details = toDetails(shown.details)
    const trained = Object.entries(Json.isObject(shown.model_info) ? shown.model_info : {}).find(([key]) =>
      key.endsWith(".context_length")
    )
    return Result.succeed<{ readonly info: ModelInfo; readonly definition: Definition }>({
      info: {
        id: model,
        ...details,
        contextLength: details.contextLength ?? Json.toCount(trained?.[1]),
        capabilities: Json.toTexts(shown.capabilities)
      },
      definition: {
        template: Json.toText(shown.template),
        system: Json.toText(shown.system),
        parameters: Json.toText(shown.parameters),
        license: Json.toText(shown.license)
      }
    })
  })
)

/** `context_length` since 0.10.0. */
const Running = Schema.Struct({
  name: Schema.String,
  ...Struct.Record(["size", "context_length", "expires_at"], WireSchema.metadata)
})

/** `GET /api/ps`: the models in memory. */
export const running = Endpoint.get(
  "/api/ps",
  Schema.Struct({ models: WireSchema.nullish(Schema.Array(Running)) }),
  ({ models }) =>
    (models ?? []).map(({ context_length, expires_at, name, size }): ModelInfo => ({
      id: name,
      isLoaded: true,
      loadedContextLength: Json.toCount(context_length) || undefined,
      memoryBytes: Json.toCount(size) || undefined,
      expiresAt: toExpiry(expires_at)
    }))
)

/** The year is 1 while the model is loading, and about 292 years ahead for a model that stays in memory. */
const toExpiry = (value: unknown): DateTime.Utc | undefined => {
  const time = Option.getOrUndefined(DateTime.make(Json.toText(value) ?? ""))
  if (time === undefined) return undefined
  const year = DateTime.getPartUtc(time, "year")
  return year > 1 && year < 10_000 ? DateTime.toUtc(time) : undefined
}

/** What Ollama reports about a model, and whether it is in memory. */
export const describe = (call: Endpoint.Call, model: string): Effect.Effect<ModelInfo, ProviderError> =>
  Effect.gen(function* () {
    const { info } = yield* call(show, { model }, model)
    // Servers before 0.1.33 do not have it.
    const models = yield* Effect.option(call(running, undefined))
    if (Option.isNone(models)) return info
    const loaded = models.value.find(({ id }) => isSame(id, model))
    return { ...info, ...(loaded ?? { isLoaded: false }), id: info.id }
  })

/** A command. The body of its response is empty, or it repeats what the status reports. */
const command = <Request>(
  method: "POST" | "DELETE",
  path: string,
  encode: Endpoint.Endpoint<Request, void>["encode"]
): Endpoint.Endpoint<Request, void> => ({
  method,
  path,
  framing: "json",
  encode,
  decoder: (context) => ({
    record: ({ data }, out) => {
      if (Json.get(Json.parse(data), "error") != null) return Errors.ofBody(data, context)
      out.push(undefined)
      return "complete"
    }
  })
})

export const deleteModel = command<{ readonly model: string }>("DELETE", "/api/delete", Result.succeed)

export const copy = command<{ readonly source: string; readonly destination: string }>("POST", "/api/copy", (body) =>
  Predicate.isString(body.destination) && body.destination.trim() !== ""
    ? Result.succeed(body)
    : Result.fail(new InvalidRequest({ field: "to", description: "Expected the name of a model" }))
)

export interface LoadOptions {
  /** How long the model stays in memory after its last use; `Infinity` for always. Default: the server's own, 5 minutes. */
  readonly keepAlive?: Duration.Input | undefined
  /** The context to load it with, in tokens; 1 or more. Default: the server's own. */
  readonly contextLength?: number | undefined
}

/** A request without a prompt loads the model; with a `keep_alive` of 0 it unloads it. */
const loadWith = (path: string, input: Json.JsonObject) =>
  command<LoadOptions & { readonly model: string }>("POST", path, ({ contextLength, keepAlive, model }) => {
    const options = contextLength === undefined ? undefined : { num_ctx: contextLength }
    return Result.succeed({ model, keep_alive: KeepAlive.encode(keepAlive), options, ...input })
  })

export const load = loadWith("/api/generate", { stream: false })

/** For a model that only embeds, and cannot generate. */
export const loadForEmbeddings = loadWith("/api/embed", { input: [] })

/** Whether two names mean the same model: what a name leaves out is filled in, and case does not count. */
export const isSame = (a: string, b: string): boolean => a === b || complete(a) === complete(b)

/** `host/namespace/model:tag`, of which a name may have the end alone. */
const complete = (name: string): string => {
  const address = name.toLowerCase().replace(/^[a-z]+:\/\//, "")
  const [, path = "", tag = ""] = /^(.*?)(?::([^:/]*))?$/s.exec(address) ?? []
  const [model = "", namespace = "", ...host] = path.split("/").toReversed()
  return `${host.toReversed().join("/") || "registry.ollama.ai"}/${namespace || "library"}/${model}:${tag || "latest"}`
}
