import { Effect, Layer, Stream } from "effect"
import { LanguageModel } from "effect/ai"
import { FetchHttpClient } from "effect/http"
import * as EffectAi from "../../src/EffectAi.ts"
import { Ollama } from "../../src/index.ts"

LanguageModel.streamText({ prompt: "Why?" }).pipe(
  Stream.runForEach((part) => Effect.sync(() => part.type === "text-delta" && document.body.append(part.delta))),
  Effect.provide(EffectAi.layerLanguageModel({ model: "m" }).pipe(Layer.provide(Ollama.layer()))),
  Effect.provide(FetchHttpClient.layer),
  Effect.runPromise
)
