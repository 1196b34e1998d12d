/**
 * The routes that only LM Studio has. It reports its models at `GET /api/v1/models` since 0.4.0, and at `GET /api/v0/models` since
 * 0.3.6. It loads, unloads and downloads them since 0.4.0. Facts: its documentation of `/api/v1/models`.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ModelInfo } from "../../ModelInfo.ts"
import type { ModelProgress } from "../../ModelProgress.ts"
import { StreamError } from "../../ProviderError.ts"
import * as Json from "../../values/json.ts"
import * as Endpoint from "../endpoint.ts"
import * as WireSchema from "../wireSchema.ts"

const ModelV1 = Schema.Struct({
  type: WireSchema.metadata,
  key: Schema.String,
  architecture: WireSchema.metadata,
  quantization: WireSchema.metadata,
  size_bytes: WireSchema.metadata,
  params_string: WireSchema.metadata,
  loaded_instances: WireSchema.metadata,
  max_context_length: WireSchema.metadata,
  capabilities: WireSchema.metadata
})

const isInstance = Schema.is(Schema.Struct({ id: Schema.String, config: WireSchema.metadata }))

const ModelV0 = Schema.Struct({
  id: Schema.String,
  type: WireSchema.metadata,
  arch: WireSchema.metadata,
  quantization: WireSchema.metadata,
  state: WireSchema.metadata,
  max_context_length: WireSchema.metadata,
  loaded_context_length: WireSchema.metadata
})

/** A model, and the names of its instances in memory, by which requests may call it too. */
export interface Entry {
  readonly info: ModelInfo
  readonly instances: ReadonlyArray<{ readonly id: string; readonly contextLength: number | undefined }>
}

export const modelsV1: Endpoint.Endpoint<void, ReadonlyArray<Entry>> = Endpoint.get(
  "/api/v1/models",
  Schema.Struct({ models: Schema.Array(ModelV1) }),
  ({ models }): ReadonlyArray<Entry> =>
    models.map((model) => {
      const loaded = Array.isArray(model.loaded_instances) ? model.loaded_instances.filter(isInstance) : []
      return {
        instances: loaded.map(({ config, id }) => ({
          id,
          contextLength: Json.toCount(Json.get(config, "context_length"))
        })),
        info: {
          id: model.key,
          sizeBytes: Json.toCount(model.size_bytes),
          family: Json.toText(model.architecture),
          parameterSize: Json.toText(model.params_string),
          quantization: Json.toText(Json.get(model.quantization, "name")),
          contextLength: Json.toCount(model.max_context_length),
          capabilities: toCapabilities(model.type, model.capabilities),
          isLoaded: loaded.length > 0,
          loadedContextLength: Json.toCount(Json.get(loaded[0]?.config, "context_length"))
        }
      }
    })
)

export const modelsV0: Endpoint.Endpoint<void, ReadonlyArray<Entry>> = Endpoint.get(
  "/api/v0/models",
  Schema.Struct({ data: Schema.Array(ModelV0) }),
  ({ data }): ReadonlyArray<Entry> =>
    data.map((model) => ({
      instances: [],
      info: {
        id: model.id,
        family: Json.toText(model.arch),
        quantization: Json.toText(model.quantization),
        contextLength: Json.toCount(model.max_context_length),
        capabilities: toCapabilities(model.type, { vision: model.type === "vlm" }),
        isLoaded: model.state === "loaded",
        loadedContextLength: Json.toCount(model.loaded_context_length)
      }
    }))
)

/** LM Studio gives tools to every model that can chat. `undefined` if the server does not report enough to tell. */
const toCapabilities = (type: unknown, reported: unknown): ReadonlyArray<string> | undefined => {
  if (type === "embedding" || type === "embeddings") return ["embedding"]
  const vision = Json.get(reported, "vision")
  if (typeof vision !== "boolean") return undefined
  return vision ? ["completion", "tools", "vision"] : ["completion", "tools"]
}

/** Loads a model; the response has the name of the instance. */
export const load = Endpoint.post(
  "/api/v1/models/load",
  Endpoint.json(Schema.Struct({ instance_id: Schema.String }), ({ instance_id }) => Result.succeed(instance_id))
)

export const unload = Endpoint.post(
  "/api/v1/models/unload",
  Endpoint.json(Schema.Struct({ instance_id: WireSchema.metadata }), () => Result.succeed<void>(undefined))
)

/** `job_id` is absent if the model is there already. */
const Job = Schema.Struct({
  job_id: WireSchema.nullish(Schema.String),
  status: Schema.String,
  total_size_bytes: WireSchema.metadata,
  downloaded_bytes: WireSchema.metadata,
  bytes_per_second: WireSchema.metadata
})

export interface Download {
  readonly jobId: string | undefined
  readonly progress: ModelProgress
}

const decoder = Endpoint.json(Job, (job): Result.Result<Download, StreamError> => {
  if (job.status === "failed")
    return Result.fail(new StreamError({ description: "LM Studio could not download the model" }))
  const isFinal = job.status === "completed" || job.status === "already_downloaded"
  const totalBytes = Json.toCount(job.total_size_bytes) ?? 0
  const speed = Json.toCount(job.bytes_per_second)
  return Result.succeed({
    jobId: job.job_id || undefined,
    progress: {
      status: job.status,
      isFinal,
      completedBytes: isFinal ? totalBytes : (Json.toCount(job.downloaded_bytes) ?? 0),
      totalBytes,
      ...(speed === undefined ? {} : { bytesPerSecond: speed })
    }
  })
})

export const download = Endpoint.post("/api/v1/models/download", decoder)

const statusPath = "/api/v1/models/download/status"

export const downloadStatus = (jobId: string): Endpoint.Endpoint<void, Download> => ({
  method: "GET",
  // Lone surrogates cannot be encoded.
  path: `${statusPath}/${encodeURIComponent(new TextDecoder().decode(new TextEncoder().encode(jobId)))}`,
  name: `GET ${statusPath}`,
  framing: "json",
  encode: () => Result.succeed(undefined),
  decoder
})
