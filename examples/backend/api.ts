// What the server offers. It has no code of the server, so that clients and pages can import it.
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema } from "effect/http-api"
import { ProviderError } from "effect-local-llm"

export const Summary = Schema.Struct({ title: Schema.String, points: Schema.Array(Schema.String) })

const Failure = ProviderError.ProviderError.pipe(HttpApiSchema.status(502))

export class Api extends HttpApi.make("assistant").add(
  HttpApiGroup.make("assistant", { topLevel: true }).add(
    HttpApiEndpoint.post("summarize", "/summaries", {
      payload: Schema.Struct({ text: Schema.NonEmptyString }),
      success: Summary,
      error: Failure
    }),
    HttpApiEndpoint.post("chat", "/chat", {
      payload: Schema.Struct({ prompt: Schema.NonEmptyString }),
      // A chunk has more fields; a client gets these.
      success: HttpApiSchema.StreamSse({
        data: Schema.Struct({ content: Schema.String, isFinal: Schema.Boolean }),
        error: ProviderError.ProviderError
      })
    })
  )
) {}
