/**
 * Completions from LM Studio, over its OpenAI-style protocol: `POST /v1/chat/completions` and `POST /v1/completions`.
 * llama.cpp's own server speaks the same.
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
import * as Transport from "./internal/transport.ts"
import * as Json from "./internal/wire/json.ts"
import * as OpenAiProtocol from "./internal/openai/endpoints.ts"
import type { ModelInfo } from "./ModelInfo.ts"
import * as Provider from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"

/**
 * How to reach an LM Studio server. All fields are optional; `baseUrl` is `http://127.0.0.1:1234` by default, and the port
 * 1234 where it names neither a scheme nor a port. A `/v1` at its end may be there or not.
 *
 * @since 0.1.0
 */
export interface Options extends Transport.ServerOptions {}

/**
 * The LM Studio server: a `Provider` under a tag of its own, so that a program can have it beside others.
 *
 * @since 0.1.0
 */
export class LmStudio extends Context.Service<LmStudio, Provider.Provider["Service"]>()("effect-local-llm/LmStudio") {}

/**
 * Makes the service for one server. Fails with `InvalidRequest` if the options are wrong; sends nothing.
 *
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<LmStudio["Service"], ProviderError, HttpClient.HttpClient> =>
  Effect.map(
    Transport.make({
      ...options,
      provider: "LM Studio",
      defaultBaseUrl: "http://127.0.0.1:1234",
      address: { port: "1234", root: "/v1" }
    }),
    (exchange) =>
      LmStudio.of(
        Provider.make({
          name: "LM Studio",
          deadlines: options.deadlines,
          source: (request) =>
            exchange.open(request.messages === undefined ? OpenAiProtocol.completion : OpenAiProtocol.chat, request),
          listModels: Effect.map(exchange.getJson("/v1/models", Models), ({ data }) => (data ?? []).map(toModelInfo))
        })
      )
  )

/**
 * Provides `Provider` and `LmStudio` for one server.
 *
 * **Example** (a server that wants a token)
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
  Layer.effectContext(Effect.map(make(options), toContext))

/**
 * As `layer`, with the address and the token from the configuration: `LMSTUDIO_BASE_URL` and `LM_API_TOKEN`, both optional.
 *
 * @since 0.1.0
 */
export const layerConfig = (
  options: Omit<Options, "baseUrl" | "token"> = {}
): Layer.Layer<Provider.Provider | LmStudio, Config.ConfigError | ProviderError, HttpClient.HttpClient> =>
  Layer.effectContext(
    Effect.gen(function* () {
      const baseUrl = yield* Config.option(Config.String("LMSTUDIO_BASE_URL"))
      const token = yield* Config.option(Config.Redacted("LM_API_TOKEN"))
      const service = yield* make({
        ...options,
        baseUrl: Option.getOrUndefined(baseUrl),
        token: Option.getOrUndefined(token)
      })
      return toContext(service)
    })
  )

const toContext = (service: LmStudio["Service"]): Context.Context<Provider.Provider | LmStudio> =>
  Context.make(LmStudio, service).pipe(Context.add(Provider.Provider, service))

/** `meta` is llama.cpp's; LM Studio tells the name alone here. */
const Model = Schema.Struct({
  id: Schema.String,
  meta: Json.nullish(Schema.Struct({ size: Json.nullish(Schema.Number), n_ctx_train: Json.nullish(Schema.Number) }))
})

const Models = Schema.Struct({ data: Json.nullish(Schema.Array(Model)) })

const toModelInfo = ({ id, meta }: typeof Model.Type): ModelInfo => ({
  id,
  sizeBytes: meta?.size ?? undefined,
  contextLength: meta?.n_ctx_train ?? undefined
})
