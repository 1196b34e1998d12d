/** A request is validated before anything is sent, and the error names the invalid field. */
import { describe, expect, expectTypeOf, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { CompletionRequest, Defaults, ValidRequest } from "../../src/CompletionRequest.ts"
import * as Embedding from "../../src/Embedding.ts"
import * as Checked from "../../src/values/checked.ts"
import { check, checkOptions, validate, withDefaults } from "../../src/CompletionRequest.ts"

const findFault = (request: object) => Result.getOrUndefined(Result.flip(validate({ model: "m", ...request })))

const messages = [{ role: "user", content: "Why?" }] as const
const call = { id: "call_0", name: "f", arguments: { city: "Paris" } }
const asked = [...messages, { role: "assistant", content: "", toolCalls: [call] }] as const
const tools = [{ name: "f" }]

interface Person {
  readonly name: string
}
interface PersonSchema {
  readonly type: "object"
  readonly properties: { readonly name: { readonly type: "string" } }
}
const personSchema: PersonSchema = { type: "object", properties: { name: { type: "string" } } }

/** A JSON value of that depth. */
const nested = (depth: number): object => {
  let value: object = {}
  for (let i = 0; i < depth; i++) value = { value }
  return value
}

describe("a valid request", () => {
  const table: Readonly<Record<string, object>> = {
    messages: { messages },
    prompt: { prompt: "Once" },
    "all roles": {
      messages: [{ role: "system", content: "" }, ...asked, { role: "tool", content: "", toolCallId: "call_0" }]
    },
    "the smallest values": {
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
      contextLength: 1,
      keepAlive: 0
    },
    "the largest values": {
      prompt: "x",
      temperature: 2,
      topP: 1,
      minP: 1,
      presencePenalty: 2,
      frequencyPenalty: 2,
      keepAlive: "Infinity",
      deadlines: { firstChunk: "Infinity", idle: "2 minutes", total: 5000 }
    },
    "undefined for every option": {
      messages,
      prompt: undefined,
      temperature: undefined,
      tools: undefined,
      toolChoice: undefined,
      format: undefined,
      images: undefined,
      contextLength: undefined,
      deadlines: undefined,
      extra: undefined
    },
    "undefined for the options of a chat": { messages: undefined, prompt: "x", tools: undefined, think: undefined },
    "tools and formats of both kinds": {
      messages,
      tools: [
        { name: "f" },
        { name: "g", parameters: Schema.Struct({}) },
        { name: "h", parameters: { type: "object" } }
      ],
      format: Schema.Struct({ a: Schema.String })
    },
    "a class as the format": { messages, format: class A extends Schema.Class<A>("A")({ a: Schema.String }) {} },
    "any tool choice": { messages, tools, toolChoice: "required" },
    "the choice of one tool": { messages, tools, toolChoice: { name: "f" } },
    "the result of a tool, by the name of the tool": {
      messages: [...asked, { role: "tool", content: "21", toolName: "f" }]
    },
    "the result of a tool that failed": {
      messages: [...asked, { role: "tool", content: "no such city", toolCallId: "call_0", isError: true }]
    },
    "the result of a call in an older message": {
      messages: [...asked, ...messages, { role: "tool", content: "21", toolCallId: "call_0" }]
    },
    images: { messages: [{ role: "user", content: "x", images: ["aGk=", new Uint8Array(2)] }] },
    "images as data URIs": { prompt: "x", images: ["data:image/png;base64,aGk=", "DATA:;BASE64,aGk="] },
    "images with a prompt": { prompt: "x", images: ["aGk="] },
    "extra fields": { messages, extra: { options: { num_gpu: 1 } } },
    "one answer by extra": { messages, extra: { n: 1, best_of: 1 } },
    "half of a surrogate pair": { messages: [{ role: "user", content: "\ud83d" }], stop: ["\udc00"] },
    "a deep value": { messages, extra: nested(100_000), format: nested(100_000) }
  }
  for (const [what, request] of Object.entries(table)) {
    it(what, () => expect(findFault(request)).toBeUndefined())
  }
})

describe("an invalid request names its field", () => {
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
    ["messages[0].content", { messages: [{ role: "user", content: 5 }] }],
    [
      "messages[0].content[0]",
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }] }
    ],
    ["messages[0].image", { messages: [{ role: "user", content: "", image: "aGk=" }] }],
    ["messages[0].images[1]", { messages: [{ role: "user", content: "", images: ["aGk=", 5] }] }],
    ["messages[0].images[0]", { messages: [{ role: "user", content: "", images: [""] }] }],
    ["messages[0].images[0]", { messages: [{ role: "user", content: "", images: ["https://host/a.png"] }] }],
    ["messages[0].images[0]", { messages: [{ role: "user", content: "", images: ["data:image/svg+xml,<svg>"] }] }],
    ["images[0]", { prompt: "x", images: ["file:///a.png"] }],
    ["messages[0].toolCalls[0].name", { messages: [{ role: "assistant", content: "", toolCalls: [{ id: "a" }] }] }],
    ["messages[0].toolCalls", { messages: [{ role: "user", content: "", toolCalls: [call] }] }],
    ["messages[0].toolCallId", { messages: [{ role: "user", content: "", toolCallId: "call_0" }] }],
    ["messages[0].isError", { messages: [{ role: "user", content: "", isError: true }] }],
    ["messages[2]", { messages: [...asked, { role: "tool", content: "21" }] }],
    ["messages[2]", { messages: [...asked, { role: "tool", content: "21", toolCallId: "call_1" }] }],
    ["messages[2]", { messages: [...asked, { role: "tool", content: "21", toolName: "g" }] }],
    ["messages[1]", { messages: [messages[0], { role: "tool", content: "21", toolCallId: "call_0" }, ...asked] }],
    [
      "messages[0].toolCalls[0].arguments",
      { messages: [{ role: "assistant", content: "", toolCalls: [{ ...call, arguments: [Number.NaN] }] }] }
    ],
    ["temperature", { messages, temperature: -0.1 }],
    ["temperature", { messages, temperature: 2.1 }],
    ["temperature", { messages, temperature: Number.NaN }],
    ["temperature", { messages, temperature: "hot" }],
    ["topP", { messages, topP: 1.1 }],
    ["topK", { messages, topK: -1 }],
    ["topK", { messages, topK: 1.5 }],
    ["minP", { messages, minP: -1 }],
    ["typicalP", { messages, typicalP: 1.1 }],
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
    ["tools[0].parameters", { messages, tools: [{ name: "f", parameters: [] }] }],
    ["tools", { prompt: "x", tools }],
    ["toolChoice", { messages, toolChoice: "auto" }],
    ["toolChoice", { messages, tools: [], toolChoice: "none" }],
    ["toolChoice.name", { messages, tools, toolChoice: { name: "g" } }],
    ["toolChoice", { prompt: "x", toolChoice: "auto" }],
    ["think", { messages, think: "" }],
    ["think", { prompt: "x", think: true }],
    ["format", { messages, format: "xml" }],
    ["format", { messages, format: new Map() }],
    ["images", { messages, images: ["aGk="] }],
    ["contextLength", { messages, contextLength: 0 }],
    ["contextLength", { messages, contextLength: 4096.5 }],
    ["keepAlive", { messages, keepAlive: "soon" }],
    ["keepAlive", { messages, keepAlive: -1 }],
    ["keepAlive", { messages, keepAlive: Number.NaN }],
    ["overflow", { messages, overflow: "shift" }],
    ["deadlines.idle", { messages, deadlines: { idle: "never" } }],
    ["deadlines.total", { messages, deadlines: { total: 0 } }],
    ["deadlines.total", { messages, deadlines: { total: Number.NaN } }],
    ["deadlines.first", { messages, deadlines: { first: 1 } }],
    ["extra", { messages, extra: "x" }],
    ["extra", { messages, extra: [] }],
    ["extra", { messages, extra: { options: { num_gpu: Number.NaN } } }],
    ["extra", { messages, extra: { seed: 1n } }],
    ["extra", { messages, extra: { callback: () => 1 } }],
    ["extra.model", { messages, extra: { model: "other" } }],
    ["extra.messages", { messages, extra: { messages: [] } }],
    ["extra.prompt", { messages, extra: { prompt: "x" } }],
    ["extra.stream", { messages, extra: { stream: false } }],
    ["extra.stream_options", { messages, extra: { stream_options: {} } }],
    ["extra.n", { messages, extra: { n: 2 } }],
    ["extra.n", { messages, extra: { n: "2" } }],
    ["extra.best_of", { prompt: "x", extra: { best_of: 2 } }]
  ]
  for (const [i, [field, request]] of table.entries()) {
    it(`${i}: ${field}`, () => {
      const invalid = findFault(request)
      expect(invalid).toMatchObject({ _tag: "InvalidRequest", field, isRetryable: false })
      expect(invalid?.message.startsWith(`invalid ${field}: `)).toBe(true)
    })
  }

  it("a value that is not an object has no field", () => {
    for (const value of [null, undefined, 5, "x", []]) {
      expect(Result.getOrUndefined(Result.flip(validate(value)))).toMatchObject({ _tag: "InvalidRequest" })
    }
  })

  it("a missing model says where it can be set", () => {
    expect(findFault({ messages, model: undefined })?.description).toBe(
      "set it in the request, or in the `defaults` of the layer"
    )
  })
})

describe("an unknown field says what to write instead", () => {
  const table: ReadonlyArray<readonly [request: object, field: string, advice: string]> = [
    [{ num_ctx: 8192 }, "num_ctx", "use `contextLength`"],
    [{ max_tokens: 5 }, "max_tokens", "use `maxTokens`"],
    [{ maxOutputTokens: 5 }, "maxOutputTokens", "use `maxTokens`"],
    [{ max_output_tokens: 5 }, "max_output_tokens", "use `maxTokens`"],
    [{ max_completion_tokens: 5 }, "max_completion_tokens", "use `maxTokens`"],
    [{ num_predict: 5 }, "num_predict", "use `maxTokens`"],
    [{ top_p: 1 }, "top_p", "use `topP`"],
    [{ top_k: 1 }, "top_k", "use `topK`"],
    [{ min_p: 1 }, "min_p", "use `minP`"],
    [{ typical_p: 1 }, "typical_p", "use `typicalP`"],
    [{ repeat_penalty: 1 }, "repeat_penalty", "use `repeatPenalty`"],
    [{ repetition_penalty: 1 }, "repetition_penalty", "use `repeatPenalty`"],
    [{ presence_penalty: 1 }, "presence_penalty", "use `presencePenalty`"],
    [{ frequency_penalty: 1 }, "frequency_penalty", "use `frequencyPenalty`"],
    [{ keep_alive: "5m" }, "keep_alive", "use `keepAlive`"],
    [{ ttl: 60 }, "ttl", "use `keepAlive`"],
    [{ tool_choice: "auto" }, "tool_choice", "use `toolChoice`"],
    [{ response_format: {} }, "response_format", "use `format`"],
    [{ reasoning_effort: "low" }, "reasoning_effort", "use `think`"],
    [{ stream: true }, "stream", "every request streams; `Provider.complete` returns the whole answer"],
    [{ options: {} }, "options", "set its fields in the request itself, such as `temperature`; others in `extra`"],
    [{ mirostat: 1 }, "mirostat", "fields that only the server knows belong in `extra`"],
    [{ deadlines: { first_chunk: 1 } }, "deadlines.first_chunk", "use `firstChunk`"],
    [
      { tools: [{ type: "function", function: { name: "f" } }] },
      "tools[0].type",
      "write `{ name, description?, parameters? }`"
    ],
    [
      { tools, toolChoice: { type: "function", function: { name: "f" } } },
      "toolChoice.type",
      'write `{ name }`, "auto", "none" or "required"'
    ],
    [{ messages: [{ role: "tool", content: "", tool_call_id: "a" }] }, "messages[0].tool_call_id", "use `toolCallId`"],
    [{ messages: [{ role: "tool", content: "", name: "f" }] }, "messages[0].name", "use `toolName`"]
  ]
  for (const [request, field, advice] of table) {
    it(field, () => {
      const invalid = findFault({ messages, ...request })
      expect(invalid).toMatchObject({ field, description: `unknown field; ${advice}` })
    })
  }
})

describe("the error does not quote the request", () => {
  const secret = "my secret"
  const table: ReadonlyArray<object> = [
    { prompt: secret, messages: [{ role: "user", content: secret }] },
    { messages: [{ role: secret, content: secret }] },
    { messages: [{ role: "user", content: [secret] }] },
    { messages: [{ role: "user", content: "", [secret]: 1 }] },
    { messages: secret },
    { prompt: { secret } },
    { prompt: secret, think: true },
    { messages, images: [secret] },
    { messages, [secret]: 1 },
    { messages, model: [secret] },
    { messages, tools: [{ name: "f", parameters: secret }] },
    { messages, tools, toolChoice: { name: secret } },
    { messages, extra: { [secret]: Number.NaN } },
    { messages: [{ role: "assistant", content: "", toolCalls: [{ id: 5, name: "f", arguments: secret }] }] },
    { messages: [{ role: "tool", content: secret, toolCallId: secret }] }
  ]
  for (const [i, request] of table.entries()) {
    it(`${i}`, () => {
      const invalid = findFault(request)
      expect(invalid).toBeDefined()
      expect(JSON.stringify(invalid)).not.toContain(secret)
      expect(invalid?.message).not.toContain(secret)
    })
  }
})

describe("a large request is validated in linear time", () => {
  const size = 200_000
  const list = <A>(make: (i: number) => A): ReadonlyArray<A> => Array.from({ length: size }, (_, i) => make(i))

  it("messages", () => {
    expect(findFault({ messages: list(() => messages[0]) })).toBeUndefined()
    expect(findFault({ messages: [...list(() => messages[0]), { role: "tool", content: "" }] })?.field).toBe(
      `messages[${size}]`
    )
  })

  it("calls and their results", () => {
    const calls = { role: "assistant", content: "", toolCalls: list((i) => ({ ...call, id: `${i}` })) }
    const results = list((i) => ({ role: "tool", content: "", toolCallId: `${i}` }))
    expect(findFault({ messages: [calls, ...results] })).toBeUndefined()
  })

  it("values of the caller", () => {
    const shared = { a: 1 }
    expect(findFault({ messages, extra: { list: list(() => shared) }, stop: list(String) })).toBeUndefined()
  })
})

describe("defaults", () => {
  const request: CompletionRequest = { messages }
  const prompt: CompletionRequest = { prompt: "Once" }

  it("apply to options that the request does not set", () => {
    const defaults: Defaults = { model: "a", temperature: 0, contextLength: 8192, keepAlive: "1 hour", think: false }
    expect(withDefaults(defaults, request)).toEqual({ messages, ...defaults })
    expect(withDefaults(defaults, { ...request, model: "b", temperature: 1, think: undefined })).toEqual({
      ...defaults,
      messages,
      model: "b",
      temperature: 1
    })
  })

  it("leave a request as it is if there are none", () => {
    expect(withDefaults(undefined, request)).toBe(request)
    expect(withDefaults({}, request)).toEqual(request)
    expect(withDefaults({ model: undefined }, { ...request, model: "a" })).toEqual({ messages, model: "a" })
  })

  it("of a chat do not apply to a prompt", () => {
    const merged = withDefaults({ model: "a", tools, toolChoice: "auto", think: true, temperature: 1 }, prompt)
    expect(merged).toEqual({ prompt: "Once", model: "a", temperature: 1 })
    expect(Result.isSuccess(validate(merged))).toBe(true)
  })

  it("choose a tool only if there are tools", () => {
    expect(withDefaults({ toolChoice: "required" }, request)).toEqual(request)
    expect(withDefaults({ tools, toolChoice: "required" }, { messages, tools: [] })).toEqual({ messages, tools: [] })
    expect(withDefaults({ toolChoice: "required" }, { messages, tools })).toMatchObject({ toolChoice: "required" })
  })

  it("are merged with deadlines and extra fields of the request", () => {
    const defaults: Defaults = { deadlines: { idle: 1, total: 2 }, extra: { a: 1, options: { b: 1, c: 1 } } }
    const merged = withDefaults(defaults, { messages, deadlines: { idle: 3 }, extra: { options: { b: 2 } } })
    expect(merged.deadlines).toEqual({ idle: 3, total: 2 })
    expect(merged.extra).toEqual({ a: 1, options: { b: 2, c: 1 } })
  })

  it("do not make an invalid request valid", () => {
    const defaults: Defaults = { model: "a", deadlines: { idle: 1 }, extra: { a: 1 } }
    const merge = (request: unknown) => validate(withDefaults(defaults, request as CompletionRequest))
    for (const request of [null, undefined, 5, "x", [], { messages: null }]) {
      expect(Result.isFailure(merge(request))).toBe(true)
    }
    for (const field of ["deadlines", "extra"]) {
      for (const value of [null, 5, "x", []]) {
        expect(Result.getOrUndefined(Result.flip(merge({ messages, [field]: value })))).toMatchObject({ field })
      }
    }
    const map = merge({ messages, extra: new Map() })
    expect(Result.getOrUndefined(Result.flip(map))).toMatchObject({ field: "extra" })
    const nan = merge({ messages, extra: { a: Number.NaN } })
    expect(Result.getOrUndefined(Result.flip(nan))).toMatchObject({ field: "extra" })
  })

  it("are validated with the layer's options", () => {
    expect(checkOptions({ defaults: { model: "a" } })).toBeUndefined()
    const table: ReadonlyArray<readonly [field: string, defaults: object, description?: string]> = [
      ["defaults.temperature", { temperature: Number.NaN }],
      ["defaults.deadlines.idle", { deadlines: { idle: 0 } }],
      ["defaults.extra.model", { extra: { model: "b" } }],
      ["defaults.num_ctx", { num_ctx: 1 }, "unknown field; use `contextLength`"],
      ["defaults.messages", { messages }, "unknown field; set it in each request"],
      ["defaults.prompt", { prompt: "Once" }, "unknown field; set it in each request"],
      ["defaults.images", { images: ["aGk="] }, "unknown field; set it in each request"]
    ]
    for (const [field, defaults, description] of table) {
      expect(checkOptions({ defaults })).toMatchObject({ field, ...(description === undefined ? {} : { description }) })
    }
  })
})

describe("the types", () => {
  it("require either messages or prompt", () => {
    expectTypeOf<{ model: string }>().not.toExtend<CompletionRequest>()
    expectTypeOf<{ model: string; messages: typeof messages }>().toExtend<CompletionRequest>()
    expectTypeOf<{ model: string; prompt: string }>().toExtend<CompletionRequest>()
    expectTypeOf<{ model: string; messages: typeof messages; prompt: string }>().not.toExtend<CompletionRequest>()
    expectTypeOf<{ model: string; prompt: string; tools: [] }>().not.toExtend<CompletionRequest>()
    // @ts-expect-error neither messages nor prompt
    const neither: CompletionRequest = { model: "m" }
    // @ts-expect-error messages and prompt
    const both: CompletionRequest = { model: "m", messages, prompt: "Once" }
    // @ts-expect-error an unknown option
    const unknown: CompletionRequest = { model: "m", messages, num_ctx: 1 }
    // @ts-expect-error defaults have no input
    const defaults: Defaults = { prompt: "Once" }
    expect(checkOptions({ defaults })).toBeDefined()
    for (const request of [neither, both, unknown]) expect(Result.isFailure(validate(request))).toBe(true)
  })

  it("let the model come from defaults, and have it after validation", () => {
    expectTypeOf<{ prompt: string }>().toExtend<CompletionRequest>()
    expectTypeOf<ValidRequest["model"]>().toEqualTypeOf<string>()
  })

  it("accept a value with an interface type as JSON Schema and as extra fields", () => {
    const person: Person = { name: "a" }
    const request: CompletionRequest = {
      model: "m",
      messages,
      format: personSchema,
      tools: [{ name: "f", parameters: personSchema }],
      extra: person
    }
    expect(findFault(request)).toBeUndefined()
  })
})

it("a request that is passed on need not name a model, and everything else is checked", () => {
  expect(Result.isSuccess(check({ messages }))).toBe(true)
  expect(Result.getOrUndefined(Result.flip(validate({ messages })))).toMatchObject({ field: "model" })
  for (const wrong of [{}, { messages, model: 7 }, { messages, prompt: "x" }, { messages, temperature: "hot" }, null]) {
    expect(Result.isFailure(check(wrong))).toBe(true)
  }
})

describe("a request that was checked", () => {
  const given = () => ({ messages: [{ role: "user", content: "Why?" }], tools: [{ name: "f", parameters: {} }] })
  const checked = () => Result.getOrThrow(check(given()))

  it("is checked no more, nor with its model, without defaults that it lacks, or on its way to another provider", () => {
    const request = Result.getOrThrow(check({ ...given(), model: "m", deadlines: { total: 5 } }))
    expect(Result.getOrThrow(check(request))).toBe(request)
    expect(Result.getOrThrow(validate(request))).toBe(request)
    expect(withDefaults({ model: "n", deadlines: { total: 7 } }, request)).toEqual(request)
    expect(withDefaults({ model: "n" }, request)).toBe(request)
    const later = Checked.update(request, { deadlines: { total: 4 } })
    expect(Result.getOrThrow(check(later))).toBe(later)
    expect(later).toEqual({ ...request, deadlines: { total: 4 } })
  })

  it("is checked again after a change", () => {
    for (const change of [{ temperature: 7 }, { messages: [] }, { prompt: "x" }, { toolChoice: "f" }, { other: 1 }]) {
      expect(Result.isFailure(check({ ...checked(), ...change }))).toBe(true)
    }
    expect(Result.isFailure(check(Object.create(checked(), { messages: { value: 7, enumerable: true } })))).toBe(true)
    expect(Result.getOrThrow(check({ ...checked(), seed: 1 }))).toMatchObject({ seed: 1 })
  })

  it("is checked again behind a proxy, and as a copy of all its properties", () => {
    const proxy = new Proxy(checked(), { get: (target, key) => (key === "temperature" ? 7 : Reflect.get(target, key)) })
    expect(Result.getOrThrow(check(proxy))).not.toHaveProperty("temperature", 7)
    const properties = Object.getOwnPropertyDescriptors(checked())
    const copy: unknown = Object.defineProperties({}, { ...properties, temperature: { value: 7, enumerable: true } })
    expect(Result.isFailure(check(copy))).toBe(true)
  })

  it("may get its bytes from a getter or a proxy, anew each time", () => {
    const png = () => new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0])
    const message = {
      role: "user",
      content: "x",
      get images() {
        return [png()]
      }
    }
    const chat = Result.getOrThrow(check({ model: "m", messages: [message] }))
    expect(chat.messages?.[0]?.images).toEqual([png()])
    const images = new Proxy([png()], { get: (target, key) => (key === "0" ? png() : Reflect.get(target, key)) })
    expect(Result.getOrThrow(check({ model: "m", prompt: "x", images })).images).toEqual([png()])
  })

  it("is no valid embedding request", () => {
    expect(Result.isFailure(Embedding.check(checked()))).toBe(true)
    const request = Result.getOrThrow(Embedding.check({ input: ["x"] }))
    expect(Result.getOrThrow(Embedding.validate({ ...request, model: "m" }))).toMatchObject({ input: ["x"] })
    expect(Result.getOrThrow(Embedding.check(request))).toBe(request)
    expect(Result.isFailure(check(request))).toBe(true)
  })

  it("cannot be changed, by its caller neither, whose own values can", () => {
    const own = given()
    const request = Result.getOrThrow(check(own))
    own.messages.push({ role: "nobody", content: "" })
    Object.assign(own, { temperature: "hot" })
    Object.assign(own.messages[0] ?? {}, { role: "nobody" })
    own.tools[0] = { name: "", parameters: {} }
    expect(request).toEqual(checked())
    const parts: ReadonlyArray<object> = [
      request,
      request.messages ?? [],
      ...(request.messages ?? []),
      ...(request.tools ?? [])
    ]
    for (const part of parts) expect(Object.isFrozen(part)).toBe(true)
    expect(Object.isFrozen(request.tools?.[0]?.parameters)).toBe(false)
  })
})
