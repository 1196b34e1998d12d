// A program of a user that runs unchanged on every runtime: `<runtime> smoke.ts <client> <address of the fake server>`.
import { Effect, Layer, Stream } from "effect"
import { LanguageModel } from "effect/ai"
import { FetchHttpClient } from "effect/http"
import { LmStudio, MockProvider, Ollama, Provider } from "effect-local-llm"
import * as EffectAi from "effect-local-llm/EffectAi"

const [, , client, baseUrl] = process.argv

const makeClient = async () => {
  if (client === "FetchHttpClient.layer") return FetchHttpClient.layer
  const NodeHttpClient = await import("@effect/platform-node/NodeHttpClient")
  return client === "NodeHttpClient.layerUndici" ? NodeHttpClient.layerUndici : NodeHttpClient.layerNodeHttp
}

const ask = (prompt: string) => Provider.Provider.use((provider) => provider.complete({ model: "any", prompt }))

const reasonOf = (prompt: string) => Effect.map(Effect.flip(ask(prompt)), ({ reason }) => reason._tag)

const textOf = (prompt: string) => Effect.map(ask(prompt), ({ content }) => content)

const program = Effect.gen(function* () {
  const provider = yield* Provider.Provider
  // The first chunks of an answer that does not end. Then the connection is closed.
  const beginning = provider.stream({ model: "any", prompt: "endless" }).pipe(
    Stream.take(3),
    Stream.map(({ content }) => content)
  )
  return {
    beginning: yield* Stream.runCollect(beginning),
    ollama: yield* textOf("short"),
    lmStudio: yield* Effect.provide(textOf("short"), LmStudio.layer({ baseUrl })),
    mock: yield* Effect.provide(textOf("short"), MockProvider.layer(["Rayleigh ", "scattering."])),
    effectAi: yield* LanguageModel.generateText({ prompt: "short" }).pipe(
      Effect.map(({ text }) => text),
      Effect.provide(EffectAi.layerLanguageModel({ model: "any" }))
    ),
    missingModel: yield* reasonOf("missing"),
    reset: yield* reasonOf("reset")
  }
})

const live = Layer.provideMerge(Ollama.layer({ baseUrl }), await makeClient())
console.log(JSON.stringify(await Effect.runPromise(Effect.provide(program, live))))
