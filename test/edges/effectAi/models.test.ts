/** Models of `effect/ai` on a provider: objects, errors, sockets, conversations, embeddings, spans. */
import { describe, expect, it } from "@effect/vitest"
import type * as AiError from "effect/ai/AiError"
import * as EmbeddingModel from "effect/ai/EmbeddingModel"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as AiModel from "effect/ai/Model"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as EffectAi from "../../../src/EffectAi.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as Provider from "../../../src/Provider.ts"
import * as Reasons from "../../../src/ProviderError.ts"
import type { FakeServer } from "../../../src/testing/index.ts"
import { serverNames, start } from "../../support/setups.ts"
import { layer, toolkit, handlers, sendError } from "../../support/effectAi.ts"

describe("objects", () => {
  const schema = Schema.Struct({ city: Schema.String, at: Schema.Date, tags: Schema.Record(Schema.String, Schema.Int) })
  const json = '{"city":"Paris","at":"2026-01-02","tags":{"a":1}}'
  const ask = LanguageModel.generateObject({ prompt: "Where?", schema })
  const scripts: { readonly [name: string]: MockProvider.Script } = {
    plain: [json],
    "with thinking": [{ thinking: "Hm" }, json],
    "in a code block": ["```json\n", json, "\n```"],
    "in the thinking": [{ thinking: json }]
  }
  for (const [name, script] of Object.entries(scripts)) {
    it.effect(`decodes JSON ${name}`, () =>
      Effect.gen(function* () {
        const { value } = yield* ask
        expect([value.city, value.at.getUTCDate(), value.tags["a"]]).toEqual(["Paris", 2, 1])
        const [request] = yield* (yield* MockProvider.MockProvider).requests
        expect(request?.format).toBe(schema)
      }).pipe(Effect.provide(layer(script)))
    )
  }

  it.effect("thinking beside the JSON stays, and thinking that is the JSON is not repeated", () =>
    Effect.gen(function* () {
      const reasoningOf = (script: MockProvider.Script) =>
        Effect.map(ask, ({ reasoningText }) => reasoningText ?? "").pipe(Effect.provide(layer(script)))
      expect(yield* reasoningOf([{ thinking: "Hm" }, json])).toBe("Hm")
      expect(yield* reasoningOf([{ thinking: json }])).toBe("")
    })
  )

  it.effect("JSON that is nested too deeply is no defect", () =>
    Effect.gen(function* () {
      const deep = `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`
      const any = LanguageModel.generateObject({ prompt: "Where?", schema: Schema.Struct({ a: Schema.Json }) })
      const error = yield* Effect.flip(any).pipe(Effect.provide(layer([deep])))
      expect(error.reason._tag).toBe("StructuredOutputError")
    })
  )

  it.effect("an answer that does not match, one that was cut, and a schema without JSON form", () =>
    Effect.gen(function* () {
      const flip = (script: MockProvider.Script) => Effect.flip(ask).pipe(Effect.provide(layer(script)))
      const wrong = yield* flip(['{"city":5}'])
      expect(wrong.reason).toMatchObject({ _tag: "StructuredOutputError", responseText: '{"city":5}' })
      const cut = yield* flip([json, { isFinal: true, finishReason: "length" }])
      expect(cut.reason).toMatchObject({ _tag: "StructuredOutputError", responseText: json })
      expect(cut.message).toContain("truncated")
      for (const { message } of [wrong, cut]) expect(message).not.toContain("Paris")
    })
  )

  describe.each(serverNames)("%s", (server) => {
    it.effect("receives the JSON Schema", () =>
      Effect.gen(function* () {
        const running = yield* start({ provider: server, client: "undici" }, { text: json })
        const { value } = yield* ask.pipe(
          Effect.provide(EffectAi.layerLanguageModel({ model: "m" })),
          Effect.provideService(Provider.Provider, running.provider)
        )
        expect(value.city).toBe("Paris")
        const { requests } = yield* running.server.state
        expect(JSON.stringify(requests[0]?.body)).toContain('"properties":{"city":{"type":"string"')
      })
    )

    it.effect("a schema without JSON form is UnsupportedSchemaError", () =>
      Effect.gen(function* () {
        const { provider } = yield* start({ provider: server, client: "undici" }, { text: json })
        const error = yield* LanguageModel.generateObject({
          prompt: "Where?",
          schema: Schema.Struct({ a: unrepresentable })
        }).pipe(
          Effect.flip,
          Effect.provide(EffectAi.layerLanguageModel({ model: "m" })),
          Effect.provideService(Provider.Provider, provider)
        )
        expect(error.reason._tag).toBe("UnsupportedSchemaError")
      })
    )
  })
})

describe("errors", () => {
  const secret = Redacted.make("secret")
  type Row = readonly [reason: Reasons.ProviderErrorReason, tag: AiError.AiErrorReason["_tag"], fields?: object]
  const rows: { readonly [K in Reasons.ProviderErrorReason["_tag"]]: Row } = {
    NetworkError: [new Reasons.NetworkError({ detail: secret }), "NetworkError"],
    Timeout: [
      new Reasons.Timeout({ kind: "idle", limit: Duration.seconds(2) }),
      "InternalProviderError",
      { kind: "idle", limit: 2000 }
    ],
    RateLimited: [new Reasons.RateLimited({ retryAfter: Duration.seconds(3), detail: secret }), "RateLimitError"],
    AuthenticationError: [
      new Reasons.AuthenticationError({ detail: secret, signinUrl: secret }),
      "AuthenticationError"
    ],
    ModelNotAvailable: [
      new Reasons.ModelNotAvailable({ model: "m", detail: secret }),
      "InvalidRequestError",
      { model: "m" }
    ],
    InvalidRequest: [new Reasons.InvalidRequest({ field: "seed" }), "InvalidRequestError", { field: "seed" }],
    ContextOverflow: [
      new Reasons.ContextOverflow({ promptTokens: 10, contextLength: 5 }),
      "InvalidRequestError",
      { promptTokens: 10, contextLength: 5 }
    ],
    ApiError: [
      new Reasons.ApiError({ status: 503, retryAfter: Duration.seconds(3) }),
      "RateLimitError",
      { status: 503 }
    ],
    StreamError: [new Reasons.StreamError({ detail: secret }), "InternalProviderError"],
    StreamTruncated: [new Reasons.StreamTruncated(), "InternalProviderError"],
    ParseError: [new Reasons.ParseError({ excerpt: secret }), "InvalidResponseError"],
    LineTooLong: [new Reasons.LineTooLong({ limit: 5 }), "InvalidResponseError", { limit: 5 }],
    Unsupported: [new Reasons.Unsupported({ feature: "tools" }), "InvalidRequestError", { feature: "tools" }],
    InvalidAnswer: [new Reasons.InvalidAnswer({ text: secret, isTruncated: true }), "InvalidResponseError"],
    AllProvidersFailed: [
      new Reasons.AllProvidersFailed({
        errors: [new Reasons.ProviderError({ provider: "A", reason: new Reasons.StreamTruncated() })]
      }),
      "UnknownError",
      { errors: [{ provider: "A", reason: "StreamTruncated" }] }
    ]
  }
  for (const [tag, [reason, expected, fields]] of Object.entries(rows)) {
    it.effect(`${tag} is ${expected}`, () =>
      Effect.gen(function* () {
        const provider = new Reasons.ProviderError({ provider: "Mock", reason })
        const errors = [
          yield* Effect.flip(LanguageModel.generateText({ prompt: "Why?" })),
          yield* Effect.flip(Stream.runDrain(LanguageModel.streamText({ prompt: "Why?" })))
        ]
        for (const error of errors) {
          expect(error.reason._tag).toBe(expected)
          expect(error.isRetryable).toBe(provider.isRetryable)
          expect(error.retryAfter).toEqual(provider.retryAfter)
          expect(JSON.stringify(error) + error.message).not.toContain("secret")
          for (const each of [error, sendError(error)]) {
            const read = EffectAi.reasonOf(each)
            expect(read?.message).toBe(reason.message)
            expect([read?._tag, read?.isRetryable]).toEqual([reason._tag, reason.isRetryable])
            if (fields !== undefined && tag !== "AllProvidersFailed" && tag !== "Timeout")
              expect(read).toMatchObject(fields)
          }
          if ("metadata" in error.reason) {
            expect(error.reason.metadata["effect-local-llm"]).toMatchObject({
              reason: tag,
              provider: "Mock",
              ...fields
            })
          }
        }
      }).pipe(Effect.provide(layer([MockProvider.fail(reason)])))
    )
  }

  it.effect("a status without a date to retry keeps its meaning", () =>
    Effect.gen(function* () {
      const reasonOf = (status: number) =>
        Effect.flip(LanguageModel.generateText({ prompt: "Why?" })).pipe(
          Effect.provide(layer([MockProvider.fail(new Reasons.ApiError({ status }))]))
        )
      expect((yield* reasonOf(500)).reason._tag).toBe("InternalProviderError")
      expect((yield* reasonOf(402)).reason._tag).toBe("UnknownError")
    })
  )

  it.effect("a status that is no use to retry stays so, also with a date to retry", () =>
    Effect.gen(function* () {
      const reason = new Reasons.ApiError({ status: 409, retryAfter: Duration.seconds(3) })
      const error = yield* Effect.flip(LanguageModel.generateText({ prompt: "Why?" })).pipe(
        Effect.provide(layer([MockProvider.fail(reason)]))
      )
      expect(error.isRetryable).toBe(reason.isRetryable)
      expect(error.isRetryable).toBe(false)
    })
  )

  it.effect("an error names its server, and the policy that gave up names each", () =>
    Effect.gen(function* () {
      const at = (server: string, reason: Reasons.ProviderErrorReason) =>
        new Reasons.ProviderError({ provider: "gpu", server, reason })
      const errorOf = (error: Reasons.ProviderError) =>
        Effect.gen(function* () {
          const failing = Provider.make({ ...(yield* MockProvider.make([])), stream: () => Stream.fail(error) })
          return yield* Effect.flip(LanguageModel.generateText({ prompt: "Why?" })).pipe(
            Effect.provide(EffectAi.layerLanguageModel({ model: "m" })),
            Effect.provideService(Provider.Provider, failing)
          )
        })
      const refused = at("http://gpu-1:11434", new Reasons.NetworkError({}))
      expect((yield* errorOf(refused)).reason).toMatchObject({ _tag: "NetworkError", url: "http://gpu-1:11434" })
      const truncated = at("http://gpu-2:11434", new Reasons.StreamTruncated())
      const all = at("http://gateway", new Reasons.AllProvidersFailed({ errors: [refused, truncated] }))
      expect((yield* errorOf(all)).reason).toMatchObject({
        metadata: {
          "effect-local-llm": {
            server: "http://gateway",
            errors: [
              { reason: "NetworkError", server: "http://gpu-1:11434" },
              { reason: "StreamTruncated", server: "http://gpu-2:11434" }
            ]
          }
        }
      })
    })
  )

  it.effect("text before a failure is delivered, and then the failure", () =>
    Effect.gen(function* () {
      const parts: Array<string> = []
      const error = yield* LanguageModel.streamText({ prompt: "Why?" }).pipe(
        Stream.runForEach((part) => Effect.sync(() => parts.push(part.type))),
        Effect.flip
      )
      expect(parts).toEqual(["text-start", "text-delta"])
      expect(error.reason._tag).toBe("InternalProviderError")
    }).pipe(Effect.provide(layer(["Sun", MockProvider.fail(new Reasons.StreamTruncated())])))
  )
})

const unrepresentable = Schema.suspend((): Schema.Codec<string> => {
  throw new Error("no")
})

/** Without those for what the model can do. */
const chats = (requests: ReadonlyArray<FakeServer.ReceivedRequest>) =>
  requests.filter(({ path }) => path.includes("chat"))

describe.each(serverNames)("%s", (server) => {
  const endless = {
    pieces: {
      *[Symbol.iterator]() {
        for (;;) yield "word "
      }
    }
  }

  it.live("an interrupted stream, a taken one and an interrupted tool loop close the socket", () =>
    Effect.gen(function* () {
      const running = yield* start({ provider: server, client: "undici" }, endless)
      const live = Layer.provide(
        EffectAi.layerLanguageModel({ model: "m" }),
        Layer.succeed(Provider.Provider, running.provider)
      )
      const closed = (count: number) =>
        running.server.until(
          ({ requests }) => requests.filter(({ outcome }) => outcome === "cut-by-client").length === count
        )
      yield* LanguageModel.streamText({ prompt: "Why?" }).pipe(Stream.take(5), Stream.runDrain, Effect.provide(live))
      yield* closed(1)
      for (const [i, effect] of [
        Stream.runDrain(LanguageModel.streamText({ prompt: "Why?" })),
        Stream.runDrain(LanguageModel.streamText({ prompt: "Why?", toolkit })).pipe(Effect.provide(handlers)),
        LanguageModel.generateText({ prompt: "Why?" })
      ].entries()) {
        const fiber = yield* Effect.forkChild(Effect.provide(effect, live))
        yield* running.server.until(({ requests }) => (chats(requests)[i + 1]?.bytesWritten ?? 0) > 1000)
        yield* Fiber.interrupt(fiber)
        yield* closed(i + 2)
      }
    })
  )

  it.live("one span per call, with the GenAI attributes and without texts", () =>
    Effect.gen(function* () {
      const spans: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          spans.push(span)
          return span
        }
      })
      const { provider } = yield* start({ provider: server, client: "undici" }, { text: "secret answer" })
      yield* Effect.all([
        LanguageModel.generateText({ prompt: "secret prompt" }),
        Stream.runDrain(LanguageModel.streamText({ prompt: "secret prompt" }))
      ]).pipe(
        Effect.provide(EffectAi.layerLanguageModel({ model: "m", temperature: 0.5, stop: ["X"], maxTokens: 9 })),
        Effect.provideService(Provider.Provider, provider),
        Effect.provideService(Tracer.Tracer, tracer)
      )
      expect(spans.map(({ name }) => name)).toEqual(["LanguageModel.generateText", "LanguageModel.streamText"])
      for (const span of spans) {
        expect(Object.fromEntries(span.attributes)).toMatchObject({
          "gen_ai.provider.name": provider.name === "Ollama" ? "ollama" : expect.stringMatching(/./),
          "gen_ai.operation.name": "chat",
          "gen_ai.request.model": "m",
          "gen_ai.request.temperature": 0.5,
          "gen_ai.request.max_tokens": 9,
          "gen_ai.request.stop_sequences": ["X"],
          "gen_ai.response.model": "m",
          "gen_ai.response.finish_reasons": ["stop"],
          "gen_ai.usage.input_tokens": 10,
          "gen_ai.usage.output_tokens": 2
        })
        expect(JSON.stringify([...span.attributes])).not.toContain("secret")
      }
    })
  )

  it.effect("embeddings, one at a time and many, in their order", () =>
    Effect.gen(function* () {
      const running = yield* start({ provider: server, client: "undici" }, {})
      const [one, many, batched] = yield* Effect.gen(function* () {
        const model = yield* EmbeddingModel.EmbeddingModel
        const batched = Effect.all([model.embed("ab"), model.embed("b")], { concurrency: "unbounded" })
        return [yield* model.embed("a"), yield* model.embedMany(["a", "ab", "b"]), yield* batched] as const
      }).pipe(
        Effect.provide(EffectAi.layerEmbeddingModel({ model: "letters" })),
        Effect.provideService(Provider.Provider, running.provider)
      )
      expect(many.embeddings.length).toBe(3)
      expect(many.embeddings[0]?.vector).toEqual(one.vector)
      expect(batched.map(({ vector }) => vector)).toEqual(many.embeddings.slice(1).map(({ vector }) => vector))
      expect(many.usage.inputTokens).toBeGreaterThan(0)
      // Requests of the same moment are one request.
      const { requests } = yield* running.server.state
      expect(requests.filter(({ path }) => path.includes("embed")).length).toBe(3)
    })
  )
})

it.effect("failures of embeddings", () =>
  Effect.gen(function* () {
    const { embedMany } = yield* EmbeddingModel.EmbeddingModel
    expect((yield* Effect.flip(embedMany(["a", ""]))).reason).toMatchObject({
      _tag: "InvalidRequestError",
      parameter: "input[1]"
    })
  }).pipe(Effect.provide(EffectAi.layerEmbeddingModel({ model: "m" })), Effect.provide(MockProvider.layer([])))
)

it.effect("models send their options", () =>
  Effect.gen(function* () {
    const mock = yield* MockProvider.make(["Yes"])
    const received: Array<object> = []
    const provider = Provider.make({
      ...mock,
      embed: (request) => {
        received.push(request)
        return mock.embed(request)
      }
    })
    const embed = EmbeddingModel.EmbeddingModel.use((model) => model.embedMany(["a"]))
    yield* Effect.provide(LanguageModel.generateText({ prompt: "Why?" }), EffectAi.model("a", { seed: 7 })).pipe(
      Effect.provideService(Provider.Provider, provider)
    )
    yield* Effect.provide(embed, EffectAi.embeddingModel("b", { dimensions: 26, keepAlive: "1 hour" })).pipe(
      Effect.provideService(Provider.Provider, provider)
    )
    expect(yield* mock.requests).toMatchObject([{ model: "a", seed: 7 }])
    expect(received).toEqual([{ model: "b", dimensions: 26, keepAlive: "1 hour", input: ["a"] }])
  })
)

it.effect("models have their names", () =>
  Effect.gen(function* () {
    const names = Effect.all([AiModel.ProviderName, AiModel.ModelName])
    expect(yield* Effect.provide(names, EffectAi.model("a"))).toEqual(["effect-local-llm", "a"])
    const dimensions = Effect.all([AiModel.ModelName, EmbeddingModel.Dimensions])
    expect(yield* Effect.provide(dimensions, EffectAi.embeddingModel("b", { dimensions: 26 }))).toEqual(["b", 26])
  }).pipe(Effect.provide(MockProvider.layer([])))
)
