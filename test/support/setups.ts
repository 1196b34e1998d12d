/** The table of servers: what the contract is tested on, with each HTTP client that Node has. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import type * as Server from "../../src/internal/server.ts"
import * as LlamaServer from "../../src/LlamaServer.ts"
import * as LmStudio from "../../src/LmStudio.ts"
import * as Ollama from "../../src/Ollama.ts"
import * as OpenAiCompatible from "../../src/OpenAiCompatible.ts"
import * as Provider from "../../src/Provider.ts"
import type { ProviderError } from "../../src/ProviderError.ts"
import { FakeServer } from "../../src/testing/index.ts"

export type Options = Server.Options

/** One row for each provider. Differences between servers are fields of it, not branches in tests. */
export interface ServerRow {
  readonly name: string
  readonly layer: (options: Options) => Layer.Layer<Provider.Provider, ProviderError, HttpClient.HttpClient>
  readonly protocol: "ollama" | "openai"
}

export const servers = {
  Ollama: { name: "Ollama", layer: Ollama.layer, protocol: "ollama" },
  "LM Studio": { name: "LM Studio", layer: LmStudio.layer, protocol: "openai" },
  "llama-server": { name: "llama-server", layer: LlamaServer.layer, protocol: "openai" },
  "OpenAI-compatible server": { name: "OpenAI-compatible server", layer: OpenAiCompatible.layer, protocol: "openai" }
} as const satisfies { readonly [name: string]: ServerRow }

export interface Setup {
  readonly provider: keyof typeof servers
  readonly client: "undici" | "node:http" | "fetch"
}

const clients: { readonly [K in Setup["client"]]: Layer.Layer<HttpClient.HttpClient> } = {
  undici: NodeHttpClient.layerUndici,
  "node:http": NodeHttpClient.layerNodeHttp,
  fetch: NodeHttpClient.layerFetch
}

/** The protocols with every client; servers that share a protocol with one. */
export const setups: ReadonlyArray<Setup> = [
  ...(["Ollama", "LM Studio"] as const).flatMap((provider) =>
    (["undici", "node:http", "fetch"] as const).map((client) => ({ provider, client }))
  ),
  { provider: "llama-server", client: "undici" },
  { provider: "OpenAI-compatible server", client: "undici" }
]

/** A provider for a server that may not be there; its connections live as long as the scope. */
export const connect = (
  { client, provider }: Setup,
  options: Options,
  http: Layer.Layer<HttpClient.HttpClient> = clients[client]
): Effect.Effect<Provider.Provider, ProviderError, Scope.Scope> =>
  Effect.map(Layer.build(Layer.provide(servers[provider].layer(options), http)), Context.get(Provider.Provider))

export interface Running {
  readonly server: FakeServer.FakeServer["Service"]
  readonly provider: Provider.Provider
}

/** A fake server, and a provider that speaks to it. */
export const start = Effect.fnUntraced(function* (
  setup: Setup,
  script: FakeServer.Script,
  options: Options = {}
): Effect.fn.Return<Running, ProviderError, Scope.Scope> {
  const server = yield* FakeServer.make(script)
  return { server, provider: yield* connect(setup, { baseUrl: server.url, ...options }) }
})

export const request: CompletionRequest = { model: "m", messages: [{ role: "user", content: "Why is the sky blue?" }] }

/** Waits until the first request is over, and tells how. */
export const firstOutcome = (server: Running["server"]) =>
  Effect.map(
    server.until(({ requests }) => requests[0] !== undefined && requests[0].outcome !== "answering"),
    ({ requests }) => requests[0]?.outcome
  )
