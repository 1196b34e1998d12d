/** Failures in OpenAI's form, as our own client reads them again. */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Errors from "../../src/protocol/errors.ts"
import * as Chunks from "../../src/protocol/openai/servedChunks.ts"
import * as Failures from "../../src/protocol/openai/servedFailures.ts"
import * as Reasons from "../../src/ProviderError.ts"
import { openAiCompatible } from "../../src/servers/openAiCompatible.ts"
import { encode } from "../support/bytes.ts"
import { decode } from "../support/decoding.ts"
import { fieldsOf, record } from "../support/transcript.ts"

const secret = "http://gpu-1:11434 said: my prompt"
const text = Redacted.make(secret)
const texts = { description: secret, detail: text }

interface Row {
  readonly reason: Reasons.ProviderErrorReason
  readonly status: number
  /** Without the message. */
  readonly error: object
  /** What our client reads before the response begins, and after that. */
  readonly before: object
  readonly after: object
}

const server = (code: string) => ({ type: "server_error", param: null, code })
const request = (param: string | null, code: string | null = null) => ({ type: "invalid_request_error", param, code })
const failed = { status: 502, before: { _tag: "ApiError", status: 502 }, after: { _tag: "StreamError" } }

/** What the client can do something about keeps its reason. Of what it cannot, it reads that the server failed. */
const rows: { readonly [name: string]: Row } = {
  "a model that is not there": {
    reason: new Reasons.ModelNotAvailable({ ...texts, model: "asked" }),
    status: 404,
    error: request("model", "model_not_found"),
    before: { _tag: "ModelNotAvailable", model: "asked" },
    after: { _tag: "ModelNotAvailable", model: "asked" }
  },
  "a prompt that does not fit": {
    reason: new Reasons.ContextOverflow({ ...texts, promptTokens: 9000, contextLength: 4096 }),
    status: 400,
    error: { ...request("messages", "context_length_exceeded"), n_prompt_tokens: 9000, n_ctx: 4096 },
    before: { _tag: "ContextOverflow", promptTokens: 9000, contextLength: 4096 },
    after: { _tag: "ContextOverflow", promptTokens: 9000, contextLength: 4096 }
  },
  "a prompt that does not fit, without numbers": {
    reason: new Reasons.ContextOverflow({}),
    status: 400,
    error: request("messages", "context_length_exceeded"),
    before: { _tag: "ContextOverflow" },
    after: { _tag: "ContextOverflow" }
  },
  "a text that does not fit": {
    reason: new Reasons.ContextOverflow({ index: 3 }),
    status: 400,
    error: request("input[3]", "context_length_exceeded"),
    before: { _tag: "ContextOverflow" },
    after: { _tag: "ContextOverflow" }
  },
  "too many requests": {
    reason: new Reasons.RateLimited({ ...texts, retryAfter: Duration.seconds(7) }),
    status: 429,
    error: { type: "requests", param: null, code: "rate_limit_exceeded" },
    before: { _tag: "RateLimited" },
    after: { _tag: "RateLimited" }
  },
  "an invalid field": {
    reason: new Reasons.InvalidRequest({ ...texts, field: "messages[0].toolCalls[1].arguments" }),
    status: 400,
    error: request("messages[0].tool_calls[1].function.arguments"),
    before: { _tag: "InvalidRequest", field: "messages[0].toolCalls[1].function.arguments" },
    after: { _tag: "InvalidRequest", field: "messages[0].toolCalls[1].function.arguments" }
  },
  "an invalid option": {
    reason: new Reasons.InvalidRequest({ field: "maxTokens" }),
    status: 400,
    error: request("max_tokens"),
    before: { _tag: "InvalidRequest", field: "maxTokens" },
    after: { _tag: "InvalidRequest", field: "maxTokens" }
  },
  "an invalid format": {
    reason: new Reasons.InvalidRequest({ field: "format" }),
    status: 400,
    error: request("response_format"),
    before: { _tag: "InvalidRequest", field: "format" },
    after: { _tag: "InvalidRequest", field: "format" }
  },
  "an option of the gateway": {
    reason: new Reasons.InvalidRequest({ ...texts, field: "dialect.streamOptions" }),
    status: 400,
    error: request(null),
    before: { _tag: "InvalidRequest" },
    after: { _tag: "InvalidRequest" }
  },
  "a feature that a model lacks": {
    reason: new Reasons.Unsupported({ ...texts, feature: "tools" }),
    status: 400,
    error: request(null, "unsupported_parameter"),
    before: { _tag: "Unsupported", feature: "tools" },
    after: { _tag: "Unsupported", feature: "tools" }
  },
  "a feature that has no known name": {
    reason: new Reasons.Unsupported({ feature: secret }),
    status: 400,
    error: request(null, "unsupported_parameter"),
    before: { _tag: "InvalidRequest" },
    after: { _tag: "InvalidRequest" }
  },
  "a deadline": {
    reason: new Reasons.Timeout({ kind: "idle", limit: Duration.seconds(30) }),
    status: 504,
    error: server("timeout"),
    before: { _tag: "ApiError", status: 504 },
    after: { _tag: "StreamError" }
  },
  "a connection": { ...failed, reason: new Reasons.NetworkError(texts), error: server("network_error") },
  "a refused key of the gateway": {
    ...failed,
    reason: new Reasons.AuthenticationError({ ...texts, signinUrl: text }),
    error: server("authentication_error")
  },
  "a status": { ...failed, reason: new Reasons.ApiError({ ...texts, status: 503 }), error: server("api_error") },
  "a status of the client": {
    ...failed,
    reason: new Reasons.ApiError({ ...texts, status: 418 }),
    error: server("api_error")
  },
  "an engine": { ...failed, reason: new Reasons.StreamError(texts), error: server("stream_error") },
  "a cut response": { ...failed, reason: new Reasons.StreamTruncated(), error: server("stream_truncated") },
  "a bad record": { ...failed, reason: new Reasons.ParseError({ excerpt: text }), error: server("parse_error") },
  "a long record": { ...failed, reason: new Reasons.LineTooLong({ limit: 9 }), error: server("line_too_long") },
  "an answer that does not match": {
    ...failed,
    reason: new Reasons.InvalidAnswer({ text, isTruncated: true }),
    error: server("invalid_answer")
  },
  "all providers": {
    ...failed,
    reason: new Reasons.AllProvidersFailed({
      errors: [new Reasons.ProviderError({ provider: "http://gpu-1", reason: new Reasons.StreamError(texts) })]
    }),
    error: server("all_providers_failed")
  }
}

const { chat } = openAiCompatible.endpoints
const context = { model: "asked", id: "a1", createdAt: 0 }

describe.each(Object.entries(rows))("%s", (_, { after, before, error, reason, status }) => {
  it("is read again before the response begins", () => {
    const response = Failures.fail(reason)
    expect(response.status).toBe(status)
    expect(JSON.parse(JSON.stringify(response.body))).toEqual({ error: { message: expect.any(String), ...error } })
    const body = JSON.stringify(response.body)
    expect(body).not.toContain("gpu-1")
    const seen = Errors.toReason({ model: "asked", status, report: Errors.readBody(body), endpoint: "POST /x" })
    expect(fieldsOf(seen)).toMatchObject(before)
  })

  it.effect("is read again after the beginning, and the response has no end", () =>
    Effect.gen(function* () {
      const writer = Chunks.makeWriter(Chunks.chat, context, true)
      const body = writer.chunk({ content: "The sky", isFinal: false }) + writer.failure(reason)
      expect(body).not.toContain("[DONE]")
      expect(body).not.toContain("gpu-1")
      const seen = yield* record(decode(chat, [encode(body)]))
      expect(seen.pieces).toBe("The sky|")
      expect(seen.failure).toMatchObject(after)
    })
  )
})

describe("failures of a request", () => {
  it.each([
    ["messages[0].content", "Expected string", "Invalid value of 'messages[0].content': Expected string"],
    ["response_format", undefined, "Invalid value of 'response_format'"],
    [undefined, "Expected messages or prompt", "Invalid request: Expected messages or prompt"]
  ])("%s: %s", (field, description, message) => {
    const reason = new Reasons.InvalidRequest({ field, description })
    expect(Failures.fail(reason, reason.message)).toEqual({
      status: 400,
      body: { error: { message, ...request(field ?? null) } }
    })
  })

  it("a field that only servers of this protocol know", () => {
    const reason = new Reasons.Unsupported({ feature: "logit_bias" })
    const error = { message: "logit_bias is not supported", ...request("logit_bias", "unsupported_parameter") }
    expect(Failures.fail(reason, reason.message)).toEqual({ status: 400, body: { error } })
  })

  it.each([
    [401, "invalid_api_key"],
    [403, "permission_denied"],
    [404, null],
    [413, null]
  ])("the gateway itself refuses with %s", (status, code) => {
    expect(Failures.refuse(status, "no")).toEqual({ error: { message: "no", ...request(null, code) } })
  })
})
