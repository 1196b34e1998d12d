/** Requests to the OpenAI-compatible routes. */
import { expect, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ChatRequest, Message, PromptRequest } from "../../src/CompletionRequest.ts"
import { dialect as llamaServer } from "../../src/servers/llamaServer.ts"
import { dialect as lmStudio } from "../../src/servers/lmStudio.ts"
import * as Endpoints from "../../src/protocol/openai/endpoints.ts"
import type { ToolCall } from "../../src/StreamingChunk.ts"
import { checkRequests } from "../support/encoding.ts"

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
const toolF = { type: "function", function: { name: "f", parameters: { type: "object", properties: {} } } }
const toolMessages: ReadonlyArray<Message> = [
  { role: "assistant", content: "", toolCalls: [{ id: "c1", name: "f", arguments: {} }] },
  { role: "tool", content: "no network", toolName: "f", isError: true }
]
const callOf = (id: string, name: string): ToolCall => ({ id, name, arguments: {} })
const sentCall = (id: string, name: string): object => ({ id, type: "function", function: { name, arguments: "{}" } })
const withMessage = (message: object): object => ({ ...chatBody, messages: [message] })
const imagePart = (url: string): object => ({ type: "image_url", image_url: { url } })

checkRequests<ChatRequest>(
  "a chat request",
  chat,
  { messages },
  {
    contextLength: [
      { contextLength: 8192 },
      { _tag: "Unsupported", feature: "contextLength", description: "this server fixes it when it loads the model" }
    ],
    "toolChoice: auto": [
      { tools: [{ name: "f" }], toolChoice: "auto" },
      { ...chatBody, tools: [toolF], tool_choice: "auto" }
    ],
    "toolChoice: none": [
      { tools: [{ name: "f" }], toolChoice: "none" },
      { ...chatBody, tools: [toolF], tool_choice: "none" }
    ],
    "toolChoice: required": [
      { tools: [{ name: "f" }], toolChoice: "required" },
      { ...chatBody, tools: [toolF], tool_choice: "required" }
    ],
    "toolChoice with a name": [
      { tools: [{ name: "f" }], toolChoice: { name: "f" } },
      {
        _tag: "Unsupported",
        feature: "toolChoice",
        description: 'this server knows "auto", "none" and "required" only'
      }
    ],
    "results that name their tool answer its calls in order": [
      {
        messages: [
          { role: "assistant", content: "", toolCalls: [callOf("c1", "f"), callOf("c2", "g"), callOf("c3", "f")] },
          { role: "tool", content: "1", toolName: "f" },
          { role: "tool", content: "2", toolName: "g" },
          { role: "tool", content: "3", toolName: "f" },
          { role: "assistant", content: "", toolCalls: [callOf("c1", "f"), callOf("c4", "f"), callOf("c5", "f")] },
          { role: "tool", content: "5", toolCallId: "c4" },
          { role: "tool", content: "4", toolName: "f" },
          { role: "tool", content: "6", toolName: "f" },
          { role: "tool", content: "7", toolName: "f" }
        ]
      },
      {
        ...chatBody,
        messages: [
          {
            role: "assistant",
            content: "",
            tool_calls: [sentCall("c1", "f"), sentCall("c2", "g"), sentCall("c3", "f")]
          },
          { role: "tool", content: "1", tool_call_id: "c1" },
          { role: "tool", content: "2", tool_call_id: "c2" },
          { role: "tool", content: "3", tool_call_id: "c3" },
          {
            role: "assistant",
            content: "",
            tool_calls: [sentCall("c1", "f"), sentCall("c4", "f"), sentCall("c5", "f")]
          },
          { role: "tool", content: "4", tool_call_id: "c1" },
          { role: "tool", content: "5", tool_call_id: "c4" },
          { role: "tool", content: "6", tool_call_id: "c5" },
          { role: "tool", content: "7", tool_call_id: "c5" }
        ]
      }
    ],
    "the result of a tool gets the id of its call and a mark of failure": [
      { messages: toolMessages },
      {
        ...chatBody,
        messages: [
          {
            role: "assistant",
            content: "",
            tool_calls: [{ id: "c1", type: "function", function: { name: "f", arguments: "{}" } }]
          },
          { role: "tool", content: "Error: no network", tool_call_id: "c1" }
        ]
      }
    ],
    "without options": [{}, chatBody],
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
    "think: true is the default of the model": [{ think: true }, chatBody],
    "think: false": [{ think: false }, { ...chatBody, reasoning_effort: "none" }],
    "think: max": [
      { think: "max" },
      {
        _tag: "Unsupported",
        feature: "this level of think",
        description: '"low", "medium" and "high" are the levels here'
      }
    ],
    "think: high": [{ think: "high" }, { ...chatBody, reasoning_effort: "high" }],
    "keepAlive in seconds": [{ keepAlive: "2 minutes" }, { ...chatBody, ttl: 120 }],
    "overflow is not sent": [{ overflow: "truncate" }, chatBody],
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
    "an empty list of tools": [{ tools: [] }, chatBody],
    "images with their media type": [
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
          imagePart("data:image/jpeg;base64,/9j/AA=="),
          imagePart("data:image/webp;base64,UklGRg=="),
          imagePart("data:image/png;base64,iVBORw=="),
          imagePart("data:image/jpeg;base64,/9j/")
        ]
      })
    ],
    "texts and images as parts, in their order": [
      {
        messages: [
          {
            role: "user",
            content: [
              { type: "image", image: "UklGRg==" },
              { type: "text", text: "a" },
              { type: "image", image: "/9j/AA==" },
              { type: "text", text: "b" }
            ]
          }
        ]
      },
      withMessage({
        role: "user",
        content: [
          imagePart("data:image/webp;base64,UklGRg=="),
          { type: "text", text: "a" },
          imagePart("data:image/jpeg;base64,/9j/AA=="),
          { type: "text", text: "b" }
        ]
      })
    ],
    "text parts only": [
      {
        messages: [
          {
            role: "user",
            content: [
              { type: "text", text: "a" },
              { type: "text", text: "b" }
            ]
          }
        ]
      },
      withMessage({ role: "user", content: "ab" })
    ],
    "an empty list of images": [
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
    "extra keys are added or replace options": [
      { temperature: 0, extra: { temperature: 1, draft_model: "d", stream_options: { chunk: 1 } } },
      { ...chatBody, temperature: 1, draft_model: "d", stream_options: { include_usage: true, chunk: 1 } }
    ],

    "arguments that cannot be written as JSON": [
      { messages: [{ role: "assistant", content: "", toolCalls: [{ id: "c1", name: "f", arguments: 1n }] }] },
      {
        _tag: "InvalidRequest",
        field: "messages[0].toolCalls[0].arguments",
        description: "it contains a value that JSON cannot represent"
      }
    ],
    "keepAlive without end": [
      { keepAlive: "Infinity" },
      { _tag: "InvalidRequest", field: "keepAlive", description: "this server accepts finite durations only" }
    ]
  }
)

checkRequests<PromptRequest>(
  "a prompt",
  completion,
  { prompt: "Once" },
  {
    "without options": [{}, completionBody],
    "with sampling": [
      { maxTokens: 3, stop: ["x"] },
      { ...completionBody, max_tokens: 3, stop: ["x"] }
    ],
    "an empty list of images": [{ images: [] }, completionBody],
    contextLength: [
      { contextLength: 8192 },
      { _tag: "Unsupported", feature: "contextLength", description: "this server fixes it when it loads the model" }
    ],
    "with images": [
      { images: ["aGk="] },
      { _tag: "Unsupported", feature: "images with prompt", description: "put them into messages" }
    ]
  }
)

checkRequests<ChatRequest>(
  "a chat request to a server whose tool_choice can name a tool",
  Endpoints.chat({ ...lmStudio, namedToolChoice: true }),
  { messages },
  {
    "toolChoice with a name": [
      { tools: [{ name: "f" }], toolChoice: { name: "f" } },
      { ...chatBody, tools: [toolF], tool_choice: { type: "function", function: { name: "f" } } }
    ]
  }
)

it("200,000 results that name their tool take linear time", () => {
  const size = 200_000
  const results: ReadonlyArray<Message> = Array.from({ length: size }, () => ({
    role: "tool",
    content: "",
    toolName: "f"
  }))
  const toolCalls = results.map((_, i) => callOf(`c${i}`, "f"))
  const encoded = chat.encode({ model: "m", messages: [{ role: "assistant", content: "", toolCalls }, ...results] })
  const last = { role: "tool", content: "", tool_call_id: `c${size - 1}` }
  expect(Result.getOrThrow(encoded)?.["messages"]).toHaveProperty([String(size)], last)
}, 60_000)

const history: ReadonlyArray<Message> = [
  { role: "assistant", content: "", thinking: "Hm", toolCalls: [callOf("c1", "f")] },
  { role: "tool", content: "1", toolCallId: "c1" }
]
const sentHistory = (thinking: object): object => ({
  model: "m",
  messages: [
    { role: "assistant", content: "", ...thinking, tool_calls: [sentCall("c1", "f")] },
    { role: "tool", content: "1", tool_call_id: "c1" }
  ],
  ...streamed
})

for (const [field, sent] of [
  ["reasoning_content", { reasoning_content: "Hm" }],
  ["reasoning", { reasoning: "Hm" }],
  [undefined, {}]
] as const) {
  checkRequests<ChatRequest>(
    `a chat request to a server whose field of earlier thinking is ${field}`,
    Endpoints.chat({ ...lmStudio, thinkingField: field }),
    { messages: history },
    { "an earlier answer": [{}, sentHistory(sent)] }
  )
}

checkRequests<ChatRequest>(
  "a chat request to llama-server",
  Endpoints.chat(llamaServer),
  { messages: history },
  {
    "has the thinking of earlier answers, and levels as text": [
      { think: "xhigh", typicalP: 0.9 },
      {
        ...sentHistory({ reasoning_content: "Hm" }),
        reasoning_effort: "xhigh",
        typical_p: 0.9,
        return_progress: true
      }
    ]
  }
)

const withoutStreamOptions = { ...lmStudio, streamOptions: false }
checkRequests<ChatRequest>(
  "a chat request to a server without stream_options",
  Endpoints.chat(withoutStreamOptions),
  { messages },
  { "has none": [{}, { model: "m", messages, stream: true }] }
)
checkRequests<PromptRequest>(
  "a prompt to a server without stream_options",
  Endpoints.completion(withoutStreamOptions),
  { prompt: "Once" },
  { "has none": [{}, { model: "m", prompt: "Once", stream: true }] }
)
