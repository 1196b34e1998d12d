/** Answers as parts of `effect/ai`: the rules of their order for any answer, cut anywhere. */
import { describe, expect, it } from "@effect/vitest"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as EffectAi from "../../../src/EffectAi.ts"
import * as AiResponse from "../../../src/ai/response.ts"
import * as LmStudio from "../../../src/LmStudio.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as Ollama from "../../../src/Ollama.ts"
import * as Provider from "../../../src/Provider.ts"
import * as CannedHttp from "../../support/cannedHttp.ts"
import * as Captures from "../../support/captures.ts"
import { read } from "../../support/streamParts.ts"

const names = ["get_weather", "now"] as const
const toolkit = Toolkit.make(...names.map((name) => Tool.dynamic(name, { parameters: { type: "object" } })))

const options = { prompt: "Why?", toolkit, disableToolCallResolution: true } as const

const model = (script: MockProvider.Script) =>
  EffectAi.layerLanguageModel({ model: "m" }).pipe(Layer.provide(MockProvider.layer(script)))

const streamed = (script: MockProvider.Script) =>
  Stream.runCollect(LanguageModel.streamText(options)).pipe(Effect.map(read), Effect.provide(model(script)))

const Text = Schema.Literals(["a", " ", "\n", "é😀", "{", "word "])
const Call = Schema.Struct({
  kind: Schema.Literal("call"),
  name: Schema.Literals(names),
  id: Schema.Literals(["", "call_0", "x"]),
  city: Text
})
const Item = Schema.Union([
  Schema.Struct({ kind: Schema.Literal("content"), text: Text }),
  Schema.Struct({ kind: Schema.Literal("thinking"), text: Text }),
  Schema.Struct({ kind: Schema.Literal("progress") }),
  Call
])
const items = Schema.Array(Item).check(Schema.isMaxLength(10))
const isCut = Schema.Boolean
/** Whether fragments come before each call, as from OpenAI-compatible servers. */
const isStreamed = Schema.Boolean

/** The chunks of an answer. Its calls come at its end, as they do from servers that stream their arguments. */
const toScript = (
  answer: typeof items.Type,
  { isCut, isStreamed }: { readonly isCut: boolean; readonly isStreamed: boolean }
): ReadonlyArray<MockProvider.Step> => {
  const steps: Array<MockProvider.Step> = []
  const toolCalls: Array<{ readonly id: string; readonly name: string; readonly arguments: unknown }> = []
  const taken = new Set<string>()
  let index = 0
  for (const item of answer) {
    if (item.kind === "content") steps.push(item.text)
    else if (item.kind === "thinking") steps.push({ thinking: item.text })
    else if (item.kind === "progress") steps.push({ promptProgress: { processed: 1, total: 2 } })
    else {
      const json = JSON.stringify({ city: item.city })
      const serverId = taken.has(item.id) ? "" : item.id
      const id = serverId === "" ? `call_${index}_` : serverId
      taken.add(id)
      if (isStreamed) {
        steps.push({
          toolCallDeltas: [{ index, ...(serverId === "" ? {} : { id }), name: item.name, argumentsDelta: "" }]
        })
        for (const character of json) steps.push({ toolCallDeltas: [{ index, argumentsDelta: character }] })
      }
      if (!(isCut && isStreamed)) toolCalls.push({ id, name: item.name, arguments: JSON.parse(json) })
      index++
    }
  }
  const finishReason = isCut ? "length" : toolCalls.length > 0 ? "tool-calls" : "stop"
  return [...steps, { content: "", isFinal: true, finishReason, ...(toolCalls.length > 0 ? { toolCalls } : {}) }]
}

it.effect.prop(
  "the parts of any answer follow the rules and say the whole of it",
  { items, isCut, isStreamed },
  ({ isCut, isStreamed, items }) =>
    Effect.gen(function* () {
      const script = toScript(items, { isCut, isStreamed })
      const answer = yield* streamed(script)
      const join = (kind: string) =>
        items.map((item) => (item.kind === kind && "text" in item ? item.text : "")).join("")
      expect(answer.text).toBe(join("content"))
      expect(answer.reasoning).toBe(join("thinking"))
      const calls = items.filter((item) => item.kind === "call")
      const whole = isCut && isStreamed ? [] : calls
      expect(answer.calls.map(({ name, params }) => ({ name, params }))).toEqual(
        whole.map(({ city, name }) => ({ name, params: { city } }))
      )
      expect(answer.streamed.size).toBe(isStreamed ? calls.length : 0)
      if (!isCut) {
        for (const [id, json] of answer.streamed) {
          expect(answer.calls.find((call) => call.id === id)?.params).toEqual(JSON.parse(json))
        }
      }
      expect(answer.finish).toBe(isCut ? "length" : calls.length > 0 ? "tool-calls" : "stop")

      // The whole answer at once says the same.
      const response = yield* LanguageModel.generateText(options).pipe(Effect.provide(model(script)))
      expect(response.text).toBe(answer.text)
      expect(response.reasoningText ?? "").toBe(answer.reasoning)
      expect(response.toolCalls.map(({ name, params }) => ({ name, params }))).toEqual(
        answer.calls.map(({ name, params }) => ({ name, params }))
      )
      expect(response.finishReason).toBe(answer.finish)
    })
)

it.effect("the parts in their order", () =>
  Effect.gen(function* () {
    const script: MockProvider.Script = [
      { promptProgress: { processed: 5, total: 10 } },
      { thinking: "Hm" },
      { thinking: "m" },
      "Sun",
      "",
      { toolCallDeltas: [{ index: 0, id: "c1", name: "get_", argumentsDelta: "" }] },
      { toolCallDeltas: [{ index: 0, name: "weather", argumentsDelta: "" }] },
      { toolCallDeltas: [{ index: 0, argumentsDelta: "{}" }] },
      { isFinal: true, toolCalls: [{ id: "c1", name: "get_weather", arguments: {} }] }
    ]
    const { calls, parts } = yield* streamed(script)
    expect(calls).toEqual([{ id: "c1", name: "get_weather", params: {} }])
    expect(parts).toEqual([
      "reasoning-start",
      "reasoning-delta",
      "reasoning-delta",
      "reasoning-end",
      "text-start",
      "text-delta",
      "text-end",
      "tool-params-start",
      "tool-params-delta",
      "tool-params-end",
      "tool-call",
      "response-metadata",
      "finish"
    ])
  })
)

it.effect("a call starts with its whole name, in fragments or sent longer each time", () =>
  Effect.gen(function* () {
    for (const fragments of [
      ["get_", "weather"],
      ["get_", "get_weather"],
      ["get_weather", "get_weather"]
    ]) {
      const script: MockProvider.Script = [
        ...fragments.map((name) => ({ toolCallDeltas: [{ index: 0, id: "c1", name, argumentsDelta: "" }] })),
        { toolCallDeltas: [{ index: 0, argumentsDelta: "{}" }] },
        { isFinal: true, toolCalls: [{ id: "c1", name: "get_weather", arguments: {} }] }
      ]
      const parts = yield* Stream.runCollect(LanguageModel.streamText(options)).pipe(Effect.provide(model(script)))
      expect(parts.filter((part) => part.type === "tool-params-start")).toMatchObject([{ name: "get_weather" }])
    }
  })
)

it("20,000 calls take linear time", () => {
  for (const hasIds of [true, false]) {
    const indices = Array.from({ length: 20_000 }, (_, i) => i)
    const read = AiResponse.makeReader(AiResponse.makeIds("p", []))
    const parts: Parameters<typeof read>[1] = []
    const startedAt = performance.now()
    for (const index of indices) {
      const id = hasIds ? { id: `c${index}` } : {}
      read(
        { content: "", isFinal: false, toolCallDeltas: [{ index, ...id, name: "f", argumentsDelta: `${index}` }] },
        parts
      )
    }
    const toolCalls = indices.map((index) => ({ id: `c${index}`, name: "f", arguments: index }))
    read({ content: "", isFinal: true, model: "m", finishReason: "tool-calls", toolCalls }, parts)
    expect(performance.now() - startedAt).toBeLessThan(5000)
    const calls = parts.filter((part) => part.type === "tool-call")
    const ends = parts.filter((part) => part.type === "tool-params-end")
    expect(calls.map(({ params }) => params)).toEqual(indices)
    expect(ends.map(({ id }) => id)).toEqual(calls.map(({ id }) => id))
  }
})

describe("captures", () => {
  const any = Tool.dynamic("get_weather", { parameters: { type: "object" } })
  const servers = { ollama: Ollama.layer(), "llama-server": LmStudio.layer() }
  for (const name of Captures.names) {
    it.effect(name, () =>
      Effect.gen(function* () {
        const capture = Captures.read(name)
        const server = name.startsWith("ollama") ? servers.ollama : servers["llama-server"]
        const provider = Layer.provide(server, CannedHttp.layer({ ...capture, pieces: [capture.body] }))
        const outcome = yield* Effect.gen(function* () {
          const { complete } = yield* Provider.Provider
          const plain = yield* Effect.result(complete({ model: "m", messages: [{ role: "user", content: "Why?" }] }))
          const parts: Array<object> = []
          const result = yield* Effect.result(
            Stream.runForEach(
              LanguageModel.streamText({
                prompt: "Why?",
                toolkit: Toolkit.make(any),
                disableToolCallResolution: true,
                toolCallValidation: "deferred"
              }),
              (part) => Effect.sync(() => parts.push(part))
            )
          )
          return { plain, result, parts }
        }).pipe(Effect.provide(Layer.provideMerge(EffectAi.layerLanguageModel({ model: "m" }), provider)))
        const { parts, plain, result } = outcome
        // Both read the same answer, or both fail.
        expect(Result.isSuccess(result)).toBe(Result.isSuccess(plain))
        if (Result.isFailure(plain)) {
          if (Result.isFailure(result)) expect(result.failure.isRetryable).toBe(plain.failure.isRetryable)
          return
        }
        const answer = read(parts)
        const { content, finishReason, thinking = "", toolCalls } = plain.success
        expect(answer).toMatchObject({ text: content, reasoning: thinking, finish: finishReason })
        expect(answer.calls.map(({ params }) => params)).toEqual(toolCalls.map((call) => call.arguments))
      })
    )
  }
})
