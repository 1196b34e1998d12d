/** Failures as a gateway reports them to Ollama's clients, read by our own. */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { chat } from "../../src/protocol/ollama/endpoints.ts"
import * as Response from "../../src/protocol/ollama/servedResponse.ts"
import * as Errors from "../../src/protocol/errors.ts"
import * as Reasons from "../../src/ProviderError.ts"
import { fieldsOf } from "../support/transcript.ts"
import { read } from "../support/decoding.ts"

const secret = "SECRET http://gpu-1:11434"
const texts = { description: secret, detail: Redacted.make(secret) }

type Tag = Reasons.ProviderErrorReason["_tag"]

/** Of a reason, what a client reads before the beginning of a response, and after it. Where both are one, it is the reason itself. */
interface Row {
  readonly reason: Reasons.ProviderErrorReason
  readonly before: object
  readonly after: object
}

const same = (reason: Reasons.ProviderErrorReason, fields: object = {}): Row => {
  const read = { _tag: reason._tag, ...fields }
  return { reason, before: read, after: read }
}

/** What the client of the gateway can do nothing about. The form has no more than a status before, and nothing after. */
const ofServer = (reason: Reasons.ProviderErrorReason, status = 502): Row => ({
  reason,
  before: { _tag: "ApiError", status },
  after: { _tag: "StreamError" }
})

const rows: { readonly [K in Tag]: Row } = {
  InvalidRequest: same(new Reasons.InvalidRequest({ field: "temperature", ...texts }), { field: "temperature" }),
  ContextOverflow: same(new Reasons.ContextOverflow({ promptTokens: 9000, contextLength: 4096, ...texts }), {
    promptTokens: 9000,
    contextLength: 4096
  }),
  Unsupported: same(new Reasons.Unsupported({ feature: "tools", ...texts }), { feature: "tools" }),
  ModelNotAvailable: same(new Reasons.ModelNotAvailable({ model: "asked", ...texts }), { model: "asked" }),
  RateLimited: same(new Reasons.RateLimited({ ...texts })),
  Timeout: ofServer(new Reasons.Timeout({ kind: "idle", limit: Duration.seconds(5), description: secret }), 504),
  NetworkError: ofServer(new Reasons.NetworkError({ kind: "refused", ...texts })),
  AuthenticationError: ofServer(new Reasons.AuthenticationError({ signinUrl: Redacted.make(secret), ...texts })),
  ApiError: ofServer(new Reasons.ApiError({ status: 418, ...texts })),
  StreamError: ofServer(new Reasons.StreamError(texts)),
  StreamTruncated: ofServer(new Reasons.StreamTruncated()),
  ParseError: ofServer(new Reasons.ParseError({ excerpt: Redacted.make(secret), description: secret })),
  LineTooLong: ofServer(new Reasons.LineTooLong({ limit: 5 })),
  InvalidAnswer: ofServer(
    new Reasons.InvalidAnswer({ text: Redacted.make(secret), isTruncated: false, description: secret })
  ),
  AllProvidersFailed: ofServer(
    new Reasons.AllProvidersFailed({
      errors: [new Reasons.ProviderError({ provider: secret, server: secret, reason: new Reasons.StreamError(texts) })]
    })
  )
}

const text = '{"model":"asked","created_at":"x","message":{"role":"assistant","content":"a"},"done":false}\n'

const readBody = (reason: Reasons.ProviderErrorReason) => {
  const { body, status } = Response.fail(reason)
  const json = JSON.stringify(body)
  const seen = Errors.toReason({ status, report: Errors.readBody(json), model: "asked", endpoint: "POST /api/chat" })
  return { json, seen: fieldsOf(seen) }
}

describe.each(Object.entries(rows))("%s", (_, row) => {
  it("before the beginning", () => {
    const { json, seen } = readBody(row.reason)
    expect(seen).toMatchObject(row.before)
    expect(JSON.parse(json)).toEqual({ error: expect.any(String) })
    expect(json).not.toContain("SECRET")
  })

  it.effect("after the beginning", () =>
    Effect.gen(function* () {
      const line = Response.makeWriter(Response.message, { model: "asked", id: "x", createdAt: 0 }).failure(row.reason)
      const { failure, pieces } = yield* read(chat, text + line)
      expect(pieces).toBe("a|")
      expect(failure).toMatchObject(row.after)
      expect(line).toMatch(/^\{"error":"[^\n]+\}\n$/)
      expect(line).not.toContain("SECRET")
    })
  )
})

/** Of other features, the form says no more than that the request is invalid, and the message names them. */
it.each([
  ["tools", "Unsupported"],
  ["images", "Unsupported"],
  ["thinking", "Unsupported"],
  ["embeddings", "Unsupported"],
  ["toolChoice", "InvalidRequest"],
  ["this level of think", "InvalidRequest"]
])("a feature that is missing: %s", (feature, tag) => {
  const { json, seen } = readBody(new Reasons.Unsupported({ feature }))
  expect(seen._tag).toBe(tag)
  expect(json).toContain(feature)
})
