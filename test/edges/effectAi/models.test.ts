/** Models of `effect/ai` on a provider: requests, tools, objects, conversations, errors, spans. */
import { describe, expect, it } from "@effect/vitest"
import type * as AiError from "effect/ai/AiError"
import * as Chat from "effect/ai/Chat"
import * as EmbeddingModel from "effect/ai/EmbeddingModel"
import * as IdGenerator from "effect/ai/IdGenerator"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as AiModel from "effect/ai/Model"
import * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { ValidRequest } from "../../../src/CompletionRequest.ts"
import * as EffectAi from "../../../src/EffectAi.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as Provider from "../../../src/Provider.ts"
import * as Reasons from "../../../src/ProviderError.ts"
import type { FakeServer } from "../../../src/testing/index.ts"
import { read } from "../../support/streamParts.ts"
import { serverNames, start } from "../../support/setups.ts"

type Script = MockProvider.Script | ((request: ValidRequest) => MockProvider.Script)

const layer = (script: Script, options: Partial<EffectAi.Options> = {}) =>
  EffectAi.layerLanguageModel({ model: "m", ...options }).pipe(Layer.provideMerge(MockProvider.layer(script)))

/** The requests that an effect makes. */
const requestsOf = <A, E>(effect: Effect.Effect<A, E, LanguageModel.LanguageModel>, script: Script = ["Yes."]) =>
  Effect.gen(function* () {
    yield* Effect.result(effect)
    return yield* (yield* MockProvider.MockProvider).requests
  }).pipe(Effect.provide(layer(script)))

const image = new Uint8Array([0x89, 0x50, 0x4e, 0x47])
const image64 = "iVBORw=="

const GetWeather = Tool.make("get_weather", {
  description: "The weather of a city",
  parameters: Schema.Struct({ city: Schema.String }),
  success: Schema.Struct({ celsius: Schema.Number }),
  failure: Schema.String,
  failureMode: "return"
})
const toolkit = Toolkit.make(GetWeather)
const handlers = toolkit.toLayer({
  get_weather: ({ city }) => (city === "Paris" ? Effect.succeed({ celsius: 21 }) : Effect.fail(`no city ${city}`))
})

const callOf = (city: string, id = "call_0"): MockProvider.Step => ({
  toolCalls: [{ id, name: "get_weather", arguments: { city } }]
})

describe("requests", () => {
  it.effect("messages of every role, with texts and images in their order", () =>
    Effect.gen(function* () {
      const prompt = Prompt.make([
        { role: "system", content: "Be brief." },
        {
          role: "user",
          content: [
            { type: "file", mediaType: "image/png", data: image },
            { type: "text", text: "What is this?" },
            { type: "file", mediaType: "image/*", data: `data:image/png;base64,${image64}` }
          ]
        },
        {
          role: "assistant",
          content: [
            { type: "reasoning", text: "Hm" },
            { type: "text", text: "Let me look." },
            { type: "tool-call", id: "a", name: "f", params: { x: 1 }, providerExecuted: false },
            { type: "tool-call", id: "b", name: "f", params: {}, providerExecuted: false }
          ]
        },
        {
          role: "tool",
          content: [
            { type: "tool-result", id: "a", name: "f", isFailure: false, result: { y: 2 }, providerExecuted: false },
            { type: "tool-result", id: "b", name: "f", isFailure: true, result: "broken", providerExecuted: false }
          ]
        },
        { role: "user", content: "Go on." }
      ])
      const [request] = yield* requestsOf(LanguageModel.generateText({ prompt }))
      expect(request?.messages).toEqual([
        { role: "system", content: "Be brief." },
        {
          role: "user",
          content: [
            { type: "image", image },
            { type: "text", text: "What is this?" },
            { type: "image", image: `data:image/png;base64,${image64}` }
          ]
        },
        {
          role: "assistant",
          content: "Let me look.",
          thinking: "Hm",
          toolCalls: [
            { id: "a", name: "f", arguments: { x: 1 } },
            { id: "b", name: "f", arguments: {} }
          ]
        },
        { role: "tool", content: '{"y":2}', toolCallId: "a", toolName: "f", isError: false },
        { role: "tool", content: "broken", toolCallId: "b", toolName: "f", isError: true },
        { role: "user", content: "Go on." }
      ])
    })
  )

  it.effect("options of the layer, replaced by those of a request", () =>
    Effect.gen(function* () {
      const ask = LanguageModel.generateText({ prompt: "Why?" })
      const [first, second, third] = yield* requestsOf(
        Effect.gen(function* () {
          yield* ask
          yield* ask.pipe(
            EffectAi.withConfigOverride({ seed: 7, model: "inner" }),
            EffectAi.withConfigOverride({ model: "outer", maxTokens: 5 })
          )
          yield* LanguageModel.streamText({ prompt: "Why?" }).pipe(
            Stream.provideService(EffectAi.Config, { seed: 8 }),
            Stream.runDrain
          )
        })
      )
      expect(first).toEqual({ model: "m", messages: [{ role: "user", content: "Why?" }] })
      expect(second).toMatchObject({ model: "inner", seed: 7, maxTokens: 5 })
      expect(third).toMatchObject({ model: "m", seed: 8 })
    })
  )

  it.effect("tools, and which of them the model may call", () =>
    Effect.gen(function* () {
      const choices = ["auto", "none", "required", { tool: "get_weather" }, { oneOf: ["get_weather"] }] as const
      const requests = yield* requestsOf(
        Effect.forEach(choices, (toolChoice) =>
          LanguageModel.generateText({ prompt: "Why?", toolkit, toolChoice }).pipe(Effect.provide(handlers))
        )
      )
      expect(requests.map(({ toolChoice }) => toolChoice)).toEqual([
        "auto",
        "none",
        "required",
        { name: "get_weather" },
        "auto"
      ])
      expect(requests[0]?.tools).toMatchObject([
        {
          name: "get_weather",
          description: "The weather of a city",
          parameters: { type: "object", required: ["city"] }
        }
      ])
    })
  )

  const file = (mediaType: string, data: string | URL) =>
    Prompt.make([{ role: "user", content: [{ type: "file", mediaType, data }] }])
  const rejected: { readonly [name: string]: Effect.Effect<unknown, AiError.AiError, LanguageModel.LanguageModel> } = {
    "a file that is not an image": LanguageModel.generateText({ prompt: file("application/pdf", "aGk=") }),
    "an image as a URL": LanguageModel.generateText({ prompt: file("image/png", new URL("http://localhost/a.png")) }),
    "an image as the text of a URL": LanguageModel.generateText({
      prompt: file("image/png", "https://localhost/a.png")
    }),
    "an empty prompt": LanguageModel.generateText({ prompt: [] }),
    "a tool that the provider defines": LanguageModel.generateText({
      prompt: "Why?",
      toolkit: Toolkit.make(Tool.providerDefined({ id: "x.search", customName: "search", providerName: "search" })()),
      disableToolCallResolution: true
    }),
    "an invalid option": LanguageModel.generateText({ prompt: "Why?" }).pipe(
      EffectAi.withConfigOverride({ temperature: Number.NaN })
    )
  }
  for (const [name, effect] of Object.entries(rejected)) {
    it.effect(`${name} is rejected before anything is sent`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(effect)
        expect(error.reason._tag).toBe("InvalidRequestError")
        expect(yield* (yield* MockProvider.MockProvider).requests).toEqual([])
      }).pipe(Effect.provide(layer(["Yes."])))
    )
  }
})

describe("answers", () => {
  it.effect("usage, finish reason, metadata", () =>
    Effect.gen(function* () {
      const response = yield* LanguageModel.generateText({ prompt: "Why?" })
      const metadata = response.content.find((part) => part.type === "response-metadata")
      expect(metadata).toMatchObject({ id: "r1", modelId: "m:latest" })
      expect(response.finishReason).toBe("length")
      expect(response.usage).toMatchObject({
        inputTokens: { total: 10, cacheRead: 4, uncached: 6 },
        outputTokens: { total: 5, reasoning: 2, text: 3 }
      })
      expect(response.content.at(-1)?.metadata).toEqual({
        "effect-local-llm": { loadMillis: 1500, promptTruncated: true, provider: "B" }
      })
    }).pipe(
      Effect.provide(
        layer([
          "Yes",
          {
            isFinal: true,
            finishReason: "length",
            model: "m:latest",
            responseId: "r1",
            usage: { promptTokens: 10, completionTokens: 5, totalTokens: 15, cachedTokens: 4, reasoningTokens: 2 },
            timings: { load: Duration.millis(1500) },
            promptTruncated: true,
            provider: "B"
          }
        ])
      )
    )
  )

  it.effect("usage that is no whole number is left out", () =>
    Effect.gen(function* () {
      const { usage } = yield* LanguageModel.generateText({ prompt: "Why?" })
      expect(usage.inputTokens).toEqual({ total: undefined, cacheRead: 3, uncached: undefined })
    }).pipe(Effect.provide(layer([{ isFinal: true, usage: { promptTokens: 1.5, cachedTokens: 3 } }])))
  )
})

describe("tools", () => {
  /** Calls the tool once for each city, and answers when the last message is a result. */
  const script =
    (...cities: ReadonlyArray<string>) =>
    ({ messages = [] }: ValidRequest): MockProvider.Script =>
      messages.at(-1)?.role === "tool" ? ["Done."] : cities.map((city) => callOf(city))

  it.effect("handlers run, and failed results are marked", () =>
    Effect.gen(function* () {
      const chat = yield* Chat.empty
      const first = yield* chat.generateText({ prompt: "Weather?", toolkit })
      expect(first.toolResults.toSorted((a, b) => Number(a.isFailure) - Number(b.isFailure))).toMatchObject([
        { isFailure: false, result: { celsius: 21 } },
        { isFailure: true, result: "no city Oslo" }
      ])
      const second = yield* chat.generateText({ prompt: [], toolkit })
      expect(second.text).toBe("Done.")
      const requests = yield* (yield* MockProvider.MockProvider).requests
      // Results come as their handlers end.
      const results = requests[1]?.messages?.slice(-2).toSorted((a) => (a.isError === true ? 1 : -1))
      expect(results).toMatchObject([
        { role: "tool", content: '{"celsius":21}', isError: false },
        { role: "tool", content: "no city Oslo", isError: true }
      ])
    }).pipe(Effect.provide([layer(script("Paris", "Oslo")), handlers]))
  )

  it.effect("calls of a conversation have different ids, though the server repeats them", () =>
    Effect.gen(function* () {
      const chat = yield* Chat.empty
      for (let turn = 0; turn < 3; turn++) {
        yield* chat.streamText({ prompt: "Weather?", toolkit }).pipe(Stream.runDrain)
        yield* chat.generateText({ prompt: [], toolkit })
      }
      const requests = yield* (yield* MockProvider.MockProvider).requests
      const ids = requests.at(-1)?.messages?.flatMap(({ toolCalls = [] }) => toolCalls.map(({ id }) => id)) ?? []
      expect(ids.length).toBe(6)
      expect(new Set(ids).size).toBe(6)
      const results = requests.at(-1)?.messages?.flatMap(({ toolCallId }) => toolCallId ?? []) ?? []
      expect(results.toSorted()).toEqual(ids.toSorted())
    }).pipe(Effect.provide([layer(script("Paris", "Paris")), handlers]))
  )

  it.effect("calls of a conversation have different ids, though the generator repeats them", () =>
    Effect.gen(function* () {
      const chat = yield* Chat.empty
      for (let i = 0; i < 3; i++) yield* chat.generateText({ prompt: "Weather?", toolkit })
      const { content } = yield* Ref.get(chat.history)
      const ids = content.flatMap((message) =>
        message.role === "assistant"
          ? message.content.flatMap((part) => (part.type === "tool-call" ? [part.id] : []))
          : []
      )
      expect(ids).toEqual(["call_0", "same_0", "same_1"])
    }).pipe(
      Effect.provide([layer([callOf("Paris")]), handlers]),
      Effect.provideService(IdGenerator.IdGenerator, { generateId: () => Effect.succeed("same") })
    )
  )

  it.effect("a call that waits for approval runs after it, and its result is sent", () =>
    Effect.gen(function* () {
      const guarded = Toolkit.make(
        Tool.make("delete_file", {
          parameters: Schema.Struct({ path: Schema.String }),
          success: Schema.String,
          needsApproval: true
        })
      )
      const live = guarded.toLayer({ delete_file: ({ path }) => Effect.succeed(`deleted ${path}`) })
      for (const approved of [true, false]) {
        const script = ({ messages = [] }: ValidRequest): MockProvider.Script =>
          messages.at(-1)?.role === "tool"
            ? ["Done."]
            : [{ toolCalls: [{ id: "c1", name: "delete_file", arguments: { path: "a" } }] }]
        const requests = yield* Effect.gen(function* () {
          const chat = yield* Chat.empty
          const first = yield* chat.generateText({ prompt: "Delete a", toolkit: guarded })
          const approval = first.content.find((part) => part.type === "tool-approval-request")
          const response = Prompt.makePart("tool-approval-response", {
            approvalId: approval?.approvalId ?? "",
            approved
          })
          const second = yield* chat.generateText({
            prompt: Prompt.fromMessages([Prompt.makeMessage("tool", { content: [response] })]),
            toolkit: guarded
          })
          expect(second.text).toBe("Done.")
          return yield* (yield* MockProvider.MockProvider).requests
        }).pipe(Effect.provide([layer(script), live]))
        const [user, call, result] = requests[1]?.messages ?? []
        expect([user?.role, call?.role, result?.role]).toEqual(["user", "assistant", "tool"])
        expect(result).toMatchObject({ toolCallId: "c1", isError: !approved })
        if (approved) expect(result?.content).toBe("deleted a")
        else expect(result?.content).toContain("denied")
      }
    })
  )

  it.effect("tools of an answer that was cut do not run", () =>
    Effect.gen(function* () {
      const parts = yield* Stream.runCollect(LanguageModel.streamText({ prompt: "Weather?", toolkit }))
      expect(read(parts).finish).toBe("length")
      expect(parts.filter((part) => part.type === "tool-result")).toMatchObject([
        { isFailure: true, result: { type: "execution-interrupted" } }
      ])
    }).pipe(Effect.provide([layer([callOf("Paris"), { isFinal: true, finishReason: "length" }]), handlers]))
  )

  it.effect("a tool that the model invents is an error, unless its validation is deferred", () =>
    Effect.gen(function* () {
      const ask = { prompt: "Why?", toolkit } as const
      const reasons = [
        yield* Effect.flip(LanguageModel.generateText(ask)),
        yield* Effect.flip(Stream.runDrain(LanguageModel.streamText(ask)))
      ].map(({ isRetryable, reason }) => [reason._tag, isRetryable])
      expect(reasons).toEqual([
        ["ToolNotFoundError", true],
        ["ToolNotFoundError", true]
      ])
      const deferred = yield* LanguageModel.generateText({
        ...ask,
        disableToolCallResolution: true,
        toolCallValidation: "deferred"
      })
      expect(deferred.toolCalls).toMatchObject([{ name: "fly" }])
    }).pipe(Effect.provide([layer([{ toolCalls: [{ id: "c", name: "fly", arguments: {} }] }]), handlers]))
  )

  it.effect("what comes together with a tool that the model invents is delivered before the error", () =>
    Effect.gen(function* () {
      const call = (name: string) => ({ id: name, name, arguments: { city: "Paris" } })
      const mock = yield* MockProvider.make([])
      const provider = Provider.make({
        ...mock,
        stream: () =>
          Stream.fromIterable([
            { content: "Wait", isFinal: false },
            { content: "", isFinal: false, toolCalls: [call("get_weather"), call("fly"), call("get_weather")] }
          ])
      })
      const parts: Array<string> = []
      const error = yield* LanguageModel.streamText({ prompt: "Why?", toolkit }).pipe(
        Stream.runForEach((part) => Effect.sync(() => parts.push(part.type))),
        Effect.flip,
        Effect.provide(EffectAi.layerLanguageModel({ model: "m" })),
        Effect.provideService(Provider.Provider, provider)
      )
      expect(error.reason._tag).toBe("ToolNotFoundError")
      expect(parts).toEqual(["text-start", "text-delta", "text-end", "tool-call"])
    }).pipe(Effect.provide(handlers))
  )
})

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

it.effect("models have their names", () =>
  Effect.gen(function* () {
    const names = Effect.all([AiModel.ProviderName, AiModel.ModelName])
    expect(yield* Effect.provide(names, EffectAi.model("a"))).toEqual(["effect-local-llm", "a"])
    const dimensions = Effect.all([AiModel.ModelName, EmbeddingModel.Dimensions])
    expect(yield* Effect.provide(dimensions, EffectAi.embeddingModel("b", { dimensions: 26 }))).toEqual(["b", 26])
  }).pipe(Effect.provide(MockProvider.layer([])))
)
