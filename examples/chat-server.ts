// A chat over HTTP. Each path is a conversation: curl -N localhost:3000/chat/anna -d "Why is the sky blue?"
// When a client leaves, its answer is interrupted, and the model server stops generating.
import { NodeHttpClient, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Cache, Config, Effect, Layer, Schema, Stream } from "effect"
import { Chat, type LanguageModel } from "effect/ai"
import { HttpRouter, HttpServerRequest } from "effect/http"
import { Ollama } from "effect-local-llm"
import * as EffectAi from "effect-local-llm/EffectAi"
import * as StreamResponse from "effect-local-llm/StreamResponse"
import { createServer } from "node:http"

const system = { role: "system", content: "Answer in a few sentences." } as const

const routes = HttpRouter.use(
  Effect.fn(function* (router) {
    const context = yield* Effect.context<LanguageModel.LanguageModel>()
    // The last 1,000 conversations, for an hour each.
    const chats = yield* Cache.make({
      lookup: (_name: string) => Chat.fromPrompt([system]),
      capacity: 1000,
      timeToLive: "1 hour"
    })
    yield* router.add(
      "POST",
      "/chat/:name",
      Effect.gen(function* () {
        const { name } = yield* HttpRouter.schemaPathParams(Schema.Struct({ name: Schema.NonEmptyString }))
        const prompt = yield* (yield* HttpServerRequest.HttpServerRequest).text
        const chat = yield* Cache.get(chats, name)
        return yield* StreamResponse.make(Stream.provideContext(chat.streamText({ prompt }), context), {
          format: "ndjson",
          encode: (part) =>
            part.type === "text-delta"
              ? { text: part.delta }
              : part.type === "finish"
                ? { end: part.reason }
                : undefined,
          onFailure: ({ isRetryable, reason }) => ({ status: isRetryable ? 503 : 500, error: reason._tag })
        })
      })
    )
  })
)

const model = Layer.unwrap(
  Effect.map(Config.String("MODEL").pipe(Config.withDefault("llama3.2")), (model) =>
    EffectAi.layerLanguageModel({ model })
  )
)

const live = Layer.provide(model, Layer.provide(Ollama.layerConfig(), NodeHttpClient.layerUndici))

const server = Layer.unwrap(
  Effect.map(Config.Int("PORT").pipe(Config.withDefault(3000)), (port) => NodeHttpServer.layer(createServer, { port }))
)

HttpRouter.serve(routes).pipe(Layer.provide([live, server]), Layer.launch, NodeRuntime.runMain)
