// Four models: one decides how hard the question is, two answer hard ones, and one judges their answers.
// ROUTER=llama3.2:1b EXPERTS=qwen3:8b,gemma3:12b JUDGE=qwen3:32b node examples/orchestration.ts "Why is the sky blue?"
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Schema, Stream } from "effect"
import { Ollama, Provider, Retry } from "effect-local-llm"

const settings = Config.all({
  router: Config.String("ROUTER").pipe(Config.withDefault("llama3.2:1b")),
  experts: Config.String("EXPERTS").pipe(Config.withDefault("qwen3:8b,gemma3:12b")),
  judge: Config.String("JUDGE").pipe(Config.withDefault("qwen3:32b"))
})

const Route = Schema.Struct({ isHard: Schema.Boolean })

const program = Effect.gen(function* () {
  const { experts, judge, router } = yield* settings
  const { complete, stream } = yield* Provider.Provider
  const question = process.argv[2] ?? "Why is the sky blue?"
  const write = (model: string, prompt: string) =>
    Stream.runForEach(stream({ model, prompt }), ({ content }) => Effect.sync(() => process.stdout.write(content)))

  const { isHard } = yield* Provider.object(
    { model: router, prompt: `Does it need an expert? Answer as JSON with isHard.\n\n${question}`, maxTokens: 20 },
    Route
  ).pipe(
    // A small model may not match the schema. Then the experts decide.
    Effect.catchReason("ProviderError", "InvalidAnswer", () => Effect.succeed({ isHard: true }))
  )
  if (!isHard) return yield* write(router, question)

  const [answers, failures] = yield* Effect.partition(
    experts.split(","),
    (model) => complete({ model, prompt: question, deadlines: { total: "2 minutes" } }),
    { concurrency: "unbounded" }
  )
  for (const { message } of failures) yield* Console.error(message)
  const [first, ...others] = answers
  if (first === undefined) return yield* Effect.fail(failures[0])
  if (others.length === 0) return yield* Console.log(first.content)
  const drafts = answers.map(({ content }, i) => `Answer ${i + 1}:\n${content}`).join("\n\n")
  yield* write(judge, `${question}\n\nWrite the best answer from these, without what is wrong in them.\n\n${drafts}`)
})

const live = Retry.layer().pipe(Layer.provide(Ollama.layerConfig()), Layer.provide(NodeHttpClient.layerUndici))

program.pipe(Effect.provide(live), NodeRuntime.runMain)
