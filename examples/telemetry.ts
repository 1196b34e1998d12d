// Spans and metrics over OTLP, to a collector at OTLP_URL. Run it beside Ollama: MODEL=llama3.2 node examples/telemetry.ts
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer } from "effect"
import { Otlp } from "effect/observability"
import { Ollama, Provider, Telemetry } from "effect-local-llm"

const program = Effect.gen(function* () {
  const model = yield* Config.String("MODEL").pipe(Config.withDefault("llama3.2"))
  const provider = yield* Provider.Provider
  const { content } = yield* provider.complete({ model, messages: [{ role: "user", content: "Why is the sky blue?" }] })
  yield* Console.log(content)
}).pipe(Effect.withSpan("question"))

const collector = Layer.unwrap(
  Effect.map(Config.String("OTLP_URL").pipe(Config.withDefault("http://localhost:4318")), (baseUrl) =>
    // What is left is exported when the program ends.
    Otlp.layerJson({ baseUrl, resource: { serviceName: "telemetry-example" } })
  )
)

const live = Telemetry.layer().pipe(
  Layer.provide(Ollama.layerConfig()),
  Layer.merge(collector),
  Layer.provide(NodeHttpClient.layerUndici)
)

program.pipe(Effect.provide(live), NodeRuntime.runMain)
