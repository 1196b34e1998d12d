import { layerFetch, layerNodeHttp, layerUndici } from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import * as Fallback from "../../src/Fallback.ts"
import * as LmStudio from "../../src/LmStudio.ts"
import * as Ollama from "../../src/Ollama.ts"
import * as Pool from "../../src/Pool.ts"
import * as Provider from "../../src/Provider.ts"
import * as Retry from "../../src/Retry.ts"
import * as Telemetry from "../../src/Telemetry.ts"
import { messages } from "../server/scenarios.ts"
import type { Connect } from "./catalogue.ts"

const httpClients = { layerUndici, layerNodeHttp, layerFetch }
const noDeadlines = { deadlines: { firstChunk: Infinity, idle: Infinity, total: Infinity } }

export interface Variant {
  readonly httpClient?: keyof typeof httpClients
  readonly deadlines?: boolean
  /** Behind a pool of one host, retry, fallback and telemetry. */
  readonly policies?: boolean
}

const addPolicies = Effect.fnUntraced(function* (provider: Provider.Provider) {
  const pool = yield* Pool.make({ hosts: [{ provider }], permits: 1000 })
  return Telemetry.apply(Fallback.make([{ provider: Retry.apply(pool) }]))
})

/** This library as its README shows it, with the changes of the variant. */
export const connectWith =
  ({ httpClient = "layerUndici", deadlines = true, policies = false }: Variant): Connect =>
  async (serverUrl, protocol) => {
    const options = { baseUrl: serverUrl, ...(deadlines ? {} : noDeadlines) }
    const layer = protocol === "ndjson" ? Ollama.layer(options) : LmStudio.layer(options)
    const base = Layer.provide(layer, httpClients[httpClient])
    const added = Layer.effect(Provider.Provider, Effect.flatMap(Provider.Provider, addPolicies))
    const runtime = ManagedRuntime.make(policies ? Layer.provide(added, base) : base)
    const provider = await runtime.runPromise(Provider.Provider)
    return (scenario, onText, signal) => {
      const reading = provider.stream({ model: scenario, messages }).pipe(
        Stream.runForEachArray((chunks) =>
          Effect.sync(() => {
            for (const chunk of chunks) onText(chunk.content)
          })
        )
      )
      return runtime.runPromise(reading, signal && { signal })
    }
  }

/** `LanguageModel.streamText` of `effect/ai` on this library. */
export const connectEffectAi: Connect = async (serverUrl, protocol) => {
  const LanguageModel = await import("effect/ai/LanguageModel")
  const EffectAi = await import("../../src/EffectAi.ts")
  const options = { baseUrl: serverUrl }
  const provider = protocol === "ndjson" ? Ollama.layer(options) : LmStudio.layer(options)
  const layer = EffectAi.layerLanguageModel({ model: "none" }).pipe(Layer.provide(provider), Layer.provide(layerUndici))
  const runtime = ManagedRuntime.make(layer)
  await runtime.runPromise(LanguageModel.LanguageModel)
  return (scenario, onText, signal) => {
    const reading = LanguageModel.streamText({ prompt: messages }).pipe(
      Stream.provideService(EffectAi.Config, { model: scenario }),
      Stream.runForEachArray((parts) =>
        Effect.sync(() => {
          for (const part of parts) if (part.type === "text-delta") onText(part.delta)
        })
      )
    )
    return runtime.runPromise(reading, signal && { signal })
  }
}
