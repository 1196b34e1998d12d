/**
 * The routes of Ollama that move and create models, and report their progress. Facts: Ollama's `server/images.go`, `download.go`,
 * `upload.go` and `create.go`.
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import type { Layer, ModelProgress } from "../../ModelProgress.ts"
import { LineTooLong } from "../../ProviderError.ts"
import * as Json from "../../values/json.ts"
import { utf8Length } from "../../values/text.ts"
import type { DecoderContext, Endpoint, RecordDecoder } from "../endpoint.ts"
import type { ErrorRule, KnownError } from "../errorRule.ts"
import { describe, invalid } from "../errorRule.ts"
import * as Errors from "../errors.ts"
import * as WireSchema from "../wireSchema.ts"

/** `total` and `completed` are absent while they are 0. */
const Line = Schema.Struct({
  status: Schema.String,
  ...Struct.Record(["digest", "total", "completed"], WireSchema.metadata)
})
const lineSchema = WireSchema.lineSchema(Line)

/** An entry of a map takes memory too. */
const bytesPerLayer = 256

/**
 * Only `success` marks the end. Ollama repeats its report every 60 ms, also when nothing moves. Such repetitions are left
 * out, so that the idle deadline passes when a transfer stalls.
 */
const decodeReports = (context: DecoderContext): RecordDecoder<ModelProgress> => {
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
    record: ({ data }, out) => {
      const value = Json.parse(data)
      if (Json.get(value, "error") != null) return Errors.ofBody(data, context)
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

const transfer = (path: string): Endpoint<Json.JsonObject, ModelProgress> => ({
  method: "POST",
  path,
  framing: "ndjson",
  errorRules: transferErrors,
  encode: (body) => Result.succeed({ ...body, stream: true }),
  decoder: decodeReports
})

const refused: KnownError = {
  kind: "status",
  status: 401,
  refusal: "registry",
  description: "the model may be private, or it does not exist"
}

const limited: KnownError = { kind: "status", status: 429, description: "the registry limits requests" }

/** A status of the registry. Ollama puts it before the body, as in `pull model manifest: 403: denied`. */
const ofStatus = ([, text]: RegExpExecArray): KnownError => {
  const status = Number(text)
  if (status === 401 || status === 403) return { ...refused, status }
  if (status === 404) return { kind: "model-unloadable", description: "the registry does not have it" }
  return status === 429
    ? limited
    : { kind: "status", status, description: `the registry answered with status ${status}` }
}

/** What error texts mean at these endpoints. The first match counts. */
export const transferErrors: ReadonlyArray<ErrorRule> = [
  ...describe("model-unloadable", {
    "the disk of the server is full":
      /no space left|(?:not enough|insufficient) (?:free |disk )?space|disk (?:quota exceeded|is full|full)|\benospc\b/i,
    "the server may not write its files": /permission denied|read-only file system/i,
    "what was transferred does not have its digest; transfer it again":
      /\b(?:digest|checksum|sha256|hash)\b [^\n]{0,12}(?:mismatch|match)/i,
    "Ollama is too old for it; install a newer version of Ollama": /(?:^|: )412\b|newer version of ollama/i,
    "the registry does not have it": /file does not exist|(?:manifest|name|blob|repository)[ _](?:unknown|not found)/i,
    "the server does not have it": /no such file or directory|cannot find the (?:file|path)/i
  }),
  [ofStatus, /(?:^|: |\bstatus(?: code)?:? |\breturned )([45]\d\d)\b(?![.:]\d)/i],
  [limited, /too many requests|\brate limit/i],
  [
    refused,
    /\bforbidden\b|unauthorized|access denied|denied: |authentication required|authorized to push/i,
    /signed in to ollama|sign in to ollama/i
  ],
  ...describe(invalid("insecure"), {
    "the registry has no valid TLS: set `insecure: true`":
      /server gave HTTP response to HTTPS client|x509|certificate|insecure protocol/i
  }),
  ...describe("network", {
    "Ollama cannot reach the registry": [
      /dial tcp|connection (?:refused|reset)|no such host|(?:i\/o|handshake) timeout|deadline exceeded/i,
      /max retries exceeded|stalled|\bEOF$/im
    ]
  }),
  ...describe("invalid", {
    "Ollama does not know the kind of the model's files":
      /unsupported (?:architecture|content type)|unknown (?:content |file |layer )?type\b|invalid file magic|invalid digest/i,
    "the definition of the model is incomplete or wrong":
      /neither '?from'? or '?files'?|no from line|command must be one of/i
  }),
  ...describe(invalid("quantize"), { "Ollama cannot quantize this model to it": /quantiz(?:e|ing|ation)/i })
]

export const pull = transfer("/api/pull")
export const push = transfer("/api/push")
export const create = transfer("/api/create")
