/** Any other server with an OpenAI-compatible API. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as OllamaModels from "../protocol/ollama/models.ts"
import * as Endpoints from "../protocol/openai/endpoints.ts"
import * as Vllm from "../protocol/openai/vllm.ts"
import type { ValidRequest } from "../CompletionRequest.ts"
import type { Call } from "../protocol/endpoint.ts"
import { ProviderError, Unsupported } from "../ProviderError.ts"
import type { Server, ServerDefinition } from "./definition.ts"
import * as Kinds from "./kinds.ts"
import * as Models from "./models.ts"
import * as OptionSchema from "./options.ts"

export const DialectOptions = Schema.Struct({
  /** How `format: "json"` is requested: `json_object`, or `json_schema` with a schema of any object. Default: `json_object`. */
  jsonFormat: Schema.optional(Schema.Literals(["json_object", "json_schema"])),
  /**
   * How `think` is requested: `reasoning_effort`, or `enable_thinking` in `chat_template_kwargs` (vLLM, SGLang), which supports on and off
   * only. Default: `reasoning_effort`.
   */
  think: Schema.optional(Schema.Literals(["reasoning_effort", "enable_thinking"])),
  /**
   * The field in which the `thinking` of an earlier completion is sent back, which some models need between their tool calls. `"none"`
   * leaves it out, for gateways that reject the field. Default: `reasoning_content`. Ollama's `/v1` reads `reasoning`.
   */
  thinkingField: Schema.optional(Schema.Literals(["reasoning_content", "reasoning", "thinking", "none"])),
  /**
   * Whether `stream_options` is sent, which requests the usage. Some gateways reject it, and most servers do not report the usage without
   * it. Default: `true`.
   */
  streamOptions: OptionSchema.boolean
})

export interface DialectOptions extends Schema.Schema.Type<typeof DialectOptions> {}

const toDialect = ({
  jsonFormat = "json_object",
  streamOptions,
  think,
  thinkingField = "reasoning_content"
}: DialectOptions): Endpoints.Dialect => ({
  jsonFormat,
  streamOptions,
  thinkingField: thinkingField === "none" ? undefined : thinkingField,
  think: think === "enable_thinking" ? Endpoints.enableThinking : Endpoints.reasoningEffort,
  namedToolChoice: true,
  // Several servers and gateways send none.
  hasFinishReason: false
})

/** vLLM counts tokens. Another server does not have the route, has another one of this name, or a proxy guards it. */
const makeCount = ({ chat, completion }: ServerDefinition["endpoints"]) => {
  const ofChat = Vllm.tokenize(chat.encode)
  const ofPrompt = Vllm.tokenize(completion.encode)
  return (call: Call, request: ValidRequest): Effect.Effect<number | undefined, ProviderError> =>
    Effect.catch(
      call(request.messages === undefined ? ofPrompt : ofChat, request, request.model, request.deadlines),
      (error): Effect.Effect<undefined, ProviderError> => {
        const { _tag } = error.reason
        if (_tag === "InvalidRequest") return Effect.undefined
        const isOther = _tag === "ParseError" || _tag === "AuthenticationError"
        return Effect.fail(isOther ? withReason(error, new Unsupported({ feature: "counting tokens" })) : error)
      }
    )
}

const withReason = ({ provider, server }: ProviderError, reason: Unsupported) =>
  new ProviderError({ provider, server, reason })

const makeOperations = ({ provider }: Server) => ({
  /** Names on Ollama need no tag, and only its list shows that the server is one. */
  supportsModel: Models.supports(provider)
})

const withEndpoints = (endpoints: ReturnType<typeof Endpoints.make>) => ({
  endpoints,
  countTokens: makeCount(endpoints)
})

export const openAiCompatible: ServerDefinition<"openai", ReturnType<typeof makeOperations>> = {
  ...Kinds.identify("openai"),
  // In the conventions, `openai` is the cloud service.
  genAiName: "OpenAI-compatible server",
  address: { defaultUrl: "http://127.0.0.1:8000", port: "8000", root: "/v1" },
  ...withEndpoints(Endpoints.make(toDialect({}))),
  describe: ({ call }, model) =>
    Effect.gen(function* () {
      const { infos, isOllama } = yield* call(Endpoints.modelsOfAnyServer, undefined)
      const info = infos.find(({ id }) => (isOllama ? OllamaModels.isSame(id, model) : id === model))
      if (info === undefined || !isOllama) return info
      // A proxy may pass on the routes below `/v1` alone.
      const described = yield* Effect.option(OllamaModels.describe(call, model))
      return Option.isSome(described) ? described.value : info
    }),
  // Ollama drops images for a model that cannot see. What else a model lacks, it reports itself.
  reportedCapabilities: new Set(["vision"]),
  hasUnlistedModels: true,
  management: { options: new Set() },
  operations: makeOperations
}

/** The definition for a server that accepts something else. */
export const withDialect = (options: DialectOptions = {}): typeof openAiCompatible => ({
  ...openAiCompatible,
  ...withEndpoints(Endpoints.make(toDialect(options)))
})
