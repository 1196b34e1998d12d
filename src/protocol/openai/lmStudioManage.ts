/** LM Studio's own routes that load, unload and download models, since 0.4.0. Facts: its documentation of `/api/v1/models`. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as CompletionRequest from "../../CompletionRequest.ts"
import type { ModelProgress } from "../../ModelProgress.ts"
import { StreamError } from "../../ProviderError.ts"
import * as JsonEndpoint from "../jsonEndpoint.ts"
import type { Endpoint } from "../endpoint.ts"
import type { JsonObject } from "../../values/json.ts"
import * as Json from "../../values/json.ts"
import * as WireSchema from "../wireSchema.ts"

/** Loads a model; the answer is the name of the instance. */
export const load: Endpoint<LoadRequest, string> = {
  ...JsonEndpoint.post(
    "/api/v1/models/load",
    Schema.Struct({ instance_id: Schema.String }),
    ({ instance_id }) => instance_id
  ),
  encode: ({ contextLength, model }) =>
    // The context means the same in a request for an answer.
    Result.map(CompletionRequest.validate({ model, contextLength, prompt: "-" }), () => ({
      model,
      context_length: contextLength
    }))
}

type LoadRequest = {
  readonly model: string
  readonly contextLength: number | undefined
}

export const unload: Endpoint<JsonObject, void> = JsonEndpoint.post(
  "/api/v1/models/unload",
  Schema.Struct({ instance_id: WireSchema.metadata }),
  (): void => undefined
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

const decoder = JsonEndpoint.decoder(Job, (job): Result.Result<Download, StreamError> => {
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

export const download: Endpoint<JsonObject, Download> = {
  method: "POST",
  path: "/api/v1/models/download",
  framing: "json",
  encode: Result.succeed,
  decoder
}

const statusPath = "/api/v1/models/download/status"

export const downloadStatus = (jobId: string): Endpoint<void, Download> => ({
  method: "GET",
  // Lone surrogates cannot be encoded.
  path: `${statusPath}/${encodeURIComponent(new TextDecoder().decode(new TextEncoder().encode(jobId)))}`,
  name: `GET ${statusPath}`,
  framing: "json",
  encode: () => Result.succeed(undefined),
  decoder
})
