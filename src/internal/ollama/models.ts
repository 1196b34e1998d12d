/** What Ollama reports about its models. Facts: Ollama's `api/types.go`. */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { ModelInfo } from "../../ModelInfo.ts"
import * as Json from "../wire/json.ts"

export const Version = Schema.Struct({ version: Schema.String })

const Details = Schema.Struct({
  family: Json.nullish(Schema.String),
  parameter_size: Json.nullish(Schema.String),
  quantization_level: Json.nullish(Schema.String),
  context_length: Json.nullish(Schema.Number)
})

const Model = Schema.Struct({
  name: Schema.String,
  size: Json.nullish(Schema.Number),
  details: Json.nullish(Details),
  capabilities: Json.nullish(Schema.Array(Schema.String))
})

export const Tags = Schema.Struct({ models: Json.nullish(Schema.Array(Model)) })

export const toModelInfos = ({ models }: typeof Tags.Type): ReadonlyArray<ModelInfo> => (models ?? []).map(toModelInfo)

const toModelInfo = ({ capabilities, details, name, size }: typeof Model.Type): ModelInfo => ({
  id: name,
  sizeBytes: Json.toCount(size),
  ...toDetails(details),
  capabilities: capabilities ?? undefined
})

const toDetails = (details: typeof Details.Type | null | undefined) => ({
  family: details?.family ?? undefined,
  parameterSize: details?.parameter_size ?? undefined,
  quantization: details?.quantization_level ?? undefined,
  contextLength: Json.toCount(details?.context_length)
})

/** The answer of `POST /api/show`. `model_info` has keys such as `llama.context_length`. */
export const Shown = Schema.Struct({
  details: Json.nullish(Details),
  capabilities: Json.nullish(Schema.Array(Schema.String)),
  model_info: Json.nullish(Schema.Record(Schema.String, Schema.Unknown)),
  template: Json.nullish(Schema.String),
  system: Json.nullish(Schema.String),
  parameters: Json.nullish(Schema.String),
  license: Json.nullish(Schema.String)
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

export const toDefinition = ({ license, parameters, system, template }: typeof Shown.Type): Definition => ({
  template: template || undefined,
  system: system || undefined,
  parameters: parameters || undefined,
  license: license || undefined
})

export const fromShown = (model: string, { capabilities, details, model_info }: typeof Shown.Type): ModelInfo => {
  const info = toDetails(details)
  const trained = Object.entries(model_info ?? {}).find(([key]) => key.endsWith(".context_length"))?.[1]
  return {
    id: model,
    ...info,
    contextLength: info.contextLength ?? (typeof trained === "number" ? Json.toCount(trained) : undefined),
    capabilities: capabilities ?? undefined
  }
}

/** The answer of `GET /api/ps`: the models in memory. `context_length` since 0.10.0. */
export const Running = Schema.Struct({
  models: Json.nullish(
    Schema.Array(
      Schema.Struct({
        name: Schema.String,
        size: Json.nullish(Schema.Number),
        size_vram: Json.nullish(Schema.Number),
        context_length: Json.nullish(Schema.Number),
        expires_at: Json.nullish(Schema.String)
      })
    )
  )
})

export type RunningModel = NonNullable<(typeof Running.Type)["models"]>[number]

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
const toExpiry = (text: string | null | undefined): DateTime.Utc | undefined =>
  Option.getOrUndefined(
    Option.filter(Option.map(DateTime.make(text ?? ""), DateTime.toUtc), (time) => {
      const year = DateTime.getPartUtc(time, "year")
      return year > 1 && year < 2200
    })
  )
