/**
 * Completions from Ollama, over its own protocol: `POST /api/chat` and `POST /api/generate`.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as BaseUrl from "./internal/baseUrl.ts"
import * as Transport from "./internal/transport.ts"
import * as Json from "./internal/wire/json.ts"
import * as OllamaProtocol from "./internal/ollama/endpoints.ts"
import type { ModelInfo } from "./ModelInfo.ts"
import * as Provider from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"

/**
 * How to reach an Ollama server. All fields are optional; `baseUrl` is `http://127.0.0.1:11434` by default, and the port
 * 11434 where it names neither a scheme nor a port.
 *
 * @since 0.1.0
 */
export interface Options extends Transport.ServerOptions {}

/**
 * The Ollama server: a `Provider`, and what only Ollama can do.
 *
 * @since 0.1.0
 */
export class Ollama extends Context.Service<
  Ollama,
  Provider.Provider["Service"] & {
    /** The server's version, such as `0.33.0`; `0.0.0` for builds without a release stamp. */
    readonly version: Effect.Effect<string, ProviderError>
  }
>()("effect-local-llm/Ollama") {}

/**
 * Makes the service for one server. Fails with `InvalidRequest` if the options are wrong; sends nothing.
 *
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<Ollama["Service"], ProviderError, HttpClient.HttpClient> =>
  Effect.map(
    Transport.make({
      ...options,
      provider: "Ollama",
      defaultBaseUrl: "http://127.0.0.1:11434",
      address: { port: "11434", root: "/api" }
    }),
    (exchange) =>
      Ollama.of({
        ...Provider.make({
          name: "Ollama",
          deadlines: options.deadlines,
          source: (request) =>
            exchange.open(request.messages === undefined ? OllamaProtocol.generate : OllamaProtocol.chat, request),
          listModels: Effect.map(exchange.getJson("/api/tags", Tags), ({ models }) => (models ?? []).map(toModelInfo)),
          isSameModel: (a, b) => withTag(a) === withTag(b)
        }),
        version: Effect.map(exchange.getJson("/api/version", Version), ({ version }) => version)
      })
  )

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
): Layer.Layer<Provider.Provider | Ollama, ProviderError, HttpClient.HttpClient> =>
  Layer.effectContext(Effect.map(make(options), toContext))

/**
 * As `layer`, with the address and the token from the configuration: `OLLAMA_HOST`, read as Ollama itself reads it, and
 * `OLLAMA_API_KEY`, both optional.
 *
 * @since 0.1.0
 */
export const layerConfig = (
  options: Omit<Options, "baseUrl" | "token"> = {}
): Layer.Layer<Provider.Provider | Ollama, Config.ConfigError | ProviderError, HttpClient.HttpClient> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const host = yield* Config.option(Config.String("OLLAMA_HOST"))
      const token = yield* Config.option(Config.Redacted("OLLAMA_API_KEY"))
      const service = yield* make({
        ...options,
        baseUrl: Option.getOrUndefined(Option.map(host, BaseUrl.fromOllamaHost)),
        token: Option.getOrUndefined(token)
      })
      return toContext(service)
    })
  )

const toContext = (service: Ollama["Service"]): Context.Context<Provider.Provider | Ollama> =>
  Context.make(Ollama, service).pipe(Context.add(Provider.Provider, service))

/** A name without a tag means the tag `latest`. */
const withTag = (model: string): string => (/:[^/]*$/.test(model) ? model : `${model}:latest`)

const Version = Schema.Struct({ version: Schema.String })

const Model = Schema.Struct({
  name: Schema.String,
  size: Json.nullish(Schema.Number),
  details: Json.nullish(
    Schema.Struct({
      family: Json.nullish(Schema.String),
      parameter_size: Json.nullish(Schema.String),
      quantization_level: Json.nullish(Schema.String),
      context_length: Json.nullish(Schema.Number)
    })
  ),
  capabilities: Json.nullish(Schema.Array(Schema.String))
})

const Tags = Schema.Struct({ models: Json.nullish(Schema.Array(Model)) })

const toModelInfo = ({ capabilities, details, name, size }: typeof Model.Type): ModelInfo => ({
  id: name,
  sizeBytes: size ?? undefined,
  family: details?.family ?? undefined,
  parameterSize: details?.parameter_size ?? undefined,
  quantization: details?.quantization_level ?? undefined,
  contextLength: details?.context_length ?? undefined,
  capabilities: capabilities ?? undefined
})
