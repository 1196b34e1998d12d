// A chat over HTTP. Each path is a conversation, which is kept in a file: curl -N localhost:3000/chat/anna -d "Why is the sky blue?"
// When a client leaves, its answer is interrupted, and the model server stops generating.
import { NodeHttpClient, NodeHttpServer, NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Effect, Layer, RcMap, Ref, Schema, Semaphore, Stream } from "effect"
import { AiError, Chat, type LanguageModel, Prompt } from "effect/ai"
import { HttpRouter, HttpServerRequest } from "effect/http"
import { KeyValueStore, Persistence } from "effect/persistence"
import { Ollama } from "effect-local-llm"
import * as EffectAi from "effect-local-llm/EffectAi"
import * as StreamResponse from "effect-local-llm/StreamResponse"
import { createServer } from "node:http"

const system = Prompt.make([{ role: "system", content: "Answer in a few sentences." }])

/** A conversation from the store. It is in memory while it is used. */
const open = Effect.fnUntraced(function* (name: string) {
  const chat = yield* (yield* Chat.Persistence).getOrCreate(name, { timeToLive: "30 days" })
  yield* Ref.update(chat.history, (history) => (history.content.length === 0 ? system : history))
  return { chat, turn: yield* Semaphore.make(1) }
})

const routes = HttpRouter.use(
  Effect.fn(function* (router) {
    const context = yield* Effect.context<LanguageModel.LanguageModel>()
    const chats = yield* RcMap.make({ lookup: open })
    const answer = (name: string, prompt: string) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const { chat, turn } = yield* RcMap.get(chats, name)
          // One turn at a time, until the end of the stream.
          yield* Effect.acquireRelease(turn.take(1), () => turn.release(1), { interruptible: true })
          return chat.streamText({ prompt })
        })
      )
    yield* router.add(
      "POST",
      "/chat/:name",
      Effect.gen(function* () {
        const { name } = yield* HttpRouter.schemaPathParams(Schema.Struct({ name: Schema.NonEmptyString }))
        const prompt = yield* (yield* HttpServerRequest.HttpServerRequest).text
        return yield* StreamResponse.make(Stream.provideContext(answer(name, prompt), context), {
          format: "ndjson",
          encode: (part) =>
            part.type === "text-delta"
              ? { text: part.delta }
              : part.type === "finish"
                ? { end: part.reason }
                : undefined,
          onFailure: (error) =>
            AiError.isAiError(error)
              ? { status: error.isRetryable ? 503 : 500, error: error.reason._tag }
              : { status: 500, error: "the conversation cannot be read" }
        })
      })
    )
  })
)

const setting = <A, E, R>(name: string, otherwise: string, use: (value: string) => Layer.Layer<A, E, R>) =>
  Layer.unwrap(Effect.map(Config.String(name).pipe(Config.withDefault(otherwise)), use))

const store = Chat.layerPersisted({ storeId: "chats" }).pipe(
  Layer.provide(Persistence.layerBackingKvs),
  Layer.provide(setting("CHATS", "chats", KeyValueStore.layerFileSystem)),
  Layer.provide(NodeServices.layer)
)
const model = setting("MODEL", "llama3.2", (model) => EffectAi.layerLanguageModel({ model }))
const live = model.pipe(Layer.provide(Ollama.layerConfig()), Layer.provide(NodeHttpClient.layerUndici))
const server = setting("PORT", "3000", (port) => NodeHttpServer.layer(createServer, { port: Number(port) }))

HttpRouter.serve(routes).pipe(Layer.provide([live, server, store]), Layer.launch, NodeRuntime.runMain)
