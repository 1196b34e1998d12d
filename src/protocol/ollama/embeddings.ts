/** `POST /api/embed` of Ollama. Facts: Ollama's `api/types.go`. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { Embedding, EmbeddingRequest } from "../../Embedding.ts"
import { embeddingErrors } from "../embeddingErrors.ts"
import * as JsonEndpoint from "../jsonEndpoint.ts"
import * as Values from "../../values/objects.ts"
import type { Endpoint } from "../endpoint.ts"
import * as Json from "../../values/json.ts"
import * as WireSchema from "../wireSchema.ts"
import { toKeepAlive } from "./request.ts"

const Answer = Schema.Struct({
  model: WireSchema.metadata,
  embeddings: WireSchema.nullish(Schema.Array(Schema.Array(Schema.Finite))),
  prompt_eval_count: WireSchema.metadata
})

export const embed: Endpoint<EmbeddingRequest, Embedding> = {
  method: "POST",
  path: "/api/embed",
  framing: "json",
  errorRules: embeddingErrors,
  encode: ({ dimensions, extra, input, keepAlive, model, overflow }) =>
    Result.succeed(
      Values.merge(
        // Without `truncate: false`, Ollama silently drops what does not fit.
        { model, input, dimensions, truncate: overflow === "truncate", keep_alive: toKeepAlive(keepAlive) },
        extra ?? {}
      )
    ),
  decoder: (context) =>
    JsonEndpoint.decoder(Answer, ({ embeddings, model, prompt_eval_count }) =>
      Result.succeed<Embedding>({
        model: Json.toText(model) ?? context.model,
        vectors: embeddings ?? [],
        promptTokens: Json.toCount(prompt_eval_count)
      })
    )(context)
}
