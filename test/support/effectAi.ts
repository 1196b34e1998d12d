/** Models of `effect/ai` on a mock, and a tool for them. */
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as AiError from "effect/ai/AiError"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type { ValidRequest } from "../../src/CompletionRequest.ts"
import * as EffectAi from "../../src/EffectAi.ts"
import * as MockProvider from "../../src/MockProvider.ts"

type Script = MockProvider.Script | ((request: ValidRequest) => MockProvider.Script)

export const layer = (script: Script, options: Partial<EffectAi.Options> = {}) =>
  EffectAi.layerLanguageModel({ model: "m", ...options }).pipe(Layer.provideMerge(MockProvider.layer(script)))

/** The requests that an effect makes. */
export const requestsOf = <A, E>(effect: Effect.Effect<A, E, LanguageModel.LanguageModel>, script: Script = ["Yes."]) =>
  Effect.gen(function* () {
    yield* Effect.result(effect)
    return yield* (yield* MockProvider.MockProvider).requests
  }).pipe(Effect.provide(layer(script)))

const GetWeather = Tool.make("get_weather", {
  description: "The weather of a city",
  parameters: Schema.Struct({ city: Schema.String }),
  success: Schema.Struct({ celsius: Schema.Number }),
  failure: Schema.String,
  failureMode: "return"
})
export const toolkit = Toolkit.make(GetWeather)
export const handlers = toolkit.toLayer({
  get_weather: ({ city }) => (city === "Paris" ? Effect.succeed({ celsius: 21 }) : Effect.fail(`no city ${city}`))
})

export const callOf = (city: string, id = "call_0"): MockProvider.Step => ({
  toolCalls: [{ id, name: "get_weather", arguments: { city } }]
})

/** As it is in another process. */
export const sendError = (error: AiError.AiError): AiError.AiError => {
  const codec = Schema.toCodecJson(AiError.AiError)
  return Schema.decodeUnknownSync(codec)(JSON.parse(JSON.stringify(Schema.encodeSync(codec)(error))))
}
