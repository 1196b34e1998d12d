// Machines that share hosts through a PostgreSQL database. On each machine with a server, a runner whose host joins:
// DATABASE_URL=postgres://db/llm node examples/cluster.ts join gpu-1 http://gpu-1:11434
// Anywhere, as often as needed, a gateway:
// DATABASE_URL=postgres://db/llm node examples/cluster.ts ask "Why is the sky blue?"
import { createServer } from "node:http"
import { NodeHttpClient, NodeHttpServer, NodeRuntime, NodeSocket } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Config, Effect, Layer, Stream } from "effect"
import { Provider } from "effect-local-llm"
import * as Cluster from "effect-local-llm/Cluster"

const [, , command, first = "", second = ""] = process.argv
const port = 34_431

const network = Layer.mergeAll(
  PgClient.layerConfig({ url: Config.Redacted("DATABASE_URL") }),
  NodeSocket.layerWebSocketConstructor,
  NodeHttpClient.layerUndici
)

const runner = Cluster.layerScheduler().pipe(
  Layer.provideMerge(Cluster.layerRunner({ host: first, port })),
  Layer.provide(NodeHttpServer.layer(createServer, { port })),
  Layer.provide(network)
)
const join = Cluster.join({ url: second, kind: "ollama", permits: 4 }).pipe(Effect.provide(runner))

const gateway = Cluster.layer().pipe(Layer.provide(Cluster.layerClient), Layer.provide(network))
const ask = Effect.gen(function* () {
  const { stream } = yield* Provider.Provider
  yield* Stream.runForEach(stream({ model: "llama3.2", prompt: first }), ({ content }) =>
    Effect.sync(() => process.stdout.write(content))
  )
}).pipe(Effect.provide(gateway))

NodeRuntime.runMain(command === "join" ? join : ask)
