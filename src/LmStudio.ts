/**
 * Completions from LM Studio, through its OpenAI-compatible protocol: `POST /v1/chat/completions` and `POST /v1/completions`.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as Layer from "effect/Layer"
import * as Dialect from "./internal/openai/dialect.ts"
import { embed } from "./internal/openai/embeddings.ts"
import * as Endpoints from "./internal/openai/endpoints.ts"
import * as Models from "./internal/openai/lmStudioModels.ts"
import * as Server from "./internal/server.ts"
import type * as Provider from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"

/**
 * How to reach an LM Studio server. All fields are optional. `baseUrl` is `http://127.0.0.1:1234` by default, and its port is
 * 1234 if it has neither scheme nor port. A `/v1` at its end is ignored.
 *
 * @since 0.1.0
 */
export interface Options extends Server.Options {}

/**
 * The LM Studio server: a `Provider` under its own key, so that a program can use several servers.
 *
 * @since 0.1.0
 */
export interface LmStudio extends Provider.Provider {}

/**
 * @since 0.1.0
 */
export const LmStudio = Context.Service<LmStudio>("effect-local-llm/LmStudio")

const definition: Server.ServerDefinition = {
  name: "LM Studio",
  defaultUrl: "http://127.0.0.1:1234",
  port: "1234",
  root: "/v1",
  environment: { baseUrl: "LMSTUDIO_BASE_URL", token: "LM_API_TOKEN" },
  missingModelHint: (model) => `run \`lms get ${model}\``,
  chat: Endpoints.chat(Dialect.lmStudio),
  completion: Endpoints.completion(Dialect.lmStudio),
  embed: embed(Dialect.lmStudio),
  models: Endpoints.models,
  describe: ({ call, listModels }, model) =>
    call(Models.modelsV1, undefined).pipe(
      Effect.catchReason("ProviderError", "Unsupported", () => call(Models.modelsV0, undefined)),
      Effect.map(
        (entries) => entries.find(({ info, instances }) => info.id === model || instances.includes(model))?.info
      ),
      Effect.catchReason("ProviderError", "Unsupported", () =>
        Effect.map(listModels, (models) => models.find(({ id }) => id === model))
      )
    ),
  reportedCapabilities: new Set(["vision", "embedding"])
}

/**
 * Makes the service for one server. Fails with `InvalidRequest` if an option is invalid. Sends nothing.
 *
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<LmStudio, ProviderError, HttpClient.HttpClient> =>
  Effect.map(Server.make(definition, options), ({ provider }) => provider)

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
 * @since 0.1.0
 */
export const layerConfig = (
  config: Config.Wrap<Options> = {}
): Layer.Layer<Provider.Provider | LmStudio, Config.ConfigError | ProviderError, HttpClient.HttpClient> =>
  Server.layer(LmStudio, Effect.flatMap(Server.config(definition, config), make))
