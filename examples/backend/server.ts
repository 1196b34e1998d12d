// Typed routes: MODEL=llama3.2 node examples/backend/server.ts, then open http://localhost:3000/docs
import { NodeHttpClient, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer } from "effect"
import { HttpRouter } from "effect/http"
import { HttpApiBuilder, HttpApiScalar } from "effect/http-api"
import { Ollama, Provider, Retry } from "effect-local-llm"
import { createServer } from "node:http"
import { Api, Summary } from "./api.ts"

const handlers = HttpApiBuilder.group(
  Api,
  "assistant",
  Effect.fn(function* (handlers) {
    const provider = yield* Provider.Provider
    return handlers.handleAll({
      summarize: ({ payload }) =>
        Provider.object({ prompt: `Summarize as JSON:\n\n${payload.text}` }, Summary).pipe(
          Effect.provideService(Provider.Provider, provider)
        ),
      chat: ({ payload }) => Effect.succeed(provider.stream({ prompt: payload.prompt }))
    })
  })
)

const routes = Layer.mergeAll(
  HttpApiBuilder.layer(Api, { openapiPath: "/openapi.json" }),
  HttpApiScalar.layer(Api, { path: "/docs" })
).pipe(Layer.provide(handlers))

const model = Config.String("MODEL").pipe(Config.withDefault("llama3.2"))
const provider = Retry.layer().pipe(Layer.provide(Ollama.layerConfig({ defaults: { model } })))

const server = Layer.unwrap(
  Effect.map(Config.Int("PORT").pipe(Config.withDefault(3000)), (port) => NodeHttpServer.layer(createServer, { port }))
)

HttpRouter.serve(routes).pipe(
  Layer.provide([provider, server]),
  Layer.provide(NodeHttpClient.layerUndici),
  Layer.launch,
  NodeRuntime.runMain
)
