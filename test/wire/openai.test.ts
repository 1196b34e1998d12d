/** What goes to LM Studio and its like, and what is made of what comes back, as far as servers and versions differ. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Message } from "../../src/CompletionRequest.ts"
import { lmStudio } from "../../src/internal/openai/dialect.ts"
import * as Endpoints from "../../src/internal/openai/endpoints.ts"
import { encode } from "../support/bytes.ts"
import type { Expected } from "../support/decoding.ts"
import { check, decode } from "../support/decoding.ts"
import { checkRequests } from "../support/encoding.ts"
import { record } from "../support/transcript.ts"

const chat = Endpoints.chat(lmStudio)
const completion = Endpoints.completion(lmStudio)

const messages: ReadonlyArray<Message> = [{ role: "user", content: "Why?" }]
const streamed = { stream: true, stream_options: { include_usage: true } }
const chatBody = { model: "m", messages, ...streamed }
const completionBody = { model: "m", prompt: "Once", ...streamed }

const Weather = Schema.Struct({ city: Schema.String })
const weatherJsonSchema = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false
}
const format = (schema: object): object => ({
  ...chatBody,
  response_format: { type: "json_schema", json_schema: { name: "answer", strict: true, schema } }
})
const withMessage = (message: object): object => ({ ...chatBody, messages: [message] })
const picture = (url: string): object => ({ type: "image_url", image_url: { url } })

checkRequests(
  "a chat request",
  chat,
  { messages },
  {
    "with nothing set": [{}, chatBody],
    temperature: [{ temperature: 0.2 }, { ...chatBody, temperature: 0.2 }],
    topP: [{ topP: 0.9 }, { ...chatBody, top_p: 0.9 }],
    topK: [{ topK: 40 }, { ...chatBody, top_k: 40 }],
    minP: [{ minP: 0.1 }, { ...chatBody, min_p: 0.1 }],
    seed: [{ seed: 7 }, { ...chatBody, seed: 7 }],
    stop: [{ stop: ["a", "b"] }, { ...chatBody, stop: ["a", "b"] }],
    maxTokens: [{ maxTokens: 5 }, { ...chatBody, max_tokens: 5 }],
    repeatPenalty: [{ repeatPenalty: 1.1 }, { ...chatBody, repeat_penalty: 1.1 }],
    presencePenalty: [{ presencePenalty: 1 }, { ...chatBody, presence_penalty: 1 }],
    frequencyPenalty: [{ frequencyPenalty: -1 }, { ...chatBody, frequency_penalty: -1 }],
    "think: true is the model's own way": [{ think: true }, chatBody],
    "think: false": [{ think: false }, { ...chatBody, reasoning_effort: "none" }],
    "think: high": [{ think: "high" }, { ...chatBody, reasoning_effort: "high" }],
    "keepAlive in seconds": [{ keepAlive: "2 minutes" }, { ...chatBody, ttl: 120 }],
    "overflow is the server's affair": [{ overflow: "truncate" }, chatBody],
    "format: json": [{ format: "json" }, format({ type: "object" })],
    "format: a JSON Schema": [{ format: { type: "array" } }, format({ type: "array" })],
    "format: a Schema": [{ format: Weather }, format(weatherJsonSchema)],
    tools: [
      { tools: [{ name: "now" }, { name: "weather", description: "Of a city", parameters: Weather }] },
      {
        ...chatBody,
        tools: [
          { type: "function", function: { name: "now", parameters: { type: "object", properties: {} } } },
          { type: "function", function: { name: "weather", description: "Of a city", parameters: weatherJsonSchema } }
        ]
      }
    ],
    "no tools": [{ tools: [] }, chatBody],
    "pictures, with their type": [
      {
        messages: [
          {
            role: "user",
            content: "x",
            images: [
              "data:image/jpeg;base64,/9j/AA==",
              "UklGRg==",
              new Uint8Array([0x89, 0x50, 0x4e, 0x47]),
              new Uint8Array([0xff, 0xd8, 0xff])
            ]
          }
        ]
      },
      withMessage({
        role: "user",
        content: [
          { type: "text", text: "x" },
          picture("data:image/jpeg;base64,/9j/AA=="),
          picture("data:image/webp;base64,UklGRg=="),
          picture("data:image/png;base64,iVBORw=="),
          picture("data:image/jpeg;base64,/9j/")
        ]
      })
    ],
    "no pictures": [
      { messages: [{ role: "user", content: "x", images: [] }] },
      withMessage({ role: "user", content: "x" })
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
        tool_calls: [{ id: "c1", type: "function", function: { name: "f", arguments: '{"a":1}' } }]
      })
    ],
    "the result of a tool": [
      { messages: [{ role: "tool", content: "22", toolCallId: "c1", toolName: "f" }] },
      withMessage({ role: "tool", content: "22", tool_call_id: "c1" })
    ],
    "extra beside and in place of what is set": [
      { temperature: 0, extra: { temperature: 1, draft_model: "d", stream_options: { chunk: 1 } } },
      { ...chatBody, temperature: 1, draft_model: "d", stream_options: { include_usage: true, chunk: 1 } }
    ],

    "arguments that JSON has no form for": [
      { messages: [{ role: "assistant", content: "", toolCalls: [{ id: "c1", name: "f", arguments: 1n }] }] },
      {
        _tag: "InvalidRequest",
        field: "messages[0].toolCalls[0].arguments",
        description: "it holds a value that JSON has no form for"
      }
    ],
    "keepAlive for good": [
      { keepAlive: "Infinity" },
      { _tag: "InvalidRequest", field: "keepAlive", description: "this server accepts finite durations only" }
    ]
  }
)

checkRequests(
  "a prompt",
  completion,
  { prompt: "Once" },
  {
    "goes as it is": [{}, completionBody],
    "with sampling": [
      { maxTokens: 3, stop: ["x"] },
      { ...completionBody, max_tokens: 3, stop: ["x"] }
    ],
    "without pictures": [{ images: [] }, completionBody],
    "with pictures": [
      { images: ["aGk="] },
      { _tag: "Unsupported", feature: "images with prompt", description: "put them into messages" }
    ]
  }
)

// --- answers

const chunk = (delta: object, finish_reason: string | null = null, more: object = {}): object => ({
  id: "x",
  choices: [{ index: 0, delta, finish_reason }],
  ...more
})
const say = (content: string): object => chunk({ content })
const finish = (reason = "stop", more: object = {}): object => chunk({}, reason, more)
const usage = { usage: { prompt_tokens: 8, completion_tokens: 3, total_tokens: 11 } }
const usageChunk = { choices: [], ...usage }

/** Fragments of calls, in one chunk. */
const calls = (...tool_calls: ReadonlyArray<object>): object => chunk({ tool_calls })
const fragment = (args: unknown, more: object = {}, name?: string): object => ({
  ...more,
  function: { ...(name === undefined ? {} : { name }), arguments: args }
})

const final = (more: object = {}): object => ({ model: "asked", finishReason: "stop", ...more })
const finalWithCalls = final({ finishReason: "tool-calls" })
const failure = (_tag: string, fields: object = {}): object => ({ _tag, ...fields })

interface Row extends Expected {
  /** Values are written as data lines of JSON, texts go as they are. An empty line ends each. */
  readonly events: ReadonlyArray<unknown>
  /** What stands behind the last event without being ended. */
  readonly rest?: string
}

const checkRow = ({ events, rest = "", ...expected }: Row, route: typeof chat) => {
  const texts = events.map((event) => (typeof event === "string" ? event : `data: ${JSON.stringify(event)}`))
  return check(route, texts.map((text) => `${text}\n\n`).join("") + rest, expected)
}

const DONE = "data: [DONE]"

const answers: Readonly<Record<string, Row>> = {
  "text, the finish, the end": { events: [say("Hi"), finish(), DONE], pieces: "Hi|", final: final() },
  "usage behind the finish": {
    events: [say("Hi"), finish(), usageChunk, DONE],
    pieces: "Hi|",
    final: final({ usage: [8, 3, 11] })
  },
  "usage with the finish": { events: [finish("stop", usage), DONE], final: final({ usage: [8, 3, 11] }) },
  "usage before the finish": { events: [usageChunk, finish(), DONE], final: final({ usage: [8, 3, 11] }) },
  "usage on every chunk, the last counts": {
    events: [
      chunk({ content: "Hi" }, null, { usage: { prompt_tokens: 8, completion_tokens: 1, total_tokens: 9 } }),
      finish(),
      usageChunk,
      DONE
    ],
    pieces: "Hi|",
    final: final({ usage: [8, 3, 11] })
  },
  "usage of zeros is none": {
    events: [
      chunk({ content: "Hi" }, null, { usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 } }),
      finish("stop", { usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 } }),
      DONE
    ],
    pieces: "Hi|",
    final: final()
  },
  "zeros with the finish do not hide the usage behind it": {
    events: [finish("stop", { usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 } }), usageChunk, DONE],
    final: final({ usage: [8, 3, 11] })
  },
  "usage in part": {
    events: [finish("stop", { usage: { prompt_tokens: 8 } }), DONE],
    final: final({ usage: [8, undefined, undefined] })
  },
  "usage: null until the end": {
    events: [chunk({ content: "Hi" }, null, { usage: null }), finish("stop", { usage: null }), usageChunk, DONE],
    pieces: "Hi|",
    final: final({ usage: [8, 3, 11] })
  },
  "model and timings": {
    events: [finish(), { ...usageChunk, model: "told", timings: { prompt_ms: 1.5, predicted_ms: 2 } }, DONE],
    final: final({ model: "told", usage: [8, 3, 11], timings: { prompt: 1.5, completion: 2 } })
  },

  "the role first, with null for the text": {
    events: [chunk({ role: "assistant", content: null }), say("Hi"), finish(), DONE],
    pieces: "|Hi|",
    final: final()
  },
  "the role every time": {
    events: [chunk({ role: "assistant", content: "a" }), chunk({ role: "assistant", content: "b" }), finish(), DONE],
    pieces: "a|b|",
    final: final()
  },
  "the finish on the last text": { events: [chunk({ content: "Hi" }, "stop"), DONE], pieces: "Hi|", final: final() },
  reasoning_content: { events: [chunk({ reasoning_content: "Hm" }), finish(), DONE], pieces: "(Hm)|", final: final() },
  "reasoning with the finish": {
    events: [chunk({ reasoning_content: "Hm" }, "length"), DONE],
    pieces: "(Hm)|",
    final: final({ finishReason: "length" })
  },
  reasoning: { events: [chunk({ reasoning: "Hm" }), finish(), DONE], pieces: "(Hm)|", final: final() },
  "both names for the same": {
    events: [chunk({ reasoning_content: "Hm", reasoning: "Hm" }), finish(), DONE],
    pieces: "(Hm)|",
    final: final()
  },
  "one name empty": {
    events: [chunk({ reasoning_content: "", reasoning: "Hm" }), finish(), DONE],
    pieces: "(Hm)|",
    final: final()
  },
  "empty reasoning is none": {
    events: [chunk({ reasoning_content: "", content: "Hi" }), finish(), DONE],
    pieces: "Hi|",
    final: final()
  },
  "progress of the prompt": {
    events: [{ ...chunk({ role: "assistant", content: null }), prompt_progress: { total: 9 } }, finish(), DONE],
    pieces: "|",
    final: final()
  },
  "no text at all": { events: [finish(), DONE], final: final() },
  "null and nothing for everything": {
    events: [
      { choices: [{ delta: null, finish_reason: null, logprobs: null }], model: null, usage: null, timings: null },
      { choices: null },
      { choices: [{ finish_reason: "stop" }] },
      DONE
    ],
    pieces: "|",
    final: final()
  },

  length: { events: [finish("length"), DONE], final: final({ finishReason: "length" }) },
  content_filter: { events: [finish("content_filter"), DONE], final: final({ finishReason: "content-filter" }) },
  "tool_calls without calls": { events: [finish("tool_calls"), DONE], final: finalWithCalls },
  "an unknown reason": { events: [finish("weird"), DONE], final: final({ finishReason: "other" }) },
  "an empty reason is none": {
    events: [chunk({ content: "Hi" }, ""), finish(), DONE],
    pieces: "Hi|",
    final: final()
  },

  "no [DONE] behind the finish": { events: [say("Hi"), finish()], pieces: "Hi|", final: final() },
  "[DONE] that is not ended": { events: [say("Hi"), finish()], rest: DONE, pieces: "Hi|", final: final() },
  "[DONE] with a space behind": { events: [finish(), "data: [DONE] "], final: final() },
  "a finish that is not ended": {
    events: [say("Hi")],
    rest: `data: ${JSON.stringify(finish())}`,
    pieces: "Hi|",
    final: final()
  },
  "half a chunk behind the finish": { events: [finish()], rest: 'data: {"choices":[],"usa', final: final() },
  "anything behind the end": { events: [finish(), DONE, "data: garbage", say("more")], final: final() },
  "[DONE] without a finish": { events: [say("Hi"), DONE], pieces: "Hi|", failure: failure("StreamTruncated") },
  "the end without a finish": { events: [say("Hi")], pieces: "Hi|", failure: failure("StreamTruncated") },
  "something else behind the last event": {
    events: [say("Hi")],
    rest: 'data: {"status":"ok"}',
    pieces: "Hi|",
    failure: failure("ParseError")
  },
  "half a chunk": { events: [say("Hi")], rest: 'data: {"choi', pieces: "Hi|", failure: failure("StreamTruncated") },
  "nothing but comments": { events: [": ping", ":"], failure: failure("StreamTruncated") },
  // Ollama's `/v1` makes this of a failure in the middle.
  "an empty chunk in place of a failure": {
    events: [say("Hi"), { model: "", choices: [{ index: 0, delta: { content: "" }, finish_reason: null }] }],
    pieces: "Hi||",
    failure: failure("StreamTruncated")
  },

  "comments and pings": {
    events: [":", ": keep-alive", "event: ping\ndata: {}", "event: ping\ndata:", "data:", say("Hi"), finish(), DONE],
    pieces: "Hi|",
    final: final()
  },
  "events of a proxy": {
    events: ["event: x\ndata: nonsense", say("Hi"), finish(), DONE],
    pieces: "Hi|",
    final: final()
  },
  "a named chunk": {
    events: [`event: completion\ndata: ${JSON.stringify(say("Hi"))}`, finish(), DONE],
    pieces: "Hi|",
    final: final()
  },
  "JSON over several lines": {
    events: [`data: ${JSON.stringify(say("Hi"), null, 1).replaceAll("\n", "\ndata: ")}`, finish(), DONE],
    pieces: "Hi|",
    final: final()
  },

  "event: error first": {
    events: ['event: error\ndata: {"error":{"message":"The model has crashed"},"message":"The model has crashed"}'],
    failure: failure("StreamError", { detail: "The model has crashed" })
  },
  "event: error in the middle, and nothing behind it counts": {
    events: [say("Hi"), 'event: error\ndata: {"error":{"message":"Channel Error"}}', finish(), DONE],
    pieces: "Hi|",
    failure: failure("StreamError", { detail: "Channel Error" })
  },
  "event: error with text": {
    events: ["event: error\ndata: boom"],
    failure: failure("StreamError", { detail: "boom" })
  },
  "event: error with nothing": { events: ["event: error\ndata:"], failure: failure("StreamError") },
  "event: error that is not ended": {
    events: [say("Hi")],
    rest: 'event: error\ndata: {"error":"boom"}',
    pieces: "Hi|",
    failure: failure("StreamError", { detail: "boom" })
  },
  "an error as text": { events: [{ error: "boom" }], failure: failure("StreamError", { detail: "boom" }) },
  "an error as an object": {
    events: [{ error: { message: "boom", code: 500, type: "server_error" } }],
    failure: failure("StreamError", { detail: "boom" })
  },
  "an error beside a chunk": {
    events: [{ ...say("Hi"), error: { message: "boom" } }],
    failure: failure("StreamError", { detail: "boom" })
  },
  "error: null is none": { events: [{ ...say("Hi"), error: null }, finish(), DONE], pieces: "Hi|", final: final() },
  "an error behind the finish": {
    events: [say("Hi"), finish(), { error: "boom" }],
    pieces: "Hi|",
    failure: failure("StreamError")
  },
  "an error with JSON of the engine inside": {
    events: [
      `event: error\ndata: ${JSON.stringify({
        error: {
          message:
            'Engine protocol predict request returned 400: {"error":{"code":400,"message":"request (99 tokens) exceeds the available context size (64 tokens), try increasing it","type":"exceed_context_size_error","n_prompt_tokens":99,"n_ctx":64}}'
        }
      })}`
    ],
    failure: failure("ContextOverflow", { promptTokens: 99, contextLength: 64 })
  },
  "no model": {
    events: ["event: error\ndata: " + JSON.stringify({ error: { message: "No models loaded. Please load a model" } })],
    failure: failure("ModelNotAvailable", { model: "asked" })
  },

  "data that is no JSON": {
    events: [say("Hi"), "data: {oops"],
    pieces: "Hi|",
    failure: failure("ParseError", { description: "not JSON" })
  },
  "data that is no object": { events: ["data: [1]"], failure: failure("ParseError") },
  "an object that is no chunk": { events: [{ status: "ok" }], failure: failure("ParseError") },
  "text that is no text": { events: [chunk({ content: 5 })], failure: failure("ParseError") },
  "usage that is none": { events: [finish("stop", { usage: { prompt_tokens: "8" } })], failure: failure("ParseError") },

  "a call in fragments": {
    events: [
      calls(fragment("", { index: 0, id: "a" }, "f")),
      calls(fragment('{"x"', { index: 0 })),
      calls(fragment(":1}", { index: 0 })),
      finish("tool_calls"),
      DONE
    ],
    pieces: '[0#a f(]|[0({"x"]|[0(:1}]|',
    calls: [{ id: "a", name: "f", arguments: { x: 1 } }],
    final: finalWithCalls
  },
  "a call with the finish": {
    events: [chunk({ tool_calls: [fragment("{}", { index: 0, id: "a" }, "f")] }, "tool_calls"), DONE],
    pieces: "[0#a f({}]|",
    calls: [{ id: "a", name: "f", arguments: {} }],
    final: finalWithCalls
  },
  "a call that ends with stop": {
    events: [calls(fragment("{}", { index: 0, id: "a" }, "f")), finish("stop"), DONE],
    pieces: "[0#a f({}]|",
    calls: [{ id: "a", name: "f", arguments: {} }],
    final: finalWithCalls
  },
  "fragments without an index": {
    events: [
      calls(fragment("", { id: "a" }, "f")),
      calls(fragment("{}")),
      calls(fragment("", { id: "b" }, "g")),
      calls(fragment('{"y":2}')),
      finish("tool_calls"),
      DONE
    ],
    pieces: '[0#a f(]|[0({}]|[1#b g(]|[1({"y":2}]|',
    calls: [
      { id: "a", name: "f", arguments: {} },
      { id: "b", name: "g", arguments: { y: 2 } }
    ],
    final: finalWithCalls
  },
  "index 0 for every call": {
    events: [
      calls(fragment("{}", { index: 0, id: "a" }, "f")),
      calls(fragment('{"y"', { index: 0, id: "b" }, "g")),
      calls(fragment(":2}", { index: 0 })),
      finish("tool_calls"),
      DONE
    ],
    pieces: '[0#a f({}]|[1#b g({"y"]|[1(:2}]|',
    calls: [
      { id: "a", name: "f", arguments: {} },
      { id: "b", name: "g", arguments: { y: 2 } }
    ],
    final: finalWithCalls
  },
  "indices from 1": {
    events: [calls(fragment("{}", { index: 1, id: "a" }, "f")), finish("tool_calls"), DONE],
    pieces: "[0#a f({}]|",
    calls: [{ id: "a", name: "f", arguments: {} }],
    final: finalWithCalls
  },
  "calls in parallel, their fragments mixed": {
    events: [
      calls(fragment("", { index: 0, id: "a" }, "f"), fragment("", { index: 1, id: "b" }, "g")),
      calls(fragment('{"y":', { index: 1 })),
      calls(fragment('{"x":', { index: 0 }), fragment("2}", { index: 1 })),
      calls(fragment("1}", { index: 0 })),
      finish("tool_calls"),
      DONE
    ],
    pieces: '[0#a f(][1#b g(]|[1({"y":]|[0({"x":][1(2}]|[0(1}]|',
    calls: [
      { id: "a", name: "f", arguments: { x: 1 } },
      { id: "b", name: "g", arguments: { y: 2 } }
    ],
    final: finalWithCalls
  },
  "the id in every fragment": {
    events: [
      calls(fragment("{", { id: "a" }, "f")),
      calls(fragment("{", { id: "b" }, "g")),
      calls(fragment("}", { id: "a" })),
      calls(fragment("}", { id: "b" })),
      finish("tool_calls"),
      DONE
    ],
    pieces: "[0#a f({]|[1#b g({]|[0#a(}]|[1#b(}]|",
    calls: [
      { id: "a", name: "f", arguments: {} },
      { id: "b", name: "g", arguments: {} }
    ],
    final: finalWithCalls
  },
  'an empty id, and "" for a name that was told': {
    events: [
      calls(fragment("{", { index: 0, id: "" }, "f")),
      calls(fragment("}", { index: 0, id: "" }, "")),
      finish("tool_calls"),
      DONE
    ],
    pieces: "[0 f({]|[0(}]|",
    calls: [{ id: "call_0", name: "f", arguments: {} }],
    final: finalWithCalls
  },
  "the id and the name behind the first fragment": {
    events: [
      calls(fragment("", { index: 0 })),
      calls(fragment("{}", { index: 0, id: "a" }, "f")),
      finish("tool_calls"),
      DONE
    ],
    pieces: "[0(]|[0#a f({}]|",
    calls: [{ id: "a", name: "f", arguments: {} }],
    final: finalWithCalls
  },
  "no id": {
    events: [calls(fragment("{}", { index: 0 }, "f"), fragment("{}", { index: 1 }, "g")), finish("tool_calls"), DONE],
    pieces: "[0 f({}][1 g({}]|",
    calls: [
      { id: "call_0", name: "f", arguments: {} },
      { id: "call_1", name: "g", arguments: {} }
    ],
    final: finalWithCalls
  },
  "empty arguments": {
    events: [
      calls(fragment("", { id: "a" }, "f")),
      calls({ id: "b", function: { name: "g" } }),
      finish("tool_calls"),
      DONE
    ],
    pieces: "[0#a f(]|[1#b g(]|",
    calls: [
      { id: "a", name: "f", arguments: {} },
      { id: "b", name: "g", arguments: {} }
    ],
    final: finalWithCalls
  },
  "arguments as an object": {
    events: [calls(fragment({ x: 1 }, { id: "a" }, "f")), finish("tool_calls"), DONE],
    failure: failure("ParseError")
  },
  "bad arguments": {
    events: [calls(fragment('{"x":', { id: "a" }, "f")), finish("tool_calls"), DONE],
    pieces: '[0#a f({"x":]|',
    failure: failure("ParseError", { description: "the arguments of tool call 0 are not JSON" })
  },
  "bad arguments, without [DONE]": {
    events: [calls(fragment('{"x":', { id: "a" }, "f")), finish("tool_calls")],
    pieces: '[0#a f({"x":]|',
    failure: failure("ParseError", { description: "the arguments of tool call 0 are not JSON" })
  },
  "arguments that were cut by the length": {
    events: [calls(fragment('{"x":', { id: "a" }, "f")), finish("length"), DONE],
    pieces: '[0#a f({"x":]|',
    failure: failure("ParseError")
  }
}

describe("an answer to a chat", () => {
  for (const [what, row] of Object.entries(answers)) it.effect(what, () => checkRow(row, chat))
})

describe("an answer to a prompt", () => {
  const text = (text: string | null, finish_reason: string | null = null, more: object = {}): object => ({
    choices: [{ index: 0, text, logprobs: null, finish_reason }],
    ...more
  })
  const table: Readonly<Record<string, Row>> = {
    "usage with the finish": {
      events: [text("Hi"), text("", "length", usage), DONE],
      pieces: "Hi|",
      final: final({ finishReason: "length", usage: [8, 3, 11] })
    },
    "usage behind the finish": {
      events: [text("Hi"), text("!", "stop"), usageChunk, DONE],
      pieces: "Hi|!|",
      final: final({ usage: [8, 3, 11] })
    },
    "null for text": { events: [text(null), text(null, "stop"), DONE], pieces: "|", final: final() },
    "no finish": { events: [text("Hi"), DONE], pieces: "Hi|", failure: failure("StreamTruncated") },
    "text that is no text": {
      events: [text("Hi"), { choices: [{ text: ["a"] }] }],
      pieces: "Hi|",
      failure: failure("ParseError")
    }
  }
  for (const [what, row] of Object.entries(table)) it.effect(what, () => checkRow(row, completion))
})

describe("what is kept until it is whole is bounded", () => {
  const maxLineBytes = 1000
  const endless = (line: string): ReadonlyArray<Uint8Array> => Array.from({ length: 200 }, () => encode(line))
  const line = (value: object): string => `data: ${JSON.stringify(value)}\n`
  const table: Readonly<Record<string, ReadonlyArray<Uint8Array>>> = {
    "an event of many lines": endless("data: aaaaaaaaaa\n"),
    "the arguments of a call": endless(`${line(calls(fragment("aaaaaaaaaa", { index: 0 }, "f")))}\n`),
    "calls without number": Array.from({ length: 200 }, (_, i) =>
      encode(`${line(calls(fragment("", { id: `${i}` })))}\n`)
    )
  }
  for (const [what, pieces] of Object.entries(table)) {
    it.effect(what, () =>
      Effect.map(record(decode(chat, pieces, { maxLineBytes })), ({ failure }) => {
        expect(failure).toEqual({ _tag: "LineTooLong", limit: maxLineBytes })
      })
    )
  }
})
