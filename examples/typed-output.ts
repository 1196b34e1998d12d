// An answer as a typed value. Run it beside Ollama: MODEL=llama3.2 node examples/typed-output.ts "Pancakes for two"
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Schema } from "effect"
import { LanguageModel } from "effect/ai"
import { Ollama } from "effect-local-llm"
import * as EffectAi from "effect-local-llm/EffectAi"

const Recipe = Schema.Struct({
  title: Schema.String,
  minutes: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 600 })),
  ingredients: Schema.Array(Schema.Struct({ name: Schema.String, grams: Schema.Finite }))
})

const program = Effect.gen(function* () {
  const response = yield* LanguageModel.generateObject({
    prompt: `Write a recipe as JSON: ${process.argv[2] ?? "pancakes for two"}. Give grams for every ingredient.`,
    schema: Recipe
  }).pipe(
    // Models that match the grammar can still miss a bound, such as the minutes. A second answer may not.
    Effect.retry({ times: 1, while: (error) => error.reason._tag === "StructuredOutputError" })
  )
  const { ingredients, minutes, title } = response.value
  yield* Console.log(`${title}, ${minutes} minutes`)
  for (const { grams, name } of ingredients) yield* Console.log(`${grams} g ${name}`)
})

const model = Layer.unwrap(
  Effect.map(Config.String("MODEL").pipe(Config.withDefault("llama3.2")), (model) =>
    EffectAi.layerLanguageModel({ model, temperature: 0 })
  )
)

const live = Layer.provide(model, Layer.provide(Ollama.layerConfig(), NodeHttpClient.layerUndici))

program.pipe(Effect.provide(live), NodeRuntime.runMain)
