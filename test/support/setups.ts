/** What the contract is tested on: both providers, over each HTTP client that Node has. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import * as LmStudio from "../../src/LmStudio.ts"
import * as Ollama from "../../src/Ollama.ts"
import * as Provider from "../../src/Provider.ts"
import type { ProviderError } from "../../src/ProviderError.ts"
import { FakeServer } from "../../src/testing/index.ts"

export interface Setup {
  readonly provider: "Ollama" | "LM Studio"
  readonly client: "undici" | "node:http" | "fetch"
}

type Options = Ollama.Options & LmStudio.Options

const providers: {
  readonly [K in Setup["provider"]]: (
    options: Options
  ) => Layer.Layer<Provider.Provider, ProviderError, HttpClient.HttpClient>
} = { Ollama: Ollama.layer, "LM Studio": LmStudio.layer }

const clients: { readonly [K in Setup["client"]]: Layer.Layer<HttpClient.HttpClient> } = {
  undici: NodeHttpClient.layerUndici,
  "node:http": NodeHttpClient.layerNodeHttp,
  fetch: NodeHttpClient.layerFetch
}

export const setups: ReadonlyArray<Setup> = (["Ollama", "LM Studio"] as const).flatMap((provider) =>
  (["undici", "node:http", "fetch"] as const).map((client) => ({ provider, client }))
)

/** A provider for a server that may not be there; its connections live as long as the scope. */
export const connect = (
  { client, provider }: Setup,
  options: Options,
  http: Layer.Layer<HttpClient.HttpClient> = clients[client]
): Effect.Effect<Provider.Provider["Service"], ProviderError, Scope.Scope> =>
  Effect.map(Layer.build(Layer.provide(providers[provider](options), http)), Context.get(Provider.Provider))

export interface Running {
  readonly server: FakeServer.FakeServer["Service"]
  readonly provider: Provider.Provider["Service"]
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
