// The model calls a tool until it can answer. Run it beside Ollama: MODEL=llama3.2 node examples/tool-loop.ts "Weather in Paris?"
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Schema, Stream } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Ollama } from "effect-local-llm"
import * as Agent from "effect-local-llm/Agent"
import * as EffectAi from "effect-local-llm/EffectAi"

const toolkit = Toolkit.make(
  Tool.make("get_weather", {
    description: "The weather of a city now",
    parameters: Schema.Struct({ city: Schema.String }),
    success: Schema.Struct({ celsius: Schema.Number, sky: Schema.String }),
    // The model reads why a call failed and can try another one.
    failure: Schema.String,
    failureMode: "return"
  })
)

const cities = new Map([
  ["Paris", { celsius: 21, sky: "clear" }],
  ["Oslo", { celsius: 4, sky: "rain" }]
])

const handlers = toolkit.toLayer({
  get_weather: ({ city }) => {
    const weather = cities.get(city)
    return weather === undefined ? Effect.fail(`${city} is unknown`) : Effect.succeed(weather)
  }
})

const program = Agent.stream({ prompt: process.argv[2] ?? "How is the weather in Paris?", toolkit }).pipe(
  Stream.runForEach((part) => {
    switch (part._tag) {
      case "Text":
        return Effect.sync(() => process.stdout.write(part.text))
      case "ToolResult":
        return Console.log(`${part.name}: ${JSON.stringify(part.result)}`)
      case "ToolFailed":
        return Console.log(`${part.name}: ${JSON.stringify(part.failure)}`)
      case "End":
        return Console.log(part.stoppedBy === undefined ? "" : ` (stopped after ${part.rounds} rounds)`)
      default:
        return Effect.void
    }
  })
)

const model = Layer.unwrap(
  Effect.map(Config.String("MODEL").pipe(Config.withDefault("llama3.2")), (model) =>
    EffectAi.layerLanguageModel({ model })
  )
)

const live = Layer.provide(model, Layer.provide(Ollama.layerConfig(), NodeHttpClient.layerUndici))

program.pipe(Effect.provide([handlers, live]), NodeRuntime.runMain)
