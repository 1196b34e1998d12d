/** The table of servers: what the contract is tested on, with each HTTP client that Node has. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Struct from "effect/Struct"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import type * as Server from "../../src/servers/server.ts"
import type * as Kinds from "../../src/servers/kinds.ts"
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
  readonly kind: Kinds.Kind
  /** How the server responds to probes. Absent if it is not looked for. */
  readonly identity?: FakeServer.Script
  readonly layer: (options: Options) => Layer.Layer<Provider.Provider, ProviderError, HttpClient.HttpClient>
  /** Where a request with a `prompt` goes. */
  readonly promptPath: string
  /** A piece of the fake server that completes the answer, what it adds to a transcript, and the finish reason. */
  readonly last: { readonly piece: FakeServer.Piece; readonly text: string; readonly finishReason: string }
  /** The body of a stream that says "Hi". */
  readonly body: string
  /** A whole answer in one JSON object, and what is read from it. */
  readonly whole: { readonly body: object; readonly transcript: object }
}

const message = { role: "assistant", content: "Hi" }

const openAi = {
  body: 'data: {"choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
  promptPath: "/v1/completions",
  last: {
    piece: { record: JSON.stringify({ choices: [{ index: 0, delta: {}, logprobs: null, finish_reason: "stop" }] }) },
    text: "",
    finishReason: "stop"
  },
  whole: {
    body: { object: "chat.completion", choices: [{ index: 0, message, finish_reason: "stop" }] },
    transcript: { pieces: "Hi|", final: { finishReason: "stop" } }
  }
} as const

/** In the order in which servers are preferred. */
const rows = {
  Ollama: {
    kind: "ollama",
    identity: ({ path }) =>
      path === "/api/version" ? { status: 200, body: { version: "0.33.0" } } : { status: 404, body: "404" },
    layer: Ollama.layer,
    body: '{"model":"m","message":{"content":"Hi"},"done":true,"done_reason":"stop"}\n',
    promptPath: "/api/generate",
    last: {
      piece: { raw: JSON.stringify({ model: "m", message: { role: "assistant", content: "!" }, done: true }) },
      text: "!",
      finishReason: "other"
    },
    // In this protocol it is a stream of one line.
    whole: {
      body: { model: "m", message, done: true, done_reason: "stop" },
      transcript: { pieces: "Hi", final: { finishReason: "stop" } }
    }
  },
  "llama-server": {
    ...openAi,
    kind: "llama-server",
    identity: () => ({
      status: 503,
      headers: { server: "llama.cpp" },
      body: { error: { code: 503, message: "Loading model", type: "unavailable_error" } }
    }),
    layer: LlamaServer.layer
  },
  "LM Studio": {
    ...openAi,
    kind: "lmstudio",
    identity: ({ path }) =>
      path === "/lmstudio-greeting"
        ? { status: 200, body: { lmstudio: true } }
        : { status: 200, body: { error: `Unexpected endpoint or method. (GET ${path})` } },
    layer: LmStudio.layer
  },
  "OpenAI-compatible server": { ...openAi, kind: "openai", layer: OpenAiCompatible.layer }
} as const satisfies Readonly<Record<string, ServerRow>>

export type ServerName = keyof typeof rows

export const servers: { readonly [Name in ServerName]: ServerRow } = rows

export const serverNames: ReadonlyArray<ServerName> = Struct.keys(rows)

export interface Setup {
  readonly provider: ServerName
  readonly client: "undici" | "node:http" | "fetch"
}

const clients: { readonly [K in Setup["client"]]: Layer.Layer<HttpClient.HttpClient> } = {
  undici: NodeHttpClient.layerUndici,
  "node:http": NodeHttpClient.layerNodeHttp,
  fetch: NodeHttpClient.layerFetch
}

export const setups: ReadonlyArray<Setup> = serverNames.flatMap((provider) =>
  (["undici", "node:http", "fetch"] as const).map((client) => ({ provider, client }))
)

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

/** Waits until the first request is over, and returns its outcome. */
export const firstOutcome = (server: Running["server"]) =>
  Effect.map(
    server.until(({ requests }) => requests[0] !== undefined && requests[0].outcome !== "answering"),
    ({ requests }) => requests[0]?.outcome
  )
