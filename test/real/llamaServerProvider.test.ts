/** The provider of `LlamaServer` on a real llama.cpp server. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ChatRequest } from "../../src/CompletionRequest.ts"
import * as Conversation from "../../src/Conversation.ts"
import * as LlamaServer from "../../src/LlamaServer.ts"
import * as Provider from "../../src/Provider.ts"
import * as Models from "../../src/servers/models.ts"
import { json, sky, think } from "../support/scriptedModels.ts"
import { testCommon } from "./common.ts"
import * as RealServer from "./llamaServer.ts"

const request = (more: Partial<ChatRequest> = {}): ChatRequest => ({
  model: "any",
  messages: [{ role: "user", content: "Why?" }],
  ...more
})

const start = Effect.fnUntraced(function* (options: RealServer.Options, more: LlamaServer.Options = {}) {
  const server = yield* RealServer.start(options)
  const layer = Layer.provide(LlamaServer.layer({ baseUrl: server.url, ...more }), NodeHttpClient.layerUndici)
  return { server, provider: Context.get(yield* Layer.build(layer), LlamaServer.LlamaServer) }
})

RealServer.describeLlamaServer("LlamaServer", () => {
  it.live("is ready, and gives the known answer with timings and usage", () =>
    Effect.gen(function* () {
      const { provider } = yield* start({ model: "sky" })
      yield* provider.ready
      const completion = yield* provider.complete(request())
      expect(completion).toMatchObject({
        content: sky.join(""),
        model: "sky",
        finishReason: "stop",
        usage: { completionTokens: sky.length + 1 },
        timings: { prompt: expect.anything(), completion: expect.anything() },
        responseId: expect.stringMatching(/./)
      })
    })
  )

  it.live("reports the progress of a long prompt in chunks without text", () =>
    Effect.gen(function* () {
      const { provider } = yield* start({ model: "sky", parameters: { n_batch: 256, n_ubatch: 256 } })
      const messages = [{ role: "user" as const, content: "x".repeat(2000) }]
      const chunks = yield* Stream.runCollect(provider.stream(request({ messages })))
      const progress = chunks.flatMap((chunk) => (chunk.isFinal ? [] : (chunk.promptProgress ?? [])))
      expect(progress.length).toBeGreaterThan(2)
      expect(progress.at(-1)).toMatchObject({ processed: progress[0]?.total })
      const processed = progress.map((each) => each.processed)
      expect(processed).toEqual(processed.toSorted((a, b) => a - b))
      const first = chunks.findIndex((chunk) => chunk.content !== "")
      expect(chunks.findLastIndex((chunk) => !chunk.isFinal && chunk.promptProgress !== undefined)).toBeLessThan(first)
    })
  )

  it.live("typed answers, and one that was cut", () =>
    Effect.gen(function* () {
      const { provider } = yield* start({ model: "json" })
      const City = Schema.Struct({ city: Schema.String, celsius: Schema.Int })
      const ask = (more: Partial<ChatRequest>) =>
        Effect.provideService(Provider.object(request(more), City), Provider.Provider, provider)
      expect(yield* ask({})).toEqual({ city: "Paris", celsius: 21 })
      const { reason } = yield* Effect.flip(ask({ maxTokens: 4 }))
      expect(reason).toMatchObject({ _tag: "InvalidAnswer", isTruncated: true })
    })
  )

  it.live("counts the tokens of a prompt as it reads it", () =>
    Effect.gen(function* () {
      const { provider } = yield* start({ model: "tool", parameters: { n_ctx: 2048 } })
      const tools = [{ name: "get_weather", parameters: Schema.Struct({ city: Schema.String }) }]
      const call = { id: "c1", name: "get_weather", arguments: { city: "Paris" } }
      const requests: ReadonlyArray<ChatRequest> = [
        request(),
        request({ tools }),
        request({ think: false, temperature: 0 }),
        request({
          messages: [
            { role: "system", content: "Be brief. <s> 😀" },
            { role: "user", content: "Why? ".repeat(20) }
          ]
        }),
        request({
          tools,
          messages: [
            { role: "user", content: "Weather?" },
            { role: "assistant", content: "", toolCalls: [call] },
            { role: "tool", toolCallId: "c1", content: "21 degrees" }
          ]
        })
      ]
      for (const each of requests) {
        const { usage } = yield* provider.complete({ ...each, maxTokens: 1 })
        expect(yield* provider.countTokens(each)).toEqual({ tokens: usage?.promptTokens, exact: true })
      }
      const prompt = { model: "any", prompt: "Once <s> upon a time" }
      const { usage } = yield* provider.complete({ ...prompt, maxTokens: 1 })
      expect(yield* provider.countTokens(prompt)).toEqual({ tokens: usage?.promptTokens, exact: true })
      // Also one that does not fit.
      const messages = [{ role: "user" as const, content: "x".repeat(5000) }]
      const { exact, tokens } = yield* provider.countTokens(request({ messages }))
      expect(exact && tokens > 2048).toBe(true)
    })
  )

  it.live("a conversation that is trimmed fits", () =>
    Effect.gen(function* () {
      const { provider } = yield* start({ model: "sky", parameters: { n_ctx: 1024 } })
      const messages = Array.from({ length: 30 }, (_, i) => [
        { role: "user" as const, content: `Question ${i}: ${"why ".repeat(20)}?` },
        { role: "assistant" as const, content: `Answer ${i}: ${"because ".repeat(10)}` }
      ]).flat()
      const whole = request({
        model: "sky",
        messages: [...messages, { role: "user", content: "And now?" }],
        maxTokens: 100
      })
      expect((yield* Effect.flip(provider.complete(whole))).reason._tag).toBe("ContextOverflow")
      const trimmed = yield* Effect.provideService(Conversation.trim(whole), Provider.Provider, provider)
      const { finishReason, usage } = yield* provider.complete(trimmed)
      expect(finishReason).toBe("stop")
      expect(trimmed.messages[0]?.role).toBe("user")
      expect(usage?.promptTokens).toBeLessThanOrEqual(924)
      expect(usage?.promptTokens).toBeGreaterThan(600)
    })
  )

  it.live("reports its slots", () =>
    Effect.gen(function* () {
      const { provider } = yield* start({ model: "sky", parameters: { n_parallel: 2 } })
      const slots = yield* provider.slots
      expect(slots.map(({ isProcessing }) => isProcessing)).toEqual([false, false])
    })
  )

  it.live("embeds texts, and describes its model", () =>
    Effect.gen(function* () {
      const { provider } = yield* start({ model: "letters", parameters: { embedding: true, pooling_type: 1 } })
      const { promptTokens, vectors } = yield* provider.embed({ model: "any", input: "sky" })
      // The vector counts the letters of its text, with length 1.
      expect(vectors[0]?.filter((x) => Math.abs(x) > 0.01).map((x) => x.toFixed(2))).toEqual([
        "0.50",
        "0.50",
        "0.50",
        "0.50"
      ])
      expect(promptTokens).toBeGreaterThan(0)
      const many = yield* provider.embed({ model: "any", input: Array.from({ length: 70 }, (_, i) => `text ${i}`) })
      expect(many.vectors.length).toBe(70)
      const tooLong = yield* Effect.flip(provider.embed({ model: "any", input: ["a", "b".repeat(40_000)] }))
      expect(tooLong.reason).toMatchObject({ _tag: "ContextOverflow", index: 1, contextLength: 512 })
      expect(yield* provider.model("letters")).toMatchObject({
        id: "letters",
        isLoaded: true,
        capabilities: ["completion"]
      })
      expect((yield* Effect.flip(provider.model("any"))).reason._tag).toBe("ModelNotAvailable")
      const running = yield* Models.findRunning(provider, yield* provider.listModels)
      expect(running.map(({ id }) => id)).toEqual(["letters"])
    })
  )

  it.live("a server without embeddings does not support them, and a model without vision sees no image", () =>
    Effect.gen(function* () {
      const { provider } = yield* start({ model: "sky" })
      const { reason } = yield* Effect.flip(provider.embed({ model: "any", input: "sky" }))
      expect(reason._tag).toBe("Unsupported")
      const messages = [{ role: "user" as const, content: "What is this?", images: ["iVBORw0KGgo="] }]
      const blind = yield* Effect.flip(provider.complete(request({ messages })))
      expect(blind.reason).toMatchObject({ _tag: "Unsupported", feature: "images" })
    })
  )

  it.live("separates thinking from the answer", () =>
    Effect.gen(function* () {
      const { provider } = yield* start({ model: "think" })
      const completion = yield* provider.complete(request({ think: true }))
      expect(completion.thinking?.trim()).toBe(think.thinking.join("").trim())
      expect(completion.content.trim()).toBe(think.content.join("").trim())
    })
  )

  it.live("answers in the requested format", () =>
    Effect.gen(function* () {
      const { provider } = yield* start({ model: "json" })
      const Weather = Schema.Struct({ city: Schema.String, celsius: Schema.Finite })
      for (const format of ["json", Weather] as const) {
        const { content } = yield* provider.complete(request({ format }))
        expect(JSON.parse(content)).toEqual(JSON.parse(json.join("")))
      }
    })
  )

  it.live("sends its key, and fails with the reason for a wrong one or none", () =>
    Effect.gen(function* () {
      const options = { model: "sky", parameters: { api_keys: ["secret"] } }
      const { provider, server } = yield* start(options, { token: Redacted.make("secret") })
      expect((yield* provider.complete(request({ maxTokens: 1 }))).content).toBe("The")
      for (const token of [undefined, Redacted.make("wrong")]) {
        const layer = Layer.provide(LlamaServer.layer({ baseUrl: server.url, token }), NodeHttpClient.layerUndici)
        const other = Context.get(yield* Layer.build(layer), LlamaServer.LlamaServer)
        // `/health` needs no key.
        yield* other.ready
        expect((yield* Effect.flip(other.complete(request()))).reason._tag).toBe("AuthenticationError")
      }
    })
  )

  it.live("reports the numbers of a prompt that does not fit, and rejects what the server lacks", () =>
    Effect.gen(function* () {
      const { provider, server } = yield* start({ model: "sky", parameters: { n_ctx: 512 } })
      const messages = [{ role: "user" as const, content: "x".repeat(2000) }]
      expect((yield* Effect.flip(provider.complete(request({ messages })))).reason).toMatchObject({
        _tag: "ContextOverflow",
        promptTokens: 2004,
        contextLength: 512
      })
      const { reason } = yield* Effect.flip(provider.complete(request({ keepAlive: "1 minute" })))
      expect(reason).toMatchObject({ _tag: "Unsupported", feature: "keepAlive" })
      yield* server.kill
      expect((yield* Effect.flip(provider.ready)).reason._tag).toBe("NetworkError")
    })
  )

  it.live("stops generating when the consumer stops", () =>
    Effect.gen(function* () {
      const { provider, server } = yield* start({ model: "endless" })
      yield* provider.stream(request()).pipe(
        Stream.tap(() => server.untilGenerating(1)),
        Stream.take(1),
        Stream.runDrain
      )
      expect(yield* server.untilGenerating(0)).toBeLessThan(5000)
    })
  )
})

const onRealServer = Layer.unwrap(
  Effect.map(RealServer.LlamaServer, ({ url }) => LlamaServer.layer({ baseUrl: url }))
).pipe(Layer.provide(NodeHttpClient.layerUndici), Layer.provide(RealServer.layer({ model: "endless" })))

testCommon(
  "llama-server (LlamaServer)",
  "missing" in RealServer.installed ? RealServer.installed : { model: "endless", lacks: ["keepAlive"] },
  onRealServer
)
