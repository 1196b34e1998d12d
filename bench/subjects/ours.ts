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
import type { Connect, Read } from "./catalogue.ts"

const httpClients = { layerUndici, layerNodeHttp, layerFetch }
const noDeadlines = { deadlines: { firstChunk: Infinity, idle: Infinity, total: Infinity } }

export interface Variant {
  readonly httpClient?: keyof typeof httpClients
  readonly deadlines?: boolean
  /** Behind a pool of one host, retry, fallback and telemetry. */
  readonly policies?: boolean
  /** `LanguageModel.streamText` of `effect/ai`. */
  readonly effectAi?: boolean
}

const addPolicies = Effect.fnUntraced(function* (provider: Provider.Provider) {
  const pool = yield* Pool.make({ hosts: [{ provider }], permits: 1000 })
  return Telemetry.apply(yield* Fallback.make([{ provider: Retry.apply(pool) }]))
})

const forEach = <A, E, R>(stream: Stream.Stream<A, E, R>, use: (item: A) => unknown): Effect.Effect<void, E, R> =>
  Stream.runForEachArray(stream, (items) =>
    Effect.sync(() => {
      for (const item of items) use(item)
    })
  )

/** This library as its README shows it, with the changes of the variant. */
export const connectWith =
  ({ httpClient = "layerUndici", deadlines = true, policies = false, effectAi = false }: Variant): Connect =>
  async (serverUrl, protocol) => {
    const options = { baseUrl: serverUrl, ...(deadlines ? {} : noDeadlines) }
    const server = protocol === "ndjson" ? Ollama.layer(options) : LmStudio.layer(options)
    const base = Layer.provide(server, httpClients[httpClient])
    const added = Layer.effect(Provider.Provider, Effect.flatMap(Provider.Provider, addPolicies))
    const runtime = ManagedRuntime.make(policies ? Layer.provide(added, base) : base)
    const provider = await runtime.runPromise(Provider.Provider)
    if (effectAi) return readWithEffectAi(provider)
    return (scenario, onText, signal) => {
      const chunks = provider.stream({ model: scenario, messages })
      const reading = forEach(chunks, ({ content }) => onText(content))
      return runtime.runPromise(reading, signal && { signal })
    }
  }

async function readWithEffectAi(provider: Provider.Provider): Promise<Read> {
  const LanguageModel = await import("effect/ai/LanguageModel")
  const EffectAi = await import("../../src/EffectAi.ts")
  const model = EffectAi.layerLanguageModel({ model: "none" })
  const runtime = ManagedRuntime.make(Layer.provide(model, Layer.succeed(Provider.Provider, provider)))
  await runtime.runPromise(LanguageModel.LanguageModel)
  return (scenario, onText, signal) => {
    const parts = LanguageModel.streamText({ prompt: messages }).pipe(
      Stream.provideService(EffectAi.Config, { model: scenario })
    )
    const reading = forEach(parts, (part) => part.type === "text-delta" && onText(part.delta))
    return runtime.runPromise(reading, signal && { signal })
  }
}
