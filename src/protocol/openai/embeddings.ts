/** `POST /v1/embeddings` of the OpenAI-compatible servers. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Embedding, EmbeddingRequest } from "../../Embedding.ts"
import { Unsupported } from "../../ProviderError.ts"
import { embeddingErrors } from "../embeddingErrors.ts"
import * as JsonEndpoint from "../jsonEndpoint.ts"
import * as Values from "../../values/objects.ts"
import type { Endpoint } from "../endpoint.ts"
import * as Json from "../../values/json.ts"
import * as WireSchema from "../wireSchema.ts"
import type { Dialect } from "./dialect.ts"
import { encodeKeepAlive } from "./request.ts"

const Answer = Schema.Struct({
  model: WireSchema.metadata,
  data: Schema.Array(Schema.Struct({ index: WireSchema.metadata, embedding: Schema.Array(Schema.Finite) })),
  usage: WireSchema.metadata
})

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
        ...(yield* encodeKeepAlive(keepAlive, dialect))
      }
      return Values.merge(body, extra ?? {})
    }),
  decoder: (context) =>
    JsonEndpoint.decoder(Answer, ({ data, model, usage }) => {
      const vectors = inOrder(data)
      if (vectors === undefined)
        return Result.fail(WireSchema.parseError("", "the indices of the vectors are not 0, 1, 2, …"))
      return Result.succeed<Embedding>({
        model: Json.toText(model) ?? context.model,
        vectors,
        promptTokens: Json.toCount(Json.get(usage, "prompt_tokens"))
      })
    })(context)
})

/** The vectors by `index`, or as they came if no entry has one. `undefined` if an index is missing, unknown or double. */
const inOrder = (data: (typeof Answer.Type)["data"]): ReadonlyArray<ReadonlyArray<number>> | undefined => {
  if (data.every(({ index }) => Json.toCount(index) === undefined)) return data.map(({ embedding }) => embedding)
  const byIndex = new Map(data.map(({ embedding, index }) => [Json.toCount(index), embedding]))
  const vectors = data.flatMap((_, i) => {
    const vector = byIndex.get(i)
    return vector === undefined ? [] : [vector]
  })
  return vectors.length === data.length ? vectors : undefined
}
