/** What LM Studio's own routes report about its models: `GET /api/v1/models` since 0.4.0, `GET /api/v0/models` since 0.3.6. */
import * as Schema from "effect/Schema"
import type { ModelInfo } from "../../ModelInfo.ts"
import * as JsonEndpoint from "../jsonEndpoint.ts"
import type { Endpoint } from "../wire/endpoint.ts"
import * as Json from "../wire/json.ts"

const ModelV1 = Schema.Struct({
  type: Json.nullish(Schema.String),
  key: Schema.String,
  architecture: Json.nullish(Schema.String),
  quantization: Json.nullish(Schema.Struct({ name: Json.nullish(Schema.String) })),
  size_bytes: Json.nullish(Schema.Number),
  params_string: Json.nullish(Schema.String),
  loaded_instances: Json.nullish(
    Schema.Array(
      Schema.Struct({
        id: Schema.String,
        config: Json.nullish(Schema.Struct({ context_length: Json.nullish(Schema.Number) }))
      })
    )
  ),
  max_context_length: Json.nullish(Schema.Number),
  capabilities: Json.nullish(
    Schema.Struct({ vision: Json.nullish(Schema.Boolean), trained_for_tool_use: Json.nullish(Schema.Boolean) })
  )
})

const ModelV0 = Schema.Struct({
  id: Schema.String,
  type: Json.nullish(Schema.String),
  arch: Json.nullish(Schema.String),
  quantization: Json.nullish(Schema.String),
  state: Json.nullish(Schema.String),
  max_context_length: Json.nullish(Schema.Number),
  loaded_context_length: Json.nullish(Schema.Number)
})

/** A model, and the names of its instances in memory, by which requests may call it too. */
export interface Entry {
  readonly info: ModelInfo
  readonly instances: ReadonlyArray<{ readonly id: string; readonly contextLength: number | undefined }>
}

export const modelsV1: Endpoint<void, ReadonlyArray<Entry>> = JsonEndpoint.get(
  "/api/v1/models",
  Schema.Struct({ models: Schema.Array(ModelV1) }),
  ({ models }): ReadonlyArray<Entry> =>
    models.map((model) => {
      const loaded = model.loaded_instances ?? []
      return {
        instances: loaded.map(({ config, id }) => ({ id, contextLength: Json.toCount(config?.context_length) })),
        info: {
          id: model.key,
          sizeBytes: Json.toCount(model.size_bytes),
          family: model.architecture ?? undefined,
          parameterSize: model.params_string ?? undefined,
          quantization: model.quantization?.name ?? undefined,
          contextLength: Json.toCount(model.max_context_length),
          capabilities: toCapabilities(model.type, model.capabilities),
          isLoaded: loaded.length > 0,
          loadedContextLength: Json.toCount(loaded[0]?.config?.context_length)
        }
      }
    })
)

export const modelsV0: Endpoint<void, ReadonlyArray<Entry>> = JsonEndpoint.get(
  "/api/v0/models",
  Schema.Struct({ data: Schema.Array(ModelV0) }),
  ({ data }): ReadonlyArray<Entry> =>
    data.map((model) => ({
      instances: [],
      info: {
        id: model.id,
        family: model.arch ?? undefined,
        quantization: model.quantization ?? undefined,
        contextLength: Json.toCount(model.max_context_length),
        capabilities: toCapabilities(model.type, { vision: model.type === "vlm" }),
        isLoaded: model.state === "loaded",
        loadedContextLength: Json.toCount(model.loaded_context_length)
      }
    }))
)

/** LM Studio gives tools to every model that can chat. `undefined` if the server does not report enough to tell. */
const toCapabilities = (
  type: string | null | undefined,
  reported: (typeof ModelV1.Type)["capabilities"]
): ReadonlyArray<string> | undefined => {
  if (type === "embedding" || type === "embeddings") return ["embedding"]
  if (reported?.vision == null) return undefined
  return reported.vision ? ["completion", "tools", "vision"] : ["completion", "tools"]
}
