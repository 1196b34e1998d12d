/** LM Studio's own routes that load, unload and download models, since 0.4.0. Facts: its documentation of `/api/v1/models`. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ModelProgress } from "../../ModelProgress.ts"
import { StreamError } from "../../ProviderError.ts"
import * as JsonEndpoint from "../jsonEndpoint.ts"
import type { Endpoint, JsonObject } from "../wire/endpoint.ts"
import * as Json from "../wire/json.ts"

/** Loads a model; the answer is the name of the instance. */
export const load: Endpoint<JsonObject, string> = JsonEndpoint.post(
  "/api/v1/models/load",
  Schema.Struct({ instance_id: Schema.String }),
  ({ instance_id }) => instance_id
)

export const unload: Endpoint<JsonObject, void> = JsonEndpoint.post(
  "/api/v1/models/unload",
  Schema.Struct({ instance_id: Json.nullish(Schema.String) }),
  (): void => undefined
)

/** `job_id` is absent if the model is there already. */
const Job = Schema.Struct({
  job_id: Json.nullish(Schema.String),
  status: Schema.String,
  total_size_bytes: Json.nullish(Schema.Finite),
  downloaded_bytes: Json.nullish(Schema.Finite),
  bytes_per_second: Json.nullish(Schema.Finite)
})

export interface Download {
  readonly jobId: string | undefined
  readonly progress: ModelProgress
}

const decoder = JsonEndpoint.decoder(Job, (job): Result.Result<Download, StreamError> => {
  if (job.status === "failed")
    return Result.fail(new StreamError({ description: "LM Studio could not download the model" }))
  const isFinal = job.status === "completed" || job.status === "already_downloaded"
  const totalBytes = job.total_size_bytes ?? 0
  const speed = job.bytes_per_second ?? undefined
  return Result.succeed({
    jobId: job.job_id ?? undefined,
    progress: {
      status: job.status,
      isFinal,
      completedBytes: job.downloaded_bytes ?? (isFinal ? totalBytes : 0),
      totalBytes,
      ...(speed === undefined ? {} : { bytesPerSecond: speed })
    }
  })
})

export const download: Endpoint<JsonObject, Download> = {
  method: "POST",
  path: "/api/v1/models/download",
  framing: "json",
  encode: Result.succeed,
  decoder
}

export const downloadStatus = (jobId: string): Endpoint<void, Download> => ({
  method: "GET",
  path: `/api/v1/models/download/status/${encodeURIComponent(jobId)}`,
  framing: "json",
  encode: () => Result.succeed(undefined),
  decoder
})
