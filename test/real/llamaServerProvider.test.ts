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
import * as LlamaServer from "../../src/LlamaServer.ts"
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
  it.live("is ready, and answers to the letter with timings and usage", () =>
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
