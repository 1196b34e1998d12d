/** OpenAI's API: chats, plain completions, embeddings and models; and LM Studio's list of models, by which tools recognise it. */
import * as Effect from "effect/Effect"
import * as Responses from "../protocol/openai/responses.ts"
import * as Served from "../protocol/openai/served.ts"
import * as Embeddings from "../protocol/openai/servedEmbeddings.ts"
import * as Failures from "../protocol/openai/servedFailures.ts"
import * as Models from "../protocol/openai/servedModels.ts"
import type { ProviderError, ProviderErrorReason } from "../ProviderError.ts"
import * as Values from "../values/objects.ts"
import type { JsonObject } from "../values/json.ts"
import type { Protocol, RouteInput, Running } from "./gateway.ts"

const kinds = ["OpenAI-compatible server", "lmstudio", "llama-server"]

/** `POST /v1/embeddings`. */
const embed = ({ body, gateway }: RouteInput): Effect.Effect<JsonObject, ProviderError | ProviderErrorReason> =>
  Effect.gen(function* () {
    const { encode, request, tuning } = yield* Effect.fromResult(Embeddings.decode(body))
    const isKind = kinds.includes(gateway.provider.kind ?? "")
    const embedding = yield* gateway.provider.embed(isKind ? { ...request, ...tuning } : request)
    return encode(embedding, gateway.contextOf(request.model ?? embedding.model))
  })

export const protocol: Protocol = {
  name: "openai",
  kinds,
  completions: [Served.chat, Served.completion, Responses.responses],
  others: [
    { method: "POST", path: "/v1/embeddings", needs: "input", handle: embed },
    {
      method: "GET",
      path: "/v1/models",
      handle: ({ gateway }) => Effect.map(gateway.provider.listModels, Models.encodeList)
    },
    {
      method: "GET",
      path: "/v1/models/*",
      handle: ({ gateway, params }) => Effect.map(gateway.provider.model(params["*"] ?? ""), Models.encode)
    }
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
  kinds: [],
  completions: [],
  others: [
    {
      method: "GET",
      path: "/api/v0/models",
      handle: ({ gateway }) => Effect.map(describeAll(gateway), Models.encodeListV0)
    },
    {
      method: "GET",
      path: "/api/v0/models/*",
      handle: ({ gateway, params }) => Effect.map(gateway.provider.model(params["*"] ?? ""), Models.encodeV0)
    }
  ],
  fail: Failures.fail,
  refuse: Failures.refuse
}
