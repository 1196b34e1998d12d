/** Bodies that clients of OpenAI's protocol send, and bodies that nobody should: what a gateway makes of them. */
import { describe, expect, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import * as Ollama from "../../src/protocol/ollama/endpoints.ts"
import * as Served from "../../src/protocol/openai/served.ts"
import * as Embeddings from "../../src/protocol/openai/servedEmbeddings.ts"
import * as Failures from "../../src/protocol/openai/servedFailures.ts"
import * as RequestBody from "../../src/protocol/requestBody.ts"
import type { CompletionRoute } from "../../src/protocol/served.ts"
import { openAiCompatible } from "../../src/servers/openAiCompatible.ts"
import type { JsonObject } from "../../src/values/json.ts"
import * as Json from "../../src/values/json.ts"

const messages = [{ role: "user", content: "Why?" }]
const tool = { type: "function", function: { name: "f", description: "d", parameters: { type: "object" } } }
const png = "data:image/png;base64,iVBORw0KGgo="

/** What a body adds to the least one, and what it adds to the request; the rest of the response as far as a test names it. */
interface Row {
  readonly body: object
  readonly request?: object
  readonly tuning?: object
  readonly only?: object
}

const turn = {
  role: "assistant",
  content: null,
  tool_calls: [{ id: "a", type: "function", function: { name: "f", arguments: '{"x":1}' } }]
}
const call = { id: "a", name: "f", arguments: { x: 1 } }
const asked = { role: "assistant", content: "", toolCalls: [call] }

const chats: { readonly [name: string]: Row } = {
  "nothing else": { body: {} },
  "the options of the AI SDK": {
    body: {
      user: "u",
      max_tokens: 100,
      temperature: 0,
      top_p: 0.9,
      frequency_penalty: 0.5,
      presence_penalty: -0.5,
      stop: ["END"],
      seed: 7,
      reasoning_effort: "low",
      verbosity: "low",
      tools: [tool],
      tool_choice: "auto"
    },
    request: {
      maxTokens: 100,
      temperature: 0,
      topP: 0.9,
      frequencyPenalty: 0.5,
      presencePenalty: -0.5,
      stop: ["END"],
      seed: 7,
      think: "low",
      tools: [{ name: "f", description: "d", parameters: { type: "object" } }],
      toolChoice: "auto"
    },
    tuning: { verbosity: "low" }
  },
  "the options of Zed": {
    body: {
      max_completion_tokens: 4096,
      tool_choice: { type: "function", function: { name: "f" } },
      parallel_tool_calls: false,
      tools: [tool],
      prompt_cache_key: "thread-1"
    },
    request: {
      maxTokens: 4096,
      tools: [{ name: "f", description: "d", parameters: { type: "object" } }],
      toolChoice: { name: "f" }
    },
    tuning: { parallel_tool_calls: false }
  },
  "the options of the SDK of Python, all without a value": {
    body: Object.fromEntries(
      [
        "temperature top_p n stop max_tokens presence_penalty frequency_penalty logit_bias logprobs top_logprobs user",
        "seed tools tool_choice response_format functions function_call parallel_tool_calls stream_options reasoning_effort",
        "audio modalities prediction store metadata service_tier prompt_cache_key max_completion_tokens"
      ].flatMap((names) => names.split(" ").map((name) => [name, null]))
    )
  },
  "values that ask for what is done anyway": {
    body: {
      n: 1,
      best_of: 1,
      logprobs: false,
      top_logprobs: 0,
      logit_bias: {},
      functions: [],
      function_call: "none",
      modalities: ["text"],
      tools: [],
      tool_choice: "auto",
      stop: "",
      response_format: { type: "text" },
      reasoning_effort: "",
      prompt_cache_key: "",
      max_tokens: -1,
      top_k: -1
    },
    request: { topK: 0 }
  },
  "fields that are not known": {
    body: {
      store: true,
      metadata: { a: "b" },
      service_tier: "auto",
      plugins: [{}],
      keep_alive: "5m",
      options: { x: 1 }
    }
  },
  "the samplers of LM Studio and llama.cpp": {
    body: { top_k: 40, min_p: 0.05, typical_p: 1, repeat_penalty: 1.1, cache_prompt: true, dry_multiplier: 0.8 },
    request: { topK: 40, minP: 0.05, typicalP: 1, repeatPenalty: 1.1 },
    tuning: { cache_prompt: true, dry_multiplier: 0.8 }
  },
  "the samplers of vLLM": {
    body: { repetition_penalty: 1.2, min_tokens: 3, ignore_eos: false },
    request: { repeatPenalty: 1.2 },
    tuning: { min_tokens: 3, ignore_eos: false }
  },
  "how long LM Studio keeps the model": { body: { ttl: 60 }, tuning: { ttl: 60 } },
  "a template": {
    body: { chat_template_kwargs: { enable_thinking: false, thinking_budget: 5 } },
    request: { think: false },
    tuning: { chat_template_kwargs: { thinking_budget: 5 } }
  },
  "no thinking": { body: { reasoning_effort: "none" }, request: { think: false } },
  "thinking as OpenRouter has it": { body: { reasoning: { effort: "high" } }, request: { think: "high" } },
  "probabilities of tokens": { body: { logit_bias: { "50256": -100 } }, only: { logit_bias: { "50256": -100 } } },
  "any JSON": { body: { response_format: { type: "json_object" } }, request: { format: "json" } },
  "JSON of a schema": {
    body: {
      response_format: { type: "json_schema", json_schema: { name: "x", strict: true, schema: { type: "object" } } }
    },
    request: { format: { type: "object" } }
  },
  "instructions of a developer": {
    body: { messages: [{ role: "developer", content: "Be brief." }, ...messages] },
    request: {
      messages: [
        { role: "system", content: "Be brief." },
        { role: "user", content: "Why?" }
      ]
    }
  },
  "texts and images": {
    body: {
      messages: [
        {
          role: "user",
          name: "Ann",
          content: [
            { type: "text", text: "What is it?" },
            { type: "image_url", image_url: { url: png, detail: "low" } },
            { type: "image_url", image_url: png }
          ]
        }
      ]
    },
    request: {
      messages: [
        {
          role: "user",
          content: [
            { type: "text", text: "What is it?" },
            { type: "image", image: png },
            { type: "image", image: png }
          ]
        }
      ]
    }
  },
  "a call and its result": {
    body: {
      messages: [...messages, turn, { role: "tool", tool_call_id: "a", content: [{ type: "text", text: "r" }] }]
    },
    request: {
      messages: [
        { role: "user", content: "Why?" },
        asked,
        { role: "tool", content: [{ type: "text", text: "r" }], toolCallId: "a" }
      ]
    }
  },
  "a result that only names its tool": {
    body: { messages: [turn, { role: "tool", name: "f", content: "r" }] },
    request: { messages: [asked, { role: "tool", content: "r", toolName: "f" }] }
  },
  "calls with the same id": {
    body: { messages: [turn, { role: "tool", tool_call_id: "a", content: "1" }, turn] },
    request: { messages: [asked, { role: "tool", content: "1", toolCallId: "a" }, asked] }
  },
  "arguments that are empty, absent or an object": {
    body: {
      messages: [
        {
          role: "assistant",
          tool_calls: ["", " ", undefined, {}, "{}"].map((value, i) => ({
            id: `${i}`,
            function: { name: "f", arguments: value }
          }))
        }
      ]
    },
    request: {
      messages: [
        {
          role: "assistant",
          content: "",
          toolCalls: Array.from({ length: 5 }, (_, i) => ({ id: `${i}`, name: "f", arguments: {} }))
        }
      ]
    }
  },
  "thinking of earlier completions": {
    body: {
      messages: ["reasoning_content", "reasoning", "thinking"].map((name) => ({
        role: "assistant",
        content: "A",
        [name]: "Hm"
      }))
    },
    request: { messages: Array.from({ length: 3 }, () => ({ role: "assistant", content: "A", thinking: "Hm" })) }
  },
  "a refusal": {
    body: {
      messages: [
        { role: "assistant", content: null, refusal: "No." },
        { role: "assistant", content: [{ type: "refusal", refusal: "No." }] }
      ]
    },
    request: {
      messages: [
        { role: "assistant", content: "No." },
        { role: "assistant", content: [{ type: "text", text: "No." }] }
      ]
    }
  },
  "a lone surrogate": {
    body: { messages: [{ role: "user", content: "\ud83d" }] },
    request: { messages: [{ role: "user", content: "\ud83d" }] }
  }
}

const check = (route: CompletionRoute, base: JsonObject, row: Row): void => {
  const { body, only = {}, request = {}, tuning = {} } = row
  const received = Result.getOrThrow(route.decode({ ...base, ...body }))
  expect(JSON.parse(JSON.stringify(received.request))).toEqual(JSON.parse(JSON.stringify({ ...base, ...request })))
  expect([received.tuning, received.only]).toEqual([{ extra: tuning }, only])
  expect(received.isStream).toBe(false)
}

describe("chats", () => {
  it.each(Object.entries(chats))("%s", (_, row) => check(Served.chat, { model: "m", messages }, row))

  it.each([
    [{}, false],
    [{ stream: null }, false],
    [{ stream: false, stream_options: { include_usage: true } }, false],
    [{ stream: true, stream_options: { include_usage: true, include_obfuscation: false } }, true]
  ])("%j", (body, isStream) =>
    expect(Result.getOrThrow(Served.chat.decode({ messages, ...body }))).toMatchObject({
      isStream,
      request: { model: undefined }
    })
  )
})

describe("plain completions", () => {
  const rows: { readonly [name: string]: Row } = {
    "a text": {
      body: { suffix: "", echo: false, best_of: 1, logprobs: null, max_tokens: 16 },
      request: { maxTokens: 16 }
    },
    "a list of one text": { body: { prompt: ["Once"] }, request: { prompt: "Once" } }
  }
  it.each(Object.entries(rows))("%s", (_, row) => check(Served.completion, { model: "m", prompt: "Once" }, row))
})

/** The param and the message of the failure. */
const refusal = (route: CompletionRoute, body: JsonObject): readonly [unknown, unknown] => {
  const result = route.decode(body)
  if (Result.isSuccess(result)) return ["nothing", "accepted"]
  const { body: failure, status } = Failures.fail(result.failure, result.failure.message)
  expect(status).toBe(400)
  const error = Json.get(failure, "error")
  return [Json.get(error, "param"), Json.get(error, "message")]
}

const ofUser = (...content: ReadonlyArray<unknown>) => ({ messages: [{ role: "user", content }] })
const ofCall = (call: object) => ({ messages: [{ role: "assistant", tool_calls: [call] }] })
const image = (url: unknown) => ofUser({ type: "image_url", image_url: { url } })
const first = "messages[0].tool_calls[0]"

describe("refuses", () => {
  it.each<readonly [param: string | null, body: object, message: RegExp]>([
    ["n", { n: 2 }, /Expected 1/],
    ["n", { n: "1" }, /Expected 1/],
    ["best_of", { best_of: 3 }, /Expected 1/],
    ["logprobs", { logprobs: true }, /not supported/],
    ["top_logprobs", { top_logprobs: 5 }, /not supported/],
    ["functions", { functions: [{ name: "f" }] }, /not supported/],
    ["function_call", { function_call: { name: "f" } }, /not supported/],
    ["audio", { audio: { voice: "x" } }, /not supported/],
    ["modalities", { modalities: ["text", "audio"] }, /not supported/],
    ["web_search_options", { web_search_options: { x: 1 } }, /not supported/],
    ["grammar", { grammar: "root ::= x" }, /not supported/],
    ["guided_json", { guided_json: { type: "object" } }, /not supported/],
    ["model", { model: "" }, /length/],
    ["model", { model: 5 }, /string/],
    ["messages", { messages: [] }, /length/],
    ["messages", { messages: "Why?" }, /array/],
    ["messages[0]", { messages: [null] }, /object/],
    ["messages[0].role", { messages: [{ content: "x" }] }, /Missing key/],
    ["messages[0].role", { messages: [{ role: "function", name: "f", content: "x" }] }, /Expected "system"/],
    ["messages[0].content", { messages: [{ role: "user", content: 5 }] }, /Expected string/],
    ["messages[0].content[0]", ofUser("x"), /object/],
    ["messages[0].content[0].text", ofUser({ type: "text" }), /string/],
    ["messages[0].content[0].type", ofUser({ type: "input_audio", input_audio: {} }), /Expected "text"/],
    ["messages[0].content[1].type", ofUser({ type: "text", text: "" }, { type: "file", file: {} }), /image_url/],
    ["messages[0].content[0].image_url", image("http://169.254.169.254/latest"), /data URI/],
    ["messages[0].content[0].image_url", image("file:///etc/passwd"), /data URI/],
    ["messages[0].content[0].image_url", image("data:image/png,raw"), /base64/],
    ["messages[0].content[0].image_url.url", image(5), /string/],
    ["messages[0]", { messages: [{ role: "tool", tool_call_id: "a", content: "r" }] }, /tool_call_id/],
    ["messages[0]", { messages: [{ role: "tool", content: "r" }] }, /tool_call_id/],
    [`${first}.function.arguments`, ofCall({ id: "a", function: { name: "f", arguments: "{" } }), /JSON/],
    [`${first}.function.arguments`, ofCall({ id: "a", function: { name: "f", arguments: "NaN" } }), /JSON/],
    [
      `${first}.function.arguments`,
      ofCall({ id: "a", function: { name: "f", arguments: "[".repeat(9999) + "]".repeat(9999) } }),
      /deeply/
    ],
    [
      `${first}.function.arguments`,
      ofCall({ id: "a", function: { name: "f", arguments: '{"__proto__":{"x":1}}' } }),
      /unsafe/
    ],
    [`${first}.function.name`, ofCall({ id: "a", function: {} }), /Missing key/],
    [`${first}.id`, ofCall({ function: { name: "f" } }), /Missing key/],
    [`${first}.type`, ofCall({ id: "a", type: "custom", function: { name: "f" } }), /function/],
    ["messages[0].tool_calls", { messages: [{ role: "assistant", tool_calls: "f" }] }, /array/],
    [
      "messages[0].tool_calls",
      { messages: [{ role: "user", content: "", tool_calls: [{ id: "a", function: { name: "f" } }] }] },
      /assistant/
    ],
    ["tools[0].type", { tools: [{ type: "web_search" }] }, /function/],
    ["tools[0].function", { tools: [{ type: "function" }] }, /object/],
    ["tools[0].function.name", { tools: [{ type: "function", function: { name: "" } }] }, /length/],
    [
      "tools[0].function.parameters",
      { tools: [{ type: "function", function: { name: "f", parameters: [] } }] },
      /object/
    ],
    ["tool_choice", { tool_choice: "required" }, /tools/],
    ["tool_choice", { tools: [tool], tool_choice: "any" }, /Expected "auto"/],
    [
      "tool_choice.function.name",
      { tools: [tool], tool_choice: { type: "function", function: { name: "g" } } },
      /one of the tools/
    ],
    ["response_format.type", { response_format: { type: "grammar" } }, /json_schema/],
    ["response_format.json_schema.schema", { response_format: { type: "json_schema" } }, /object/],
    ["temperature", { temperature: 5 }, /between 0 and 2/],
    ["temperature", { temperature: "0" }, /number/],
    ["temperature", { temperature: Infinity }, /number/],
    ["max_tokens", { max_tokens: 0 }, /greater/],
    ["max_tokens", { max_completion_tokens: 1e300 }, /integer/],
    ["seed", { seed: 2 ** 60 }, /integer/],
    ["stop[1]", { stop: ["a", ""] }, /length/],
    ["stop[0]", { stop: [5] }, /string/],
    ["logit_bias", { logit_bias: [1] }, /object/],
    ["stream", { stream: "true" }, /boolean/],
    ["stream_options.include_usage", { stream_options: { include_usage: 1 } }, /boolean/],
    ["reasoning_effort", { reasoning_effort: 5 }, /string/],
    ["prompt_cache_key", { prompt_cache_key: {} }, /string/]
  ])("%s: %j", (param, body, message) => {
    expect(refusal(Served.chat, { model: "m", messages, ...body })).toEqual([param, expect.stringMatching(message)])
  })

  it.each<readonly [param: string, body: object, message: RegExp]>([
    ["prompt", { prompt: "" }, /length/],
    ["prompt", { prompt: [1, 2] }, /tokens/],
    ["prompt", { prompt: [[1]] }, /tokens/],
    ["prompt", { prompt: ["a", "b"] }, /several/],
    ["prompt", { prompt: [] }, /one text/],
    ["prompt", { prompt: {} }, /string/],
    ["suffix", { suffix: "}" }, /not supported/],
    ["echo", { echo: true }, /not supported/],
    ["logprobs", { logprobs: 0 }, /not supported/]
  ])("a prompt with %s: %j", (param, body, message) => {
    expect(refusal(Served.completion, { model: "m", prompt: "x", ...body })).toEqual([
      param,
      expect.stringMatching(message)
    ])
  })
})

/** Values of every type, also those that no JSON text has. */
const junk = Arbitrary.map(
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000_000 }))),
  (i): unknown => values[i % values.length]
)

const deep: unknown = JSON.parse("[".repeat(20_000) + "]".repeat(20_000))
const proto: unknown = JSON.parse('{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}}}')
const values: ReadonlyArray<unknown> = [
  null,
  true,
  false,
  0,
  -0,
  -1,
  1.5,
  1e308,
  Number.MAX_SAFE_INTEGER,
  "",
  "x",
  "\ud83d",
  "__proto__",
  "data:;base64,%zz%ff",
  "x".repeat(100_000),
  [],
  [null],
  ["x"],
  [[]],
  [5],
  {},
  { type: "function" },
  { type: "text", text: 5 },
  { role: "user" },
  { url: {} },
  { name: "f", arguments: "{" },
  deep,
  { a: deep },
  proto
]

const commonNames = [
  "model stream stream_options temperature top_p top_k typical_p min_p seed stop max_tokens max_completion_tokens",
  "repeat_penalty presence_penalty frequency_penalty response_format ttl prompt_cache_key logit_bias n logprobs",
  "mirostat samplers parallel_tool_calls"
].flatMap((names) => names.split(" "))

const chatNames = [
  ...commonNames,
  "messages",
  "tools",
  "tool_choice",
  "reasoning_effort",
  "reasoning",
  "chat_template_kwargs"
]
const embeddingNames = ["model", "input", "dimensions", "encoding_format", "ttl"]

/** One junk value in each of some fields. */
const bodies = (base: JsonObject, names: ReadonlyArray<string>) =>
  Arbitrary.map(
    Arbitrary.array(
      Arbitrary.all([Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e6 }))), junk]),
      { minLength: 1, maxLength: 3 }
    ),
    (entries): JsonObject => ({
      ...base,
      ...Object.fromEntries(entries.map(([i, value]) => [names[i % names.length] ?? "", value]))
    })
  )

/** A message, a tool and a format whose inner fields are junk. */
const inner = Arbitrary.map(Arbitrary.array(junk, { minLength: 12, maxLength: 12 }), (v): JsonObject => {
  const part = { type: "text", text: v[0], image_url: v[1] }
  const call = { id: v[2] ?? "a", type: "function", function: { name: v[3] ?? "f", arguments: v[4] } }
  return {
    model: "m",
    messages: [
      { role: "user", content: [part, { type: "image_url", image_url: { url: v[5] } }] },
      { role: "assistant", content: v[6], tool_calls: [call], reasoning_content: v[7] },
      { role: "tool", tool_call_id: v[2] ?? "a", content: v[8] }
    ],
    tools: [{ type: "function", function: { name: "f", description: v[9], parameters: v[10] } }],
    response_format: { type: "json_schema", json_schema: { schema: v[11] } }
  }
})

/** Nothing throws on the way to a server, whatever a client sends. */
const pass = (route: CompletionRoute, body: JsonObject, names: ReadonlyArray<string>): void => {
  const received = route.decode(body)
  if (Result.isFailure(received)) {
    const [param, message] = refusal(route, body)
    expect([param, message]).toEqual([expect.any(String), expect.any(String)])
    expect(names).toContain(String(param).replace(/[[.].*/, ""))
    return
  }
  const { only, request, tuning } = received.success
  const complete: CompletionRequest = { ...request, extra: { ...tuning?.extra, ...only } }
  const endpoints =
    complete.messages === undefined
      ? [openAiCompatible.endpoints.completion, Ollama.generate]
      : [openAiCompatible.endpoints.chat, Ollama.chat]
  for (const { encode } of endpoints) {
    const sent = Result.flatMap(encode(complete), (json) => RequestBody.stringify(json))
    if (Result.isFailure(sent)) expect(sent.failure._tag).toMatch(/InvalidRequest|Unsupported/)
  }
}

describe("hostile bodies", () => {
  it.effect.prop("a chat", { body: bodies({ model: "m", messages }, chatNames) }, ({ body }) =>
    Effect.sync(() => pass(Served.chat, body, chatNames))
  )

  it.effect.prop("the parts of a chat", { body: inner }, ({ body }) =>
    Effect.sync(() => pass(Served.chat, body, chatNames))
  )

  const promptNames = [...commonNames, "prompt", "suffix", "echo"]
  it.effect.prop("a prompt", { body: bodies({ model: "m", prompt: "x" }, promptNames) }, ({ body }) =>
    Effect.sync(() => pass(Served.completion, body, promptNames))
  )

  it.effect.prop("texts to embed", { body: bodies({ model: "m", input: "x" }, embeddingNames) }, ({ body }) =>
    Effect.sync(() => {
      const received = Embeddings.decode(body)
      if (Result.isFailure(received)) {
        const { field } = { field: undefined, ...received.failure }
        expect(embeddingNames).toContain(String(field).replace(/\[.*/, ""))
      }
    })
  )

  it("nothing is polluted", () => expect(Json.get({}, "polluted")).toBeUndefined())
})
