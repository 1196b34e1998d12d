/** What Ollama reports about its models. Facts: Ollama's `api/types.go`. */
import * as Schema from "effect/Schema"
import type { ModelInfo } from "../../ModelInfo.ts"
import * as Json from "../wire/json.ts"

export const Version = Schema.Struct({ version: Schema.String })

const Model = Schema.Struct({
  name: Schema.String,
  size: Json.nullish(Schema.Number),
  details: Json.nullish(
    Schema.Struct({
      family: Json.nullish(Schema.String),
      parameter_size: Json.nullish(Schema.String),
      quantization_level: Json.nullish(Schema.String),
      context_length: Json.nullish(Schema.Number)
    })
  ),
  capabilities: Json.nullish(Schema.Array(Schema.String))
})

export const Tags = Schema.Struct({ models: Json.nullish(Schema.Array(Model)) })

export const toModelInfos = ({ models }: typeof Tags.Type): ReadonlyArray<ModelInfo> => (models ?? []).map(toModelInfo)

const toModelInfo = ({ capabilities, details, name, size }: typeof Model.Type): ModelInfo => ({
  id: name,
  sizeBytes: size ?? undefined,
  family: details?.family ?? undefined,
  parameterSize: details?.parameter_size ?? undefined,
  quantization: details?.quantization_level ?? undefined,
  contextLength: details?.context_length ?? undefined,
  capabilities: capabilities ?? undefined
})
