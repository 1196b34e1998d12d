/** What Ollama reports about itself and its models. Facts: Ollama's `api/types.go`. */
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ModelInfo } from "../../ModelInfo.ts"
import type { ProviderError } from "../../ProviderError.ts"
import * as Json from "../../values/json.ts"
import type { Call, Endpoint } from "../endpoint.ts"
import * as JsonEndpoint from "../jsonEndpoint.ts"
import * as WireSchema from "../wireSchema.ts"

const Version = Schema.Struct({ version: Schema.String })

const Model = Schema.Struct({
  name: Schema.String,
  size: WireSchema.metadata,
  details: WireSchema.metadata,
  capabilities: WireSchema.metadata
})

const Tags = Schema.Struct({ models: WireSchema.nullish(Schema.Array(Model)) })

const toModelInfos = ({ models }: typeof Tags.Type): ReadonlyArray<ModelInfo> => (models ?? []).map(toModelInfo)

const toModelInfo = ({ capabilities, details, name, size }: typeof Model.Type): ModelInfo => ({
  id: name,
  sizeBytes: Json.toCount(size),
  ...toDetails(details),
  capabilities: Json.toTexts(capabilities)
})

const toDetails = (details: unknown) => ({
  family: Json.toText(Json.get(details, "family")),
  parameterSize: Json.toText(Json.get(details, "parameter_size")),
  quantization: Json.toText(Json.get(details, "quantization_level")),
  contextLength: Json.toCount(Json.get(details, "context_length"))
})

/** The answer of `POST /api/show`. `model_info` has keys such as `llama.context_length`. */
const Shown = Schema.Struct({
  details: WireSchema.metadata,
  capabilities: WireSchema.metadata,
  model_info: WireSchema.metadata,
  template: WireSchema.metadata,
  system: WireSchema.metadata,
  parameters: WireSchema.metadata,
  license: WireSchema.metadata
})

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

const toDefinition = ({ license, parameters, system, template }: typeof Shown.Type): Definition => ({
  template: Json.toText(template),
  system: Json.toText(system),
  parameters: Json.toText(parameters),
  license: Json.toText(license)
})

const fromShown = (model: string, { capabilities, details, model_info }: typeof Shown.Type): ModelInfo => {
  const info = toDetails(details)
  const trained = Object.entries(Json.isObject(model_info) ? model_info : {}).find(([key]) =>
    key.endsWith(".context_length")
  )?.[1]
  return {
    id: model,
    ...info,
    contextLength: info.contextLength ?? Json.toCount(trained),
    capabilities: Json.toTexts(capabilities)
  }
}

/** The answer of `GET /api/ps`: the models in memory. `context_length` since 0.10.0. */
const Running = Schema.Struct({
  models: WireSchema.nullish(
    Schema.Array(
      Schema.Struct({
        name: Schema.String,
        size: WireSchema.metadata,
        size_vram: WireSchema.metadata,
        context_length: WireSchema.metadata,
        expires_at: WireSchema.metadata
      })
    )
  )
})

type RunningModel = NonNullable<(typeof Running.Type)["models"]>[number]

/** What a model in memory has besides; `undefined` for one that is not. */
export const fromRunning = (running: RunningModel | undefined): Partial<ModelInfo> =>
  running === undefined
    ? { isLoaded: false }
    : {
        isLoaded: true,
        loadedContextLength: Json.toCount(running.context_length) || undefined,
        memoryBytes: Json.toCount(running.size),
        expiresAt: toExpiry(running.expires_at)
      }

/** The year is 1 while the model is loading, and about 292 years ahead for a model that stays in memory. */
const toExpiry = (value: unknown): DateTime.Utc | undefined =>
  Option.getOrUndefined(
    Option.filter(Option.map(DateTime.make(Json.toText(value) ?? ""), DateTime.toUtc), (time) => {
      const year = DateTime.getPartUtc(time, "year")
      return year > 1 && year < 10_000
    })
  )

/** `GET /api/tags`. */
export const tags: Endpoint<void, ReadonlyArray<ModelInfo>> = JsonEndpoint.get("/api/tags", Tags, toModelInfos)

const showAs = <Out>(toOut: (model: string, shown: typeof Shown.Type) => Out) =>
  JsonEndpoint.post(
    "/api/show",
    JsonEndpoint.decoder(Shown, (shown, { model }) => Result.succeed(toOut(model, shown)))
  )

/** `POST /api/show`. */
export const show = showAs(fromShown)

/** `POST /api/show`, with the texts that belong to the model. */
export const showDefinition = showAs((model, shown) => ({
  ...fromShown(model, shown),
  ...toDefinition(shown)
}))

/** `GET /api/ps`. */
export const running: Endpoint<void, ReadonlyArray<RunningModel>> = JsonEndpoint.get(
  "/api/ps",
  Running,
  ({ models }) => models ?? []
)

/** `GET /api/version`. */
export const version: Endpoint<void, string> = JsonEndpoint.get("/api/version", Version, ({ version }) => version)

/** What Ollama reports about a model, and whether it is in memory. */
export const describe = (call: Call, model: string): Effect.Effect<ModelInfo, ProviderError> =>
  Effect.gen(function* () {
    const info = yield* call(show, { model }, model)
    // Servers before 0.1.33 do not have it.
    const found = yield* Effect.option(call(running, undefined))
    if (Option.isNone(found)) return info
    return { ...info, ...fromRunning(found.value.find(({ name }) => isSame(name, model))) }
  })

/** Whether two names mean the same model: what a name leaves out is filled in, and case does not count. */
export const isSame = (a: string, b: string): boolean => a === b || complete(a) === complete(b)

/** `host/namespace/model:tag`, of which a name may have the end alone. */
const complete = (name: string): string => {
  const address = name.toLowerCase().replace(/^[a-z]+:\/\//, "")
  const [, path = "", tag = ""] = /^(.*?)(?::([^:/]*))?$/s.exec(address) ?? []
  const [model = "", namespace = "", ...host] = path.split("/").toReversed()
  return `${host.toReversed().join("/") || "registry.ollama.ai"}/${namespace || "library"}/${model}:${tag || "latest"}`
}
