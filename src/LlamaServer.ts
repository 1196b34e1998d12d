/**
 * Completions from llama.cpp's `llama-server`, through its OpenAI-compatible protocol: `POST /v1/chat/completions` and
 * `POST /v1/completions`.
 *
 * @category Servers
 * @since 0.2.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as Layer from "effect/Layer"
import * as Definition from "./servers/llamaServer.ts"
import * as Server from "./servers/server.ts"
import type * as Provider from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"

/**
 * How to reach a llama.cpp server. All fields are optional. `baseUrl` is `http://127.0.0.1:8080` by default, and its port is
 * 8080 if it has neither scheme nor port. A prefix (`--api-prefix`) is part of it; a `/v1` at its end is ignored.
 *
 * @category options
 * @since 0.2.0
 */
export interface Options extends Server.Options {}

/**
 * The llama.cpp server: a `Provider`, and what only this server can do.
 *
 * **Details**
 *
 * While the server reads a long prompt, chunks without text report `promptProgress`. So the `idle` deadline does not pass
 * during a long prompt.
 *
 * @category services
 * @since 0.2.0
 */
export interface LlamaServer extends Provider.Provider {
  /**
   * Waits until the model is loaded: asks `/health` four times a second while that answers 503. Fails with any other failure,
   * such as `NetworkError` if no server runs. It waits without limit; use `Effect.timeout` for one.
   */
  readonly ready: Effect.Effect<void, ProviderError>
  /** The slots, each of which generates one answer at a time. `Unsupported` if the server was started with `--no-slots`. */
  readonly slots: Effect.Effect<ReadonlyArray<Slot>, ProviderError>
  /** Loads a model, if the server runs as a router of several. Otherwise `Unsupported`. Returns before it is loaded. */
  readonly load: (model: string) => Effect.Effect<void, ProviderError>
  /** Removes a model from memory, if the server runs as a router of several. Otherwise `Unsupported`. */
  readonly unload: (model: string) => Effect.Effect<void, ProviderError>
}

/**
 * A slot of a llama.cpp server, as `GET /slots` reports it. Each slot generates one answer at a time (`--parallel` sets their number).
 *
 * @category models
 * @since 0.3.0
 */
export interface Slot {
  /** Its number, from 0. */
  readonly id: number
  /** Whether it reads a prompt or generates an answer. */
  readonly isProcessing: boolean
  /** The context of one answer, in tokens, if the server reports it. */
  readonly contextLength: number | undefined
}
export const LlamaServer = Context.Service<LlamaServer>("effect-local-llm/LlamaServer")

/**
 * Makes the service for one server. Fails with `InvalidRequest` if an option is invalid. Sends nothing.
 *
 * @see {@link layer} for a layer
 * @category constructors
 * @since 0.2.0
 */
export const make = (options: Options = {}): Effect.Effect<LlamaServer, ProviderError, HttpClient.HttpClient> =>
  Server.make(Definition.llamaServer, options)

/**
 * Provides `Provider` and `LlamaServer` for one server.
 *
 * **Example** (the model is loaded before the first request)
 *
 * ```ts
 * import { NodeHttpClient } from "@effect/platform-node"
 * import { Effect } from "effect"
 * import { LlamaServer } from "effect-local-llm"
 *
 * const program = Effect.gen(function*() {
 *   const server = yield* LlamaServer.LlamaServer
 *   yield* server.ready.pipe(Effect.timeout("5 minutes"))
 *   return yield* server.complete({ model: "any", prompt: "Once upon a time" })
 * }).pipe(Effect.provide(LlamaServer.layer()), Effect.provide(NodeHttpClient.layerUndici))
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (
  options: Options = {}
): Layer.Layer<Provider.Provider | LlamaServer, ProviderError, HttpClient.HttpClient> =>
  Server.layer(LlamaServer, make(options))

/**
 * As `layer`, with options from the configuration. By default `baseUrl` comes from `LLAMA_SERVER_URL` and `token` from
 * `LLAMA_API_KEY`. Both are optional.
 *
 * @see {@link layer} for options in the code
 * @category layers
 * @since 0.2.0
 */
export const layerConfig = (
  config: Config.Wrap<Options> = {}
): Layer.Layer<Provider.Provider | LlamaServer, Config.ConfigError | ProviderError, HttpClient.HttpClient> =>
  Server.layer(LlamaServer, Effect.flatMap(Server.config(Definition.llamaServer, config), make))
