/** What a gateway makes of requests as Ollama's clients write them, and of hostile ones. */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import * as Models from "../../src/protocol/ollama/servedModels.ts"
import { decodeChat, decodeGenerate } from "../../src/protocol/ollama/servedRequest.ts"
import type { Decode } from "../../src/protocol/served.ts"
import type { JsonObject } from "../../src/values/json.ts"

const user = { role: "user", content: "Hi" }
const context = { model: "m", id: "x", createdAt: 0 }

/** The message of the failure, or `undefined`. */
const faultOf = <A>(decode: Decode<A>, body: JsonObject): string | undefined =>
  Result.match(decode(body), { onFailure: ({ message }) => message, onSuccess: () => undefined })

const chat = (fields: JsonObject) => decodeChat({ model: "m", messages: [user], ...fields })
const generate = (fields: JsonObject) => decodeGenerate({ model: "m", prompt: "Once", ...fields })

describe("options", () => {
  it.each([
    ["no stream is a stream", {}, { isStream: true }],
    ["null is a stream", { stream: null }, { isStream: true }],
    ["the whole response", { stream: false }, { isStream: false }],
    ["no format", { format: "" }, { request: { overflow: "truncate" } }],
    ["a format", { format: "json" }, { request: { format: "json" } }],
    ["null everywhere", { format: null, options: null, tools: null, think: null, keep_alive: null }, { tuning: {} }],
    ["a level of thinking", { think: "high" }, { request: { think: "high" } }],
    ["no thinking", { think: false }, { request: { think: false }, isThinkOptional: true }],
    ["seconds", { keep_alive: 1800 }, { tuning: { keepAlive: Duration.minutes(30) } }],
    ["a duration of Go", { keep_alive: "1h30m" }, { tuning: { keepAlive: Duration.minutes(90) } }],
    ["fractions", { keep_alive: "1.5s" }, { tuning: { keepAlive: Duration.millis(1500) } }],
    ["for ever", { keep_alive: -1 }, { tuning: { keepAlive: Infinity } }],
    ["for ever as a text", { keep_alive: "-1m" }, { tuning: { keepAlive: Infinity } }],
    ["longer than Go can count", { keep_alive: 1e300 }, { tuning: { keepAlive: Infinity } }],
    ["at once", { keep_alive: "0" }, { tuning: { keepAlive: Duration.zero } }],
    ["one text as a stop", { options: { stop: "END" } }, { request: { stop: ["END"] } }],
    ["an empty stop", { options: { stop: ["", "END"] } }, { request: { stop: ["END"] } }],
    ["as many tokens as it takes", { options: { num_predict: -1 } }, { request: { maxTokens: undefined } }],
    [
      "whole numbers",
      { options: { num_ctx: 4096.7, top_k: 40.2 } },
      { request: { topK: 40 }, tuning: { contextLength: 4096 } }
    ],
    ["all tokens", { options: { top_k: -1 } }, { request: { topK: 0 } }],
    [
      "what only tunes",
      { options: { num_gpu: 1, use_mmap: true, nonsense: {} } },
      { tuning: { extra: { options: { num_gpu: 1, use_mmap: true } } } }
    ],
    [
      "a prompt that must be whole",
      { truncate: false, shift: false },
      { request: { overflow: undefined }, tuning: {} }
    ],
    ["but the context may move", { truncate: false }, { tuning: { extra: { shift: true } } }],
    ["fields of other versions", { unknown: { a: 1 }, tool_choice: "auto", width: 5 }, { isStream: true }]
  ])("%s", (_, fields, expected) => {
    for (const decode of [chat, generate]) expect(Result.getOrThrow(decode(fields))).toMatchObject(expected)
  })
})

describe("messages", () => {
  const call = (name: string, id?: string) => ({
    ...(id === undefined ? {} : { id }),
    function: { name, arguments: {} }
  })
  const messagesOf = (messages: ReadonlyArray<object>) =>
    Result.getOrThrow(decodeChat({ model: "m", messages })).request.messages

  it("results that name nothing, as ollama-py sends them, are those of the calls in their order", () => {
    const messages = [
      user,
      { role: "assistant", tool_calls: [call("f"), call("g")] },
      { role: "tool", content: "1" },
      { role: "tool", content: "2" },
      { role: "assistant", content: null, tool_calls: [call("f")] },
      { role: "tool", content: "3" }
    ]
    expect(messagesOf(messages)).toMatchObject([
      user,
      {
        content: "",
        toolCalls: [
          { id: "call_0", name: "f" },
          { id: "call_1", name: "g" }
        ]
      },
      { content: "1", toolCallId: "call_0" },
      { content: "2", toolCallId: "call_1" },
      { toolCalls: [{ id: "call_2" }] },
      { content: "3", toolCallId: "call_2" }
    ])
  })

  it("results that name a tool, or an id that no call has", () => {
    const messages = [
      user,
      { role: "assistant", tool_calls: [call("f", "a"), call("g", "b"), call("f", "c")] },
      { role: "tool", content: "1", tool_name: "g" },
      { role: "tool", content: "2", name: "f", tool_call_id: "lost" },
      { role: "tool", content: "3", tool_call_id: "c" }
    ]
    expect(messagesOf(messages)?.slice(2)).toEqual([
      { role: "tool", content: "1", toolCallId: "b", toolName: "g" },
      { role: "tool", content: "2", toolCallId: "a", toolName: "f" },
      { role: "tool", content: "3", toolCallId: "c" }
    ])
  })

  it("roles in any case, and texts that are null", () => {
    expect(messagesOf([{ role: "System", content: null, images: null, thinking: null }, user])).toEqual([
      { role: "system", content: "" },
      user
    ])
  })

  it("fields of results in other messages are left out", () => {
    expect(messagesOf([{ ...user, name: "Ann", tool_call_id: "a", tool_name: "f" }])).toEqual([user])
  })

  it("lone surrogates arrive", () => {
    expect(messagesOf([{ role: "user", content: "\ud83d" }])).toEqual([{ role: "user", content: "\ud83d" }])
  })

  it("tools without what they need not have", () => {
    const tools = [
      { function: { name: "f", description: null, parameters: null } },
      { type: "function", function: { name: "g" } }
    ]
    expect(Result.getOrThrow(chat({ tools })).request.tools).toEqual([{ name: "f" }, { name: "g" }])
  })
})

describe("generate", () => {
  const received = (fields: JsonObject) => Result.getOrThrow(generate(fields))

  it("the template of the model makes a prompt a message of the user", () => {
    const { only, request } = received({
      system: "Be brief.",
      images: ["iVBORw0KGgo="],
      think: true,
      options: { seed: 1 }
    })
    expect(only).toBeUndefined()
    expect(request).toEqual({
      model: "m",
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Once", images: ["iVBORw0KGgo="] }
      ],
      think: true,
      seed: 1,
      overflow: "truncate"
    })
  })

  it("a raw prompt is continued", () => {
    const { only, request } = received({ raw: true, images: ["iVBORw0KGgo="] })
    expect(request).toEqual({ model: "m", prompt: "Once", images: ["iVBORw0KGgo="], overflow: "truncate" })
    expect(only).toBeUndefined()
  })

  it.each([
    [{ suffix: "the end" }, { suffix: "the end", raw: false }],
    [{ suffix: "the end", raw: true }, { suffix: "the end" }],
    [
      { template: "{{ .Prompt }}", system: "s", think: "low" },
      { template: "{{ .Prompt }}", system: "s", think: "low", raw: false }
    ]
  ])("what only Ollama can do with a prompt: %o", (fields, only) => {
    expect(received(fields)).toMatchObject({ request: { prompt: "Once" }, only })
  })

  it.each([
    [{ context: [1, 2] }, "invalid context: send the conversation to /api/chat"],
    [{ raw: true, template: "t" }, "invalid template: Expected without raw"],
    [{ raw: true, system: "s" }, "invalid system: Expected without raw"]
  ])("what cannot be kept: %o", (fields, message) => {
    expect(Result.match(generate(fields), { onFailure: (reason) => reason.message, onSuccess: () => "" })).toBe(message)
  })

  it.each([{ context: [] }, { context: null }, { template: "", system: "", suffix: "", raw: false }])(
    "nothing: %o",
    (fields) => {
      expect(received(fields).request.messages).toEqual([{ role: "user", content: "Once" }])
    }
  )
})

describe("without input", () => {
  it.each([
    ["chat", decodeChat, { messages: [] }, { message: { role: "assistant", content: "" } }],
    ["chat", decodeChat, {}, { message: { role: "assistant", content: "" } }],
    ["generate", decodeGenerate, { prompt: "" }, { response: "" }],
    ["generate", decodeGenerate, { images: ["iVBORw0KGgo="], stream: true }, { response: "" }]
  ] as const)("%s loads a model, or unloads it", (_, decode, fields, empty) => {
    const completion = { content: "generated", toolCalls: [], model: "m", finishReason: "length" } as const
    const load = Result.getOrThrow(decode({ model: "m", keep_alive: "10m", options: { num_ctx: 8192 }, ...fields }))
    expect(load).toMatchObject({
      isStream: false,
      unloads: false,
      request: { maxTokens: 1 },
      tuning: { keepAlive: Duration.minutes(10), contextLength: 8192 }
    })
    const common = { model: "m", created_at: "1970-01-01T00:00:00.000Z", done: true }
    expect(load.encode(completion, context)).toEqual({ ...common, ...empty, done_reason: "load" })
    for (const keepAlive of [0, "0s", "0"]) {
      const unload = Result.getOrThrow(decode({ model: "m", keep_alive: keepAlive, ...fields }))
      expect(unload).toMatchObject({ isStream: false, unloads: true })
      expect(unload.encode(completion, context)).toEqual({ ...common, ...empty, done_reason: "unload" })
    }
  })
})

describe("what is wrong is named as the client names it", () => {
  const image = "https://example.com/cat.png"
  it.each([
    [{ model: null }, "invalid model: it is required"],
    [{ model: "" }, "invalid model: it is required"],
    [{ model: 5 }, "invalid model: Expected string"],
    [{ stream: "yes" }, "invalid stream: Expected boolean"],
    [{ options: [] }, "invalid options: Expected object"],
    [{ options: { temperature: "hot" } }, "invalid options.temperature: Expected number"],
    [{ options: { temperature: 3 } }, "invalid options.temperature: Expected a value between 0 and 2"],
    [{ options: { top_p: 1e9 } }, "invalid options.top_p: Expected a value between 0 and 1"],
    [{ options: { num_ctx: 1e300 } }, "invalid options.num_ctx: Expected an integer"],
    [{ options: { num_predict: 1e300 } }, "invalid options.num_predict: Expected an integer"],
    [{ options: { seed: Infinity } }, "invalid options.seed: Expected a finite number"],
    [{ options: { seed: 1e300 } }, "invalid options.seed: Expected an integer"],
    [{ options: { num_gpu: {} } }, "invalid options.num_gpu: Expected number | boolean"],
    [{ options: { stop: [5] } }, "invalid options.stop[0]: Expected string"],
    [{ keep_alive: "300" }, 'invalid keep_alive: Expected a number of seconds, or a duration such as "5m"'],
    [{ keep_alive: "5 minutes" }, 'invalid keep_alive: Expected a number of seconds, or a duration such as "5m"'],
    [
      { keep_alive: "1h".repeat(1e5) + "x" },
      'invalid keep_alive: Expected a number of seconds, or a duration such as "5m"'
    ],
    [{ keep_alive: {} }, "invalid keep_alive: Expected number | string"],
    [{ format: "xml" }, 'invalid format: Expected "json" | ""'],
    [{ think: 5 }, "invalid think: Expected boolean | string"],
    [{ logprobs: true }, "invalid logprobs: they cannot be reported"],
    [{ top_logprobs: 3 }, "invalid top_logprobs: they cannot be reported"],
    [{ _debug_render_only: true }, "invalid _debug_render_only: it is not supported"]
  ])("%o", (fields, message) => {
    expect(faultOf(decodeChat, { model: "m", messages: [user], ...fields })).toBe(message)
    expect(faultOf(decodeGenerate, { model: "m", prompt: "Once", ...fields })).toBe(message)
  })

  it.each([
    [{ messages: {} }, "invalid messages: Expected array"],
    [{ messages: [5] }, "invalid messages[0]: Expected object"],
    [{ messages: [{}] }, "invalid messages[0].role: Missing key"],
    [{ messages: [{ role: "boss" }] }, 'invalid messages[0].role: Expected "system" | "user" | "assistant" | "tool"'],
    [
      { messages: [{ ...user, content: [{ type: "text", text: "Hi" }] }] },
      "invalid messages[0].content: Expected string"
    ],
    [
      { messages: [user, { ...user, images: [image] }] },
      "invalid messages[1].images[0]: Expected bytes or base64 text; servers do not load images"
    ],
    [{ messages: [{ ...user, images: [[137, 80]] }] }, "invalid messages[0].images[0]: Expected string"],
    [
      { messages: [{ ...user, images: [""] }] },
      "invalid messages[0].images[0]: Expected a value with a length of at least 1"
    ],
    [
      { messages: [user, { role: "tool", content: "1" }] },
      "invalid messages[1]: Expected toolCallId or toolName of a call in an earlier assistant message"
    ],
    [
      { messages: [{ ...user, tool_calls: [{ function: { name: "f" } }] }] },
      "invalid messages[0].tool_calls: Expected with the role assistant only"
    ],
    [
      { messages: [{ role: "assistant", tool_calls: [{ function: { name: "f", arguments: "{}" } }] }] },
      "invalid messages[0].tool_calls[0].function.arguments: Expected object"
    ],
    [{ tools: [{ type: "function" }] }, "invalid tools[0].function: Missing key"],
    [
      { tools: [{ function: { name: "" } }] },
      "invalid tools[0].function.name: Expected a value with a length of at least 1"
    ],
    [{ tools: [{ function: { name: "f", parameters: [] } }] }, "invalid tools[0].function.parameters: Expected object"]
  ])("chat: %o", (fields, message) => {
    expect(faultOf(decodeChat, { model: "m", messages: [user], ...fields })).toBe(message)
  })

  it.each([
    [{ prompt: 5 }, "invalid prompt: Expected string"],
    [{ images: [image] }, "invalid images[0]: Expected bytes or base64 text; servers do not load images"],
    [{ images: [image], raw: true }, "invalid images[0]: Expected bytes or base64 text; servers do not load images"],
    [{ images: [image], system: "s" }, "invalid images[0]: Expected bytes or base64 text; servers do not load images"],
    [{ suffix: 5 }, "invalid suffix: Expected string"],
    [{ context: ["a"] }, "invalid context[0]: Expected number"]
  ])("generate: %o", (fields, message) => {
    expect(faultOf(decodeGenerate, { model: "m", prompt: "Once", ...fields })).toBe(message)
  })
})

describe("embeddings", () => {
  const received = (fields: JsonObject) => Result.getOrThrow(Models.decodeEmbed({ model: "m", ...fields }))

  it.each([
    [{ input: "a" }, { request: { input: "a" }, tuning: { extra: { truncate: true } } }],
    [
      { input: ["a", "b"], truncate: false },
      { request: { input: ["a", "b"] }, tuning: {} }
    ],
    [
      { input: "a", truncate: true },
      { request: { input: "a" }, tuning: { extra: { truncate: true } } }
    ],
    [
      { input: "a", dimensions: 64, keep_alive: "5m" },
      { request: { dimensions: 64 }, tuning: { keepAlive: Duration.minutes(5) } }
    ],
    [{ input: "a", dimensions: 0, options: { num_gpu: 1 } }, { tuning: { extra: { options: { num_gpu: 1 } } } }],
    [{ input: "" }, { request: { input: [] } }],
    [{}, { request: { input: [] } }]
  ])("%o", (fields, expected) => {
    expect(received(fields)).toMatchObject(expected)
  })

  it("the vectors", () => {
    const embedding = { model: "real", vectors: [[1, 2]], promptTokens: 3 }
    expect(received({ input: "a" }).encode(embedding, context)).toEqual({
      model: "m",
      embeddings: [[1, 2]],
      prompt_eval_count: 3
    })
    const old = Result.getOrThrow(Models.decodeEmbeddings({ model: "m", prompt: "a" }))
    expect(old.request).toEqual({ model: "m", input: "a" })
    expect(old.encode(embedding, context)).toEqual({ embedding: [1, 2] })
    const empty = Result.getOrThrow(Models.decodeEmbeddings({ model: "m" }))
    expect(empty.encode({ model: "m", vectors: [] }, context)).toEqual({ embedding: [] })
  })

  it.each([
    [{ input: 5 }, "invalid input: Expected string | array"],
    [{ input: [5] }, "invalid input[0]: Expected string"],
    [{ input: ["a", ""] }, "invalid input[1]: Expected a value with a length of at least 1"],
    [{ input: "a", dimensions: 1.5 }, "invalid dimensions: Expected an integer"],
    [{ input: "a", dimensions: -1 }, "invalid dimensions: Expected a value greater than or equal to 1"],
    [{ input: "a", truncate: "no" }, "invalid truncate: Expected boolean"],
    [{ input: "a", keep_alive: "x" }, 'invalid keep_alive: Expected a number of seconds, or a duration such as "5m"'],
    [{ input: "a", model: null }, "invalid model: it is required"]
  ])("%o", (fields, message) => {
    expect(faultOf(Models.decodeEmbed, { model: "m", ...fields })).toBe(message)
  })
})

it.each([
  [{ model: "a" }, "a"],
  [{ name: "a" }, "a"],
  [{ name: "a", model: "" }, "a"],
  [{ name: "old", model: "new", verbose: true, system: "" }, "new"],
  [{}, undefined],
  [{ model: {} }, undefined]
])("the model that %o is about", (body, name) => {
  expect(Result.getOrUndefined(Models.decodeName(body))).toBe(name)
  expect(Result.getOrUndefined(Models.decodePull(body))?.model).toBe(name)
})
