/** What the bodies of all protocols have in common. */
import { describe, expect, it } from "@effect/vitest"
import * as AiTool from "effect/ai/Tool"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ChatRequest, Image, Message, Tool } from "../../src/CompletionRequest.ts"
import { toMessages, toTools } from "../../src/ai/request.ts"
import * as Ollama from "../../src/protocol/ollama/endpoints.ts"
import { dialect as llamaServer } from "../../src/servers/llamaServer.ts"
import { dialect as lmStudio } from "../../src/servers/lmStudio.ts"
import * as OpenAi from "../../src/protocol/openai/endpoints.ts"
import * as RequestBody from "../../src/protocol/requestBody.ts"
import * as CompletionRequest from "../../src/CompletionRequest.ts"
import * as Prompt from "effect/ai/Prompt"

const chats = {
  Ollama: Ollama.chat,
  "LM Studio": OpenAi.chat(lmStudio),
  "llama-server": OpenAi.chat(llamaServer)
}
const messages: ReadonlyArray<Message> = [{ role: "user", content: "Why?" }]

const toText = (endpoint: (typeof chats)[keyof typeof chats], request: Partial<ChatRequest>): string =>
  Result.getOrThrow(
    Result.map(Result.flatMap(endpoint.encode({ model: "m", messages, ...request }), RequestBody.stringify), String)
  )

class Nothing extends Schema.Class<Nothing>("Nothing")({}) {}
class City extends Schema.Class<City>("City")({ city: Schema.String }) {}
const none = { type: "object", properties: {} }
const city = { city: { type: "string" } }
const cityOrZip = Schema.Union([Schema.Struct({ city: Schema.String }), Schema.Struct({ zip: Schema.String })])
const circle = { $ref: "#/$defs/A", $defs: { A: { anyOf: [{ $ref: "#/$defs/A" }, { $ref: "#/$defs/A" }] } } }

const parameters: { readonly [name: string]: readonly [Tool["parameters"], object] } = {
  absent: [undefined, none],
  "Schema.Void": [Schema.Void, none],
  "Schema.Undefined": [Schema.Undefined, none],
  "Schema.Null": [Schema.Null, none],
  "Schema.Never": [Schema.Never, none],
  "Schema.Unknown": [Schema.Unknown, none],
  "an empty struct": [Schema.Struct({}), none],
  "an empty struct with a description": [
    Schema.Struct({}).annotate({ description: "nothing" }),
    { ...none, description: "nothing" }
  ],
  "an empty class": [Nothing, none],
  "a record": [Schema.Record(Schema.String, Schema.String), none],
  "an empty JSON Schema": [{}, none],
  "only a type": [{ type: "object" }, none],
  "properties that are null": [{ type: "object", properties: null }, none],
  "an object or null": [{ type: ["object", "null"] }, none],
  "a class": [City, { type: "object", properties: city }],
  "a struct or nothing": [Schema.UndefinedOr(City), { type: "object", properties: city }],
  "properties without a type": [{ properties: city }, { type: "object", properties: city }],
  "a reference": [
    { $ref: "#/definitions/a~1b", definitions: { "a/b": { $ref: "#/definitions/c" }, c: { properties: city } } },
    { type: "object", properties: city }
  ],
  "a reference with a description beside it": [
    { $ref: "#/$defs/A", description: "own", $defs: { A: { description: "shared", properties: city } } },
    { type: "object", properties: city, description: "own" }
  ],
  "a reference that leads nowhere": [{ $ref: "#/$defs/A" }, none],
  "references in a circle": [circle, none],
  "a union": [cityOrZip, { type: "object", properties: { ...city, zip: { type: "string" } } }],
  "alternatives that differ": [
    { oneOf: [{ properties: city }, { properties: { city: { type: "number" } } }] },
    { type: "object", properties: { city: { anyOf: [{ type: "string" }, { type: "number" }] } } }
  ],
  "all of several": [{ allOf: [{ properties: city }, { properties: { a: {} } }] }, { properties: { ...city, a: {} } }]
}

const aiTools: { readonly [name: string]: readonly [AiTool.Any, object] } = {
  absent: [AiTool.make("f"), none],
  "absent, with a result": [AiTool.make("f", { success: Schema.String }), none],
  "an empty struct": [AiTool.make("f", { parameters: Schema.Struct({}) }), none],
  "Schema.Void": [AiTool.make("f", { parameters: Schema.Void }), none],
  "a class": [AiTool.make("f", { parameters: City }), { type: "object", properties: city }],
  "a dynamic one": [AiTool.dynamic("f", { parameters: {} }), none]
}

describe("parameters of tools have a type and properties", () => {
  describe.each(Object.entries(chats))("%s", (_, endpoint) => {
    const sent = (tools: ReadonlyArray<Tool>) => JSON.parse(toText(endpoint, { tools })).tools[0].function.parameters
    for (const [name, [schema, expected]] of Object.entries(parameters)) {
      it(name, () => expect(sent([{ name: "f", parameters: schema }])).toMatchObject(expected))
    }
    for (const [name, [tool, expected]] of Object.entries(aiTools)) {
      it(`effect/ai: ${name}`, () => expect(sent(Result.getOrThrow(toTools([tool])))).toMatchObject(expected))
    }
  })

  const wrong: { readonly [name: string]: object } = {
    "a text": Schema.String,
    "a list": Schema.Array(Schema.String),
    "texts or numbers": Schema.Union([Schema.String, Schema.Finite])
  }
  for (const [name, schema] of Object.entries(wrong)) {
    it(`${name} is rejected`, () => {
      const expected = { _tag: "InvalidRequest", field: "tools[0].parameters" }
      const body = RequestBody.encodeTools({ messages, tools: [{ name: "f", parameters: schema }] })
      expect(Result.getOrThrow(Result.flip(body))).toMatchObject(expected)
    })
  }
})

describe("text is well-formed", () => {
  const high = "\ud83d"
  const low = "\ude00"
  const emoji = high + low
  const text = `${high}a${low}${emoji}\\ud83d\n${low}${high}`
  const mended = `\ufffda\ufffd${emoji}\\ud83d\n\ufffd\ufffd`
  const call = { id: text, name: text, arguments: { [text]: [text, { deep: text }] } }
  const request: ChatRequest = {
    model: text,
    messages: [
      { role: "system", content: text },
      { role: "user", content: [{ type: "text", text }] },
      { role: "assistant", content: text, thinking: text, toolCalls: [call] },
      { role: "tool", content: text, toolCallId: text }
    ],
    stop: [text],
    tools: [{ name: text, description: text, parameters: { properties: { [text]: { description: text } } } }],
    format: { enum: [text] },
    extra: { [text]: text }
  }

  for (const [name, endpoint] of Object.entries({
    ...chats,
    "prompts for Ollama": Ollama.generate,
    "prompts for llama-server": OpenAi.completion(llamaServer)
  })) {
    it(name, () => {
      const body = name.startsWith("prompts") ? { model: text, prompt: text, stop: [text] } : request
      const json = Result.getOrThrow(Result.flatMap(endpoint.encode(body), RequestBody.stringify))
      const strings: Array<string> = []
      JSON.parse(String(json), (key, value: unknown) => {
        strings.push(key, ...(typeof value === "string" ? [value] : []))
        // OpenAI-style servers parse the arguments a second time.
        if (key === "arguments" && typeof value === "string") {
          JSON.parse(value, (inner, leaf: unknown) => {
            strings.push(inner, ...(typeof leaf === "string" ? [leaf] : []))
            return leaf
          })
        }
        return value
      })
      expect(strings.filter((each) => /\p{Surrogate}/u.test(each))).toEqual([])
      expect(strings).toContain(mended)
    })
  }

  for (const [name, endpoint] of Object.entries({ Ollama: Ollama.embed, OpenAI: OpenAi.embed(lmStudio) })) {
    it(`embeddings, ${name}`, () => {
      const body = Result.flatMap(endpoint.encode({ model: "m", input: [text, emoji] }), RequestBody.stringify)
      expect(JSON.parse(String(Result.getOrThrow(body))).input).toEqual([mended, emoji])
    })
  }
})

describe("results of tools are in the order of the calls", () => {
  const calls = (...ids: ReadonlyArray<string>): Message => ({
    role: "assistant",
    content: "",
    toolCalls: ids.map((id) => ({ id, name: id.replace(/\d/, ""), arguments: {} }))
  })
  const result = (toolCallId: string): Message => ({ role: "tool", content: toolCallId, toolCallId })
  const named = (toolName: string, content: string): Message => ({ role: "tool", content, toolName })
  const user: Message = { role: "user", content: "Go on." }

  const rows: { readonly [name: string]: readonly [ReadonlyArray<Message>, ReadonlyArray<string>] } = {
    "results of parallel calls": [
      [calls("f1", "g2", "f3"), result("f3"), result("f1"), result("g2")],
      ["f1", "g2", "f3"]
    ],
    "results that only name their tool": [
      [calls("f1", "g2", "f3"), named("g", "G"), named("f", "A"), named("f", "B")],
      ["f1 A", "g2 G", "f3 B"]
    ],
    "a result that names its tool before one with the id": [
      [calls("f1", "f2"), named("f", "B"), result("f1")],
      ["f1", "f2 B"]
    ],
    "results of several messages": [
      [calls("f1", "g2"), calls("h3"), result("h3"), result("g2"), result("f1")],
      ["f1", "g2", "h3"]
    ],
    "ids that are used again": [
      [calls("f1", "g2"), result("g2"), result("f1"), calls("g2", "f1"), result("f1"), result("g2")],
      ["f1", "g2", "g2", "f1"]
    ],
    "two results of one call keep their order": [
      [calls("f1", "g2"), { ...result("g2"), content: "a" }, result("f1"), { ...result("g2"), content: "b" }],
      ["f1", "g2 a", "g2 b"]
    ],
    "other messages keep their place": [
      [calls("f1", "g2"), result("g2"), user, result("f1"), user],
      ["g2", "f1"]
    ]
  }
  for (const [name, [messages, expected]] of Object.entries(rows)) {
    it(name, () => {
      const complete = RequestBody.completeMessages(messages)
      expect(complete.map(({ role }) => role)).toEqual(messages.map(({ role }) => role))
      const results = complete.filter(({ role }) => role === "tool")
      expect(
        results.map(({ content, toolCallId }) => (content === toolCallId ? content : `${toolCallId} ${content}`))
      ).toEqual(expected)
      expect(results.every(({ toolName }) => toolName !== undefined)).toBe(true)
    })
  }
})

describe("images as URLs", () => {
  const url = new URL("data:image/png;base64,aGk%3D")
  it("a data URL is read, directly and through effect/ai", () => {
    expect(RequestBody.toBase64(url)).toBe("aGk=")
    const prompt = Prompt.make([{ role: "user", content: [{ type: "file", mediaType: "image/png", data: url }] }])
    const message = Result.getOrThrow(toMessages(prompt))
    expect(Result.isSuccess(CompletionRequest.validate({ model: "m", messages: message }))).toBe(true)
    expect(JSON.parse(toText(Ollama.chat, { messages: message })).messages[0].images).toEqual(["aGk="])
    expect(toText(OpenAi.chat(lmStudio), { messages: message })).toContain('"data:image/png;base64,aGk="')
  })

  for (const address of ["http://localhost/a.png", "data:image/svg+xml,<svg/>", "file:///a.png"]) {
    it(`${address} is rejected`, () => {
      const image: Image = new URL(address)
      const request = { model: "m", messages: [{ role: "user", content: "x", images: [image] }] }
      expect(Result.isFailure(CompletionRequest.validate(request))).toBe(true)
    })
  }
})
