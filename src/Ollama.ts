/**
 * Completions from Ollama, through its own protocol: `POST /api/chat` and `POST /api/generate`.
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
import type * as Models from "./protocol/ollama/models.ts"
import * as Definition from "./servers/ollama.ts"
import * as Server from "./servers/server.ts"
import type { ModelInfo } from "./ModelInfo.ts"
import type { ModelProgress } from "./ModelProgress.ts"
import type * as Provider from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"

/**
 * How to reach an Ollama server. All fields are optional. Default of `baseUrl`: `http://127.0.0.1:11434`; its port is
 * 11434 if it has neither scheme nor port.
 *
 * @category options
 */
export interface Options extends Server.Options {}

/**
 * The Ollama server: a `Provider`, and what only Ollama can do. What is about one model fails with `ModelNotAvailable`
 * if the server does not have it.
 *
 * @category services
 */
export interface Ollama extends Provider.Provider {
  /** The server's version, such as `0.33.0`; `0.0.0` for builds without a release stamp. */
  readonly version: Effect.Effect<string, ProviderError>
  /** The models in memory, with their size there, their context and when they are unloaded. */
  readonly running: Effect.Effect<ReadonlyArray<ModelInfo>, ProviderError>
  /**
   * What the server has stored about a model: `model` without what depends on memory, with template, system message,
   * default options and license. Never cached.
   */
  readonly show: (model: string) => Effect.Effect<ModelDefinition, ProviderError>
  /**
   * Downloads a model and reports the progress. If the consumer stops, the download stops; running the stream again
   * resumes it. Fails with `NetworkError` if Ollama cannot reach the registry, `Timeout` (`idle`) if nothing moves for
   * 5 minutes, and `StreamTruncated` if the reports end before the model is complete.
   */
  readonly pull: (model: string, options?: TransferOptions) => Stream.Stream<ModelProgress, ProviderError>
  /** As `pull` if the server does not have the model. Otherwise emits one final report. */
  readonly ensure: (model: string, options?: TransferOptions) => Stream.Stream<ModelProgress, ProviderError>
  /** Uploads a model to its registry. Fails as `pull` does. */
  readonly push: (model: string, options?: TransferOptions) => Stream.Stream<ModelProgress, ProviderError>
  /** Makes a model from another one and reports the progress. */
  readonly create: (options: CreateOptions) => Stream.Stream<ModelProgress, ProviderError>
  /** Deletes a model. */
  readonly deleteModel: (model: string) => Effect.Effect<void, ProviderError>
  /** Gives a model a second name. */
  readonly copyModel: (from: string, to: string) => Effect.Effect<void, ProviderError>
  /** Loads a model into memory, which may take minutes. */
  readonly load: (model: string, options?: LoadOptions) => Effect.Effect<void, ProviderError>
  /** Removes a model from memory, after the completions that are being generated. */
  readonly unload: (model: string) => Effect.Effect<void, ProviderError>
}
export const Ollama = Context.Service<Ollama>("effect-local-llm/Ollama")

/**
 * A model as `show` returns it.
 *
 * @category models
 * @since 0.3.0
 */
export interface ModelDefinition extends ModelInfo, Models.Definition {}

/**
 * Options of `pull`, `push` and `ensure`.
 *
 * @category options
 * @since 0.3.0
 */
export interface TransferOptions extends Definition.TransferOptions {}

/**
 * Options of `create`.
 *
 * @category options
 * @since 0.3.0
 */
export interface CreateOptions extends Definition.CreateOptions {}

/**
 * Options of `load`.
 *
 * @category options
 * @since 0.3.0
 */
export interface LoadOptions extends Models.LoadOptions {}

/**
 * Makes the service for one server. Fails with `InvalidRequest` if an option is invalid. Sends nothing.
 *
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Ollama, ProviderError, HttpClient.HttpClient> =>
  Server.make(Definition.ollama, options)

/**
 * Provides `Provider` and `Ollama` for one server.
 *
 * @category layers
 */
export const layer = (
  options: Options = {}
): Layer.Layer<Provider.Provider | Ollama, ProviderError, HttpClient.HttpClient> => Server.layer(Ollama, make(options))

/**
 * As `layer`, with options from the configuration. By default `baseUrl` comes from `OLLAMA_HOST`, which is read as
 * Ollama itself reads it, and `token` from `OLLAMA_API_KEY`. Both are optional.
 *
 * @category layers
 */
export const layerConfig = (
  config: Config.Wrap<Options> = {}
): Layer.Layer<Provider.Provider | Ollama, Config.ConfigError | ProviderError, HttpClient.HttpClient> =>
  Server.layer(Ollama, Effect.flatMap(Server.config(Definition.ollama, config), make))
