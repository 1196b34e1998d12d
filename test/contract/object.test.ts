/** Typed answers. */
import { describe, expect, it } from "@effect/vitest"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as EffectAi from "../../src/EffectAi.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Provider from "../../src/Provider.ts"
import { serverNames, start } from "../support/setups.ts"

const City = Schema.Struct({
  city: Schema.String,
  celsius: Schema.Number,
  at: Schema.optional(Schema.DateTimeUtcFromString)
})
const text = '{ "city": "Paris", "celsius": 21 }'
const paris = { city: "Paris", celsius: 21 }
const request = { model: "m", messages: [{ role: "user", content: "Where?" }] } as const

const ask = (...script: ReadonlyArray<MockProvider.Step>) =>
  Effect.result(Provider.object(request, City)).pipe(Effect.provide(MockProvider.layer(script)))

describe.each(serverNames)("%s", (server) => {
  it.effect("sends the schema and decodes the answer", () =>
    Effect.gen(function* () {
      const running = yield* start({ provider: server, client: "undici" }, { text })
      const value = yield* Effect.provideService(Provider.object(request, City), Provider.Provider, running.provider)
      expect(value).toEqual(paris)
      const { requests } = yield* running.server.state
      const body = requests[0]?.body
      expect(JSON.stringify(Predicate.isObject(body) ? body : {})).toContain('"celsius":{')
    })
  )
})

it.effect("transformations are decoded from their JSON form", () =>
  Effect.gen(function* () {
    const schema = Schema.Struct({ at: Schema.DateTimeUtcFromString, count: Schema.NumberFromString, on: Schema.Date })
    const answer = '{"at":"2026-01-01T00:00:00Z","count":"7","on":"2026-01-02"}'
    const value = yield* Provider.object(request, schema).pipe(Effect.provide(MockProvider.layer([answer])))
    expect([value.count, value.on.getUTCDate(), value.at.epochMilliseconds]).toEqual([7, 2, 1767225600000])
  })
)

it.effect.each<readonly [what: string, answer: string]>([
  ["on one line", `\`\`\`json ${text}\`\`\``],
  ["with a space before its end", `\`\`\`json ${text} \`\`\``],
  ["directly after its language", `\`\`\`json${text}\`\`\``],
  ["without a language, on one line", `\`\`\`${text}\`\`\``],
  ["in upper case", `\`\`\`JSON\n${text}\n\`\`\``],
  ["of another language", `\`\`\`javascript\n${text}\n\`\`\``],
  ["with more than a language", `\`\`\`json title="a" {1}\n${text}\n\`\`\``],
  ["of tildes", `~~~json\n${text}\n~~~`],
  ["of tildes, on one line", `~~~${text}~~~`],
  ["of four marks", `\`\`\`\`json\n${text}\n\`\`\`\``],
  ["with line ends of Windows", `\`\`\`json\r\n${text}\r\n\`\`\`\r\n`],
  ["with text around it", `Here it is:\n\`\`\`json\n${text}\n\`\`\`\nAnything else?`],
  ["with text around it, on one line", `Here: \`\`\`json ${text}\`\`\`. Anything else?`],
  ["before another block", `\`\`\`json\n${text}\n\`\`\`\nIn code:\n\`\`\`js\nf()\n\`\`\``],
  ["without its end", `\`\`\`json\n${text}\n`]
])("JSON in a code block %s", ([, answer]) =>
  Effect.gen(function* () {
    expect(yield* ask(answer)).toMatchObject({ success: paris })
    const { value } = yield* LanguageModel.generateObject({ prompt: "Where?", schema: City }).pipe(
      Effect.provide(EffectAi.layerLanguageModel({ model: "m" })),
      Effect.provide(MockProvider.layer([answer]))
    )
    expect(value).toEqual(paris)
  })
)

it.effect("code blocks inside the texts of JSON", () =>
  Effect.gen(function* () {
    const code = "```js\nf()\n```"
    const answer = JSON.stringify({ ...paris, city: code })
    for (const each of [answer, `\`\`\`json\n${answer}\n\`\`\``]) {
      expect(yield* ask(each)).toMatchObject({ success: { city: code } })
    }
  })
)

it.effect("a code block without JSON is not JSON", () =>
  Effect.gen(function* () {
    for (const answer of ["```json", "``````", `\`\`\`json ${text.slice(0, 9)}\`\`\``, "~~~", "```json\n```"]) {
      expect(yield* ask(answer)).toMatchObject({ failure: { reason: { description: "it is not JSON" } } })
    }
  })
)

it.effect("JSON that changes prototypes is an error", () =>
  Effect.gen(function* () {
    const Any = Schema.Record(Schema.String, Schema.Unknown)
    const unsafe: ReadonlyArray<readonly [json: string, key: string]> = [
      ['{"__proto__":{"isAdmin":true}}', "__proto__"],
      ['{"__proto__":1}', "__proto__"],
      ['{"__pro\\u0074o__":{"isAdmin":true}}', "__proto__"],
      ['{"a":[{"b":{"__proto__":{}}}]}', "__proto__"],
      ['{"constructor":{"prototype":{"isAdmin":true}}}', "constructor.prototype"],
      ['```json {"__proto__":{}}```', "__proto__"]
    ]
    for (const [json, key] of unsafe) {
      const provider = MockProvider.layer([json])
      const error = yield* Effect.flip(Effect.provide(Provider.object(request, Any), provider))
      expect(error.reason).toMatchObject({ _tag: "InvalidAnswer", description: `it is unsafe: the key \`${key}\`` })
      const ask = LanguageModel.generateObject({ prompt: "x", schema: Any }).pipe(
        Effect.provide(EffectAi.layerLanguageModel({ model: "m" })),
        Effect.provide(provider)
      )
      expect((yield* Effect.flip(ask)).reason._tag).toBe("StructuredOutputError")
    }
    const harmless = '{"constructor":"Smith","prototype":1,"a":{"constructor":null},"b":"__proto__"}'
    const value = yield* Effect.provide(Provider.object(request, Any), MockProvider.layer([harmless]))
    expect(value).toEqual(JSON.parse(harmless))
  })
)

it.effect("JSON in a code block, and JSON in the thinking of an answer without content", () =>
  Effect.gen(function* () {
    expect(yield* ask("```json\n", text, "\n```")).toMatchObject({ success: paris })
    expect(yield* ask("```\n", text, "```\n")).toMatchObject({ success: paris })
    expect(yield* ask({ thinking: text }, " ")).toMatchObject({ success: paris })
    // The content is the answer if there is any.
    expect(yield* ask({ thinking: text }, "{}")).toMatchObject({ failure: { reason: { _tag: "InvalidAnswer" } } })
  })
)

it.effect("keys of the answer that the schema does not have are not quoted", () =>
  Effect.gen(function* () {
    const schema = Schema.Struct({ prices: Schema.Record(Schema.String, Schema.Struct({ euro: Schema.String })) })
    const error = yield* Provider.object(request, schema).pipe(
      Effect.flip,
      Effect.provide(MockProvider.layer(['{"prices":{"secret":{"euro":5}}}']))
    )
    expect(error.reason).toMatchObject({ description: "prices.….euro: Expected string" })
  })
)

it.effect("what the compiler would reject is an error", () =>
  Effect.gen(function* () {
    const wrong: { readonly schema: typeof City } = JSON.parse('{"schema":{"type":"object"}}')
    const missing: { readonly schema: typeof City } = JSON.parse("{}")
    const runs = [Provider.object(request, wrong.schema), Provider.object(request, missing.schema)]
    for (const run of runs) expect((yield* Effect.flip(run)).reason._tag).toBe("InvalidRequest")
  }).pipe(Effect.provide(MockProvider.layer([text])))
)

it.effect("an answer that is nested too deeply is not a defect", () =>
  Effect.gen(function* () {
    interface Tree {
      readonly children: ReadonlyArray<Tree>
    }
    const Tree: Schema.Codec<Tree> = Schema.Struct({
      children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree))
    }).annotate({ identifier: "Tree" })
    const nest = (levels: number) => `${'{"children":['.repeat(levels)}${"]}".repeat(levels)}`
    for (const levels of [3000, 100_000]) {
      const run = Provider.object(request, Tree).pipe(Effect.provide(MockProvider.layer([nest(levels)])))
      expect((yield* Effect.flip(run)).reason).toMatchObject({ description: "it is nested too deeply" })
      const ask = LanguageModel.generateObject({ prompt: "x", schema: Tree }).pipe(
        Effect.provide(EffectAi.layerLanguageModel({ model: "m" })),
        Effect.provide(MockProvider.layer([nest(levels)]))
      )
      expect((yield* Effect.flip(ask)).reason._tag).toBe("StructuredOutputError")
    }
    const shallow = Provider.object(request, Tree).pipe(Effect.provide(MockProvider.layer([nest(200)])))
    expect((yield* shallow).children.length).toBe(1)
  })
)

it.effect("an answer that does not match is an error with the text, which no rendering shows", () =>
  Effect.gen(function* () {
    const answers = [
      "",
      "secret",
      '{"city":"secret"}',
      '{"city":"Paris","celsius":"secret"}',
      '["secret"]',
      "```secret```"
    ]
    for (const answer of answers) {
      for (const finishReason of ["stop", "length", "content-filter", "other"] as const) {
        const result = yield* ask(answer, { isFinal: true, finishReason })
        expect(result).toMatchObject({
          failure: { provider: "Mock", reason: { _tag: "InvalidAnswer", isTruncated: finishReason === "length" } }
        })
        if (result._tag !== "Failure" || result.failure.reason._tag !== "InvalidAnswer") throw new Error("no failure")
        const { failure } = result
        expect(Redacted.value(result.failure.reason.text)).toBe(answer)
        for (const rendering of [failure.message, String(failure), JSON.stringify(failure), failure.stack ?? ""]) {
          expect(rendering).not.toContain("secret")
        }
      }
    }
  })
)

it.effect("the error says where the answer does not match", () =>
  Effect.gen(function* () {
    const result = yield* ask('{"city":"Paris","celsius":"warm"}')
    expect(result).toMatchObject({ failure: { message: expect.stringMatching(/celsius: Expected/) } })
  })
)

it.effect("a complete answer at the limit of tokens is accepted", () =>
  Effect.gen(function* () {
    expect(yield* ask(text, { isFinal: true, finishReason: "length" })).toMatchObject({ success: paris })
  })
)

it.effect("other failures stay as they are", () =>
  Effect.gen(function* () {
    const result = yield* Effect.result(
      Provider.object({ ...request, model: "" }, City).pipe(Effect.provide(MockProvider.layer([text])))
    )
    expect(result).toMatchObject({ failure: { reason: { _tag: "InvalidRequest", field: "model" } } })
  })
)
