/**
 * Completions from LM Studio, through its OpenAI-compatible protocol: `POST /v1/chat/completions` and `POST /v1/completions`. What
 * it reports about models, and loading them, are its own `/api/v1` (LM Studio 0.4.0 or later) and `/api/v0`.
 *
 * @category Servers
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import * as Dialect from "./protocol/openai/dialect.ts"
import { embed } from "./protocol/openai/embeddings.ts"
import * as Endpoints from "./protocol/openai/endpoints.ts"
import * as Manage from "./protocol/openai/lmStudioManage.ts"
import * as Models from "./protocol/openai/lmStudioModels.ts"
import * as Places from "./servers/addresses.ts"
import * as Server from "./servers/definition.ts"
import type { ModelProgress } from "./ModelProgress.ts"
import type * as Provider from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"
import { StreamTruncated, Timeout } from "./ProviderError.ts"

/**
 * How to reach an LM Studio server. All fields are optional. `baseUrl` is `http://127.0.0.1:1234` by default, and its port is
 * 1234 if it has neither scheme nor port. A `/v1` at its end is ignored.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends Server.Options {}

/**
 * The LM Studio server: a `Provider`, and what only LM Studio can do. It has its own key, so that a program can use several servers.
 *
 * @category services
 * @since 0.1.0
 */
export interface LmStudio extends Provider.Provider {
  /**
   * Loads a model and returns the name of the instance. If an instance with that context is in memory, its name is returned,
   * since loading again would make a second one. LM Studio 0.4.0 or later; before, `Unsupported`.
   */
  readonly load: (model: string, options?: LoadOptions) => Effect.Effect<string, ProviderError>
  /** Removes a model, with all its instances, or one instance from memory. LM Studio 0.4.0 or later. */
  readonly unload: (modelOrInstance: string) => Effect.Effect<void, ProviderError>
  /**
   * Downloads a model and reports the progress once a second. LM Studio has no way to stop it: when the consumer stops, the
   * download goes on. Fails with `StreamError` if the download fails, and with `Timeout` (`idle`) if nothing moves for 5 minutes.
   */
  readonly download: (model: string, options?: DownloadOptions) => Stream.Stream<ModelProgress, ProviderError>
}

/**
 * Options of `load`.
 *
 * @category options
 * @since 0.3.0
 */
export interface LoadOptions {
  /** The context to load it with, in tokens. Default: the model's setting in LM Studio. */
  readonly contextLength?: number | undefined
}

/**
 * Options of `download`.
 *
 * @category options
 * @since 0.3.0
 */
export interface DownloadOptions {
  /** Which quantization, such as `Q4_K_M`, if `model` is an address of Hugging Face. Default: LM Studio's choice. */
  readonly quantization?: string | undefined
}

/**
 * @category services
 * @since 0.1.0
 */
export const LmStudio = Context.Service<LmStudio>("effect-local-llm/LmStudio")

const definition: Server.ServerDefinition = {
  kind: "lmstudio",
  name: "LM Studio",
  ...Places.lmStudio,
  missingModelHint: (model) => `run \`lms get ${model}\``,
  chat: Endpoints.chat(Dialect.lmStudio),
  completion: Endpoints.completion(Dialect.lmStudio),
  embed: embed(Dialect.lmStudio),
  models: Endpoints.models,
  describe: ({ call, listModels }, model) =>
    call(Models.modelsV1, undefined).pipe(
      Effect.catchReason("ProviderError", "Unsupported", () => call(Models.modelsV0, undefined)),
      Effect.map(
        (entries) =>
          entries.find(({ info, instances }) => info.id === model || instances.some(({ id }) => id === model))?.info
      ),
      Effect.catchReason("ProviderError", "Unsupported", () =>
        Effect.map(listModels, (models) => models.find(({ id }) => id === model))
      )
    ),
  reportedCapabilities: new Set(["vision", "embedding"]),
  oneModelAtATime: true
}

/**
 * Makes the service for one server. Fails with `InvalidRequest` if an option is invalid. Sends nothing.
 *
 * @see {@link layer} for a layer
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<LmStudio, ProviderError, HttpClient.HttpClient> =>
  Effect.map(Server.make(definition, options), (server) => ({
    ...server.provider,
    load: makeLoad(server),
    unload: makeUnload(server),
    download: makeDownload(server)
  }))

const makeLoad =
  ({ call, changing }: Server.Server): LmStudio["load"] =>
  (model, { contextLength } = {}) =>
    Effect.flatMap(call(Models.modelsV1, undefined), (entries) => {
      const entry = entries.find(({ info }) => info.id === model)
      const loaded = entry?.instances.find(
        (instance) => contextLength === undefined || instance.contextLength === contextLength
      )
      if (loaded !== undefined) return Effect.succeed(loaded.id)
      return changing.one(call(Manage.load, { model, contextLength }, model))
    })

const makeUnload =
  ({ call, changing }: Server.Server): LmStudio["unload"] =>
  (modelOrInstance) =>
    Effect.flatMap(call(Models.modelsV1, undefined), (entries) => {
      const entry = entries.find(({ info }) => info.id === modelOrInstance)
      const ids = entry === undefined ? [modelOrInstance] : entry.instances.map(({ id }) => id)
      const unload = (instance_id: string) => call(Manage.unload, { instance_id }, modelOrInstance)
      return changing.one(Effect.forEach(ids, unload, { discard: true }))
    })

const stallLimit = Duration.minutes(5)

const makeDownload =
  ({ call, changing, toError }: Server.Server): LmStudio["download"] =>
  (model, { quantization } = {}) =>
    changing.stream(
      Stream.unwrap(
        Effect.map(call(Manage.download, { model, quantization }, model), ({ jobId, progress }) => {
          const first = Stream.succeed(progress)
          if (progress.isFinal) return first
          if (jobId === undefined) return Stream.concat(first, Stream.fail(toError(new StreamTruncated())))
          const stalled = Stream.fail(toError(new Timeout({ kind: "idle", limit: stallLimit })))
          return Stream.fromEffectSchedule(
            Effect.delay(call(Manage.downloadStatus(jobId), undefined, model), "1 second"),
            Schedule.forever
          ).pipe(
            Stream.map(({ progress }) => progress),
            Stream.changesWith((a, b) => a.status === b.status && a.completedBytes === b.completedBytes),
            Stream.takeUntil(({ isFinal }) => isFinal),
            Stream.timeoutOrElse({ duration: stallLimit, orElse: () => stalled }),
            (rest) => Stream.concat(first, rest)
          )
        })
      )
    )

/**
 * Provides `Provider` and `LmStudio` for one server.
 *
 * **Example** (a server that requires a token)
 *
 * ```ts
 * import { NodeHttpClient } from "@effect/platform-node"
 * import { Layer, Redacted } from "effect"
 * import { LmStudio } from "effect-local-llm"
 *
 * const live = LmStudio.layer({ baseUrl: "http://gpu-2:1234", token: Redacted.make("sk-lm-…") }).pipe(
 *   Layer.provide(NodeHttpClient.layerUndici)
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  options: Options = {}
): Layer.Layer<Provider.Provider | LmStudio, ProviderError, HttpClient.HttpClient> =>
  Server.layer(LmStudio, make(options))

/**
 * As `layer`, with options from the configuration. By default `baseUrl` comes from `LMSTUDIO_BASE_URL` and `token` from
 * `LM_API_TOKEN`. Both are optional.
 *
 * @see {@link layer} for options in the code
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  config: Config.Wrap<Options> = {}
): Layer.Layer<Provider.Provider | LmStudio, Config.ConfigError | ProviderError, HttpClient.HttpClient> =>
  Server.layer(LmStudio, Effect.flatMap(Server.config(definition, config), make))
