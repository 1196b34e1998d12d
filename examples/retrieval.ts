// An answer from your own documents: the nearest ones are part of the prompt.
// Run it beside Ollama: MODEL=llama3.2 EMBEDDING_MODEL=nomic-embed-text node examples/retrieval.ts "When is the office open?"
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer, Stream } from "effect"
import { EmbeddingModel, LanguageModel } from "effect/ai"
import { Ollama } from "effect-local-llm"
import * as EffectAi from "effect-local-llm/EffectAi"

const documents = [
  "The office is open from 9 to 17 o'clock on weekdays.",
  "Parking is free behind the building.",
  "The canteen serves lunch from 12 to 14 o'clock."
]

const cosine = (a: ReadonlyArray<number>, b: ReadonlyArray<number>): number => {
  const dot = (a: ReadonlyArray<number>, b: ReadonlyArray<number>) => a.reduce((sum, x, i) => sum + x * (b[i] ?? 0), 0)
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b))
}

const findNearest = Effect.fnUntraced(function* (question: string, count: number) {
  const { embed, embedMany } = yield* EmbeddingModel.EmbeddingModel
  const { embeddings } = yield* embedMany(documents)
  const { vector } = yield* embed(question)
  return documents
    .map((text, i) => ({ text, score: cosine(vector, embeddings[i]?.vector ?? []) }))
    .toSorted((a, b) => b.score - a.score)
    .slice(0, count)
})

const program = Effect.gen(function* () {
  const question = process.argv[2] ?? "When is the office open?"
  const nearest = yield* findNearest(question, 2)
  for (const { score, text } of nearest) yield* Console.error(`${score.toFixed(2)} ${text}`)
  const known = nearest.map(({ text }) => text).join("\n")
  yield* LanguageModel.streamText({ prompt: `Answer from these facts only:\n${known}\n\n${question}` }).pipe(
    Stream.filter((part) => part.type === "text-delta"),
    Stream.runForEach(({ delta }) => Effect.sync(() => process.stdout.write(delta)))
  )
  yield* Console.log("")
})

const models = Layer.unwrap(
  Effect.map(
    Config.all([
      Config.String("MODEL").pipe(Config.withDefault("llama3.2")),
      Config.String("EMBEDDING_MODEL").pipe(Config.withDefault("nomic-embed-text"))
    ]),
    ([model, embeddingModel]) =>
      Layer.merge(EffectAi.layerLanguageModel({ model }), EffectAi.layerEmbeddingModel({ model: embeddingModel }))
  )
)

const live = Layer.provide(models, Layer.provide(Ollama.layerConfig(), NodeHttpClient.layerUndici))

program.pipe(Effect.provide(live), NodeRuntime.runMain)
