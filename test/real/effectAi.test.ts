/** Models of `effect/ai` on a real llama.cpp server. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { expect, it } from "@effect/vitest"
import * as Chat from "effect/ai/Chat"
import * as EmbeddingModel from "effect/ai/EmbeddingModel"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as EffectAi from "../../src/EffectAi.ts"
import * as Llama from "../../src/LlamaServer.ts"
import { read } from "../support/streamParts.ts"
import { endless, sky, think, tool } from "../support/scriptedModels.ts"
import * as RealServer from "./llamaServer.ts"

/** A model of `effect/ai` on a server of its own. */
const start = Effect.fnUntraced(function* (options: RealServer.Options) {
  const server = yield* RealServer.start(options)
  const provider = Layer.provide(Llama.layer({ baseUrl: server.url }), NodeHttpClient.layerUndici)
  const models = Layer.merge(
    EffectAi.layerLanguageModel({ model: options.model }),
    EffectAi.layerEmbeddingModel({ model: options.model })
  )
  return { server, context: yield* Layer.build(Layer.provide(models, provider)) }
})

const GetWeather = Tool.make("get_weather", {
  parameters: Schema.Struct({ city: Schema.String, unit: Schema.Literals(["c", "f"]) }),
  success: Schema.String
})
const toolkit = Toolkit.make(GetWeather)
const handlers = toolkit.toLayer({ get_weather: ({ city, unit }) => Effect.succeed(`21 °${unit} in ${city}`) })

RealServer.describeLlamaServer("EffectAi", () => {
  it.live("text and reasoning, whole and as a stream", () =>
    Effect.gen(function* () {
      const { context } = yield* start({ model: "think" })
      const ask = { prompt: "Why?" }
      const response = yield* Effect.provide(LanguageModel.generateText(ask), context)
      expect(response.text.trim()).toBe(think.content.join("").trim())
      expect(response.reasoningText?.trim()).toBe(think.thinking.join("").trim())
      const parts = yield* Stream.runCollect(LanguageModel.streamText(ask)).pipe(Effect.provide(context))
      expect(read(parts)).toMatchObject({ text: response.text, reasoning: response.reasoningText, finish: "stop" })
      expect(response.usage.outputTokens.total).toBeGreaterThan(5)
    })
  )

  it.live("a toolkit, whole and as a stream", () =>
    Effect.gen(function* () {
      const { context } = yield* start({ model: "tool" })
      const ask = { prompt: "Weather in Paris?", toolkit }
      const response = yield* LanguageModel.generateText(ask).pipe(Effect.provide(context), Effect.provide(handlers))
      expect(response.toolCalls).toMatchObject([{ name: tool.name, params: tool.arguments }])
      expect(response.toolResults).toMatchObject([{ result: "21 °c in Paris" }])
      const parts = yield* Stream.runCollect(LanguageModel.streamText(ask)).pipe(
        Effect.provide(context),
        Effect.provide(handlers)
      )
      const { calls, finish, streamed } = read(parts)
      expect(finish).toBe("tool-calls")
      expect(calls).toMatchObject([{ params: tool.arguments }])
      expect([...streamed.values()].map((json) => JSON.parse(json))).toEqual([tool.arguments])
      expect(parts.filter((part) => part.type === "tool-result")).toMatchObject([{ result: "21 °c in Paris" }])
    })
  )

  it.live("a conversation of several turns with results of tools", () =>
    Effect.gen(function* () {
      const { context } = yield* start({ model: "tool" })
      const ids = yield* Effect.gen(function* () {
        const chat = yield* Chat.fromPrompt([{ role: "system", content: "Be brief." }])
        const ids: Array<string> = []
        for (const prompt of ["Weather?", "Again?", []]) {
          const response = yield* chat.generateText({ prompt, toolkit })
          ids.push(...response.toolCalls.map(({ id }) => id))
        }
        return ids
      }).pipe(Effect.provide(context), Effect.provide(handlers))
      expect(new Set(ids).size).toBe(3)
    })
  )

  it.live("typed objects", () =>
    Effect.gen(function* () {
      const { context } = yield* start({ model: "json" })
      const schema = Schema.Struct({ city: Schema.Trimmed, celsius: Schema.Int })
      const { value } = yield* LanguageModel.generateObject({ prompt: "Where?", schema }).pipe(Effect.provide(context))
      expect(value).toEqual({ city: "Paris", celsius: 21 })
      const cut = yield* LanguageModel.generateObject({ prompt: "Where?", schema }).pipe(
        EffectAi.withConfigOverride({ maxTokens: 4 }),
        Effect.provide(context),
        Effect.flip
      )
      expect(cut.reason._tag).toBe("StructuredOutputError")
      expect(cut.message).toContain("truncated")
    })
  )

  const schemas: { readonly [name: string]: Schema.Codec<unknown, unknown> } = {
    "a pattern without anchors": Schema.String.check(Schema.isPattern(/\d+/)),
    "a pattern with classes": Schema.String.check(Schema.isPattern(/^\d{3}-\w+\s?$/)),
    "a pattern with a lookahead": Schema.String.check(Schema.isPattern(/^(?=a).*$/)),
    "a trimmed text": Schema.Trimmed,
    "a UUID": Schema.String.check(Schema.isUUID()),
    "a big integer": Schema.BigInt,
    "a text of a length": Schema.String.check(Schema.isMinLength(2), Schema.isMaxLength(5)),
    "a date": Schema.Date,
    "a date and time": Schema.DateTimeUtcFromString,
    "an integer between bounds": Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 5 })),
    "a number above a bound": Schema.Finite.check(Schema.isGreaterThan(0.5)),
    "a tuple": Schema.Tuple([Schema.String, Schema.Int]),
    "a record": Schema.Record(Schema.String, Schema.Int),
    "an optional field": Schema.Struct({ a: Schema.optional(Schema.String), b: Schema.optionalKey(Schema.Int) }),
    "a nullable union": Schema.NullOr(Schema.Union([Schema.String, Schema.Struct({ a: Schema.Literal(1) })])),
    literals: Schema.Literals(["a", 1, true]),
    "a set": Schema.ReadonlySet(Schema.String),
    "an option": Schema.Option(Schema.String),
    "a tagged union": Schema.Union([Schema.TaggedStruct("A", { a: Schema.String }), Schema.TaggedStruct("B", {})]),
    "a unique array": Schema.UniqueArray(Schema.String),
    anything: Schema.Json
  }

  it.live("the grammar accepts the JSON Schema of each Schema", () =>
    Effect.gen(function* () {
      const { context } = yield* start({ model: "json" })
      const rejected: Array<string> = []
      for (const [name, field] of Object.entries(schemas)) {
        const result = yield* LanguageModel.generateObject({
          prompt: "Where?",
          objectName: "answer",
          schema: Schema.Struct({ field })
        }).pipe(EffectAi.withConfigOverride({ maxTokens: 20 }), Effect.provide(context), Effect.result)
        // The script does not know the schema, so what it says does not matter.
        if (result._tag === "Failure" && !["StructuredOutputError"].includes(result.failure.reason._tag)) {
          rejected.push(`${name}: ${result.failure.message}`)
        }
      }
      expect(rejected).toEqual([])
    })
  )

  it.live("embeddings", () =>
    Effect.gen(function* () {
      const { context } = yield* start({ model: "letters", parameters: { embedding: true, pooling_type: 1 } })
      const [one, many] = yield* Effect.gen(function* () {
        const model = yield* EmbeddingModel.EmbeddingModel
        return [yield* model.embed("sky"), yield* model.embedMany(["a", "b", "c"])] as const
      }).pipe(Effect.provide(context))
      expect(one.vector.filter((x) => Math.abs(x) > 0.01).map((x) => x.toFixed(2))).toEqual([
        "0.50",
        "0.50",
        "0.50",
        "0.50"
      ])
      expect(many.embeddings.length).toBe(3)
    })
  )

  it.live("an interrupted stream and a stream of which a part is taken stop the server", () =>
    Effect.gen(function* () {
      const { context, server } = yield* start({ model: "endless" })
      const stream = Stream.runDrain(LanguageModel.streamText({ prompt: "Why?" })).pipe(Effect.provide(context))
      const fiber = yield* Effect.forkChild(stream)
      yield* server.untilGenerating(1)
      yield* Fiber.interrupt(fiber)
      yield* server.untilGenerating(0)
      const texts = yield* LanguageModel.streamText({ prompt: "Why?" }).pipe(
        Stream.filter((part) => part.type === "text-delta"),
        Stream.take(5),
        Stream.map(({ delta }) => delta),
        Stream.runCollect,
        Effect.provide(context)
      )
      expect(texts.join("")).toBe(endless(5).join(""))
      yield* server.untilGenerating(0)
      expect(sky.join("").startsWith(texts.join(""))).toBe(true)
    })
  )
})
