/** The errors of a pull, a push and a create, inside a 200 and with a status, and the reasons they stand for. */
import { describe, expect, it } from "@effect/vitest"
import { readBody, toReason } from "../../src/protocol/errors.ts"
import { transferErrors } from "../../src/protocol/ollama/transfers.ts"
import { fieldsOf } from "../support/transcript.ts"

const missing = { model: "m", description: "the registry does not have it" }
const full = { model: "m", description: "the disk of the server is full" }
const broken = { model: "m", description: "what was transferred does not have its digest; transfer it again" }
const old = { model: "m", description: "Ollama is too old for it; install a newer version of Ollama" }
const refused = { kind: "registry", description: "the model may be private, or it does not exist" }
const unreachable = { description: "Ollama cannot reach the registry" }

const table: ReadonlyArray<readonly [text: string, tag: string, isRetryable: boolean, fields?: object]> = [
  ["pull model manifest: 400: no", "InvalidRequest", false],
  ["pull model manifest: 401: no", "AuthenticationError", false, refused],
  ["pull model manifest: 401: ", "AuthenticationError", false, refused],
  ["pull model manifest: 403: no", "AuthenticationError", false, refused],
  ['pull model manifest: 403: {"errors":[{"code":"DENIED"}]}', "AuthenticationError", false, refused],
  ['pull model manifest: 403: {"error":"denied"}', "AuthenticationError", false, refused],
  ['pull model manifest: 404: {"error":"Repository not found"}', "ModelNotAvailable", false, missing],
  ["pull model manifest: 404: no", "ModelNotAvailable", false, missing],
  [
    "pull model manifest: 412: \n\nThe model you are attempting to pull requires a newer version of Ollama.",
    "ModelNotAvailable",
    false,
    old
  ],
  ["pull model manifest: 412: no", "ModelNotAvailable", false, old],
  ["pull model manifest: 429: no", "RateLimited", true, { description: "the registry limits requests" }],
  ["insecure protocol http", "InvalidRequest", false, { field: "insecure" }],
  ["neither 'from' or 'files' was specified", "InvalidRequest", false],
  ["no FROM line", "InvalidRequest", false],
  ["unsupported content type: unknown", "InvalidRequest", false],
  ['unsupported architecture "X"', "InvalidRequest", false],
  ["invalid file magic", "InvalidRequest", false],
  ["invalid digest format", "InvalidRequest", false],
  ["pull model manifest: 451: no", "ApiError", false, { status: 451 }],
  ["push model manifest: 403: no", "AuthenticationError", false, refused],
  ["max retries exceeded: unexpected status code 404", "ModelNotAvailable", false, missing],
  ["max retries exceeded: 429: slow down", "RateLimited", true],
  ["unauthorized: access denied", "AuthenticationError", false, refused],
  [
    "unable to push a/b, make sure this namespace exists and you are authorized to push to it",
    "AuthenticationError",
    false,
    refused
  ],
  ["pull model manifest: file does not exist", "ModelNotAvailable", false, missing],
  ["pull model manifest: manifest unknown", "ModelNotAvailable", false, missing],
  ['{"errors":[{"code":"MANIFEST_UNKNOWN","message":"x"}]}', "ModelNotAvailable", false, missing],
  [
    "open /models/manifests/registry/library/nope/latest: no such file or directory",
    "ModelNotAvailable",
    false,
    { description: "the server does not have it" }
  ],
  [
    "open C:\\models\\nope\\latest: The system cannot find the path specified.",
    "ModelNotAvailable",
    false,
    { description: "the server does not have it" }
  ],
  ["write /models/blobs/sha256-1-partial: no space left on device", "ModelNotAvailable", false, full],
  ["max retries exceeded: write /models/x: no space left on device", "ModelNotAvailable", false, full],
  ["write C:\\x: There is not enough space on the disk.", "ModelNotAvailable", false, full],
  ["write /models/x: disk quota exceeded", "ModelNotAvailable", false, full],
  [
    "open /models/x: permission denied",
    "ModelNotAvailable",
    false,
    { description: "the server may not write its files" }
  ],
  [
    "digest mismatch, file must be downloaded again: want sha256:404a, got sha256:b",
    "ModelNotAvailable",
    false,
    broken
  ],
  ["sha256 checksum mismatch", "ModelNotAvailable", false, broken],
  ["unexpected status 403 Forbidden", "AuthenticationError", false, refused],
  ["registry: too many requests", "RateLimited", true],
  ['Get "https://registry/x": context deadline exceeded', "NetworkError", true, unreachable],
  [
    'Get "https://registry/v2/": http: server gave HTTP response to HTTPS client',
    "InvalidRequest",
    false,
    { field: "insecure" }
  ],
  [
    "tls: failed to verify certificate: x509: certificate signed by unknown",
    "InvalidRequest",
    false,
    { field: "insecure" }
  ],
  ["dial tcp 1.2.3.4:443: connect: connection refused", "NetworkError", true, unreachable],
  ["dial tcp: lookup registry.ollama.ai: no such host", "NetworkError", true, unreachable],
  ["dial tcp 10.0.0.1:5000: i/o timeout", "NetworkError", true, unreachable],
  ['max retries exceeded: Get "https://registry/x": EOF', "NetworkError", true, unreachable],
  ["quantization is only supported for F16 and F32 models", "InvalidRequest", false, { field: "quantize" }],
  ['unsupported quantization type "q9"', "InvalidRequest", false, { field: "quantize" }],
  ["failed to quantize: requantizing from type q8_0 is disabled", "InvalidRequest", false, { field: "quantize" }],
  ["template error: template: :1: unclosed action", "InvalidRequest", false]
]

const forms = [
  (text: string) => JSON.stringify({ error: text }),
  (text: string) => JSON.stringify({ error: { message: text } }),
  (text: string) => JSON.stringify({ error: text, status: 500 })
]

describe("an error of a transfer", () => {
  for (const [text, tag, isRetryable, fields] of table) {
    it(`${tag}: ${text}`, () => {
      for (const form of forms) {
        for (const status of [undefined, 500]) {
          const report = readBody(form(text))
          const reason = toReason({
            model: "m",
            endpoint: "POST /api/pull",
            errorRules: transferErrors,
            status,
            report
          })
          expect(fieldsOf(reason)).toMatchObject({ _tag: tag, ...fields })
          expect(reason.isRetryable).toBe(isRetryable)
        }
      }
    })
  }

  it("is the failure of the server if the registry failed", () => {
    const report = readBody('{"error":"pull model manifest: 502: no"}')
    const failure = { model: "m", errorRules: transferErrors, report }
    expect(toReason(failure)).toMatchObject({ _tag: "StreamError", isRetryable: true })
    expect(toReason({ ...failure, status: 500 })).toMatchObject({ _tag: "ApiError", status: 502, isRetryable: true })
  })

  it("means nothing of a registry elsewhere", () => {
    for (const text of [
      "dial tcp 127.0.0.1:5: connection refused",
      "digest mismatch",
      "pull model manifest: 403: no"
    ]) {
      const reason = toReason({ model: "m", status: 500, report: readBody(JSON.stringify({ error: text })) })
      expect(reason).toMatchObject({ _tag: "ApiError", status: 500 })
    }
  })
})
