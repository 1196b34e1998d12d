/**
 * Completions from Ollama, through its own protocol: `POST /api/chat` and `POST /api/generate`.
 *
 * @since 0.1.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as BaseUrl from "./internal/baseUrl.ts"
import { embed } from "./internal/ollama/embeddings.ts"
import * as Endpoints from "./internal/ollama/endpoints.ts"
import * as Models from "./internal/ollama/models.ts"
import * as Server from "./internal/server.ts"
import type * as Provider from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"

/**
 * How to reach an Ollama server. All fields are optional. `baseUrl` is `http://127.0.0.1:11434` by default, and its port is
 * 11434 if it has neither scheme nor port.
 *
 * @since 0.1.0
 */
export interface Options extends Server.Options {}

/**
 * The Ollama server: a `Provider`, and what only Ollama can do.
 *
 * @since 0.1.0
 */
export interface Ollama extends Provider.Provider {
  /** The server's version, such as `0.33.0`; `0.0.0` for builds without a release stamp. */
  readonly version: Effect.Effect<string, ProviderError>
}

/**
 * @since 0.1.0
 */
export const Ollama = Context.Service<Ollama>("effect-local-llm/Ollama")

const definition: Server.ServerDefinition = {
  name: "Ollama",
  defaultUrl: "http://127.0.0.1:11434",
  port: "11434",
  root: "/api",
  otherRoot: { path: "/v1", advice: "Remove `/v1`: Ollama's own routes are used. For its `/v1` use OpenAiCompatible" },
  environment: { baseUrl: "OLLAMA_HOST", token: "OLLAMA_API_KEY", parse: BaseUrl.fromOllamaHost },
  missingModelHint: (model) => `run \`ollama pull ${model}\``,
  chat: Endpoints.chat,
  completion: Endpoints.generate,
  embed,
  models: Endpoints.tags,
  describe: ({ call }, model) =>
    Effect.gen(function* () {
      const info = yield* call(Endpoints.show, model, model)
      // Servers before 0.1.33 do not have it.
      const running = yield* Effect.option(call(Endpoints.running, undefined))
      if (Option.isNone(running)) return info
      return { ...info, ...Models.fromRunning(running.value.find(({ name }) => withTag(name) === withTag(model))) }
    }),
  reportedCapabilities: new Set(["vision", "tools", "thinking"]),
  isSameModel: (a, b) => withTag(a) === withTag(b)
}

/** A name without a tag means the tag `latest`. */
const withTag = (model: string): string => (/:[^/]*$/.test(model) ? model : `${model}:latest`)

/**
 * Makes the service for one server. Fails with `InvalidRequest` if an option is invalid. Sends nothing.
 *
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<Ollama, ProviderError, HttpClient.HttpClient> =>
  Effect.map(Server.make(definition, options), ({ call, provider }) => ({
    ...provider,
    version: call(Endpoints.version, undefined)
  }))

/**
 * Provides `Provider` and `Ollama` for one server.
 *
 * **Example** (a server on another machine)
 *
 * ```ts
 * import { NodeHttpClient } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { Ollama } from "effect-local-llm"
 *
 * const live = Ollama.layer({ baseUrl: "http://gpu-1:11434" }).pipe(Layer.provide(NodeHttpClient.layerUndici))
 * ```
 *
 * @since 0.1.0
 */
export const layer = (
  options: Options = {}
): Layer.Layer<Provider.Provider | Ollama, ProviderError, HttpClient.HttpClient> => Server.layer(Ollama, make(options))

/**
 * As `layer`, with options from the configuration. By default `baseUrl` comes from `OLLAMA_HOST`, which is read as Ollama
 * itself reads it, and `token` from `OLLAMA_API_KEY`. Both are optional.
 *
 * @since 0.1.0
 */
export const layerConfig = (
  config: Config.Wrap<Options> = {}
): Layer.Layer<Provider.Provider | Ollama, Config.ConfigError | ProviderError, HttpClient.HttpClient> =>
  Server.layer(Ollama, Effect.flatMap(Server.config(definition, config), make))
