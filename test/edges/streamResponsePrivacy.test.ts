/** What the clients of a program read of the servers behind it: nothing that says where they are. */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { HttpServerResponse } from "effect/http/HttpServerResponse"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Ollama from "../../src/Ollama.ts"
import * as Pool from "../../src/Pool.ts"
import * as Reasons from "../../src/ProviderError.ts"
import * as StreamResponse from "../../src/StreamResponse.ts"
import type { StreamingChunk } from "../../src/StreamingChunk.ts"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as CannedHttp from "../support/cannedHttp.ts"
import { connect, request, serverNames } from "../support/setups.ts"

const forms = { sse: StreamResponse.sse, ndjson: StreamResponse.ndjson }

const textOf = ({ body }: HttpServerResponse) =>
  body._tag === "Stream"
    ? Effect.orDie(Stream.mkString(Stream.decodeText(body.stream)))
    : Effect.succeed(body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : JSON.stringify(body))

const place = "gpu-7.corp.invalid:11434"
const texts = { description: `http://${place} refused`, detail: Redacted.make(`http://${place} refused`) }
const places = /gpu-7|corp|invalid:|11434|127\.0\.0\.1|:\d{2,5}\b|https?:|ECONNREFUSED|ENOTFOUND/

const reasons: ReadonlyArray<readonly [Reasons.ProviderErrorReason, message: string]> = [
  [new Reasons.NetworkError(texts), "the connection failed"],
  [new Reasons.Timeout({ kind: "total", limit: Duration.seconds(2) }), "the total deadline of 2s passed"],
  [new Reasons.RateLimited({ ...texts, retryAfter: Duration.seconds(3) }), "too many requests (retry after 3s)"],
  [
    new Reasons.AuthenticationError({ ...texts, signinUrl: Redacted.make(`https://${place}`) }),
    "the server refused this client; check the token"
  ],
  [new Reasons.ModelNotAvailable({ ...texts, model: "llama3.2:1b" }), 'the model "llama3.2:1b" is not available'],
  [new Reasons.ModelNotAvailable({ ...texts, model: "qwen/qwen3-8b" }), 'the model "qwen/qwen3-8b" is not available'],
  [new Reasons.ModelNotAvailable({ ...texts, model: `${place}/team/m:latest` }), "the model is not available"],
  [new Reasons.ModelNotAvailable({ ...texts, model: place }), "the model is not available"],
  [new Reasons.ModelNotAvailable({ ...texts, model: "10.0.0.7:8080" }), "the model is not available"],
  [new Reasons.ModelNotAvailable({ ...texts, model: "/mnt/corp/m.gguf" }), "the model is not available"],
  [new Reasons.InvalidRequest({ ...texts, field: "messages[0].content" }), "invalid messages"],
  [new Reasons.InvalidRequest({ ...texts, field: `extra.${place}` }), "invalid extra"],
  [new Reasons.InvalidRequest({ ...texts, field: "baseUrl" }), "invalid request"],
  [new Reasons.InvalidRequest({ ...texts, field: place }), "invalid request"],
  [
    new Reasons.ContextOverflow({ ...texts, promptTokens: 9, contextLength: 8 }),
    "the prompt does not fit into the model's context (9 tokens, 8 fit)"
  ],
  [new Reasons.ApiError({ ...texts, status: 500 }), "the server answered with status 500"],
  [new Reasons.StreamError(texts), "the server failed while answering"],
  [new Reasons.StreamTruncated(), "the answer ended without its end marker, so it is incomplete"],
  [
    new Reasons.ParseError({ description: place, excerpt: Redacted.make(place) }),
    "the server sent a record that violates its protocol"
  ],
  [new Reasons.LineTooLong({ limit: 8 }), "the server sent a record that is too long"],
  [new Reasons.Unsupported({ ...texts, feature: "tools" }), "tools is not supported"],
  [
    new Reasons.Unsupported({ ...texts, feature: "POST /corp/api" }),
    "the request needs a feature that is not supported"
  ],
  [
    new Reasons.InvalidAnswer({ ...texts, text: Redacted.make(place), isTruncated: false }),
    "the answer does not match the schema"
  ],
  [
    new Reasons.AllProvidersFailed({
      errors: [
        new Reasons.ProviderError({
          provider: `http://${place}`,
          server: `http://${place}`,
          reason: new Reasons.NetworkError(texts)
        })
      ]
    }),
    "all providers failed"
  ]
]

describe.each(reasons)("%s", (reason, message) => {
  it.effect.each(["sse", "ndjson"] as const)("no place is sent with %s, before the first text and after it", (form) =>
    Effect.gen(function* () {
      const error = new Reasons.ProviderError({ provider: place, server: `http://${place}`, reason })
      expect(StreamResponse.toJson(error)).toEqual({
        reason: reason._tag,
        message,
        isRetryable: reason.isRetryable
      })
      const text: StreamingChunk = { content: "Sun", isFinal: false }
      for (const chunks of [Stream.empty, Stream.make(text)]) {
        const failing = Stream.concat(chunks, Stream.fail(error))
        const sent = yield* Effect.flatMap(forms[form](failing), textOf)
        expect(sent).toContain(JSON.stringify(message))
        expect(sent).not.toMatch(places)
      }
    }).pipe(Effect.scoped)
  )
})

it.effect("the final chunk does not name the host of a pool", () =>
  Effect.gen(function* () {
    const hosts = [{ provider: yield* MockProvider.make(["Hi"]), name: `http://${place}` }]
    const { stream } = yield* Pool.make({ hosts })
    const chunks = yield* Stream.runCollect(stream(request))
    expect(chunks.at(-1)).toMatchObject({ provider: `http://${place}` })
    for (const form of ["sse", "ndjson"] as const) {
      const sent = yield* Effect.flatMap(forms[form](stream(request)), textOf)
      expect(sent).toContain('"isFinal":true')
      expect(sent).not.toMatch(places)
    }
  }).pipe(Effect.scoped)
)

describe.each(serverNames)("%s", (name) => {
  it.live("a closed port, an unknown host and a redirect leave no address", () =>
    Effect.gen(function* () {
      const redirect = CannedHttp.layer({ status: 302, headers: { location: `http://${place}/login` }, pieces: [] })
      const providers = [
        yield* connect({ provider: name, client: "undici" }, { baseUrl: "http://127.0.0.1:9" }),
        yield* connect({ provider: name, client: "undici" }, { baseUrl: `http://${place}` }),
        yield* connect({ provider: name, client: "undici" }, { baseUrl: "http://gpu-7:1" }, redirect)
      ]
      for (const { stream } of providers) {
        const failed = yield* Effect.result(Stream.runDrain(stream(request)))
        expect(Result.isFailure(failed)).toBe(true)
        expect(yield* Effect.flatMap(forms.sse(stream(request)), textOf)).not.toMatch(places)
      }
    }).pipe(Effect.scoped)
  )
})

it.live("hosts of a pool that all fail leave no address", () =>
  Effect.gen(function* () {
    const { stream } = yield* Pool.make({
      hosts: ["http://127.0.0.1:9", `http://${place}`].map((baseUrl) => ({ provider: Ollama.make({ baseUrl }) }))
    })
    const sent = yield* Effect.flatMap(forms.ndjson(stream(request)), textOf)
    expect(sent).toMatch(/AllProvidersFailed|NetworkError/)
    expect(sent).not.toMatch(places)
  }).pipe(Effect.scoped, Effect.provide(NodeHttpClient.layerUndici))
)
