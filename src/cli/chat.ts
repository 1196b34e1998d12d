/** Sends one prompt to a model. */
import * as Effect from "effect/Effect"
import { print } from "./answer.ts"
import * as Demo from "./demo.ts"
import * as Discovery from "./discovery.ts"
import * as Prompt from "./prompt.ts"

export interface Input extends Discovery.Selection {
  readonly words: ReadonlyArray<string>
  readonly system: string | undefined
  readonly temperature: number | undefined
  readonly maxTokens: number | undefined
}

export const chat = Effect.fnUntraced(function* (input: Input) {
  const { maxTokens, system, temperature, words } = input
  const content = yield* Prompt.read(words)
  const { model, provider } = yield* Effect.catchTag(
    Discovery.findModel(input),
    "NoServerRunning",
    Effect.fnUntraced(function* (error) {
      return (yield* Demo.isAllowed) && input.model === undefined ? yield* Demo.start : yield* error
    })
  )
  yield* print(provider, {
    model,
    messages: [
      ...(system === undefined ? [] : [{ role: "system", content: system } as const]),
      { role: "user", content }
    ],
    temperature,
    maxTokens
  })
})
