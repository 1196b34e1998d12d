/** OpenAI's API: chats, plain completions, embeddings and models; and LM Studio's routes, by which tools recognise it. */
import * as Effect from "effect/Effect"
import type { ModelInfo } from "../ModelInfo.ts"
import * as Responses from "../protocol/openai/responses.ts"
import * as Served from "../protocol/openai/served.ts"
import * as Embeddings from "../protocol/openai/servedEmbeddings.ts"
import * as Failures from "../protocol/openai/servedFailures.ts"
import * as Models from "../protocol/openai/servedModels.ts"
import type { ProviderError, ProviderErrorReason } from "../ProviderError.ts"
import * as Values from "../values/objects.ts"
import type { JsonObject } from "../values/json.ts"
import type { Protocol, Route, RouteInput, Running } from "./gateway.ts"

/** `POST /v1/embeddings`. */
const embed = ({ body, gateway }: RouteInput): Effect.Effect<JsonObject, ProviderError | ProviderErrorReason> =>
  Effect.gen(function* () {
    const { encode, request, tuning } = yield* Effect.fromResult(Embeddings.decode(body))
    const isKind = Served.kinds.includes(gateway.provider.kind ?? "")
    const embedding = yield* gateway.provider.embed(isKind ? { ...request, ...tuning } : request)
    return encode(embedding, gateway.contextOf(request.model ?? embedding.model))
  })

/** The list of models, and each of them below it. Their names have slashes. */
const models = (
  path: `/${string}`,
  list: (gateway: Running) => Effect.Effect<ReadonlyArray<ModelInfo>, ProviderError>,
  encodeList: (models: ReadonlyArray<ModelInfo>) => JsonObject,
  encode: (model: ModelInfo) => JsonObject
): ReadonlyArray<Route> => [
  { method: "GET", path, handle: ({ gateway }) => Effect.map(list(gateway), encodeList) },
  {
    method: "GET",
    path: `${path}/*`,
    handle: ({ gateway, params }) => Effect.map(gateway.provider.model(params["*"] ?? ""), encode)
  }
]

export const protocol: Protocol = {
  name: "openai",
  kinds: Served.kinds,
  completions: [Served.chat, Served.completion, Responses.responses],
  others: [
    { method: "POST", path: "/v1/embeddings", needs: "input", handle: embed },
    ...models("/v1/models", ({ provider }) => provider.listModels, Models.encodeList, Models.encode)
  ],
  fail: Failures.fail,
  refuse: Failures.refuse
}

/** How many models are asked about at a time. */
const concurrency = 8

/** The models with what their servers report about each. What they do not report now is left out. */
const describeAll = ({ provider }: Running) =>
  Effect.flatMap(provider.listModels, (models) =>
    Effect.forEach(
      models,
      (info) =>
        Effect.match(provider.model(info.id), {
          onSuccess: (described) => Values.addMissing(described, info),
          onFailure: () => info
        }),
      { concurrency }
    )
  )

export const lmStudio: Protocol = {
  name: "lmstudio",
  kinds: Served.kinds,
  // Zed sends everything to the routes beside the list.
  completions: [
    { ...Served.chat, path: "/api/v0/chat/completions" },
    { ...Served.completion, path: "/api/v0/completions" }
  ],
  others: [
    { method: "POST", path: "/api/v0/embeddings", needs: "input", handle: embed },
    ...models("/api/v0/models", describeAll, Models.encodeListV0, Models.encodeV0)
  ],
  fail: Failures.fail,
  refuse: Failures.refuse
}
