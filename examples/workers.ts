// A backend on an edge runtime, such as Cloudflare Workers: its default export is the module that they run.
// MODEL_URL and MODEL_TOKEN are the address and the token of a model server behind a tunnel or a gateway (local-llm serve).
import { Config, ConfigProvider, Effect, Layer, Schema } from "effect"
import { FetchHttpClient, HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { OpenAiCompatible, Provider } from "effect-local-llm"
import * as StreamResponse from "effect-local-llm/StreamResponse"

const Question = Schema.Struct({ prompt: Schema.NonEmptyString })
const Sentiment = Schema.Struct({ sentiment: Schema.Literals(["good", "neutral", "bad"]) })

const routes = HttpRouter.use(
  Effect.fn(function* (router) {
    const provider = yield* Provider.Provider
    yield* router.add(
      "POST",
      "/chat",
      Effect.gen(function* () {
        const { prompt } = yield* HttpServerRequest.schemaBodyJson(Question)
        return yield* StreamResponse.sse(provider.stream({ messages: [{ role: "user", content: prompt }] }))
      })
    )
    yield* router.add(
      "POST",
      "/sentiment",
      Effect.gen(function* () {
        const { prompt } = yield* HttpServerRequest.schemaBodyJson(Question)
        return yield* HttpServerResponse.json(
          yield* Provider.object(
            { messages: [{ role: "user", content: `The sentiment as JSON: ${prompt}` }] },
            Sentiment
          )
        )
      }).pipe(
        Effect.provideService(Provider.Provider, provider),
        Effect.catchTag("ProviderError", (error) =>
          HttpServerResponse.json(StreamResponse.toJson(error), { status: StreamResponse.statusOf(error) })
        )
      )
    )
  })
)

const provider = OpenAiCompatible.layerConfig({
  baseUrl: Config.String("MODEL_URL"),
  token: Config.Redacted("MODEL_TOKEN"),
  defaults: { model: Config.String("MODEL"), deadlines: Config.succeed({ total: "25 seconds" }) }
})

/** A runtime passes its variables with each request. The layers are built once, by the first. */
const start = (env: Record<string, string>) =>
  HttpRouter.toWebHandler(
    routes.pipe(
      Layer.provide(provider),
      Layer.provide(FetchHttpClient.layer),
      Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))),
      Layer.provide(HttpServer.layerServices)
    )
  )
let app: ReturnType<typeof start> | undefined

export default {
  fetch: (request: Request, env: Record<string, string>): Promise<Response> => (app ??= start(env)).handler(request)
}
