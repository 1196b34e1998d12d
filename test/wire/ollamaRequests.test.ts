/** Requests to Ollama's own routes. */
import * as Schema from "effect/Schema"
import type { ChatRequest, Message, PromptRequest } from "../../src/CompletionRequest.ts"
import { chat, generate } from "../../src/protocol/ollama/endpoints.ts"
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
const toolMessages: ReadonlyArray<Message> = [
  { role: "assistant", content: "", toolCalls: [{ id: "c1", name: "f", arguments: {} }] },
  { role: "tool", content: "no network", toolCallId: "c1", isError: true }
]
const withMessage = (message: object): object => ({ ...chatBody, messages: [message] })

checkRequests<ChatRequest>(
  "a chat request",
  chat,
  { messages },
  {
    "without options": [{}, chatBody],
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
    contextLength: [{ contextLength: 8192 }, { ...chatBody, options: { num_ctx: 8192 } }],
    "toolChoice: auto is not sent": [
      { tools: [{ name: "f" }], toolChoice: "auto" },
      {
        ...chatBody,
        tools: [{ type: "function", function: { name: "f", parameters: { type: "object", properties: {} } } }]
      }
    ],
    "toolChoice with a name": [
      { tools: [{ name: "f" }], toolChoice: { name: "f" } },
      { _tag: "Unsupported", feature: "toolChoice", description: 'Ollama knows "auto" and "none" only' }
    ],
    "toolChoice: none leaves the tools out": [{ tools: [{ name: "f" }], toolChoice: "none" }, chatBody],
    "toolChoice: required": [
      { tools: [{ name: "f" }], toolChoice: "required" },
      { _tag: "Unsupported", feature: "toolChoice", description: 'Ollama knows "auto" and "none" only' }
    ],
    "the result of a tool gets the name of its call and a mark of failure": [
      { messages: toolMessages },
      {
        ...chatBody,
        messages: [
          { role: "assistant", content: "", tool_calls: [{ id: "c1", function: { name: "f", arguments: {} } }] },
          { role: "tool", content: "Error: no network", tool_call_id: "c1", tool_name: "f" }
        ]
      }
    ],
    "think: true": [{ think: true }, { ...chatBody, think: true }],
    "think: false": [{ think: false }, { ...chatBody, think: false }],
    "think: max": [{ think: "max" }, { ...chatBody, think: "max" }],
    "think: a level of the model": [{ think: "xhigh" }, { ...chatBody, think: "xhigh" }],
    typicalP: [{ typicalP: 0.9 }, { ...chatBody, options: { typical_p: 0.9 } }],
    "think: high": [{ think: "high" }, { ...chatBody, think: "high" }],
    "keepAlive in seconds": [{ keepAlive: "2 minutes" }, { ...chatBody, keep_alive: 120 }],
    "keepAlive: 0": [{ keepAlive: 0 }, { ...chatBody, keep_alive: 0 }],
    "keepAlive without end": [{ keepAlive: "Infinity" }, { ...chatBody, keep_alive: -1 }],
    "overflow: truncate": [{ overflow: "truncate" }, { model: "m", messages, options: {}, stream: true }],
    "overflow: fail": [{ overflow: "fail" }, chatBody],
    "format: json": [{ format: "json" }, { ...chatBody, format: "json" }],
    "format: a JSON Schema": [{ format: { type: "array" } }, { ...chatBody, format: { type: "array" } }],
    "format: a Schema": [{ format: Weather }, { ...chatBody, format: weatherJsonSchema }],
    "format: a class": [{ format: WeatherClass }, { ...chatBody, format: weatherJsonSchema }],
    "format: a recursive Schema": [
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
          { type: "function", function: { name: "raw", parameters: { type: "object", properties: {} } } }
        ]
      }
    ],
    "an empty list of tools": [{ tools: [] }, chatBody],
    "images as bytes, base64 and data URI": [
      {
        messages: [
          { role: "user", content: "x", images: [new Uint8Array([104, 105]), "aGk=", "data:image/png;base64,aGk="] }
        ]
      },
      withMessage({ role: "user", content: "x", images: ["aGk=", "aGk=", "aGk="] })
    ],
    "texts and images as parts": [
      {
        messages: [
          {
            role: "user",
            content: [
              { type: "text", text: "a" },
              { type: "image", image: "aGk=" },
              { type: "text", text: "b" }
            ]
          }
        ]
      },
      withMessage({ role: "user", content: "ab", images: ["aGk="] })
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
    "extra options beside others": [
      { temperature: 0, extra: { options: { num_ctx: 8192 } } },
      { ...chatBody, options: { temperature: 0, num_ctx: 8192 } }
    ],
    "extra keys replace options": [
      { keepAlive: 5, temperature: 0, extra: { keep_alive: "1h", truncate: true, options: { temperature: 1 } } },
      { ...chatBody, keep_alive: "1h", truncate: true, options: { temperature: 1 } }
    ],
    "extra keys that mean something in JavaScript": [
      { extra: JSON.parse('{"__proto__":{"a":1},"constructor":{"b":2}}') },
      { ...chatBody, ...JSON.parse('{"__proto__":{"a":1},"constructor":{"b":2}}') }
    ],
    "extra keys are added": [{ extra: { logprobs: true } }, { ...chatBody, logprobs: true }],

    "arguments that are not an object": [
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

checkRequests<PromptRequest>(
  "a prompt",
  generate,
  { prompt: "Once" },
  {
    "without a template": [{}, generateBody],
    "with images": [{ images: [new Uint8Array([104, 105])] }, { ...generateBody, images: ["aGk="] }],
    "with sampling": [
      { temperature: 1, maxTokens: 3, format: "json", keepAlive: "1 hour" },
      { ...generateBody, format: "json", keep_alive: 3600, options: { temperature: 1, num_predict: 3 } }
    ],
    contextLength: [{ contextLength: 8192 }, { ...generateBody, options: { num_ctx: 8192 } }],
    "with a template by extra": [{ extra: { raw: false } }, { ...generateBody, raw: false }]
  }
)
