/** Ollama's own protocol as endpoints: what is sent where, and how the answer is read. Facts: Ollama's `api/types.go`. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { CompletionRequest } from "../../CompletionRequest.ts"
import type { Embedding, EmbeddingRequest } from "../../Embedding.ts"
import type { StreamingChunk } from "../../StreamingChunk.ts"
import * as Json from "../../values/json.ts"
import * as Values from "../../values/objects.ts"
import { embeddingErrors } from "../knownErrors.ts"
import type { Endpoint } from "../endpoint.ts"
import * as JsonEndpoint from "../jsonEndpoint.ts"
import * as WireSchema from "../wireSchema.ts"
import * as Request from "./request.ts"
import { makeDecoder } from "./response.ts"

const completion = (
  path: string,
  encode: Endpoint<CompletionRequest, StreamingChunk>["encode"]
): Endpoint<CompletionRequest, StreamingChunk> => ({
  method: "POST",
  path,
  framing: "ndjson",
  encode,
  decoder: makeDecoder
})

/** For requests with `messages`. */
export const chat = completion("/api/chat", Request.encodeChat)

/** For requests with a `prompt`: raw, so the server adds no template. */
export const generate = completion("/api/generate", Request.encodeGenerate)

const Embedded = Schema.Struct({
  model: WireSchema.metadata,
  embeddings: WireSchema.nullish(Schema.Array(Schema.Array(Schema.Finite))),
  prompt_eval_count: WireSchema.metadata
})

/** `POST /api/embed`. */
export const embed: Endpoint<EmbeddingRequest, Embedding> = {
  method: "POST",
  path: "/api/embed",
  framing: "json",
  errorRules: embeddingErrors,
  encode: ({ dimensions, extra, input, keepAlive, model, overflow }) =>
    Result.succeed(
      Values.merge(
        // Without `truncate: false`, Ollama silently drops what does not fit.
        { model, input, dimensions, truncate: overflow === "truncate", keep_alive: Request.toKeepAlive(keepAlive) },
        extra ?? {}
      )
    ),
  decoder: JsonEndpoint.decoder(Embedded, ({ embeddings, model, prompt_eval_count }, context) =>
    Result.succeed<Embedding>({
      model: Json.toText(model) ?? context.model,
      vectors: embeddings ?? [],
      promptTokens: Json.toCount(prompt_eval_count)
    })
  )
}
