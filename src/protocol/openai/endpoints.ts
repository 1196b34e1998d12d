/** The OpenAI-compatible protocol as endpoints: what is sent where, and how the answer is read. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { CompletionRequest } from "../../CompletionRequest.ts"
import type { Embedding, EmbeddingRequest } from "../../Embedding.ts"
import type { ModelInfo } from "../../ModelInfo.ts"
import { Unsupported } from "../../ProviderError.ts"
import type { StreamingChunk } from "../../StreamingChunk.ts"
import * as Json from "../../values/json.ts"
import * as Values from "../../values/objects.ts"
import { embeddingErrors } from "../knownErrors.ts"
import type { Endpoint } from "../endpoint.ts"
import * as FinishReason from "../finishReason.ts"
import * as JsonEndpoint from "../jsonEndpoint.ts"
import * as PromptTruncation from "../promptTruncation.ts"
import * as WireSchema from "../wireSchema.ts"
import type { Dialect } from "./dialect.ts"
import * as Request from "./request.ts"
import { makeDecoder } from "./response.ts"

/** For requests with `messages`. */
export const chat = (dialect: Dialect) => completions("/v1/chat/completions", Request.encodeChat, dialect)

/** For requests with a `prompt`. */
export const completion = (dialect: Dialect) => completions("/v1/completions", Request.encodeCompletion, dialect)

const completions = (
  path: string,
  encode: typeof Request.encodeChat,
  dialect: Dialect
): Endpoint<CompletionRequest, StreamingChunk> => ({
  method: "POST",
  path,
  framing: "sse",
  encode: (request) => encode(request, dialect),
  decoder: (context, sent) =>
    makeDecoder({
      ...context,
      hasFinishReason: dialect.hasFinishReason,
      hasTools: FinishReason.hasTools(sent?.body),
      isPromptCut: dialect.isPromptWhole || sent === undefined ? () => false : PromptTruncation.makeCheck(sent.request)
    })
})

const Embedded = Schema.Struct({
  model: WireSchema.metadata,
  data: Schema.Array(Schema.Struct({ index: WireSchema.metadata, embedding: Schema.Array(Schema.Finite) })),
  usage: WireSchema.metadata
})

/** `POST /v1/embeddings`. */
export const embed = (dialect: Dialect): Endpoint<EmbeddingRequest, Embedding> => ({
  method: "POST",
  path: "/v1/embeddings",
  framing: "json",
  errorRules: embeddingErrors,
  encode: ({ dimensions, extra, input, keepAlive, model, overflow }) =>
    Result.gen(function* () {
      if (overflow === "truncate") {
        const description = "this server cannot truncate texts; shorten them before"
        return yield* Result.fail(new Unsupported({ feature: "overflow", description }))
      }
      const body = {
        model,
        input,
        dimensions,
        // Others may send base64, and LM Studio ignores the field.
        encoding_format: "float",
        ...(yield* Request.encodeKeepAlive(keepAlive, dialect))
      }
      return Values.merge(body, extra ?? {})
    }),
  decoder: JsonEndpoint.decoder(Embedded, ({ data, model, usage }, context) => {
    const vectors = inOrder(data)
    if (vectors === undefined)
      return Result.fail(WireSchema.parseError("", "the indices of the vectors are not 0, 1, 2, …"))
    return Result.succeed<Embedding>({
      model: Json.toText(model) ?? context.model,
      vectors,
      promptTokens: Json.toCount(Json.get(usage, "prompt_tokens"))
    })
  })
})

/** The vectors by `index`, or as they came if no entry has one. `undefined` if an index is missing, unknown or double. */
const inOrder = (data: (typeof Embedded.Type)["data"]): ReadonlyArray<ReadonlyArray<number>> | undefined => {
  if (data.every(({ index }) => Json.toCount(index) === undefined)) return data.map(({ embedding }) => embedding)
  const byIndex = new Map(data.map(({ embedding, index }) => [Json.toCount(index), embedding]))
  const vectors = data.flatMap((_, i) => {
    const vector = byIndex.get(i)
    return vector === undefined ? [] : [vector]
  })
  return vectors.length === data.length ? vectors : undefined
}

/** `meta` is llama.cpp's, `max_model_len` vLLM's; LM Studio reports the name only. */
const Model = Schema.Struct({
  id: Schema.String,
  meta: WireSchema.metadata,
  max_model_len: WireSchema.metadata,
  owned_by: WireSchema.metadata
})

const Models = Schema.Struct({ data: WireSchema.nullish(Schema.Array(Model)) })

const toModelInfos = ({ data }: typeof Models.Type): ReadonlyArray<ModelInfo> => (data ?? []).map(toModelInfo)

/**
 * Whether a list is that of Ollama: all its names have a tag, and the owner is the namespace. Facts: Ollama's `openai/openai.go`.
 */
const isOfOllama = ({ data }: typeof Models.Type): boolean =>
  data != null &&
  data.length > 0 &&
  data.every(({ id, owned_by }) => /:[^:/]+$/.test(id) && owned_by === (id.split("/").at(-2) ?? "library"))

const toModelInfo = ({ id, max_model_len, meta }: typeof Model.Type): ModelInfo => ({
  id,
  sizeBytes: Json.toCount(Json.get(meta, "size")),
  contextLength: Json.toCount(Json.get(meta, "n_ctx_train")) ?? Json.toCount(max_model_len)
})

/** `GET /v1/models`, and whether the list is that of Ollama. */
export const modelsOfAnyServer = JsonEndpoint.get("/v1/models", Models, (answer) => ({
  infos: toModelInfos(answer),
  isOllama: isOfOllama(answer)
}))

/** `GET /v1/models`. */
export const models: Endpoint<void, ReadonlyArray<ModelInfo>> = JsonEndpoint.get("/v1/models", Models, toModelInfos)

/** The routes that all of these servers have. */
export const make = (dialect: Dialect) => ({
  chat: chat(dialect),
  completion: completion(dialect),
  embed: embed(dialect),
  models
})
