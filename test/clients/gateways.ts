/** Gateways before fake servers, as the programs of the clients get them. */
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Http from "node:http"
import * as Gateway from "../../src/Gateway.ts"
import * as Ollama from "../../src/Ollama.ts"
import * as OpenAiCompatible from "../../src/OpenAiCompatible.ts"
import { startControl, startHost } from "./hosts.ts"
import type { Target } from "./programs/run.ts"

const providers = {
  ollama: (url: string) => Ollama.layer({ baseUrl: url }),
  openai: (url: string) => OpenAiCompatible.layer({ baseUrl: `${url}/v1` })
}

/** What is behind the gateways. */
export const hostNames = ["ollama", "openai"] as const

const startGateway = Effect.fnUntraced(function* (host: "ollama" | "openai", url: string) {
  const provider = providers[host](url).pipe(Layer.provide(NodeHttpClient.layerUndici))
  const server = NodeHttpServer.layer(Http.createServer, { host: "127.0.0.1", port: 0 })
  const live = Gateway.serve().pipe(Layer.provide(provider), Layer.provideMerge(server), Layer.orDie)
  const { address } = Context.get(yield* Layer.build(live), HttpServer.HttpServer)
  return `http://127.0.0.1:${"port" in address ? address.port : 0}`
})

/** A gateway before each of the hosts. */
export const start = Effect.gen(function* () {
  const hosts = { ollama: yield* startHost, openai: yield* startHost }
  const control = yield* startControl(hosts)
  const targets = yield* Effect.forEach(hostNames, (host) =>
    Effect.map(startGateway(host, hosts[host].url), (url): Target => ({ host, url, control: `${control}/${host}` }))
  )
  return { hosts, targets }
})
