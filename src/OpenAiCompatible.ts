/**
 * Completions from any other server with an OpenAI-compatible API: vLLM, SGLang, Jan, Docker Model Runner, Ollama's `/v1` and
 * others. Ollama, LM Studio and llama.cpp have modules of their own, which support more.
 *
 * @category Servers
 * @since 0.2.0
 */
import type * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { describe as describeOllama } from "./protocol/ollama/endpoints.ts"
import * as Names from "./protocol/ollama/names.ts"
import * as Schema from "effect/Schema"
import type { Dialect } from "./protocol/openai/dialect.ts"
import { reasoningEffort } from "./protocol/openai/dialect.ts"
import { embed } from "./protocol/openai/embeddings.ts"
import * as Endpoints from "./protocol/openai/endpoints.ts"
import * as OptionSchema from "./servers/options.ts"
import * as Server from "./servers/definition.ts"
import type * as Provider from "./Provider.ts"
import type { ProviderError } from "./ProviderError.ts"

/**
 * How to reach the server. All fields are optional. `baseUrl` is `http://127.0.0.1:8000` (vLLM's) by default, and its port is
 * 8000 if it has neither scheme nor port. A `/v1` at its end is ignored, since all routes begin with it.
 *
 * @category options
 * @since 0.2.0
 */
export interface Options extends Server.Options {
  /**
   * What the server accepts, where servers differ. Each field has a default that suits most servers.
   */
  readonly dialect?: DialectOptions | undefined
}

/**
 * The differences between servers with this API.
 *
 * @category options
 * @since 0.2.0
 */
export interface DialectOptions {
  /** How `format: "json"` is requested: `json_object`, or `json_schema` with a schema of any object. Default: `json_object`. */
  readonly jsonFormat?: Dialect["jsonFormat"] | undefined
  /**
   * How `think` is requested: `reasoning_effort`, or `enable_thinking` in `chat_template_kwargs` (vLLM, SGLang), which
   * supports on and off only. Default: `reasoning_effort`.
   */
  readonly think?: "reasoning_effort" | "enable_thinking" | undefined
  /**
   * The field in which the `thinking` of an earlier answer is sent back, which some models need between their tool calls. `"none"`
   * leaves it out, for gateways that reject the field. Default: `reasoning_content`. Ollama's `/v1` reads `reasoning`.
   */
  readonly thinkingField?: NonNullable<Dialect["thinkingField"]> | "none" | undefined
  /**
   * Whether `stream_options` is sent, which requests the usage. Some gateways reject it, and most servers do not report the usage
   * without it. Default: `true`.
   */
  readonly streamOptions?: boolean | undefined
}

/**
 * The server: a `Provider` under its own key, so that a program can use several servers.
 *
 * @category services
 * @since 0.2.0
 */
export interface OpenAiCompatible extends Provider.Provider {}

/**
 * @category services
 * @since 0.2.0
 */
export const OpenAiCompatible = Context.Service<OpenAiCompatible>("effect-local-llm/OpenAiCompatible")

const name = "OpenAI-compatible server"

const makeDefinition = ({
  jsonFormat = "json_object",
  streamOptions,
  think,
  thinkingField = "reasoning_content"
}: DialectOptions = {}): Server.ServerDefinition => {
  const dialect: Dialect = {
    jsonFormat,
    streamOptions,
    thinkingField: thinkingField === "none" ? undefined : thinkingField,
    think: think === "enable_thinking" ? enableThinking : reasoningEffort,
    namedToolChoice: true,
    // Several servers and gateways send none.
    hasFinishReason: false
  }
  return {
    kind: name,
    name,
    defaultUrl: "http://127.0.0.1:8000",
    port: "8000",
    root: "/v1",
    environment: { baseUrl: "OPENAI_BASE_URL", token: "OPENAI_API_KEY" },
    chat: Endpoints.chat(dialect),
    completion: Endpoints.completion(dialect),
    embed: embed(dialect),
    models: Endpoints.models,
    describe: ({ call }, model) =>
      Effect.gen(function* () {
        const { infos, isOllama } = yield* call(Endpoints.modelsOfAnyServer, undefined)
        const info = infos.find(({ id }) => (isOllama ? Names.isSame(id, model) : id === model))
        if (info === undefined || !isOllama) return info
        // A proxy may pass on the routes below `/v1` alone.
        const described = yield* Effect.option(describeOllama(call, model))
        return Option.isSome(described) ? described.value : info
      }),
    // Ollama drops images for a model that cannot see. What else a model lacks, it reports itself.
    reportedCapabilities: new Set(["vision"]),
    hasUnlistedModels: true
  }
}

const enableThinking: Dialect["think"] = (think) =>
  Result.succeed({ chat_template_kwargs: { enable_thinking: think !== false } })

/**
 * Makes the service for one server. Fails with `InvalidRequest` if an option is invalid. Sends nothing.
 *
 * @see {@link layer} for a layer
 * @category constructors
 * @since 0.2.0
 */
export const make = (options: Options = {}): Effect.Effect<OpenAiCompatible, ProviderError, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const { dialect, ...rest } = yield* OptionSchema.readFor(optionsDefinition, options, name)
    const { provider } = yield* Server.make(makeDefinition(dialect), rest)
    // Names on Ollama need no tag, and only its list shows that the server is one.
    const supportsModel = (model: string): Effect.Effect<boolean, ProviderError> =>
      Effect.catchReason(
        Effect.as(provider.model(model, { maxAge: 0 }), true),
        "ProviderError",
        "ModelNotAvailable",
        () => Effect.succeed(false)
      )
    return { ...provider, supportsModel }
  })

const dialectFields: OptionSchema.Fields<DialectOptions> = {
  jsonFormat: Schema.optional(Schema.Literals(["json_object", "json_schema"])),
  think: Schema.optional(Schema.Literals(["reasoning_effort", "enable_thinking"])),
  streamOptions: OptionSchema.boolean,
  thinkingField: Schema.optional(Schema.Literals(["reasoning_content", "reasoning", "thinking", "none"]))
}

const optionsDefinition = OptionSchema.define<Options>(
  { ...Server.optionFields, dialect: Schema.optional(Schema.Struct(dialectFields)) },
  { dialect: dialectFields }
)

/**
 * Provides `Provider` and `OpenAiCompatible` for one server.
 *
 * **Example** (vLLM on another machine)
 *
 * ```ts
 * import { NodeHttpClient } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import { OpenAiCompatible } from "effect-local-llm"
 *
 * const live = OpenAiCompatible.layer({
 *   name: "vLLM",
 *   baseUrl: "http://gpu-3:8000",
 *   dialect: { think: "enable_thinking" }
 * }).pipe(Layer.provide(NodeHttpClient.layerUndici))
 * ```
 *
 * @category layers
 * @since 0.2.0
 */
export const layer = (
  options: Options = {}
): Layer.Layer<Provider.Provider | OpenAiCompatible, ProviderError, HttpClient.HttpClient> =>
  Server.layer(OpenAiCompatible, make(options))

/**
 * As `layer`, with options from the configuration. By default `baseUrl` comes from `OPENAI_BASE_URL` and `token` from
 * `OPENAI_API_KEY`. Both are optional.
 *
 * @see {@link layer} for options in the code
 * @category layers
 * @since 0.2.0
 */
export const layerConfig = (
  config: Config.Wrap<Options> = {}
): Layer.Layer<Provider.Provider | OpenAiCompatible, Config.ConfigError | ProviderError, HttpClient.HttpClient> =>
  Server.layer(OpenAiCompatible, Effect.flatMap(Server.config(makeDefinition(), config), make))
