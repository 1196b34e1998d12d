/** llama.cpp's `llama-server`, through its OpenAI-compatible protocol and its own routes. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type { ValidRequest } from "../CompletionRequest.ts"
import * as Endpoints from "../protocol/openai/endpoints.ts"
import * as Routes from "../protocol/openai/llamaServer.ts"
import type { Call } from "../protocol/endpoint.ts"
import type { DiscoverableServer, Server } from "./definition.ts"
import * as Kinds from "./kinds.ts"
import * as Models from "./models.ts"

/** Facts: llama.cpp's `tools/server/README.md`. */
export const dialect: Endpoints.Dialect = {
  jsonFormat: "json_object",
  think: (think) =>
    Result.succeed(
      typeof think === "boolean" ? { chat_template_kwargs: { enable_thinking: think } } : { reasoning_effort: think }
    ),
  thinkingField: "reasoning_content",
  namedToolChoice: false,
  hasFinishReason: true,
  isPromptWhole: true,
  always: { return_progress: true }
}

const endpoints = Endpoints.make(dialect)

const inputTokens = Routes.inputTokens(endpoints.chat.encode)
const applyTemplate = Routes.applyTemplate(endpoints.chat.encode)

/** In one request, or in two on servers from before November 2025. */
const countTokens = (call: Call, request: ValidRequest) => {
  const { deadlines, model } = request
  const tokenize = (text: string) => call(Routes.tokenize, text, model, deadlines)
  if (request.messages === undefined) return tokenize(request.prompt)
  return Effect.catchReason(call(inputTokens, request, model, deadlines), "ProviderError", "Unsupported", () =>
    Effect.flatMap(call(applyTemplate, request, model, deadlines), tokenize)
  )
}

const makeOperations = ({ call, changing, provider }: Server) => ({
  supportsModel: Models.supports(provider),
  ready: Effect.retry(call(Routes.health, undefined), {
    schedule: Schedule.spaced("250 millis"),
    while: ({ reason }) => reason._tag === "ApiError" && reason.status === 503
  }),
  slots: call(Routes.slots, undefined),
  load: (model: string) => changing.one(call(Routes.load, { model }, model)),
  unload: (model: string) => changing.one(call(Routes.unload, { model }, model))
})

/** A router reports in its list whether a model is in memory, and a server with one model in its properties. */
const describe = Effect.fnUntraced(function* (call: Call, entry: Routes.Entry | undefined) {
  if (entry === undefined) return undefined
  if (entry.isLoaded !== undefined) return { ...entry.info, isLoaded: entry.isLoaded }
  const properties = yield* Effect.option(call(Routes.properties, undefined))
  return { ...entry.info, ...Option.getOrElse(properties, () => ({ isLoaded: true })) }
})

export const llamaServer: DiscoverableServer<"llama-server", ReturnType<typeof makeOperations>> = {
  ...Kinds.identify("llama-server"),
  address: { defaultUrl: "http://127.0.0.1:8080", port: "8080", root: "/v1", isPortShared: true },
  identity: {
    path: "/health",
    // Many programs answer `/health` with the same JSON. This header is also there while the model is loading.
    matches: ({ server }) => server === "llama.cpp"
  },
  endpoints,
  countTokens,
  describe: ({ call }, model) =>
    Effect.flatMap(call(Routes.models, undefined), (entries) =>
      describe(
        call,
        entries.find(({ info }) => info.id === model) ?? entries.find(({ names }) => names.includes(model))
      )
    ),
  // A server with one model ignores the name in a request.
  describeStandIn: (call) =>
    Effect.flatMap(call(Routes.models, undefined), ([first, ...others]) =>
      describe(call, others.length === 0 ? first : undefined)
    ),
  reportedCapabilities: new Set(["vision"]),
  hasUnlistedModels: true,
  management: { options: new Set() },
  operations: makeOperations
}
