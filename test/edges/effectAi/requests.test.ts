/** Models of `effect/ai`: the requests they send, and the answers they return. */
import { describe, expect, it } from "@effect/vitest"
import type * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as EffectAi from "../../../src/EffectAi.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import { handlers, layer, requestsOf, toolkit } from "../../support/effectAi.ts"

const image = new Uint8Array([0x89, 0x50, 0x4e, 0x47])
const image64 = "iVBORw=="

describe("requests", () => {
  it.effect("messages of every role, with texts and images in their order", () =>
    Effect.gen(function* () {
      const prompt = Prompt.make([
        { role: "system", content: "Be brief." },
        {
          role: "user",
          content: [
            { type: "file", mediaType: "image/png", data: image },
            { type: "text", text: "What is this?" },
            { type: "file", mediaType: "image/*", data: `data:image/png;base64,${image64}` }
          ]
        },
        {
          role: "assistant",
          content: [
            { type: "reasoning", text: "Hm" },
            { type: "text", text: "Let me look." },
            { type: "tool-call", id: "a", name: "f", params: { x: 1 }, providerExecuted: false },
            { type: "tool-call", id: "b", name: "f", params: {}, providerExecuted: false }
          ]
        },
        {
          role: "tool",
          content: [
            { type: "tool-result", id: "a", name: "f", isFailure: false, result: { y: 2 }, providerExecuted: false },
            { type: "tool-result", id: "b", name: "f", isFailure: true, result: "broken", providerExecuted: false }
          ]
        },
        { role: "user", content: "Go on." }
      ])
      const [request] = yield* requestsOf(LanguageModel.generateText({ prompt }))
      expect(request?.messages).toEqual([
        { role: "system", content: "Be brief." },
        {
          role: "user",
          content: [
            { type: "image", image },
            { type: "text", text: "What is this?" },
            { type: "image", image: `data:image/png;base64,${image64}` }
          ]
        },
        {
          role: "assistant",
          content: "Let me look.",
          thinking: "Hm",
          toolCalls: [
            { id: "a", name: "f", arguments: { x: 1 } },
            { id: "b", name: "f", arguments: {} }
          ]
        },
        { role: "tool", content: '{"y":2}', toolCallId: "a", toolName: "f", isError: false },
        { role: "tool", content: "broken", toolCallId: "b", toolName: "f", isError: true },
        { role: "user", content: "Go on." }
      ])
    })
  )

  it.effect("a text before an image keeps the image, and a tool may return what the model sees of its result", () =>
    Effect.gen(function* () {
      const result = { type: "tool-result", name: "f", isFailure: false, providerExecuted: false } as const
      const prompt = Prompt.make([
        {
          role: "user",
          content: [
            { type: "text", text: "What is this?" },
            { type: "file", mediaType: "image/png", data: image }
          ]
        },
        {
          role: "assistant",
          content: ["a", "b", "c"].map((id) => ({ type: "tool-call", id, name: "f", params: {} }))
        },
        {
          role: "tool",
          content: [
            { ...result, id: "a", result: { rows: 5000 }, modelOutput: [{ type: "text", text: "5000 rows" }] },
            {
              ...result,
              id: "b",
              result: { path: "a.png" },
              modelOutput: [
                { type: "text", text: "a picture" },
                { type: "file", mediaType: "image/png", data: image }
              ]
            },
            { ...result, id: "c", result: undefined }
          ]
        }
      ])
      const [request] = yield* requestsOf(LanguageModel.generateText({ prompt }))
      expect(request?.messages?.map(({ content }) => content)).toEqual([
        [
          { type: "text", text: "What is this?" },
          { type: "image", image }
        ],
        "",
        "5000 rows",
        [
          { type: "text", text: "a picture" },
          { type: "image", image }
        ],
        "null"
      ])
    })
  )

  it.effect("options of the layer, replaced by those of a request", () =>
    Effect.gen(function* () {
      const ask = LanguageModel.generateText({ prompt: "Why?" })
      const [first, second, third] = yield* requestsOf(
        Effect.gen(function* () {
          yield* ask
          yield* ask.pipe(
            EffectAi.withConfigOverride({ seed: 7, model: "inner" }),
            EffectAi.withConfigOverride({ model: "outer", maxTokens: 5 })
          )
          yield* LanguageModel.streamText({ prompt: "Why?" }).pipe(
            Stream.provideService(EffectAi.Config, { seed: 8 }),
            Stream.runDrain
          )
        })
      )
      expect(first).toEqual({ model: "m", messages: [{ role: "user", content: "Why?" }] })
      expect(second).toMatchObject({ model: "inner", seed: 7, maxTokens: 5 })
      expect(third).toMatchObject({ model: "m", seed: 8 })
    })
  )

  it.effect("the schema of an object takes precedence over a format in the options", () =>
    Effect.gen(function* () {
      const schema = Schema.Struct({ city: Schema.String })
      yield* LanguageModel.generateText({ prompt: "Where?" })
      yield* LanguageModel.generateObject({ prompt: "Where?", schema })
      const requests = yield* (yield* MockProvider.MockProvider).requests
      expect(requests.map(({ format }) => format)).toEqual(["json", schema])
    }).pipe(Effect.provide(layer(['{"city":"Paris"}'], { format: "json" })))
  )

  it.effect("tools, and which of them the model may call", () =>
    Effect.gen(function* () {
      const choices = ["auto", "none", "required", { tool: "get_weather" }, { oneOf: ["get_weather"] }] as const
      const requests = yield* requestsOf(
        Effect.forEach(choices, (toolChoice) =>
          LanguageModel.generateText({ prompt: "Why?", toolkit, toolChoice }).pipe(Effect.provide(handlers))
        )
      )
      expect(requests.map(({ toolChoice }) => toolChoice)).toEqual([
        "auto",
        "none",
        "required",
        { name: "get_weather" },
        "auto"
      ])
      expect(requests[0]?.tools).toMatchObject([
        {
          name: "get_weather",
          description: "The weather of a city",
          parameters: { type: "object", required: ["city"] }
        }
      ])
    })
  )

  it.effect("a choice between some tools sends those alone, and whether one of them has to be called", () =>
    Effect.gen(function* () {
      const both = Toolkit.merge(toolkit, Toolkit.make(Tool.make("now", { parameters: Schema.Struct({}) })))
      for (const [toolChoice, sent, names] of [
        ["auto", "auto", ["get_weather", "now"]],
        [{ oneOf: ["now"] }, "auto", ["now"]],
        [{ mode: "auto", oneOf: ["now"] }, "auto", ["now"]],
        [{ mode: "required", oneOf: ["get_weather"] }, "required", ["get_weather"]]
      ] as const) {
        const [request] = yield* requestsOf(
          LanguageModel.generateText({ prompt: "Why?", toolkit: both, toolChoice, disableToolCallResolution: true })
        )
        expect(request?.toolChoice).toBe(sent)
        expect(request?.tools?.map(({ name }) => name)).toEqual(names)
      }
    })
  )

  const file = (mediaType: string, data: string | URL) =>
    Prompt.make([{ role: "user", content: [{ type: "file", mediaType, data }] }])
  const assistant = (...content: ReadonlyArray<Prompt.AssistantMessagePartEncoded>) =>
    LanguageModel.generateText({
      prompt: Prompt.make([
        { role: "user", content: "Why?" },
        { role: "assistant", content }
      ])
    })
  const executed = { id: "a", name: "search", providerExecuted: true } as const
  const rejected: { readonly [name: string]: Effect.Effect<unknown, AiError.AiError, LanguageModel.LanguageModel> } = {
    "a file that is not an image": LanguageModel.generateText({ prompt: file("application/pdf", "aGk=") }),
    "an image as a URL": LanguageModel.generateText({ prompt: file("image/png", new URL("http://localhost/a.png")) }),
    "an image as the text of a URL": LanguageModel.generateText({
      prompt: file("image/png", "https://localhost/a.png")
    }),
    "a file of the assistant": assistant({ type: "file", mediaType: "image/png", data: image }),
    "a tool call that the server executed": assistant({ ...executed, type: "tool-call", params: {} }),
    "the result of a tool that the server executed": assistant({
      ...executed,
      type: "tool-result",
      isFailure: false,
      result: "found"
    }),
    "an empty prompt": LanguageModel.generateText({ prompt: [] }),
    "a tool that the provider defines": LanguageModel.generateText({
      prompt: "Why?",
      toolkit: Toolkit.make(Tool.providerDefined({ id: "x.search", customName: "search", providerName: "search" })()),
      disableToolCallResolution: true
    }),
    "an invalid option": LanguageModel.generateText({ prompt: "Why?" }).pipe(
      EffectAi.withConfigOverride({ temperature: Number.NaN })
    )
  }
  for (const [name, effect] of Object.entries(rejected)) {
    it.effect(`${name} is rejected before anything is sent`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(effect)
        expect(error.reason._tag).toBe("InvalidRequestError")
        expect(yield* (yield* MockProvider.MockProvider).requests).toEqual([])
      }).pipe(Effect.provide(layer(["Yes."])))
    )
  }
})

describe("answers", () => {
  it.effect("usage, finish reason, metadata", () =>
    Effect.gen(function* () {
      const response = yield* LanguageModel.generateText({ prompt: "Why?" })
      const metadata = response.content.find((part) => part.type === "response-metadata")
      expect(metadata).toMatchObject({ id: "r1", modelId: "m:latest" })
      expect(response.finishReason).toBe("length")
      expect(response.usage).toMatchObject({
        inputTokens: { total: 10, cacheRead: 4, uncached: 6 },
        outputTokens: { total: 5, reasoning: 2, text: 3 }
      })
      expect(response.content.at(-1)?.metadata).toEqual({
        "effect-local-llm": { loadMillis: 1500, promptTruncated: true, provider: "B" }
      })
    }).pipe(
      Effect.provide(
        layer([
          "Yes",
          {
            isFinal: true,
            finishReason: "length",
            model: "m:latest",
            responseId: "r1",
            usage: { promptTokens: 10, completionTokens: 5, totalTokens: 15, cachedTokens: 4, reasoningTokens: 2 },
            timings: { load: Duration.millis(1500) },
            promptTruncated: true,
            provider: "B"
          }
        ])
      )
    )
  )

  it.effect("usage that is no whole number is left out", () =>
    Effect.gen(function* () {
      const { usage } = yield* LanguageModel.generateText({ prompt: "Why?" })
      expect(usage.inputTokens).toEqual({ total: undefined, cacheRead: 3, uncached: undefined })
    }).pipe(Effect.provide(layer([{ isFinal: true, usage: { promptTokens: 1.5, cachedTokens: 3 } }])))
  )

  it.effect("no count is negative, though the server reports more of a part than of the whole", () =>
    Effect.gen(function* () {
      const { usage } = yield* LanguageModel.generateText({ prompt: "Why?" })
      expect(usage).toMatchObject({
        inputTokens: { total: 4, cacheRead: 10, uncached: undefined },
        outputTokens: { total: 2, reasoning: 5, text: undefined }
      })
    }).pipe(
      Effect.provide(
        layer([
          { isFinal: true, usage: { promptTokens: 4, cachedTokens: 10, completionTokens: 2, reasoningTokens: 5 } }
        ])
      )
    )
  )

  it.effect("a prompt that is cached as a whole has no other tokens", () =>
    Effect.gen(function* () {
      const { usage } = yield* LanguageModel.generateText({ prompt: "Why?" })
      expect(usage.inputTokens).toEqual({ total: 4, cacheRead: 4, uncached: 0 })
    }).pipe(Effect.provide(layer([{ isFinal: true, usage: { promptTokens: 4, cachedTokens: 4 } }])))
  )
})
