// The model calls a tool until it can answer. Run it beside Ollama: MODEL=llama3.2 node examples/tool-loop.ts "Weather in Paris?"
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Schema } from "effect"
import { Chat, Tool, Toolkit } from "effect/ai"
import { Ollama } from "effect-local-llm"
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

const maxTurns = 5

const program = Effect.gen(function* () {
  const chat = yield* Chat.empty
  let response = yield* chat.generateText({ prompt: process.argv[2] ?? "How is the weather in Paris?", toolkit })
  for (let turn = 1; turn < maxTurns && response.toolCalls.length > 0; turn++) {
    for (const { name, result } of response.toolResults) yield* Console.log(`${name}: ${JSON.stringify(result)}`)
    // The history ends with the results of the tools, so there is nothing to add to it.
    response = yield* chat.generateText({ prompt: [], toolkit })
  }
  yield* Console.log(response.toolCalls.length > 0 ? `No answer in ${maxTurns} turns.` : response.text)
})

const model = Layer.unwrap(
  Effect.map(Config.String("MODEL").pipe(Config.withDefault("llama3.2")), (model) =>
    EffectAi.layerLanguageModel({ model })
  )
)

const live = Layer.provide(model, Layer.provide(Ollama.layerConfig(), NodeHttpClient.layerUndici))

program.pipe(Effect.provide([handlers, live]), NodeRuntime.runMain)
