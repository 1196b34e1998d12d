/** What goes to Ollama, and what is made of what comes back, as far as servers and versions differ. */
import { describe, it } from "@effect/vitest"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Message } from "../../src/CompletionRequest.ts"
import { chat, generate } from "../../src/internal/ollama/endpoints.ts"
import type { Expected } from "../support/decoding.ts"
import { check } from "../support/decoding.ts"
import { checkRequests } from "../support/encoding.ts"

const messages: ReadonlyArray<Message> = [{ role: "user", content: "Why?" }]
const whole = { stream: true, truncate: false, shift: false }
const chatBody = { model: "m", messages, options: {}, ...whole }
const generateBody = { model: "m", prompt: "Once", raw: true, options: {}, ...whole }

const Weather = Schema.Struct({ city: Schema.String, celsius: Schema.Finite })
const weatherJsonSchema = {
  type: "object",
  properties: { city: { type: "string" }, celsius: { type: "number" } },
  required: ["city", "celsius"],
  additionalProperties: false
}
class WeatherClass extends Schema.Class<WeatherClass>("Weather")({ city: Schema.String, celsius: Schema.Finite }) {}
interface Tree {
  readonly children: ReadonlyArray<Tree>
}
const Tree = Schema.Struct({ children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree)) }).annotate({
  identifier: "Tree"
})
const unrepresentable = Schema.suspend((): Schema.Codec<string> => {
  throw new Error("no")
})
const withMessage = (message: object): object => ({ ...chatBody, messages: [message] })

checkRequests(
  "a chat request",
  chat,
  { messages },
  {
    "with nothing set": [{}, chatBody],
    temperature: [{ temperature: 0.2 }, { ...chatBody, options: { temperature: 0.2 } }],
    topP: [{ topP: 0.9 }, { ...chatBody, options: { top_p: 0.9 } }],
    topK: [{ topK: 40 }, { ...chatBody, options: { top_k: 40 } }],
    minP: [{ minP: 0.1 }, { ...chatBody, options: { min_p: 0.1 } }],
    seed: [{ seed: 7 }, { ...chatBody, options: { seed: 7 } }],
    stop: [{ stop: ["a", "b"] }, { ...chatBody, options: { stop: ["a", "b"] } }],
    maxTokens: [{ maxTokens: 5 }, { ...chatBody, options: { num_predict: 5 } }],
    repeatPenalty: [{ repeatPenalty: 1.1 }, { ...chatBody, options: { repeat_penalty: 1.1 } }],
    presencePenalty: [{ presencePenalty: 1 }, { ...chatBody, options: { presence_penalty: 1 } }],
    frequencyPenalty: [{ frequencyPenalty: -1 }, { ...chatBody, options: { frequency_penalty: -1 } }],
    "think: true": [{ think: true }, { ...chatBody, think: true }],
    "think: false": [{ think: false }, { ...chatBody, think: false }],
    "think: high": [{ think: "high" }, { ...chatBody, think: "high" }],
    "keepAlive in seconds": [{ keepAlive: "2 minutes" }, { ...chatBody, keep_alive: 120 }],
    "keepAlive: 0": [{ keepAlive: 0 }, { ...chatBody, keep_alive: 0 }],
    "keepAlive for good": [{ keepAlive: "Infinity" }, { ...chatBody, keep_alive: -1 }],
    "overflow: truncate": [{ overflow: "truncate" }, { model: "m", messages, options: {}, stream: true }],
    "overflow: fail": [{ overflow: "fail" }, chatBody],
    "format: json": [{ format: "json" }, { ...chatBody, format: "json" }],
    "format: a JSON Schema": [{ format: { type: "array" } }, { ...chatBody, format: { type: "array" } }],
    "format: a Schema": [{ format: Weather }, { ...chatBody, format: weatherJsonSchema }],
    "format: a class": [{ format: WeatherClass }, { ...chatBody, format: weatherJsonSchema }],
    "format: a Schema that holds itself": [
      { format: Tree },
      {
        ...chatBody,
        format: {
          type: "object",
          properties: { children: { type: "array", items: { $ref: "#/$defs/Tree" } } },
          required: ["children"],
          additionalProperties: false,
          $defs: {
            Tree: {
              type: "object",
              properties: { children: { type: "array", items: { $ref: "#/$defs/Tree" } } },
              required: ["children"],
              additionalProperties: false
            }
          }
        }
      }
    ],
    tools: [
      {
        tools: [
          { name: "now" },
          { name: "weather", description: "Of a city", parameters: Weather },
          { name: "raw", parameters: { type: "object" } }
        ]
      },
      {
        ...chatBody,
        tools: [
          { type: "function", function: { name: "now", parameters: { type: "object", properties: {} } } },
          { type: "function", function: { name: "weather", description: "Of a city", parameters: weatherJsonSchema } },
          { type: "function", function: { name: "raw", parameters: { type: "object" } } }
        ]
      }
    ],
    "no tools": [{ tools: [] }, chatBody],
    "pictures as bytes, base64 and data URI": [
      {
        messages: [
          { role: "user", content: "x", images: [new Uint8Array([104, 105]), "aGk=", "data:image/png;base64,aGk="] }
        ]
      },
      withMessage({ role: "user", content: "x", images: ["aGk=", "aGk=", "aGk="] })
    ],
    "an earlier answer with thinking and calls": [
      {
        messages: [
          { role: "assistant", content: "", thinking: "Hm", toolCalls: [{ id: "c1", name: "f", arguments: { a: 1 } }] }
        ]
      },
      withMessage({
        role: "assistant",
        content: "",
        thinking: "Hm",
        tool_calls: [{ id: "c1", function: { name: "f", arguments: { a: 1 } } }]
      })
    ],
    "the result of a tool": [
      { messages: [{ role: "tool", content: "22", toolCallId: "c1", toolName: "f" }] },
      withMessage({ role: "tool", content: "22", tool_call_id: "c1", tool_name: "f" })
    ],
    "extra options beside those that are set": [
      { temperature: 0, extra: { options: { num_ctx: 8192 } } },
      { ...chatBody, options: { temperature: 0, num_ctx: 8192 } }
    ],
    "extra in place of what is set": [
      { keepAlive: 5, temperature: 0, extra: { keep_alive: "1h", truncate: true, options: { temperature: 1 } } },
      { ...chatBody, keep_alive: "1h", truncate: true, options: { temperature: 1 } }
    ],
    "extra keys of its own": [{ extra: { logprobs: true } }, { ...chatBody, logprobs: true }],

    "arguments that are no object": [
      { messages: [{ role: "assistant", content: "", toolCalls: [{ id: "c1", name: "f", arguments: "{}" }] }] },
      { _tag: "InvalidRequest", field: "messages[0].toolCalls[0].arguments", description: "Expected an object" }
    ],
    "a format without a JSON Schema": [
      { format: unrepresentable },
      { _tag: "InvalidRequest", field: "format", description: "this Schema has no JSON Schema" }
    ],
    "parameters without a JSON Schema": [
      { tools: [{ name: "f" }, { name: "g", parameters: unrepresentable }] },
      { _tag: "InvalidRequest", field: "tools[1].parameters", description: "this Schema has no JSON Schema" }
    ]
  }
)

checkRequests(
  "a prompt",
  generate,
  { prompt: "Once" },
  {
    "goes without a template": [{}, generateBody],
    "with pictures": [{ images: [new Uint8Array([104, 105])] }, { ...generateBody, images: ["aGk="] }],
    "with sampling": [
      { temperature: 1, maxTokens: 3, format: "json", keepAlive: "1 hour" },
      { ...generateBody, format: "json", keep_alive: 3600, options: { temperature: 1, num_predict: 3 } }
    ],
    "with a template after all": [{ extra: { raw: false } }, { ...generateBody, raw: false }]
  }
)

// --- answers

const say = (content: string, more: object = {}): object => ({
  message: { role: "assistant", content, ...more },
  done: false
})
const call = (name: string, more: object = {}): object => ({
  function: { name, arguments: { city: "Paris" } },
  ...more
})
const done = { message: { role: "assistant", content: "" }, done: true, done_reason: "stop" }
const doneWith = (more: object): object => ({
  message: { role: "assistant", content: "", ...more },
  done: true,
  done_reason: "stop"
})

const final = (more: object = {}): object => ({ model: "asked", finishReason: "stop", ...more })
const failure = (_tag: string, fields: object = {}): object => ({ _tag, ...fields })
const called = (name: string, id: string): object => ({ id, name, arguments: { city: "Paris" } })

interface Row extends Expected {
  /** Values are written as JSON, texts go as they are. */
  readonly lines: ReadonlyArray<unknown>
}

const answers: Readonly<Record<string, Row>> = {
  "text, then the end": { lines: [say("Hi"), done], pieces: "Hi|", final: final() },
  "the end alone": { lines: [done], final: final() },
  "an empty delta in the middle": { lines: [say("a"), say(""), say("b"), done], pieces: "a||b|", final: final() },
  "thinking and text in one line": { lines: [say("Hi", { thinking: "Hm" }), done], pieces: "(Hm)Hi|", final: final() },
  "empty thinking is none": { lines: [say("Hi", { thinking: "" }), done], pieces: "Hi|", final: final() },
  "text, thinking and calls in the last line": {
    lines: [say("a"), doneWith({ content: "b", thinking: "c", tool_calls: [call("f")] })],
    pieces: "a|(c)b",
    calls: [called("f", "call_0")],
    final: final({ finishReason: "tool-calls" })
  },
  "calls before the end": {
    lines: [say("", { tool_calls: [call("f", { id: "call_x" })] }), done],
    pieces: "|",
    calls: [called("f", "call_x")],
    final: final({ finishReason: "tool-calls" })
  },
  "calls in several lines, ids made up where there are none": {
    lines: [
      say("", { tool_calls: [call("f"), call("g", { id: "" })] }),
      say("", { tool_calls: [call("h", { id: "x" })] }),
      doneWith({ tool_calls: [call("i", { id: null })] })
    ],
    pieces: "||",
    calls: [called("f", "call_0"), called("g", "call_1"), called("h", "x"), called("i", "call_3")],
    final: final({ finishReason: "tool-calls" })
  },
  "a call without arguments": {
    lines: [say("", { tool_calls: [{ function: { name: "f" } }, { function: { name: "g", arguments: null } }] }), done],
    pieces: "|",
    calls: [
      { id: "call_0", name: "f", arguments: {} },
      { id: "call_1", name: "g", arguments: {} }
    ],
    final: final({ finishReason: "tool-calls" })
  },
  "an empty list of calls is none": { lines: [say("a", { tool_calls: [] }), done], pieces: "a|", final: final() },

  "done without a reason": { lines: [{ ...done, done_reason: undefined }], final: final({ finishReason: "other" }) },
  "an empty reason": { lines: [{ ...done, done_reason: "" }], final: final({ finishReason: "other" }) },
  "an unknown reason": { lines: [{ ...done, done_reason: "weird" }], final: final({ finishReason: "other" }) },
  length: { lines: [{ ...done, done_reason: "length" }], final: final({ finishReason: "length" }) },
  load: { lines: [{ ...done, done_reason: "load" }], final: final({ finishReason: "other" }) },
  unload: { lines: [{ ...done, done_reason: "unload" }], final: final({ finishReason: "other" }) },
  "a reason without done": { lines: [say("a"), { ...done, done: undefined }], pieces: "a|", final: final() },
  "a reason in a line that is not done": {
    lines: [{ ...say("a"), done_reason: "stop" }, done],
    pieces: "a|",
    final: final()
  },

  "usage and timings": {
    lines: [
      {
        ...done,
        model: "told",
        prompt_eval_count: 8,
        eval_count: 3,
        total_duration: 4_000_000,
        load_duration: 0,
        prompt_eval_duration: 1,
        eval_duration: 2.6
      }
    ],
    final: final({
      model: "told",
      usage: [8, 3, 11],
      timings: { total: 4, load: 0, prompt: 0.000001, completion: 0.000003 }
    })
  },
  "counts that are zero are left out by the server": {
    lines: [{ ...done, eval_count: 3 }],
    final: final({ usage: [undefined, 3, undefined] })
  },
  "timings that are left out": { lines: [{ ...done, total_duration: 1e6 }], final: final({ timings: { total: 1 } }) },
  "null for everything": {
    lines: [
      { model: null, message: { content: null, thinking: null, tool_calls: null }, done: false, error: null },
      {
        message: null,
        done: true,
        done_reason: null,
        model: "",
        prompt_eval_count: null,
        eval_count: null,
        total_duration: null
      }
    ],
    pieces: "|",
    final: final({ finishReason: "other" })
  },
  "keys that nobody knows": {
    lines: [
      { ...say("a"), logprobs: [{}], remote_host: 5, image: "x" },
      { ...done, context: [1, 2] }
    ],
    pieces: "a|",
    final: final()
  },
  "blank lines": { lines: ["", say("a"), "", "", done], pieces: "a|", final: final() },
  "text that looks like a failure": { lines: [say('{"error":"x"}'), done], pieces: '{"error":"x"}|', final: final() },
  "anything behind the end": { lines: [say("a"), done, "garbage", say("b")], pieces: "a|", final: final() },

  "no end": { lines: [say("a")], pieces: "a|", failure: failure("StreamTruncated") },
  "the prompt alone, for debugging": {
    lines: [{ model: "m", done: false, _debug_info: { rendered_template: "x" } }],
    pieces: "|",
    failure: failure("StreamTruncated")
  },

  "a failure first": { lines: [{ error: "boom" }, done], failure: failure("StreamError", { detail: "boom" }) },
  "a failure in the middle": {
    lines: [say("a"), { error: "an error was encountered while running the model: unexpected EOF" }],
    pieces: "a|",
    failure: failure("StreamError", { detail: "an error was encountered while running the model: unexpected EOF" })
  },
  "a failure as an object": {
    lines: [{ error: { message: "boom", code: 500 } }],
    failure: failure("StreamError", { detail: "boom" })
  },
  "a failure beside text": {
    lines: [{ ...say("a"), error: "boom" }],
    failure: failure("StreamError", { detail: "boom" })
  },
  "a failure that is JSON of the engine": {
    lines: [
      {
        error:
          '{"error":{"code":400,"message":"request (99 tokens) exceeds the available context size (64 tokens)","type":"exceed_context_size_error","n_prompt_tokens":99,"n_ctx":64}}'
      }
    ],
    failure: failure("ContextOverflow", {
      promptTokens: 99,
      contextLength: 64,
      detail: "request (99 tokens) exceeds the available context size (64 tokens)"
    })
  },
  "a model that is missing, as servers before 0.12.6 say it": {
    lines: [{ error: "model 'nope' not found" }],
    failure: failure("ModelNotAvailable", { model: "asked", detail: "model 'nope' not found" })
  },

  "a line that is no JSON": {
    lines: [say("a"), "{oops", done],
    pieces: "a|",
    failure: failure("ParseError", { description: "not JSON" })
  },
  "a page": { lines: ["<html>", "</html>"], failure: failure("ParseError", { description: "not JSON" }) },
  "a value that is no record": { lines: ["[1]"], failure: failure("ParseError") },
  "a number": { lines: ["5"], failure: failure("ParseError") },
  "a record of something else": {
    lines: [{ status: "success" }],
    failure: failure("ParseError", { description: "neither a piece of an answer nor an error" })
  },
  "text that is no text": { lines: [{ message: { content: 5 }, done: false }], failure: failure("ParseError") },
  "a call without a function": { lines: [say("", { tool_calls: [{ id: "x" }] })], failure: failure("ParseError") },
  "metrics that are none": { lines: [{ ...done, eval_count: "3" }], failure: failure("ParseError") }
}

const checkRow = ({ lines, ...expected }: Row, route: typeof chat): Effect.Effect<void> =>
  check(route, lines.map((line) => `${typeof line === "string" ? line : JSON.stringify(line)}\n`).join(""), expected)

describe("an answer to a chat", () => {
  for (const [what, row] of Object.entries(answers)) it.effect(what, () => checkRow(row, chat))
})

it.effect("a record of something else, unterminated, is not taken for half a line", () =>
  check(chat, '{"status":"ok"}', { failure: failure("ParseError") })
)

describe("an answer to a prompt", () => {
  const table: Readonly<Record<string, Row>> = {
    "text and thinking at the top": {
      lines: [
        { response: "", done: false },
        { response: "", thinking: "Hm", done: false },
        { response: "Hi", done: false },
        { response: "!", done: true, done_reason: "stop", context: [1] }
      ],
      pieces: "|(Hm)|Hi|!",
      final: final()
    },
    "calls at the top": {
      lines: [{ response: "", done: true, done_reason: "stop", tool_calls: [call("f", { id: "x" })] }],
      calls: [called("f", "x")],
      final: final({ finishReason: "tool-calls" })
    },
    load: { lines: [{ response: "", done: true, done_reason: "load" }], final: final({ finishReason: "other" }) },
    "a failure in place of the end": {
      lines: [{ response: "a", done: false }, { error: "boom" }],
      pieces: "a|",
      failure: failure("StreamError", { detail: "boom" })
    },
    "text that is no text": { lines: [{ response: ["a"], done: false }], failure: failure("ParseError") }
  }
  for (const [what, row] of Object.entries(table)) it.effect(what, () => checkRow(row, generate))
})
