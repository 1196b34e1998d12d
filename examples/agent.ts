// An agent behind `useChat` of the npm package `ai`. Run it beside Ollama: MODEL=llama3.2 node examples/agent.ts
// The page: useChat({ transport: new DefaultChatTransport({ api: "http://localhost:3000/chat" }) })
import { NodeHttpClient, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Cache, Config, Effect, Layer, Schema, Semaphore, Stream } from "effect"
import { Chat, type LanguageModel, Tool, Toolkit } from "effect/ai"
import { HttpRouter, HttpServerRequest } from "effect/http"
import { Ollama } from "effect-local-llm"
import * as Agent from "effect-local-llm/Agent"
import * as EffectAi from "effect-local-llm/EffectAi"
import * as StreamResponse from "effect-local-llm/StreamResponse"
import * as UiMessages from "effect-local-llm/UiMessages"
import { createServer } from "node:http"

const toolkit = Toolkit.make(
  Tool.make("find_order", {
    description: "An order of the shop, by its number",
    parameters: Schema.Struct({ number: Schema.Int }),
    success: Schema.Struct({ item: Schema.String, state: Schema.String })
  }),
  Tool.make("cancel_order", {
    description: "Cancels an order",
    parameters: Schema.Struct({ number: Schema.Int }),
    success: Schema.String,
    // The page asks the person first.
    needsApproval: true
  })
)

const handlers = toolkit.toLayer({
  find_order: ({ number }) => Effect.succeed({ item: `lamp ${number}`, state: "on its way" }),
  cancel_order: ({ number }) => Effect.succeed(`order ${number} is cancelled`)
})

const routes = HttpRouter.use(
  Effect.fn(function* (router) {
    const context = yield* Effect.context<LanguageModel.LanguageModel | Tool.HandlersFor<typeof toolkit.tools>>()
    // The last 1,000 conversations, for an hour each.
    const chats = yield* Cache.make({
      lookup: (_id: string) =>
        Effect.all({
          chat: Chat.fromPrompt([{ role: "system", content: "You work for a lamp shop. Be brief." }]),
          turn: Semaphore.make(1)
        }),
      capacity: 1000,
      timeToLive: "1 hour"
    })
    yield* router.add(
      "POST",
      "/chat",
      Effect.gen(function* () {
        const { id, prompt } = yield* HttpServerRequest.schemaBodyJson(UiMessages.Turn)
        const { chat, turn } = yield* Cache.get(chats, id)
        // One turn at a time: an approval that is sent twice would run the call twice.
        yield* Effect.acquireRelease(turn.take(1), () => turn.release(1), { interruptible: true })
        const parts = Agent.stream({ prompt, toolkit, chat })
        return yield* StreamResponse.parts(Stream.provideContext(parts, context))
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

HttpRouter.serve(routes).pipe(Layer.provide([handlers, live, server]), Layer.launch, NodeRuntime.runMain)
