/** What Ollama reports about its models. Facts: Ollama's `api/types.go`. */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { ModelInfo } from "../../ModelInfo.ts"
import * as Json from "../../values/json.ts"
import * as WireSchema from "../wireSchema.ts"

export const Version = Schema.Struct({ version: Schema.String })

const Model = Schema.Struct({
  name: Schema.String,
  size: WireSchema.metadata,
  details: WireSchema.metadata,
  capabilities: WireSchema.metadata
})

export const Tags = Schema.Struct({ models: WireSchema.nullish(Schema.Array(Model)) })

export const toModelInfos = ({ models }: typeof Tags.Type): ReadonlyArray<ModelInfo> => (models ?? []).map(toModelInfo)

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
export const Shown = Schema.Struct({
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

export const toDefinition = ({ license, parameters, system, template }: typeof Shown.Type): Definition => ({
  template: Json.toText(template),
  system: Json.toText(system),
  parameters: Json.toText(parameters),
  license: Json.toText(license)
})

export const fromShown = (model: string, { capabilities, details, model_info }: typeof Shown.Type): ModelInfo => {
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
export const Running = Schema.Struct({
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
const toExpiry = (value: unknown): DateTime.Utc | undefined =>
  Option.getOrUndefined(
    Option.filter(Option.map(DateTime.make(Json.toText(value) ?? ""), DateTime.toUtc), (time) => {
      const year = DateTime.getPartUtc(time, "year")
      return year > 1 && year < 10_000
    })
  )
