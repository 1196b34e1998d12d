// A job in steps, each of which is done once, also if the program is killed. The same command again goes on where it stopped:
// MODEL=llama3.2 node examples/durable-job/job.ts "Pumps wear out. Valves leak." "Seals dry up."
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Schema } from "effect"
import { Activity, Workflow } from "effect/workflow"
import { Ollama, Provider, ProviderError, Retry } from "effect-local-llm"
import * as Engine from "./engine.ts"

const results = { success: Schema.String, error: ProviderError.ProviderError }
const payload = { texts: Schema.Array(Schema.String) }
const Report = Workflow.make("Report", { ...results, payload, idempotencyKey: ({ texts }) => JSON.stringify(texts) })

/** A step. Its answer is stored, so it is generated once. */
const generate = (name: string, prompt: string) => {
  const execute = Provider.Provider.use(({ complete }) => Effect.map(complete({ prompt }), ({ content }) => content))
  return Activity.make({ ...results, name, execute })
}

const run = Report.toLayer(
  Effect.fnUntraced(function* ({ texts }) {
    const parts = yield* Effect.forEach(texts, (text, i) => generate(`part ${i}`, `Summarize: ${text}`))
    return yield* generate("whole", `One paragraph about:\n${parts.join("\n")}`)
  })
)

const defaults = { model: Config.String("MODEL").pipe(Config.withDefault("llama3.2")) }
const ollama = Layer.provide(Ollama.layerConfig({ defaults }), NodeHttpClient.layerUndici)
const provider = Layer.provide(Retry.layer(), ollama)
const live = run.pipe(Layer.provideMerge(Engine.layer), Layer.provide(provider))

const job = Report.execute({ texts: process.argv.slice(2) })
job.pipe(Effect.flatMap(Console.log), Effect.provide(live), NodeRuntime.runMain)
