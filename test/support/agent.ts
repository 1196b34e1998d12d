/** Tools for agents, and models that play scripts. */
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as MockProvider from "../../src/MockProvider.ts"
import { layer } from "./effectAi.ts"

export const toolkit = Toolkit.make(
  Tool.make("get_weather", {
    parameters: Schema.Struct({ city: Schema.String, days: Schema.optional(Schema.Int) }),
    success: Schema.Struct({ celsius: Schema.Number }),
    failure: Schema.String,
    failureMode: "return"
  }),
  Tool.make("now", { success: Schema.String })
)

export const handlers = toolkit.toLayer({
  get_weather: ({ city }) => (city === "Oslo" ? Effect.fail("no city Oslo") : Effect.succeed({ celsius: city.length })),
  now: () => Effect.succeed("noon")
})

export const call = (name: string, input: unknown, id = `id_${name}`): MockProvider.Step => ({
  toolCalls: [{ id, name, arguments: input }]
})

/** A model that plays one script for each round. */
export const rounds = (...scripts: ReadonlyArray<MockProvider.Script>) => {
  let round = 0
  return layer(() => scripts[round++] ?? ["Done."])
}
