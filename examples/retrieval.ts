// Answers from your own documents, a line each: the nearest ones are part of the prompt. Run it beside Ollama:
// MODEL=llama3.2 EMBEDDING_MODEL=nomic-embed-text node examples/retrieval.ts documents.txt "When is the office open?"
import { NodeHttpClient, NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, Console, Effect, FileSystem, Layer, Stream } from "effect"
import { Ollama, Provider } from "effect-local-llm"

const [file = "documents.txt", ...questions] = process.argv.slice(2)

const dot = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0)
const cosine = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))

const program = Effect.gen(function* () {
  const { embed, stream } = yield* Provider.Provider
  const model = yield* Config.String("EMBEDDING_MODEL").pipe(Config.withDefault("nomic-embed-text"))
  const text = yield* (yield* FileSystem.FileSystem).readFileString(file)
  const documents = text.split("\n").filter((line) => line.trim() !== "")
  const { vectors } = yield* embed({ model, input: documents })

  for (const question of questions) {
    const [wanted = []] = (yield* embed({ model, input: [question] })).vectors
    const nearest = documents
      .map((text, i) => ({ text, score: cosine(wanted, vectors[i] ?? []) }))
      .toSorted((a, b) => b.score - a.score)
      .slice(0, 3)
    for (const { score, text } of nearest) yield* Console.error(`${score.toFixed(2)} ${text}`)
    const facts = nearest.map(({ text }) => text).join("\n")
    yield* stream({ prompt: `Answer from these facts only:\n${facts}\n\n${question}` }).pipe(
      Stream.runForEach(({ content }) => Effect.sync(() => process.stdout.write(content)))
    )
    yield* Console.log("")
  }
})

const ollama = Ollama.layerConfig({ defaults: { model: Config.String("MODEL").pipe(Config.withDefault("llama3.2")) } })
const live = Layer.provideMerge(ollama, [NodeHttpClient.layerUndici, NodeServices.layer])
program.pipe(Effect.provide(live), NodeRuntime.runMain)
