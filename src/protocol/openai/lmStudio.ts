/**
 * The routes that only LM Studio has. It reports its models at `GET /api/v1/models` since 0.4.0, and at `GET /api/v0/models` since
 * 0.3.6. It loads, unloads and downloads them since 0.4.0. Facts: its documentation of `/api/v1/models`.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import type { ModelInfo } from "../../ModelInfo.ts"
import type { ModelProgress } from "../../ModelProgress.ts"
import { StreamError } from "../../ProviderError.ts"
import * as Json from "../../values/json.ts"
import * as Endpoint from "../endpoint.ts"
import * as WireSchema from "../wireSchema.ts"

/** A model, and the names of its instances in memory, by which requests may call it too. */
export interface Entry {
  readonly info: ModelInfo
  readonly instances: ReadonlyArray<{ readonly id: string; readonly contextLength: number | undefined }>
}

const commonFields = Struct.Record(["type", "quantization", "max_context_length"], WireSchema.metadata)

const ModelV1 = Schema.Struct({
  key: Schema.String,
  ...commonFields,
  ...Struct.Record(
    ["architecture", "size_bytes", "params_string", "loaded_instances", "capabilities"],
    WireSchema.metadata
  )
})

const isInstance = Schema.is(Schema.Struct({ id: Schema.String, config: WireSchema.metadata }))

export const modelsV1 = Endpoint.get(
  "/api/v1/models",
  Schema.Struct({ models: Schema.Array(ModelV1) }),
  ({ models }): ReadonlyArray<Entry> =>
    models.map((model) => {
      const loaded = Array.isArray(model.loaded_instances) ? model.loaded_instances.filter(isInstance) : []
      const instances = loaded.map(({ config, id }) => ({
        id,
        contextLength: Json.toCount(Json.get(config, "context_length"))
      }))
      return {
        instances,
        info: {
          id: model.key,
          sizeBytes: Json.toCount(model.size_bytes),
          family: Json.toText(model.architecture),
          parameterSize: Json.toText(model.params_string),
          quantization: Json.toText(Json.get(model.quantization, "name")),
          contextLength: Json.toCount(model.max_context_length),
          capabilities: toCapabilities(model.type, Json.get(model.capabilities, "vision")),
          isLoaded: instances.length > 0,
          loadedContextLength: instances[0]?.contextLength
        }
      }
    })
)

const ModelV0 = Schema.Struct({
  id: Schema.String,
  ...commonFields,
  ...Struct.Record(["arch", "state", "loaded_context_length"], WireSchema.metadata)
})

export const modelsV0 = Endpoint.get(
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
        capabilities: toCapabilities(model.type, model.type === "vlm"),
        isLoaded: model.state === "loaded",
        loadedContextLength: Json.toCount(model.loaded_context_length)
      }
    }))
)

/** LM Studio gives tools to every model that can chat. `undefined` if the server does not report enough to tell. */
const toCapabilities = (type: unknown, vision: unknown): ReadonlyArray<string> | undefined => {
  if (type === "embedding" || type === "embeddings") return ["embedding"]
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

export interface Download {
  /** Absent if the model is there already. */
  readonly jobId: string | undefined
  readonly progress: ModelProgress
}

const Job = Schema.Struct({
  job_id: WireSchema.nullish(Schema.String),
  status: Schema.String,
  ...Struct.Record(["total_size_bytes", "downloaded_bytes", "bytes_per_second"], WireSchema.metadata)
})

const jobDecoder = Endpoint.json(Job, (job): Result.Result<Download, StreamError> => {
  const { job_id, status } = job
  if (status === "failed") {
    return Result.fail(new StreamError({ description: "LM Studio could not download the model" }))
  }
  const isFinal = status === "completed" || status === "already_downloaded"
  const totalBytes = Json.toCount(job.total_size_bytes) ?? 0
  const completedBytes = isFinal ? totalBytes : (Json.toCount(job.downloaded_bytes) ?? 0)
  const bytesPerSecond = Json.toCount(job.bytes_per_second)
  const speed = bytesPerSecond === undefined ? {} : { bytesPerSecond }
  return Result.succeed({
    jobId: job_id || undefined,
    progress: { status, isFinal, completedBytes, totalBytes, ...speed }
  })
})

export const download = Endpoint.post("/api/v1/models/download", jobDecoder)

const statusPath = "/api/v1/models/download/status"

export const downloadStatus = (jobId: string): Endpoint.Endpoint<void, Download> => ({
  method: "GET",
  // Lone surrogates cannot be encoded.
  path: `${statusPath}/${encodeURIComponent(new TextDecoder().decode(new TextEncoder().encode(jobId)))}`,
  name: `GET ${statusPath}`,
  framing: "json",
  encode: () => Result.succeed(undefined),
  decoder: jobDecoder
})
