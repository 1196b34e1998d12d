// Streams answers to a browser: PORT=3000 node examples/sse-server.ts, then open http://localhost:3000
// A failure before the first text has a status of its own. When the browser leaves, the model server stops generating.
import { NodeHttpClient, NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import { Ollama, Provider } from "effect-local-llm"
import * as StreamResponse from "effect-local-llm/StreamResponse"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"

const page = fileURLToPath(new URL("sse-server.html", import.meta.url))

const routes = HttpRouter.use(
  Effect.fn(function* (router) {
    const { stream } = yield* Provider.Provider
    yield* router.add("GET", "/", HttpServerResponse.file(page))
    yield* router.add(
      "POST",
      "/chat",
      Effect.gen(function* () {
        const content = yield* (yield* HttpServerRequest.HttpServerRequest).text
        const model = yield* Config.String("MODEL").pipe(Config.withDefault("llama3.2"))
        return yield* StreamResponse.sse(stream({ model, messages: [{ role: "user", content }] }))
      })
    )
  })
)

const server = Layer.unwrap(
  Effect.map(Config.Int("PORT").pipe(Config.withDefault(3000)), (port) => NodeHttpServer.layer(createServer, { port }))
)

HttpRouter.serve(routes).pipe(
  Layer.provide([Ollama.layerConfig(), server]),
  Layer.provide(NodeHttpClient.layerUndici),
  Layer.launch,
  NodeRuntime.runMain
)
