/** A request is checked before anything is sent, and the error names the field. */
import { describe, expect, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import { check } from "../../src/CompletionRequest.ts"

/** As it may come from a caller whose types do not hold. */
const unchecked = (request: object): CompletionRequest => Object.assign({ model: "m" }, request)

const messages = [{ role: "user", content: "Why?" }]

describe("a good request", () => {
  const table: Readonly<Record<string, object>> = {
    messages: { messages },
    prompt: { prompt: "Once" },
    "all roles": { messages: ["system", "user", "assistant", "tool"].map((role) => ({ role, content: "" })) },
    "the least of everything": {
      prompt: "x",
      temperature: 0,
      topP: 0,
      topK: 0,
      minP: 0,
      seed: -1,
      stop: [],
      maxTokens: 1,
      repeatPenalty: 0.1,
      presencePenalty: -2,
      frequencyPenalty: -2,
      keepAlive: 0
    },
    "the most of everything": {
      prompt: "x",
      temperature: 2,
      topP: 1,
      minP: 1,
      presencePenalty: 2,
      frequencyPenalty: 2,
      keepAlive: "Infinity",
      deadlines: { firstChunk: "Infinity", idle: "2 minutes", total: 5000 }
    },
    "undefined for everything": {
      messages,
      prompt: undefined,
      temperature: undefined,
      tools: undefined,
      format: undefined,
      images: undefined,
      deadlines: undefined,
      extra: undefined
    },
    "tools and formats of both kinds": {
      messages,
      tools: [
        { name: "f" },
        { name: "g", parameters: Schema.Struct({}) },
        { name: "h", parameters: { type: "object" } }
      ],
      format: Schema.Struct({ a: Schema.String })
    },
    pictures: { messages: [{ role: "user", content: "x", images: ["aGk=", new Uint8Array(2)] }] },
    "pictures with a prompt": { prompt: "x", images: ["aGk="] },
    "extra keys": { messages, extra: { options: { num_ctx: 1 } } },
    "one answer by extra": { messages, extra: { n: 1, best_of: 1 } }
  }
  for (const [what, request] of Object.entries(table)) {
    it(what, () => expect(check(unchecked(request))).toBeUndefined())
  }
})

describe("a bad request names its field", () => {
  const table: ReadonlyArray<readonly [field: string, request: object]> = [
    ["model", { messages, model: "" }],
    ["model", { messages, model: undefined }],
    ["model", { messages, model: 5 }],
    ["messages", {}],
    ["messages", { messages: [] }],
    ["messages", { messages: "Why?" }],
    ["prompt", { messages, prompt: "Once" }],
    ["prompt", { prompt: "" }],
    ["prompt", { prompt: ["Once"] }],
    ["messages[0].role", { messages: [{ role: "wizard", content: "" }] }],
    ["messages[1].role", { messages: [...messages, { content: "" }] }],
    ["messages[0].content", { messages: [{ role: "user" }] }],
    ["messages[0].content", { messages: [{ role: "user", content: [{ type: "text", text: "a" }] }] }],
    ["messages[0].image", { messages: [{ role: "user", content: "", image: "aGk=" }] }],
    ["messages[0].images[1]", { messages: [{ role: "user", content: "", images: ["aGk=", 5] }] }],
    ["messages[0].images[0]", { messages: [{ role: "user", content: "", images: [""] }] }],
    ["messages[0].toolCalls[0].name", { messages: [{ role: "assistant", content: "", toolCalls: [{ id: "a" }] }] }],
    ["temperature", { messages, temperature: -0.1 }],
    ["temperature", { messages, temperature: 2.1 }],
    ["temperature", { messages, temperature: Number.NaN }],
    ["temperature", { messages, temperature: "hot" }],
    ["topP", { messages, topP: 1.1 }],
    ["topK", { messages, topK: -1 }],
    ["topK", { messages, topK: 1.5 }],
    ["minP", { messages, minP: -1 }],
    ["seed", { messages, seed: 1.5 }],
    ["stop", { messages, stop: "air" }],
    ["stop[1]", { messages, stop: ["a", ""] }],
    ["maxTokens", { messages, maxTokens: 0 }],
    ["maxTokens", { messages, maxTokens: Infinity }],
    ["repeatPenalty", { messages, repeatPenalty: 0 }],
    ["presencePenalty", { messages, presencePenalty: 3 }],
    ["frequencyPenalty", { messages, frequencyPenalty: -3 }],
    ["tools[0].name", { messages, tools: [{ name: "" }] }],
    ["tools[0].parameters", { messages, tools: [{ name: "f", parameters: "none" }] }],
    ["tools", { prompt: "x", tools: [{ name: "f" }] }],
    ["think", { messages, think: "very" }],
    ["think", { prompt: "x", think: true }],
    ["format", { messages, format: "xml" }],
    ["images", { messages, images: ["aGk="] }],
    ["keepAlive", { messages, keepAlive: "soon" }],
    ["keepAlive", { messages, keepAlive: -1 }],
    ["overflow", { messages, overflow: "shift" }],
    ["deadlines.idle", { messages, deadlines: { idle: "never" } }],
    ["deadlines.total", { messages, deadlines: { total: 0 } }],
    ["deadlines.first", { messages, deadlines: { first: 1 } }],
    ["extra", { messages, extra: "x" }],
    ["extra.model", { messages, extra: { model: "other" } }],
    ["extra.messages", { messages, extra: { messages: [] } }],
    ["extra.prompt", { messages, extra: { prompt: "x" } }],
    ["extra.stream", { messages, extra: { stream: false } }],
    ["extra.n", { messages, extra: { n: 2 } }],
    ["extra.n", { messages, extra: { n: "2" } }],
    ["extra.best_of", { prompt: "x", extra: { best_of: 2 } }],
    ["max_tokens", { messages, max_tokens: 5 }]
  ]
  for (const [field, request] of table) {
    it(`${field}: ${JSON.stringify(request)}`, () => {
      const invalid = check(unchecked(request))
      expect(invalid).toMatchObject({ _tag: "InvalidRequest", field, isRetryable: false })
      expect(invalid?.message.startsWith(`invalid ${field}: `)).toBe(true)
    })
  }

  it("that is no object at all", () => {
    const nothing: unknown = null
    expect(check(Object(nothing))).toMatchObject({ _tag: "InvalidRequest", field: "model" })
  })
})

it("the error does not quote what was asked", () => {
  const secret = "my secret"
  const table: ReadonlyArray<object> = [
    { prompt: secret, messages: [{ role: "user", content: secret }] },
    { messages: [{ role: secret, content: secret }] },
    { messages: [{ role: "user", content: [secret] }] },
    { messages: secret },
    { prompt: { secret } },
    { messages, images: [secret] },
    { messages, tools: [{ name: "f", parameters: secret }] },
    { messages: [{ role: "assistant", content: "", toolCalls: [{ id: 5, name: "f", arguments: secret }] }] }
  ]
  for (const request of table) {
    const invalid = check(unchecked(request))
    expect(invalid).toBeDefined()
    expect(invalid?.message).not.toContain(secret)
  }
})
