/**
 * Completions from LM Studio, through its OpenAI-compatible protocol. Its own `/api/v1` (LM Studio 0.4.0 or later) and
 * `/api/v0` report about models and load them.
 *
 * @category Servers
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import * as Definition from "./servers/lmStudio.ts"
import * as Server from "./servers/server.ts"
import type { ModelProgress } from "./ModelProgress.ts"
import type * as Provider from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"

/**
 * How to reach an LM Studio server. All fields are optional. Default of `baseUrl`: `http://127.0.0.1:1234`; its port is
 * 1234 if it has neither scheme nor port. A `/v1` at its end is ignored.
 *
 * @category options
 */
export interface Options extends Server.Options {}

/**
 * The LM Studio server: a `Provider`, and what only LM Studio can do. Before 0.4.0, that fails with `Unsupported`.
 *
 * @category services
 */
export interface LmStudio extends Provider.Provider {
  /**
   * Loads a model and returns the name of the instance: of the one in memory if it has that context, since loading
   * again would make a second one.
   */
  readonly load: (model: string, options?: LoadOptions) => Effect.Effect<string, ProviderError>
  /** Removes a model with all its instances, or one instance, from memory. */
  readonly unload: (modelOrInstance: string) => Effect.Effect<void, ProviderError>
  /**
   * Downloads a model and reports the progress once a second. If the consumer stops, the download goes on. Fails with
   * `StreamError` if it fails, and with `Timeout` (`idle`) if nothing moves for 5 minutes.
   */
  readonly download: (model: string, options?: DownloadOptions) => Stream.Stream<ModelProgress, ProviderError>
}
export const LmStudio = Context.Service<LmStudio>("effect-local-llm/LmStudio")

/**
 * Options of `load`.
 *
 * @category options
 * @since 0.3.0
 */
export interface LoadOptions extends Definition.LoadOptions {}

/**
 * Options of `download`.
 *
 * @category options
 * @since 0.3.0
 */
export interface DownloadOptions extends Definition.DownloadOptions {}

/**
 * Makes the service for one server. Fails with `InvalidRequest` if an option is invalid. Sends nothing.
 *
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<LmStudio, ProviderError, HttpClient.HttpClient> =>
  Server.make(Definition.lmStudio, options)

/**
 * Provides `Provider` and `LmStudio` for one server.
 *
 * @category layers
 */
export const layer = (
  options: Options = {}
): Layer.Layer<Provider.Provider | LmStudio, ProviderError, HttpClient.HttpClient> =>
  Server.layer(LmStudio, make(options))

/**
 * As `layer`, with options from the configuration. By default `baseUrl` comes from `LMSTUDIO_BASE_URL` and `token` from
 * `LM_API_TOKEN`. Both are optional.
 *
 * @category layers
 */
export const layerConfig = (
  config: Config.Wrap<Options> = {}
): Layer.Layer<Provider.Provider | LmStudio, Config.ConfigError | ProviderError, HttpClient.HttpClient> =>
  Server.layer(LmStudio, Effect.flatMap(Server.config(Definition.lmStudio, config), make))
