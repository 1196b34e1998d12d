/** Routes that several protocols have. */
import * as Effect from "effect/Effect"
import type { ModelInfo } from "../ModelInfo.ts"
import type { Decode, ReceivedEmbedding } from "../protocol/served.ts"
import type { ProviderError } from "../ProviderError.ts"
import type { JsonObject } from "../values/json.ts"
import * as Values from "../values/objects.ts"
import type { Route, Running } from "./gateway.ts"

/** Embeddings. Servers of these kinds get the `tuning` of the request. */
export const embeddings = (
  path: Route["path"],
  decode: Decode<ReceivedEmbedding>,
  kinds: ReadonlyArray<string>
): Route => ({
  method: "POST",
  path,
  needs: "input",
  handle: ({ body, gateway: { contextOf, provider } }) =>
    Effect.gen(function* () {
      const { encode, request, tuning } = yield* Effect.fromResult(decode(body))
      const isKind = kinds.includes(provider.kind ?? "")
      const embedding = yield* provider.embed(isKind ? { ...request, ...tuning } : request)
      return encode(embedding, contextOf(request.model ?? embedding.model))
    })
})

/** The list of models, and each of them below it. Their names have slashes. */
export const models = (
  path: Route["path"],
  encodeList: (models: ReadonlyArray<ModelInfo>) => JsonObject,
  encode: (model: ModelInfo) => JsonObject,
  list: (gateway: Running) => Effect.Effect<ReadonlyArray<ModelInfo>, ProviderError> = ({ provider }) =>
    provider.listModels
): ReadonlyArray<Route> => [
  { method: "GET", path, handle: ({ gateway }) => Effect.map(list(gateway), encodeList) },
  {
    method: "GET",
    path: `${path}/*`,
    handle: ({ gateway, params }) => Effect.map(gateway.provider.model(params["*"] ?? ""), encode)
  }
]

/** How many models are asked about at a time. */
const concurrency = 8

/** The models with what their servers report about each. `unknown`: what counts for one that they do not report now. */
export const describeAll =
  (unknown: Partial<ModelInfo> = {}) =>
  ({ provider }: Running) =>
    Effect.flatMap(provider.listModels, (models) =>
      Effect.forEach(
        models,
        (info) =>
          Effect.match(provider.model(info.id), {
            onSuccess: (described) => Values.addMissing(described, info),
            onFailure: () => ({ ...info, ...unknown })
          }),
        { concurrency }
      )
    )
