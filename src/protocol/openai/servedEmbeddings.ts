/** Embeddings as a gateway serves them: how requests are read, and vectors written. */
import * as Base64 from "effect/encoding/Base64"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Embedding } from "../../Embedding.ts"
import * as Embeddings from "../../Embedding.ts"
import type { JsonObject } from "../../values/json.ts"
import type { Read } from "../receivedBody.ts"
import { invalid, reader } from "../receivedBody.ts"
import type { Decode, ReceivedEmbedding } from "../served.ts"
import { nullish } from "../wireSchema.ts"
import { toWire } from "./servedFailures.ts"

const readBody = reader(
  Schema.Struct({
    model: nullish(Schema.String),
    input: Schema.Union([Schema.String, Schema.Array(Schema.Unknown)]),
    dimensions: nullish(Schema.Finite),
    encoding_format: nullish(Schema.Literals(["float", "base64"])),
    ttl: nullish(Schema.Finite)
  })
)

/** `POST /v1/embeddings`. OpenAI's SDKs request base64 by default. */
export const decode: Decode<ReceivedEmbedding> = (body) =>
  Result.gen(function* () {
    const { dimensions, encoding_format, input, model, ttl } = yield* readBody(body)
    const request = { model: model ?? undefined, input: yield* toInput(input), dimensions: dimensions ?? undefined }
    return {
      request: yield* Result.mapError(Embeddings.check(request), toWire),
      tuning: ttl == null ? {} : { extra: { ttl } },
      encode: (embedding, { model }) => encode(embedding, model, encoding_format === "base64" ? toBase64 : toNumbers)
    }
  })

/** Tokens belong to one model alone, so they are no texts. LangChain sends those of OpenAI's models by default. */
const toInput = (input: string | ReadonlyArray<unknown>): Read<string | ReadonlyArray<string>> => {
  if (typeof input === "string") return Result.succeed(input)
  const texts = input.filter((text) => typeof text === "string")
  return texts.length === input.length
    ? Result.succeed(texts)
    : invalid("input", "Expected a text or texts, not tokens (LangChain: check_embedding_ctx_length=False)")
}

type Vector = Embedding["vectors"][number]

const encode = (
  { promptTokens, vectors }: Embedding,
  model: string,
  encodeVector: (vector: Vector) => string | Vector
): JsonObject => ({
  object: "list",
  data: vectors.map((vector, index) => ({ object: "embedding", index, embedding: encodeVector(vector) })),
  model,
  ...(promptTokens === undefined ? {} : { usage: { prompt_tokens: promptTokens, total_tokens: promptTokens } })
})

const toNumbers = (vector: Vector): Vector => vector

/** Numbers of 32 bits, the lowest byte first. */
const toBase64 = (vector: Vector): string => {
  const view = new DataView(new ArrayBuffer(vector.length * 4))
  for (const [i, number] of vector.entries()) view.setFloat32(i * 4, number, true)
  return Base64.encode(new Uint8Array(view.buffer))
}
