/** The `Tokenizer` of `effect/ai`. */
import { describe, expect, it } from "@effect/vitest"
import * as AiError from "effect/ai/AiError"
import * as Prompt from "effect/ai/Prompt"
import * as Tokenizer from "effect/ai/Tokenizer"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { CompletionRequest } from "../../../src/CompletionRequest.ts"
import * as EffectAi from "../../../src/EffectAi.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as Provider from "../../../src/Provider.ts"

const makeProvider = (tokensPerMessage: number) =>
  Effect.map(MockProvider.make([]), (mock) => {
    const requests: Array<CompletionRequest> = []
    const provider = Provider.make({
      ...mock,
      countTokens: (request) =>
        Effect.sync(() => {
          requests.push(request)
          return { tokens: tokensPerMessage * (request.messages?.length ?? 0), exact: true }
        })
    })
    return { requests, provider }
  })

const run = <A, E>(
  options: EffectAi.Options,
  use: (tokenizer: Tokenizer.Service) => Effect.Effect<A, E>,
  tokensPerMessage = 10
) =>
  Effect.gen(function* () {
    const { provider, requests } = yield* makeProvider(tokensPerMessage)
    const live = Layer.provide(EffectAi.layerTokenizer(options), Layer.succeed(Provider.Provider, provider))
    const value = yield* Effect.provide(Effect.flatMap(Tokenizer.Tokenizer, use), live)
    return { value, requests }
  })

const prompt = Prompt.make([
  { role: "system", content: "Be brief." },
  { role: "user", content: "First?" },
  {
    role: "assistant",
    content: [
      { type: "tool-call", id: "c1", name: "f", params: {}, providerExecuted: false },
      { type: "tool-call", id: "c2", name: "f", params: {}, providerExecuted: false }
    ]
  },
  {
    role: "tool",
    content: [
      { type: "tool-result", id: "c1", name: "f", isFailure: false, result: 1, providerExecuted: false },
      { type: "tool-result", id: "c2", name: "f", isFailure: false, result: 2, providerExecuted: false }
    ]
  },
  { role: "assistant", content: "So." },
  { role: "user", content: "Second?" }
])

describe("tokenize", () => {
  it.effect("has as many numbers as the prompt has tokens", () =>
    Effect.gen(function* () {
      const { requests, value } = yield* run({ model: "m", think: false }, ({ tokenize }) => tokenize("Why?"))
      expect(value).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
      expect(requests).toEqual([{ model: "m", think: false, messages: [{ role: "user", content: "Why?" }] }])
    })
  )

  it.effect("counts results of tools, and nothing for an empty prompt", () =>
    Effect.gen(function* () {
      const of = (input: Prompt.RawInput) =>
        Effect.map(
          run({ model: "m" }, ({ tokenize }) => tokenize(input)),
          ({ value }) => value.length
        )
      expect(yield* of(prompt)).toBe(70)
      expect(yield* of(Prompt.empty)).toBe(0)
    })
  )

  it.effect("fails for more tokens than fit into any context", () =>
    Effect.gen(function* () {
      for (const tokens of [2 ** 24 + 1, 5e9, Number.MAX_SAFE_INTEGER]) {
        const error = yield* Effect.flip(run({ model: "m" }, ({ tokenize }) => tokenize("Why?"), tokens))
        expect(AiError.isAiError(error) && EffectAi.reasonOf(error)).toMatchObject({
          _tag: "ContextOverflow",
          promptTokens: tokens
        })
      }
    })
  )

  it.effect("fails for what no server can read, and for invalid options", () =>
    Effect.gen(function* () {
      const file = Prompt.make([
        { role: "user", content: [{ type: "file", mediaType: "application/pdf", data: new Uint8Array([1]) }] }
      ])
      const error = yield* Effect.flip(run({ model: "m" }, ({ tokenize }) => tokenize(file)))
      expect(error).toMatchObject({ method: "tokenize", reason: { _tag: "InvalidRequestError" } })
      const invalid = yield* Effect.flip(run({ model: "m", temperature: 7 }, ({ tokenize }) => tokenize("x")))
      expect(invalid).toMatchObject({ reason: { _tag: "InvalidRequestError", parameter: "temperature" } })
    })
  )
})

describe("truncate", () => {
  const rolesOf = (tokens: number) =>
    Effect.map(
      run({ model: "m" }, ({ truncate }) => truncate(prompt, tokens)),
      ({ value }) => value.content.map(({ role }) => role)
    )

  it.effect("keeps system messages, the last question, and calls with their results", () =>
    Effect.gen(function* () {
      expect(yield* rolesOf(70)).toEqual(prompt.content.map(({ role }) => role))
      for (const tokens of [69, 20]) expect(yield* rolesOf(tokens)).toEqual(["system", "user"])
    })
  )

  it.effect("fails if these alone are too long", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(rolesOf(19))
      expect(error).toMatchObject({
        method: "truncate",
        reason: {
          _tag: "InvalidRequestError",
          metadata: { "effect-local-llm": { reason: "ContextOverflow", promptTokens: 20, contextLength: 19 } }
        }
      })
    })
  )
})
