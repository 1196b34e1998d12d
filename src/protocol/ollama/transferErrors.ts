/**
 * What the errors of a pull, a push and a create mean. They come from the registry, from the disk, or from a conversion, inside a
 * 200 or with a status of Ollama's own. Facts: Ollama's `server/images.go`, `download.go`, `upload.go` and `create.go`.
 */
import { always } from "../knownErrors.ts"
import type { ErrorRule, KnownError } from "../errorRule.ts"

const refused: KnownError = {
  kind: "status",
  status: 401,
  refusal: "registry",
  description: "the model may be private, or it does not exist"
}

/** A status that the registry answered with. Ollama puts it before the body, as in `pull model manifest: 403: denied`. */
const ofStatus = ([, text]: RegExpExecArray): KnownError => {
  const status = Number(text)
  if (status === 401 || status === 403) return { ...refused, status }
  if (status === 404) return { kind: "model-unloadable", description: "the registry does not have it" }
  const description = status === 429 ? "the registry limits requests" : `the registry answered with status ${status}`
  return { kind: "status", status, description }
}

/** The first match counts. */
export const transferErrors: ReadonlyArray<ErrorRule> = [
  [
    /no space left|(?:not enough|insufficient) (?:free |disk )?space|disk (?:quota exceeded|is full|full)|\benospc\b/i,
    always("model-unloadable", "the disk of the server is full")
  ],
  [/permission denied|read-only file system/i, always("model-unloadable", "the server may not write its files")],
  [
    /\b(?:digest|checksum|sha256|hash)\b [^\n]{0,12}(?:mismatch|match)/i,
    always("model-unloadable", "what was transferred does not have its digest; transfer it again")
  ],
  [
    /(?:^|: )412\b|newer version of ollama/i,
    always("model-unloadable", "Ollama is too old for it; install a newer version of Ollama")
  ],
  [
    /file does not exist|(?:manifest|name|blob|repository)[ _](?:unknown|not found)/i,
    always("model-unloadable", "the registry does not have it")
  ],
  [
    /no such file or directory|cannot find the (?:file|path)/i,
    always("model-unloadable", "the server does not have it")
  ],
  [/(?:^|: |\bstatus(?: code)?:? |\breturned )([45]\d\d)\b(?![.:]\d)/i, ofStatus],
  [
    /too many requests|\brate limit/i,
    () => ({ kind: "status", status: 429, description: "the registry limits requests" })
  ],
  [
    /\bforbidden\b|unauthorized|access denied|denied: |authentication required|authorized to push|signed in to ollama|sign in to ollama/i,
    () => refused
  ],
  [
    /server gave HTTP response to HTTPS client|x509|certificate|insecure protocol/i,
    () => ({ kind: "invalid", field: "insecure", description: "the registry has no valid TLS: set `insecure: true`" })
  ],
  [
    /dial tcp|connection (?:refused|reset)|no such host|(?:i\/o|handshake) timeout|deadline exceeded|max retries exceeded|stalled|\bEOF$/im,
    always("network", "Ollama cannot reach the registry")
  ],
  [
    /unsupported (?:architecture|content type)|unknown (?:content |file |layer )?type\b|invalid file magic|invalid digest/i,
    always("invalid", "Ollama does not know the kind of the model's files")
  ],
  [
    /neither '?from'? or '?files'?|no from line|command must be one of/i,
    always("invalid", "the definition of the model is incomplete or wrong")
  ],
  [
    /quantiz(?:e|ing|ation)/i,
    () => ({ kind: "invalid", field: "quantize", description: "Ollama cannot quantize this model to it" })
  ]
]
