/**
 * Completions from llama.cpp's `llama-server`, through its OpenAI-compatible protocol.
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
 * How to reach a llama.cpp server. All fields are optional. Default of `baseUrl`: `http://127.0.0.1:8080`; its port is
 * 8080 if it has neither scheme nor port. A prefix (`--api-prefix`) is part of it; a `/v1` at its end is ignored.
 *
 * @category options
 */
export interface Options extends Server.Options {}

/**
 * The llama.cpp server: a `Provider`, and what only this server can do. While it reads a long prompt, chunks without
 * text report `promptProgress`, so the `idle` deadline does not pass.
 *
 * @category services
 */
export interface LlamaServer extends Provider.Provider {
  /**
   * Waits without limit until the model is loaded: requests `/health` four times a second while that responds with 503.
   * Any other failure is passed on, such as `NetworkError` if no server runs.
   */
  readonly ready: Effect.Effect<void, ProviderError>
  /** The slots. `Unsupported` if the server was started with `--no-slots`. */
  readonly slots: Effect.Effect<ReadonlyArray<Slot>, ProviderError>
  /** Loads a model, and returns before it is loaded. `Unsupported` unless the server runs as a router of several. */
  readonly load: (model: string) => Effect.Effect<void, ProviderError>
  /** Removes a model from memory. `Unsupported` unless the server runs as a router of several. */
  readonly unload: (model: string) => Effect.Effect<void, ProviderError>
}
export const LlamaServer = Context.Service<LlamaServer>("effect-local-llm/LlamaServer")

/**
 * A slot, as `GET /slots` reports it. Each slot generates one completion at a time (`--parallel` sets their number).
 *
 * @category models
 * @since 0.3.0
 */
export interface Slot {
  /** Its number, from 0. */
  readonly id: number
  /** Whether it reads a prompt or generates. */
  readonly isProcessing: boolean
  /** The context of one completion, in tokens, if the server reports it. */
  readonly contextLength: number | undefined
}

/**
 * Makes the service for one server. Fails with `InvalidRequest` if an option is invalid. Sends nothing.
 *
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<LlamaServer, ProviderError, HttpClient.HttpClient> =>
  Server.make(Definition.llamaServer, options)

/**
 * Provides `Provider` and `LlamaServer` for one server.
 *
 * @category layers
 */
export const layer = (
  options: Options = {}
): Layer.Layer<Provider.Provider | LlamaServer, ProviderError, HttpClient.HttpClient> =>
  Server.layer(LlamaServer, make(options))

/**
 * As `layer`, with options from the configuration. By default `baseUrl` comes from `LLAMA_SERVER_URL` and `token` from
 * `LLAMA_API_KEY`. Both are optional.
 *
 * @category layers
 */
export const layerConfig = (
  config: Config.Wrap<Options> = {}
): Layer.Layer<Provider.Provider | LlamaServer, Config.ConfigError | ProviderError, HttpClient.HttpClient> =>
  Server.layer(LlamaServer, Effect.flatMap(Server.config(Definition.llamaServer, config), make))
