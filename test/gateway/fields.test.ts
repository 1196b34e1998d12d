/** The tables of `docs/gateway.md` that say what becomes of each field of a request. */
import { describe, expect, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import * as Messages from "../../src/protocol/anthropic/messages.ts"
import * as OllamaModels from "../../src/protocol/ollama/servedModels.ts"
import * as Ollama from "../../src/protocol/ollama/servedRequest.ts"
import * as Responses from "../../src/protocol/openai/responses.ts"
import * as OpenAi from "../../src/protocol/openai/served.ts"
import * as Embeddings from "../../src/protocol/openai/servedEmbeddings.ts"
import type { Decode, ReceivedCompletion, ReceivedEmbedding } from "../../src/protocol/served.ts"
import type * as Json from "../../src/values/json.ts"

interface Route {
  readonly decode: Decode<ReceivedCompletion | ReceivedEmbedding>
  /** The least body. */
  readonly base: Json.JsonObject
}

interface Protocol {
  readonly routes: ReadonlyArray<Route>
  /** Fields that are objects, whose own fields have rows. */
  readonly nested: ReadonlyArray<string>
  /** For each field a value that asks for something. */
  readonly values: Readonly<Record<string, unknown>>
}

const messages = [{ role: "user", content: "Why?" }]
const schema = { type: "object" }
const chatTool = { type: "function", function: { name: "f", parameters: schema } }

const responsesTool = { type: "function", name: "f", parameters: schema }
const anthropicTool = { name: "f", input_schema: schema }

const each = (names: string, value: unknown): Readonly<Record<string, unknown>> =>
  Object.fromEntries(names.split(" ").map((name) => [name, value]))

const ollama: Protocol = {
  routes: [
    { decode: Ollama.decodeChat, base: { model: "m", messages } },
    { decode: Ollama.decodeGenerate, base: { model: "m", prompt: "Once" } },
    { decode: OllamaModels.decodeEmbed, base: { model: "m", input: "Why?" } },
    { decode: OllamaModels.decodeEmbeddings, base: { model: "m", prompt: "Why?" } }
  ],
  nested: ["options"],
  values: {
    ...each("model prompt system suffix template input options.stop", "x"),
    ...each("stream truncate shift", false),
    ...each("raw think logprobs _debug_render_only", true),
    ...each("top_logprobs keep_alive dimensions", 5),
    messages: [{ role: "user", content: "x" }],
    images: ["aGk="],
    tools: [chatTool],
    format: "json",
    context: [1],
    ...each("options.temperature options.top_p options.min_p options.typical_p options.repeat_penalty", 0.5),
    ...each("options.presence_penalty options.frequency_penalty", 0.5),
    ...each("options.top_k options.seed options.num_predict options.num_ctx options.num_keep options.repeat_last_n", 5),
    ...each("options.mirostat options.mirostat_tau options.mirostat_eta options.tfs_z options.num_batch", 1),
    ...each("options.num_gpu options.main_gpu options.num_thread options.draft_num_predict", 1),
    ...each("options.penalize_newline options.numa options.low_vram options.f16_kv options.logits_all", true),
    ...each("options.vocab_only options.use_mmap options.use_mlock", true)
  }
}

const openAi: Protocol = {
  routes: [
    { decode: OpenAi.chat.decode, base: { model: "m", messages, stream: true, tools: [chatTool] } },
    { decode: OpenAi.completion.decode, base: { model: "m", prompt: "Once", stream: true } },
    { decode: Embeddings.decode, base: { model: "m", input: "Why?" } }
  ],
  nested: ["stream_options", "reasoning", "chat_template_kwargs"],
  values: {
    ...each("model prompt stop input suffix grammar guided_regex guided_grammar", "x"),
    ...each("draft_model preset verbosity prompt_cache_key service_tier user", "x"),
    messages: [{ role: "user", content: "x" }],
    stream: false,
    "stream_options.include_usage": true,
    ...each("temperature top_p min_p typical_p repeat_penalty repetition_penalty", 0.5),
    ...each("presence_penalty frequency_penalty", 0.5),
    ...each("top_k seed max_completion_tokens max_tokens dimensions ttl repeat_last_n n best_of top_logprobs", 5),
    ...each("prompt_logprobs min_tokens length_penalty mirostat mirostat_tau mirostat_eta dynatemp_range", 1),
    ...each("dynatemp_exponent xtc_probability xtc_threshold top_n_sigma dry_multiplier dry_base", 1),
    ...each("dry_allowed_length dry_penalty_last_n", 1),
    ...each("logprobs echo continue_final_message ignore_eos cache_prompt store", true),
    parallel_tool_calls: false,
    ...each("samplers dry_sequence_breakers guided_choice", ["x"]),
    response_format: { type: "json_object" },
    tools: [],
    tool_choice: "none",
    ...each("reasoning_effort reasoning.effort", "low"),
    "chat_template_kwargs.enable_thinking": false,
    chat_template_kwargs: { x: 1 },
    encoding_format: "base64",
    logit_bias: { 5: 1 },
    ...each("audio web_search_options metadata json_schema guided_json structured_outputs prediction", { x: 1 }),
    modalities: ["text", "audio"],
    functions: [{ name: "f" }],
    function_call: { name: "f" }
  }
}

const responses: Protocol = {
  routes: [{ decode: Responses.responses.decode, base: { model: "m", input: "Why?", tools: [responsesTool] } }],
  nested: ["text", "reasoning"],
  values: {
    ...each(
      "model input instructions previous_response_id conversation prompt prompt_cache_key service_tier user",
      "x"
    ),
    ...each("stream background store", true),
    ...each("max_output_tokens top_logprobs", 5),
    ...each("temperature top_p", 0.5),
    truncation: "auto",
    tools: [],
    tool_choice: { type: "function", name: "f" },
    "text.format": { type: "json_object" },
    "reasoning.effort": "low",
    moderation: { x: 1 },
    include: ["reasoning.encrypted_content"],
    metadata: { x: "y" },
    parallel_tool_calls: false
  }
}

const anthropic: Protocol = {
  routes: [{ decode: Messages.messages.decode, base: { model: "m", messages, max_tokens: 9, tools: [anthropicTool] } }],
  nested: ["output_config"],
  values: {
    ...each("model system service_tier inference_geo container", "x"),
    messages: [{ role: "user", content: "x" }],
    ...each("max_tokens top_k", 5),
    ...each("temperature top_p", 0.5),
    stop_sequences: ["x"],
    stream: true,
    tools: [],
    tool_choice: { type: "tool", name: "f" },
    thinking: { type: "disabled" },
    ...each("output_config.format output_format", { type: "json_schema", schema }),
    mcp_servers: [{ name: "x" }],
    cache_control: { type: "ephemeral" },
    context_management: { edits: [] },
    metadata: { user_id: "x" }
  }
}

/** By the heading above the table. */
const protocols: Readonly<Record<string, Protocol>> = {
  Ollama: ollama,
  "OpenAI: chat, completions, embeddings": openAi,
  "OpenAI: responses": responses,
  Anthropic: anthropic
}

const page = readFileSync(new URL("../../docs/gateway.md", import.meta.url), "utf8")

/** What the table of a protocol says of each field. */
const readTable = (name: string): ReadonlyMap<string, string> => {
  const [, section = ""] = page.split(`\n### ${name}\n`)
  const [rows = ""] = section.split(/\n##/)
  const documented = new Map<string, string>()
  for (const [, fields = "", behaviour = ""] of rows.matchAll(/^\| (`.*?) *\| (.*?) *\|$/gm)) {
    const [, parent, names = fields] = /^`(\w+)`: (.*)/.exec(fields) ?? []
    for (const [, field = ""] of names.matchAll(/`([\w.]+)`/g)) {
      const path = parent === undefined ? field : `${parent}.${field}`
      expect([path, documented.has(path)]).toEqual([path, false])
      documented.set(path, behaviour.replace("for embeddings ", ""))
    }
  }
  return documented
}

const withField = (base: Json.JsonObject, path: string, value: unknown): Json.JsonObject => {
  const [first = "", second] = path.split(".")
  return { ...base, [first]: second === undefined ? value : { [second]: value } }
}

const context = { model: "m", id: "id", createdAt: 0 }

/** What a received request is, apart from what is passed on. OpenAI's responses repeat the request, which decides nothing. */
const fingerprint = (received: ReceivedCompletion | ReceivedEmbedding, path: string): string => {
  const { request } = received
  if (!("makeWriter" in received)) {
    return JSON.stringify([request, received.encode({ vectors: [[0.5]], model: "m" }, context)])
  }
  const usage = { promptTokens: 1, completionTokens: 1, totalTokens: 2 }
  const end = path.startsWith("stream_options")
    ? received.makeWriter(context).chunk({ content: "", isFinal: true, model: "m", finishReason: "stop", usage })
    : ""
  return JSON.stringify([request, received.isStream, end])
}

const observe = ({ base, decode }: Route, path: string, value: unknown): string => {
  const result = decode(withField(base, path, value))
  if (Result.isFailure(result)) {
    const { failure } = result
    const field = failure._tag === "InvalidRequest" ? failure.field : undefined
    return field === path || field?.startsWith(`${path}.`) === true ? "400" : `${failure.message}`
  }
  const before = Result.getOrThrow(decode(base))
  const after = result.success
  if ("only" in after && JSON.stringify(after.only) !== JSON.stringify("only" in before ? before.only : undefined)) {
    return "passed on, else 400"
  }
  if (fingerprint(after, path) !== fingerprint(before, path)) return "mapped"
  return JSON.stringify(after.tuning) === JSON.stringify(before.tuning) ? "ignored" : "passed on, else ignored"
}

/** What the routes do that know the field. A route without it ignores it. */
const observeAll = ({ routes }: Protocol, path: string, value: unknown): string => {
  const all = new Set(routes.map((route) => observe(route, path, value)))
  if (all.size > 1) all.delete("ignored")
  return [...all].join("; ")
}

/** The fields that are looked at when a body is decoded. */
const findRead = ({ nested, routes }: Protocol): ReadonlySet<string> => {
  const read = new Set<string>()
  const watch = <A extends object>(object: A, prefix: string): A => {
    const note = (key: PropertyKey): void => {
      if (typeof key === "string" && !(key in Object.prototype) && key !== "toJSON") read.add(prefix + key)
    }
    return new Proxy(object, {
      get: (target, key): unknown => (note(key), Reflect.get(target, key)),
      has: (target, key) => (note(key), Reflect.has(target, key)),
      getOwnPropertyDescriptor: (target, key) => (note(key), Reflect.getOwnPropertyDescriptor(target, key))
    })
  }
  for (const { base, decode } of routes) {
    const objects = nested.map((name) => [name, watch({}, `${name}.`)] as const)
    expect(Result.isSuccess(decode(watch({ ...base, ...Object.fromEntries(objects) }, "")))).toBe(true)
  }
  return read
}

describe.each(Object.entries(protocols))("%s", (name, protocol) => {
  const documented = readTable(name)

  it("each documented field does what the table says", () => {
    const observed = Array.from(documented.keys(), (path) => [path, observeAll(protocol, path, protocol.values[path])])
    expect(Object.fromEntries(observed)).toEqual(Object.fromEntries(documented))
  })

  it("each field that is read is documented", () => {
    const read = [...findRead(protocol)].filter((path) => !protocol.nested.includes(path))
    expect(read.length).toBeGreaterThan(10)
    expect(read.filter((path) => !documented.has(path))).toEqual([])
  })

  it("each field has a value here", () => {
    expect([...documented.keys()].toSorted()).toEqual(Object.keys(protocol.values).toSorted())
  })
})
