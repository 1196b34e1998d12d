/** What stands in front of the server: `pipe`, which copies bytes, or `gateway`, which is ours with a pool. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import { Agent, createServer, request as send } from "node:http"
import * as Gateway from "../../src/Gateway.ts"
import * as Ollama from "../../src/Ollama.ts"
import * as Pool from "../../src/Pool.ts"
import { listen, serve, urlOf } from "../process.ts"

const [, , kind, baseUrl = ""] = process.argv

/** A client that waits for its next turn must not lose its connection. */
const options = { keepAliveTimeout: 600_000 }

const runPipe = () => {
  const agent = new Agent({ keepAlive: true })
  const server = createServer(options, (request, response) => {
    const { headers, method = "GET", url } = request
    const sent = send(baseUrl + url, { agent, method, headers }, (received) => {
      response.writeHead(received.statusCode ?? 502, received.headers)
      received.pipe(response)
    })
    request.pipe(sent)
    response.once("close", () => sent.destroy())
  })
  listen(server)
}

const runGateway = () => {
  const listening = HttpServer.HttpServer.use(({ address }) => Effect.sync(() => serve(urlOf(address))))
  const live = Layer.merge(Gateway.serve(), Layer.effectDiscard(listening)).pipe(
    Layer.provide(Pool.layer({ hosts: [{ provider: Ollama.make({ baseUrl }), permits: 1000 }] })),
    Layer.provide(NodeHttpClient.layerUndici),
    Layer.provide(NodeHttpServer.layer(() => createServer(options), { host: "127.0.0.1", port: 0, backlog: 1024 }))
  )
  Effect.runFork(Layer.launch(live))
}

if (kind === "pipe") runPipe()
else runGateway()
