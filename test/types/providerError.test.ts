/** The messages of errors, and the texts that no rendering of an error reveals. */
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Util from "node:util"
import { readBody, retryAfter, toReason } from "../../src/protocol/errors.ts"
import { networkError } from "../../src/http/networkError.ts"
import * as OllamaProtocol from "../../src/protocol/ollama/endpoints.ts"
import { dialect as lmStudio } from "../../src/servers/lmStudio.ts"
import * as OpenAiProtocol from "../../src/protocol/openai/endpoints.ts"
import type { ProviderErrorReason } from "../../src/ProviderError.ts"
import * as Errors from "../../src/ProviderError.ts"
import { encode } from "../support/bytes.ts"
import { decode } from "../support/decoding.ts"

const wrap = (reason: ProviderErrorReason): Errors.ProviderError => new Errors.ProviderError({ provider: "P", reason })

const table: ReadonlyArray<readonly [reason: ProviderErrorReason, isRetryable: boolean, message: string]> = [
  [
    new Errors.NetworkError({ description: "connect ECONNREFUSED" }),
    true,
    "the connection failed: connect ECONNREFUSED"
  ],
  [new Errors.NetworkError({}), true, "the connection failed"],
  [
    new Errors.NetworkError({ kind: "refused", description: "ECONNREFUSED" }),
    true,
    "the connection failed: ECONNREFUSED"
  ],
  [new Errors.NetworkError({ kind: "tls", description: "x" }), false, "the connection failed: x"],
  [new Errors.Timeout({ kind: "idle", limit: Duration.seconds(90) }), true, "the idle deadline of 1m 30s passed"],
  [
    new Errors.RateLimited({ retryAfter: Duration.seconds(3), description: "slow" }),
    true,
    "too many requests (retry after 3s): slow"
  ],
  [
    new Errors.AuthenticationError({ signinUrl: Redacted.make("https://x?key=secret") }),
    false,
    "the server refused this client; check the token"
  ],
  [
    new Errors.AuthenticationError({ kind: "origin", description: "x" }),
    false,
    "the server refused the address or the origin of this client: x"
  ],
  [new Errors.AuthenticationError({ kind: "registry" }), false, "the registry refused the server"],
  [new Errors.ModelNotAvailable({ model: "m" }), false, 'the model "m" is not available'],
  [new Errors.InvalidRequest({ field: "model", description: "no" }), false, "invalid model: no"],
  [new Errors.InvalidRequest({ description: "no" }), false, "invalid request: no"],
  [
    new Errors.ContextOverflow({ promptTokens: 9, contextLength: 4 }),
    false,
    "the prompt does not fit into the model's context (9 tokens, 4 fit)"
  ],
  [new Errors.ContextOverflow({ contextLength: 4 }), false, "the prompt does not fit into the model's context"],
  [new Errors.ApiError({ status: 503 }), true, "the server answered with status 503"],
  [new Errors.ApiError({ status: 409, description: "no" }), false, "the server answered with status 409: no"],
  [new Errors.StreamError({ description: "boom" }), true, "the server failed while answering: boom"],
  [new Errors.StreamTruncated(), true, "the answer ended without its end marker, so it is incomplete"],
  [
    new Errors.ParseError({ description: "not JSON", excerpt: Redacted.make("secret") }),
    false,
    "the server sent a record that violates its protocol: not JSON"
  ],
  [
    new Errors.LineTooLong({ limit: 5 }),
    false,
    "the server sent a record of more than 5 bytes; maxLineBytes sets the bound"
  ],
  [new Errors.Unsupported({ feature: "tools" }), false, "tools is not supported"],
  [
    new Errors.InvalidAnswer({ text: Redacted.make("secret"), isTruncated: false, description: "a: Expected number" }),
    false,
    "the answer does not match the schema: a: Expected number"
  ],
  [
    new Errors.InvalidAnswer({ text: Redacted.make("secret"), isTruncated: true, description: "it is not JSON" }),
    false,
    "the answer is truncated: it is not JSON"
  ],
  [
    new Errors.AllProvidersFailed({ errors: [wrap(new Errors.StreamTruncated()), wrap(new Errors.StreamError({}))] }),
    false,
    "all providers failed: P: the answer ended without its end marker, so it is incomplete; P: the server failed while answering"
  ]
]

describe("a reason", () => {
  for (const [reason, isRetryable, message] of table) {
    it(message, () => {
      const error = wrap(reason)
      expect(error.message).toBe(`P: ${message}`)
      expect([reason.isRetryable, error.isRetryable]).toEqual([isRetryable, isRetryable])
      expect(error.retryAfter).toEqual("retryAfter" in reason ? reason.retryAfter : undefined)
      expect(Errors.isProviderError(error)).toBe(true)
      expect(Errors.isProviderError(reason)).toBe(false)
    })
  }

  it("of every kind is in the table", () => {
    const kinds = Errors.ProviderErrorReason.members.map((member) => member.fields._tag.schema.literal)
    expect([...new Set(table.map(([reason]) => reason._tag))].toSorted()).toEqual(kinds.toSorted())
  })

  it.effect("can be caught by its name", () =>
    Effect.gen(function* () {
      const caught = yield* Effect.fail(wrap(new Errors.ModelNotAvailable({ model: "m" }))).pipe(
        Effect.catchReason("ProviderError", "ModelNotAvailable", ({ model }) => Effect.succeed(model))
      )
      expect(caught).toBe("m")
    })
  )

  it("names the server", () => {
    const error = new Errors.ProviderError({
      provider: "P",
      server: "http://gpu-1:11434",
      reason: new Errors.StreamError({})
    })
    expect(error.message).toBe("P (http://gpu-1:11434): the server failed while answering")
  })

  it("names a server once whose provider has its address as name", () => {
    const server = "http://gpu-1:11434"
    const error = new Errors.ProviderError({ provider: server, server, reason: new Errors.StreamError({}) })
    expect(error.message).toBe("http://gpu-1:11434: the server failed while answering")
  })

  it("goes through JSON and back", () => {
    const codec = Schema.toCodecJson(Errors.ProviderError)
    for (const [reason] of table) {
      const back = Schema.decodeUnknownSync(codec)(JSON.parse(JSON.stringify(Schema.encodeSync(codec)(wrap(reason)))))
      expect(back.message).toBe(wrap(reason).message)
    }
  })
})

/** Every form in which an error may reach a log, a screen or another process. */
const render = (error: Errors.ProviderError): ReadonlyArray<string> => {
  const cause = Cause.fail(error)
  return [
    error.message,
    String(error),
    error.stack ?? "",
    JSON.stringify(error),
    JSON.stringify(cause),
    Cause.pretty(cause),
    Inspectable.toStringUnknown(error),
    Util.inspect(error, { depth: 20, showHidden: true }),
    JSON.stringify(Schema.encodeSync(Schema.toCodecJson(Errors.ProviderError))(error)),
    JSON.stringify(Schema.encodeSync(Schema.toCodecStringTree(Errors.ProviderError))(error)),
    Util.inspect(Schema.encodeSync(Errors.ProviderError)(error), { depth: 20, showHidden: true }),
    Schema.toFormatter(Errors.ProviderError)(error)
  ]
}

describe("a secret in the text of a server is in no rendering of an error", () => {
  /** Texts that servers send. Each of their words is replaced by the secret, one after the other. */
  const texts = [
    "model 'x' not found, try pulling it first",
    "The model `x` does not exist.",
    "x is not a valid model ID",
    "No models loaded. Please load a model",
    'Failed to load model "x". Error: y',
    "model requires more system memory (9 GiB) than is available (8 GiB)",
    "failed to allocate KV cache; try a smaller context size",
    "registry.ollama.ai/library/m:latest does not support tools",
    "image input is not supported - hint: x",
    "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4000 in the messages)",
    "request (99 tokens) exceeds the available context size (64 tokens)",
    'option "temperature" must be of type float32',
    'invalid format: "xml"; expected "json"',
    "'messages' is required",
    "Field 'temperature': [json.exception] type must be number, but is string",
    "json: cannot unmarshal string into Go struct field ChatRequest.messages of type []api.Message",
    "Unrecognized key(s) in object: 'seed'",
    "[{'type': 'x', 'loc': ('body', 'top_p'), 'msg': 'y', 'input': 'z'}]",
    "The model has crashed without additional information. (Exit code: 6)",
    "you have reached your hourly usage limit",
    "server busy, please try again",
    "error parsing tool call: raw='x'",
    "Failed to parse input at pos 12: x",
    "Unexpected endpoint or method. (POST /x)",
    "Loading model x"
  ]
  const bodies = (secret: string, text: string): ReadonlyArray<string> => [
    text,
    `<html><title>${text}</title>${secret}`,
    JSON.stringify(text),
    JSON.stringify({ error: text, signin_url: `https://ollama.com/connect?key=${secret}` }),
    JSON.stringify({ error: { message: text, type: secret, code: secret, param: secret } }),
    JSON.stringify({ message: text, [secret]: secret }),
    JSON.stringify({ error: JSON.stringify({ error: { message: text, code: 400, n_ctx: secret } }) }),
    JSON.stringify({ StatusCode: secret, Status: secret, error: text }),
    JSON.stringify({ detail: [{ loc: ["body", "messages", 0, secret], msg: text, type: secret, input: secret }] }),
    JSON.stringify({ detail: [{ loc: ["body", secret], msg: text }] }),
    JSON.stringify({ error: { message: text, code: 429, param: `messages[0].${secret}` } })
  ]
  const statuses = [undefined, 200, 400, 401, 402, 403, 404, 413, 422, 429, 500, 501, 503]

  it.each(texts)("%s", (text) => {
    const words = text.match(/[\w.]+/g) ?? []
    for (const [i, word] of words.entries()) {
      const secret = `Secret${Math.random().toString(36).slice(2)}`
      let n = 0
      const replaced = text.replaceAll(/[\w.]+/g, (found) => (n++ === i ? secret : found))
      expect(replaced, word).toContain(secret)
      for (const body of bodies(secret, `${replaced} ${secret}\n${secret}`)) {
        // The statuses take turns, so that the renderings stay few enough.
        const status = statuses[(i + body.length) % statuses.length]
        const report = readBody(body)
        const headers = { "retry-after": secret, "retry-after-ms": secret, date: secret }
        const reason = toReason({
          status,
          report,
          model: "asked",
          endpoint: "POST /x",
          retryAfter: retryAfter(headers)
        })
        const error = new Errors.ProviderError({ provider: "P", server: "http://gpu-1:11434", reason })
        for (const rendering of render(error)) expect(rendering).not.toContain(secret)
      }
    }
  })

  it("even inside of other errors", () => {
    const secret = "my secret"
    const reason = toReason({ status: 500, report: readBody(secret) })
    const error = wrap(new Errors.AllProvidersFailed({ errors: [wrap(reason)] }))
    for (const rendering of render(error)) expect(rendering).not.toContain(secret)
  })

  it("and none of the platform's errors", () => {
    const secret = "my secret"
    const cause = Object.assign(new Error(`Headers.append: "Bearer ${secret}\n"`), {
      code: secret,
      address: secret,
      hostname: secret,
      cause: new AggregateError([new Error(secret), { message: secret, cause: secret }], secret)
    })
    for (const rendering of render(wrap(networkError(cause)))) expect(rendering).not.toContain(secret)
  })

  it("and the codec gives a placeholder for it", () => {
    const codec = Schema.toCodecJson(Errors.ProviderError)
    const error = wrap(new Errors.StreamError({ detail: Redacted.make("my secret") }))
    const back = Schema.decodeUnknownSync(codec)(JSON.parse(JSON.stringify(Schema.encodeSync(codec)(error))))
    expect(back.reason._tag === "StreamError" && back.reason.detail && Redacted.value(back.reason.detail)).toBe(
      "<redacted>"
    )
  })
})

describe("a part of an answer in a record that cannot be read is in no rendering of an error", () => {
  const secret = "my secret"
  const lines: ReadonlyArray<readonly [protocol: typeof OllamaProtocol.chat, line: string]> = [
    [OllamaProtocol.chat, `{"message":{"content":"${secret}"`],
    [OllamaProtocol.chat, `{"message":{"content":["${secret}"]},"done":false}`],
    [OllamaProtocol.chat, `{"message":{"${secret}":1},"done":"${secret}"}`],
    [OllamaProtocol.chat, `{"message":{"tool_calls":[{"function":{"name":["${secret}"]}}]}}`],
    [OllamaProtocol.chat, `"${secret}"`],
    [OllamaProtocol.generate, `{"response":{"text":"${secret}"},"done":false}`],
    [OpenAiProtocol.chat(lmStudio), `data: {"choices":[{"delta":{"content":"${secret}"\n`],
    [OpenAiProtocol.chat(lmStudio), `data: {"choices":[{"delta":{"content":["${secret}"]}}]}\n`],
    [OpenAiProtocol.chat(lmStudio), `data: {"choices":[{"delta":"${secret}"}]}\n`],
    [OpenAiProtocol.chat(lmStudio), `data: ["${secret}"]\n`],
    [
      OpenAiProtocol.chat(lmStudio),
      `data: {"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{${secret}"}}]},"finish_reason":"stop"}]}\n\ndata: [DONE]\n`
    ],
    [OpenAiProtocol.completion(lmStudio), `data: {"choices":[{"text":["${secret}"]}]}\n`]
  ]
  for (const [protocol, line] of lines) {
    it.effect(`${protocol.path}: ${JSON.stringify(line)}`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Stream.runDrain(decode(protocol, [encode(`${line}\n{}\n`)])))
        expect(error.reason._tag).toBe("ParseError")
        expect(error.message).not.toContain("\n")
        for (const rendering of render(error)) expect(rendering).not.toContain(secret)
        if (error.reason._tag === "ParseError") expect(Redacted.value(error.reason.excerpt)).toContain(secret)
      })
    )
  }

  it.effect("and only its beginning is kept", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(
        Stream.runDrain(decode(OllamaProtocol.chat, [encode(`${"a".repeat(999)}\n{}\n`)]))
      )
      expect(error.reason._tag === "ParseError" && Redacted.value(error.reason.excerpt).length).toBe(200)
    })
  )
})
