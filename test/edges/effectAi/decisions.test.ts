/** The `DecisionModel` of `effect/ai` on providers. */
import { describe, expect, it } from "@effect/vitest"
import * as Decision from "effect/ai/Decision"
import * as DecisionModel from "effect/ai/DecisionModel"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as EffectAi from "../../../src/EffectAi.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import { ModelNotAvailable } from "../../../src/ProviderError.ts"

const triage = Decision.make({
  input: Schema.Struct({ subject: Schema.String }),
  decisions: {
    department: Decision.classify({
      instructions: "Which team should handle this",
      criteria: { billing: "payments", technical: "bugs", "__proto__ x": null }
    }),
    severity: Decision.rate({ instructions: "How bad is it", criteria: ["low", "middle", "high"] }),
    urgent: Decision.probability({ instructions: "The message is time-sensitive" })
  }
})

const input = { subject: "My card was charged twice" }

const layer = (script: MockProvider.Script) =>
  EffectAi.layerDecisionModel({ model: "m", temperature: 0 }).pipe(Layer.provideMerge(MockProvider.layer(script)))

const whole = {
  department: { label: "billing", percentages: { billing: 80, technical: 30, "__proto__ x": 0 } },
  severity: { low: 0, middle: 50, high: 50 },
  urgent: 75
}

const amount = Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1e300 }))

const decide = (answer: unknown) =>
  DecisionModel.decide(triage, { input }).pipe(
    Effect.provide(layer([JSON.stringify(answer), { isFinal: true, usage: { promptTokens: 9, completionTokens: 4 } }]))
  )

const settle = (answer: unknown) =>
  DecisionModel.decideSettled(triage, { input }).pipe(Effect.provide(layer([JSON.stringify(answer)])))

describe("decisions", () => {
  it.effect("percentages become probabilities", () =>
    Effect.gen(function* () {
      const { answers, modelId, usage } = yield* decide(whole)
      expect(answers.department.label).toBe("billing")
      expect(answers.department.probabilities.billing).toBeCloseTo(80 / 110)
      expect(answers.severity).toMatchObject({ rating: 1.5, label: "middle" })
      expect(answers.urgent.probability).toBe(0.75)
      expect([modelId, usage.inputTokens, usage.outputTokens]).toEqual(["m", 9, 4])
    })
  )

  it.effect("one request has the input, the decisions and a closed schema", () =>
    Effect.gen(function* () {
      yield* DecisionModel.decide(triage, { input })
      const [request, ...others] = yield* (yield* MockProvider.MockProvider).requests
      expect(others).toEqual([])
      expect(request).toMatchObject({ model: "m", temperature: 0 })
      expect(JSON.parse(String(request?.messages?.at(-1)?.content))).toMatchObject({
        input,
        decisions: {
          urgent: { instructions: "The message is time-sensitive" },
          department: { criteria: { billing: "payments" } }
        }
      })
      expect(request?.format).toMatchObject({
        required: ["department", "severity", "urgent"],
        additionalProperties: false,
        properties: { department: { properties: { label: { enum: ["billing", "technical", "__proto__ x"] } } } }
      })
    }).pipe(Effect.provide(layer([JSON.stringify(whole)])))
  )

  it.effect.prop(
    "whatever percentages a model writes, their probabilities add up to 1",
    { percentages: Arbitrary.schema(Schema.Struct({ low: amount, middle: amount, high: amount })) },
    ({ percentages }) =>
      Effect.gen(function* () {
        const { outcomes } = yield* settle({ ...whole, severity: percentages })
        const { high, low, middle } = percentages
        expect(outcomes.severity._tag).toBe(low + middle + high > 0 ? "Success" : "Failure")
      })
  )

  it.effect.each([
    ["a missing one", { ...whole, urgent: undefined }, "urgent", "Missing"],
    ["a probability over 1", { ...whole, urgent: 101 }, "urgent", "Invalid"],
    ["a text", { ...whole, severity: "high" }, "severity", "Missing"],
    ["an invented label", { ...whole, department: { ...whole.department, label: "sales" } }, "department", "Invalid"],
    [
      "zeros",
      { ...whole, department: { label: "billing", percentages: { billing: 0, technical: 0, "__proto__ x": 0 } } },
      "department",
      "NoDistribution"
    ],
    ["a label without percentages", { ...whole, department: { label: "billing" } }, "department", "NoDistribution"]
  ] as const)("an answer that is not valid leaves the others: %s", ([, answer, key, reason]) =>
    Effect.gen(function* () {
      const { outcomes } = yield* settle(answer)
      expect(outcomes[key]).toMatchObject({ _tag: "Failure", failure: { reason } })
      expect(Object.values(outcomes).filter(({ _tag }) => _tag === "Success").length).toBe(2)
      expect(yield* Effect.flip(decide(answer))).toMatchObject({ reason: { _tag: "InvalidOutputError" } })
    })
  )

  it.effect.each([
    ["no JSON", ["I think billing."]],
    ["a list", ["[]"]],
    ["an unsafe key", ['{"__proto__":1}']],
    ["a cut one", ['{"urgent":1}', { isFinal: true, finishReason: "length" }]]
  ] as const)("an answer that is not an object is a failure: %s", ([, script]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.provide(DecisionModel.decideSettled(triage, { input }), layer(script)))
      expect(error).toMatchObject({ reason: { _tag: "StructuredOutputError" } })
    })
  )

  it.effect("failures of the provider are those of the language model", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(DecisionModel.decide(triage, { input }))
      expect(error).toMatchObject({ reason: { _tag: "InvalidRequestError" } })
    }).pipe(Effect.provide(layer([MockProvider.fail(new ModelNotAvailable({ model: "m" }))])))
  )

  it.effect("images are sent, and one with an address is refused", () =>
    Effect.gen(function* () {
      const definition = Decision.make({
        input: Schema.Struct({ photo: Decision.Image }),
        decisions: { cat: Decision.probability({ instructions: "The photo shows a cat" }) }
      })
      const ask = (data: string | URL) =>
        DecisionModel.decide(definition, { input: { photo: { mediaType: "image/png", data } } })
      expect((yield* ask("iVBORw0KGgo=")).answers.cat.probability).toBe(0.5)
      const [request] = yield* (yield* MockProvider.MockProvider).requests
      expect(request?.messages?.at(-1)?.content).toMatchObject([
        { type: "text" },
        { type: "text", text: expect.stringMatching(/^Image [-\w]+:$/) },
        { type: "image" }
      ])
      expect(yield* Effect.flip(ask(new URL("http://example.com/cat.png")))).toMatchObject({
        reason: { _tag: "InvalidRequestError" }
      })
    }).pipe(Effect.provide(layer(['{"cat":50}'])))
  )
})
