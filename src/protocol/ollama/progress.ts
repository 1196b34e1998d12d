/** The reports of `POST /api/pull`, `/api/push` and `/api/create`. Facts: Ollama's `server/images.go` and `download.go`. */
import * as Schema from "effect/Schema"
import type { Layer, ModelProgress } from "../../ModelProgress.ts"
import { LineTooLong } from "../../ProviderError.ts"
import * as ErrorReport from "../errors.ts"
import type { DecoderContext, Progress, RecordDecoder } from "../endpoint.ts"
import * as Json from "../../values/json.ts"
import * as WireSchema from "../wireSchema.ts"
import { utf8Length } from "../../values/utf8.ts"

/** `total` and `completed` are absent while they are 0. */
const Line = Schema.Struct({
  status: Schema.String,
  digest: WireSchema.metadata,
  total: WireSchema.metadata,
  completed: WireSchema.metadata
})
const lineSchema = WireSchema.lineSchema(Line)

/** An entry of a map takes memory too. */
const bytesPerLayer = 256

/**
 * Only `success` marks the end. Ollama repeats its report every 60 ms, also when nothing moves. Such repetitions are left
 * out, so that the idle deadline passes when a transfer stalls.
 */
export const makeDecoder = (context: DecoderContext): RecordDecoder<ModelProgress> => {
  const layers = new Map<string, Layer>()
  let keptBytes = 0
  let completedBytes = 0
  let totalBytes = 0
  let status: string | undefined
  let reportedBytes = -1

  const readLayer = ({ completed, total, ...line }: typeof Line.Type): Layer | undefined => {
    const digest = Json.toText(line.digest)
    if (digest === undefined) return undefined
    const before = layers.get(digest)
    const layer = { digest, completedBytes: Json.toCount(completed) ?? 0, totalBytes: Json.toCount(total) ?? 0 }
    completedBytes += layer.completedBytes - (before?.completedBytes ?? 0)
    totalBytes += layer.totalBytes - (before?.totalBytes ?? 0)
    if (before === undefined) keptBytes += bytesPerLayer + utf8Length(digest)
    layers.set(digest, layer)
    return layer
  }

  return {
    record: ({ data }, out): Progress => {
      const value = Json.parse(data)
      if (Json.isObject(value) && value.error != null) {
        return ErrorReport.toReason({ ...context, report: ErrorReport.readBody(data) })
      }
      if (!lineSchema.is(value)) return lineSchema.parseError(data)
      const layer = readLayer(value)
      if (keptBytes > context.maxLineBytes) return new LineTooLong({ limit: context.maxLineBytes })
      const isFinal = value.status === "success"
      if (!isFinal && value.status === status && completedBytes === reportedBytes) return "open"
      // Ollama does not report the last bytes of a layer.
      if (isFinal) completedBytes = totalBytes = Math.max(completedBytes, totalBytes)
      status = value.status
      reportedBytes = completedBytes
      out.push({ status, isFinal, ...(layer === undefined ? {} : { layer }), completedBytes, totalBytes })
      return isFinal ? "complete" : "open"
    }
  }
}
