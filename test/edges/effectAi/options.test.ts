/** Wrong options of models: every request fails with an error that names the option. None is ignored. */
import { describe, expect, it } from "@effect/vitest"
import * as EmbeddingModel from "effect/ai/EmbeddingModel"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as EffectAi from "../../../src/EffectAi.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import type * as Provider from "../../../src/Provider.ts"

/** A value that the compiler would reject. */
const untyped = (value: unknown): never => value as never

type Row = readonly [options: unknown, field: string]

const wholes: ReadonlyArray<Row> = [null, "text", [], 5].map((options) => [options, "options"])

const names: ReadonlyArray<Row> = [5, null, "", undefined].map((model) => [{ model }, "model"])

const common: ReadonlyArray<Row> = [
  [{ misspelt: 1 }, "misspelt"],
  [{ deadlines: { idle: NaN } }, "deadlines.idle"],
  [{ keepAlive: { secnds: 5 } }, "keepAlive"]
]

const options: ReadonlyArray<Row> = [
  ...common,
  [{ temperature: NaN }, "temperature"],
  [{ messages: [] }, "messages"],
  [{ prompt: "x" }, "prompt"],
  [{ tools: [] }, "tools"],
  [{ toolChoice: "auto" }, "toolChoice"]
]

const dimensions: ReadonlyArray<Row> = [NaN, -1, 1.5, "3", null].map((dimensions) => [{ dimensions }, "dimensions"])

const embedding: ReadonlyArray<Row> = [...common, ...dimensions, [{ input: "x" }, "input"]]

const withOther = (rows: ReadonlyArray<Row>, other: object): ReadonlyArray<Row> =>
  rows.map(([options, field]) => [Object.assign({}, other, options), field])

type Live<Service> = Layer.Layer<Service, never, Provider.Provider>

const requests = [
  LanguageModel.generateText({ prompt: "x" }),
  Stream.runDrain(LanguageModel.streamText({ prompt: "x" })),
  LanguageModel.generateText({ prompt: "x" }).pipe(EffectAi.withConfigOverride({ temperature: 0 }))
]

const generate = (live: Live<LanguageModel.LanguageModel>) =>
  Effect.forEach(requests, (request) => Effect.flip(Effect.provide(request, live)))

const overridden = (config: never) =>
  Effect.forEach(requests.slice(0, 2), (request) =>
    Effect.flip(
      request.pipe(EffectAi.withConfigOverride(config), Effect.provide(EffectAi.layerLanguageModel({ model: "m" })))
    )
  )

const embed = (live: Live<EmbeddingModel.EmbeddingModel>) =>
  Effect.map(
    Effect.flip(
      Effect.provide(
        EmbeddingModel.EmbeddingModel.use(({ embed }) => embed("x")),
        live
      )
    ),
    (error) => [error]
  )

const tables = {
  layerLanguageModel: [
    (options: never) => generate(EffectAi.layerLanguageModel(options)),
    [...wholes, [{}, "model"], ...names, ...withOther(options, { model: "m" })]
  ],
  model: [(options: never) => generate(EffectAi.model("m", options)), [...wholes, ...options]],
  withConfigOverride: [overridden, [...wholes, ...names.slice(0, 3), ...options]],
  layerEmbeddingModel: [
    (options: never) => embed(EffectAi.layerEmbeddingModel(options)),
    [...wholes, [{}, "model"], ...names, ...withOther(embedding, { model: "m" })]
  ],
  embeddingModel: [
    (options: never) => embed(EffectAi.embeddingModel("m", options)),
    [
      ...wholes,
      [{}, "dimensions"],
      [{ dimensions: undefined }, "dimensions"],
      ...withOther(embedding, { dimensions: 3 })
    ]
  ]
} as const satisfies { readonly [name: string]: readonly [unknown, ReadonlyArray<Row>] }

describe.each(Object.entries(tables))("%s", (_, [run, rows]) => {
  it.effect.each(rows.map(([options, field]) => [JSON.stringify(options), field, options] as const))(
    "%s: %s",
    ([, field, options]) =>
      Effect.gen(function* () {
        for (const error of yield* run(untyped(options))) {
          expect(error).toMatchObject({
            _tag: "AiError",
            reason: { _tag: "InvalidRequestError", parameter: field, metadata: { "effect-local-llm": { field } } }
          })
        }
        expect(yield* Effect.flatMap(MockProvider.MockProvider, ({ requests }) => requests)).toEqual([])
      }).pipe(Effect.provide(MockProvider.layer(["Hi"])))
  )
})

it.effect("options without a value have their defaults", () =>
  Effect.gen(function* () {
    const live = EffectAi.layerLanguageModel({ model: "m", temperature: undefined, deadlines: { idle: undefined } })
    expect((yield* Effect.provide(LanguageModel.generateText({ prompt: "x" }), live)).text).toBe("Hi")
    const request = EmbeddingModel.EmbeddingModel.use(({ embed }) => embed("abc"))
    const { vector } = yield* Effect.provide(
      request,
      EffectAi.embeddingModel("m", { dimensions: 3, keepAlive: undefined })
    )
    expect(vector).toHaveLength(3)
  }).pipe(Effect.provide(MockProvider.layer(["Hi"])))
)
