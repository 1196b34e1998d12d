/** What an error says of itself, and what it keeps to itself. */
import { describe, expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Util from "node:util"
import * as OllamaProtocol from "../../src/internal/ollama/endpoints.ts"
import { lmStudio } from "../../src/internal/openai/dialect.ts"
import * as OpenAiProtocol from "../../src/internal/openai/endpoints.ts"
import type { ProviderErrorReason } from "../../src/ProviderError.ts"
import * as Errors from "../../src/ProviderError.ts"
import { encode } from "../support/bytes.ts"
import { decode } from "../support/decoding.ts"

const wrap = (reason: ProviderErrorReason): Errors.ProviderError => new Errors.ProviderError({ provider: "P", reason })

const table: ReadonlyArray<readonly [reason: ProviderErrorReason, isRetryable: boolean, message: string]> = [
  [
    new Errors.NetworkError({ description: "connect ECONNREFUSED" }),
    true,
    "no connection to the server, or it broke: connect ECONNREFUSED"
  ],
  [new Errors.NetworkError({}), true, "no connection to the server, or it broke"],
  [new Errors.Timeout({ kind: "idle", limit: Duration.seconds(90) }), true, "the idle deadline of 1m 30s passed"],
  [
    new Errors.RateLimited({ retryAfter: Duration.seconds(3), description: "slow" }),
    true,
    "too many requests (retry after 3s): slow"
  ],
  [
    new Errors.AuthenticationError({ signinUrl: "https://x?key=secret" }),
    false,
    "the server refuses this client; check the token"
  ],
  [new Errors.ModelNotAvailable({ model: "m" }), false, 'the server does not have the model "m" or cannot load it'],
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
  [new Errors.StreamTruncated(), true, "the answer ended without its end marker, so it is not whole"],
  [
    new Errors.ParseError({ description: "not JSON", excerpt: Redacted.make("secret") }),
    false,
    "the server sent a line that is not what its protocol says: not JSON"
  ],
  [
    new Errors.LineTooLong({ limit: 5 }),
    false,
    "the server sent a line of more than 5 bytes; maxLineBytes sets the bound"
  ],
  [new Errors.Unsupported({ feature: "tools" }), false, "tools is not supported"],
  [
    new Errors.AllProvidersFailed({ errors: [wrap(new Errors.StreamTruncated()), wrap(new Errors.StreamError({}))] }),
    false,
    "all providers failed: P: the answer ended without its end marker, so it is not whole; P: the server failed while answering"
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

  it("of every kind stands above", () => {
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

  it("goes through JSON and back", () => {
    const codec = Schema.toCodecJson(Errors.ProviderError)
    for (const [reason] of table) {
      const back = Schema.decodeUnknownSync(codec)(JSON.parse(JSON.stringify(Schema.encodeSync(codec)(wrap(reason)))))
      expect(back.message).toBe(wrap(reason).message)
    }
  })
})

describe("a piece of an answer in a line that cannot be read is in no text that an error makes", () => {
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
        const error = yield* Effect.flip(Stream.runDrain(decode(protocol, [encode(`${line}\n`)])))
        expect(error.reason._tag).toBe("ParseError")
        expect(error.message).not.toContain("\n")
        const cause = Cause.fail(error)
        for (const text of [
          error.message,
          String(error),
          error.stack ?? "",
          JSON.stringify(error),
          JSON.stringify(cause),
          Cause.pretty(cause),
          Inspectable.toStringUnknown(error),
          Util.inspect(error, { depth: 9 })
        ]) {
          expect(text).not.toContain(secret)
        }
        // Who wants it can have it.
        if (error.reason._tag === "ParseError") expect(Redacted.value(error.reason.excerpt)).toContain(secret)
      })
    )
  }

  it.effect("and no more than its beginning is kept", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Stream.runDrain(decode(OllamaProtocol.chat, [encode(`${"a".repeat(999)}\n`)])))
      expect(error.reason._tag === "ParseError" && Redacted.value(error.reason.excerpt).length).toBe(200)
    })
  )
})
