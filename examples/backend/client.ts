// A client of the routes, with their types: URL=http://localhost:3000 node examples/backend/client.ts
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Stream } from "effect"
import { HttpApiClient } from "effect/http-api"
import { Api } from "./api.ts"

const program = Effect.gen(function* () {
  const baseUrl = yield* Config.String("URL").pipe(Config.withDefault("http://localhost:3000"))
  const client = yield* HttpApiClient.make(Api, { baseUrl })
  const { points, title } = yield* client.summarize({ payload: { text: "It rained. Nobody came. The band played." } })
  yield* Console.log(`${title}: ${points.join(", ")}`)
  const chunks = yield* client.chat({ payload: { prompt: "Why is the sky blue?" } })
  yield* Stream.runForEach(chunks, ({ content }) => Effect.sync(() => process.stdout.write(content)))
  yield* Console.log("")
})

program.pipe(
  // The reason of a failure crosses the wire.
  Effect.catchReason("ProviderError", "ModelNotAvailable", ({ model }) => Console.error(`Pull ${model} first.`)),
  Effect.provide(NodeHttpClient.layerUndici),
  NodeRuntime.runMain
)
