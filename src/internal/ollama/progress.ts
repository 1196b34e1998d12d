/** The reports of `POST /api/pull`, `/api/push` and `/api/create`. Facts: Ollama's `server/images.go` and `download.go`. */
import * as Schema from "effect/Schema"
import type { Layer, ModelProgress } from "../../ModelProgress.ts"
import type { ProviderErrorReason } from "../../ProviderError.ts"
import { InvalidRequest, LineTooLong, ModelNotAvailable, NetworkError } from "../../ProviderError.ts"
import * as ErrorReport from "../errorReport.ts"
import type { DecoderContext, Progress, RecordDecoder } from "../wire/endpoint.ts"
import * as Json from "../wire/json.ts"

/** `total` and `completed` are absent while they are 0. */
const Line = Schema.Struct({
  status: Schema.String,
  digest: Json.nullish(Schema.String),
  total: Json.nullish(Schema.Finite),
  completed: Json.nullish(Schema.Finite)
})
const lineSchema = Json.lineSchema(Line)

/** An entry of a map takes memory too. */
const bytesPerLayer = 256

/**
 * Only `success` marks the end. Ollama repeats its report every 60 ms, also when nothing moves. Such repetitions are left
 * out, so that the idle deadline passes when a transfer stalls.
 */
export const makeDecoder = (context: DecoderContext): RecordDecoder<ModelProgress> => {
  const layers = new Map<string, Layer>()
  let completedBytes = 0
  let totalBytes = 0
  let status: string | undefined
  let reportedBytes = -1

  const readLayer = ({ completed, digest, total }: typeof Line.Type): Layer | undefined => {
    if (!digest) return undefined
    const before = layers.get(digest)
    const layer = { digest, completedBytes: Json.toCount(completed) ?? 0, totalBytes: Json.toCount(total) ?? 0 }
    completedBytes += layer.completedBytes - (before?.completedBytes ?? 0)
    totalBytes += layer.totalBytes - (before?.totalBytes ?? 0)
    layers.set(digest, layer)
    return layer
  }

  return {
    record: ({ data }, out): Progress => {
      const value = Json.parse(data)
      if (Json.isObject(value) && value.error != null) return toReason(data, context)
      if (!lineSchema.is(value)) return lineSchema.parseError(data)
      const layer = readLayer(value)
      if (layers.size * bytesPerLayer > context.maxLineBytes) return new LineTooLong({ limit: context.maxLineBytes })
      const isFinal = value.status === "success"
      if (!isFinal && value.status === status && completedBytes === reportedBytes) return "open"
      status = value.status
      reportedBytes = completedBytes
      out.push({ status, isFinal, ...(layer === undefined ? {} : { layer }), completedBytes, totalBytes })
      return isFinal ? "complete" : "open"
    }
  }
}

const toReason = (data: string, context: DecoderContext): ProviderErrorReason => {
  const report = ErrorReport.readBody(data)
  const text = report.message ?? ""
  const detail = ErrorReport.toDetail(text)
  const known = registryErrors.find(([pattern]) => pattern.test(text))
  return known === undefined ? ErrorReport.toReason({ ...context, report }) : known[1](context.model, detail)
}

type Detail = ReturnType<typeof ErrorReport.toDetail>

/** The errors inside a 200 that come from the registry, which Ollama asks after its first report. */
const registryErrors: ReadonlyArray<[RegExp, (model: string, detail: Detail) => ProviderErrorReason]> = [
  [
    /file does not exist|manifest unknown|^pull model manifest: 404/i,
    (model, detail) => new ModelNotAvailable({ model, description: "the registry does not have it", detail })
  ],
  [
    /server gave HTTP response to HTTPS client|x509|certificate/i,
    (_, detail) =>
      new InvalidRequest({
        field: "insecure",
        description: "the registry has no valid TLS: set `insecure: true`",
        detail
      })
  ],
  [
    /dial tcp|connection (?:refused|reset)|no such host|i\/o timeout|TLS handshake timeout|max retries exceeded|EOF$/i,
    (_, detail) => new NetworkError({ description: "Ollama cannot reach the registry", detail })
  ]
]
