/**
 * Completions from any other server with an OpenAI-compatible API: vLLM, SGLang, Jan, Docker Model Runner, Ollama's
 * `/v1` and others. Ollama, LM Studio and llama.cpp have modules of their own, which support more.
 *
 * @category Servers
 * @since 0.2.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Definition from "./servers/openAiCompatible.ts"
import * as OptionSchema from "./servers/options.ts"
import * as Server from "./servers/server.ts"
import type * as Provider from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"

/**
 * How to reach the server. All fields are optional. Default of `baseUrl`: `http://127.0.0.1:8000` (vLLM's); its port is
 * 8000 if it has neither scheme nor port. A `/v1` at its end is ignored.
 *
 * @category options
 */
export interface Options extends Server.Options {
  /** What the server accepts, where servers differ. The defaults suit most servers. */
  readonly dialect?: DialectOptions | undefined
}

/**
 * The differences between servers with this API.
 *
 * @category options
 */
export interface DialectOptions extends Definition.DialectOptions {}

/**
 * The server: a `Provider` under its own key, so that a program can use several servers.
 *
 * @category services
 */
export interface OpenAiCompatible extends Provider.Provider {}
export const OpenAiCompatible = Context.Service<OpenAiCompatible>("effect-local-llm/OpenAiCompatible")

/**
 * Makes the service for one server. Fails with `InvalidRequest` if an option is invalid. Sends nothing.
 *
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<OpenAiCompatible, ProviderError, HttpClient.HttpClient> =>
  Effect.flatMap(
    OptionSchema.readFor(optionsDefinition, options, Definition.openAiCompatible.name),
    ({ dialect, ...rest }) => Server.make(Definition.withDialect(dialect), rest)
  )

const optionsDefinition = OptionSchema.define<Options>(
  { ...Server.optionFields, dialect: Schema.optional(Definition.DialectOptions) },
  { dialect: Definition.DialectOptions.fields }
)

/**
 * Provides `Provider` and `OpenAiCompatible` for one server.
 *
 * @category layers
 */
export const layer = (
  options: Options = {}
): Layer.Layer<Provider.Provider | OpenAiCompatible, ProviderError, HttpClient.HttpClient> =>
  Server.layer(OpenAiCompatible, make(options))

/**
 * As `layer`, with options from the configuration. By default `baseUrl` comes from `OPENAI_BASE_URL` and `token` from
 * `OPENAI_API_KEY`. Both are optional.
 *
 * @category layers
 */
export const layerConfig = (
  config: Config.Wrap<Options> = {}
): Layer.Layer<Provider.Provider | OpenAiCompatible, Config.ConfigError | ProviderError, HttpClient.HttpClient> =>
  Server.layer(OpenAiCompatible, Effect.flatMap(Server.config(Definition.openAiCompatible, config), make))
