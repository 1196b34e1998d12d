/** The fields of requests of OpenAI's responses, one by one. */
import { describe, expect, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { responses } from "../../src/protocol/openai/responses.ts"
import type { FinalChunk } from "../../src/StreamingChunk.ts"
import { checkTables } from "../support/requestTables.ts"

const user = { role: "user", content: "Why?" }
const tool = { type: "function", name: "f", parameters: { type: "object", properties: {} }, strict: false }
const f = { name: "f", parameters: tool.parameters }
const call = { type: "function_call", call_id: "c1", name: "f", arguments: '{"n":1}' }
const output = (value: unknown) => ({ type: "function_call_output", call_id: "c1", output: value })
const toolCalls = [{ id: "c1", name: "f", arguments: { n: 1 } }]
const image = { type: "input_image", detail: "auto", image_url: "data:image/png;base64,iVBORw0K\nGgo=" }
const input = (...items: ReadonlyArray<object>) => ({ input: items })
const group = {
  type: "namespace",
  name: "mcp__files__",
  description: "d",
  tools: [{ ...tool, name: "read" }, { type: "custom" }]
}

/** What codex declares besides functions. */
const ofCodex = [
  { type: "web_search", external_web_access: false },
  { type: "image_generation", output_format: "png" },
  { type: "tool_search", execution: "client", description: "d", parameters: {} },
  { type: "custom", name: "apply_patch", format: { type: "grammar", syntax: "lark", definition: "start: x" } }
]

checkTables(responses.decode, {
  base: { model: "m", input: [user] },
  kept: {
    "a text": [{ input: "Hi" }, { messages: [{ role: "user", content: "Hi" }] }],
    instructions: [{ instructions: "Be brief." }, { messages: [{ role: "system", content: "Be brief." }, user] }],
    "instructions and those of the developer after them, as one": [
      {
        instructions: "A",
        input: [{ type: "message", role: "developer", content: [{ type: "input_text", text: "B" }] }, user]
      },
      { messages: [{ role: "system", content: "A\n\nB" }, user] }
    ],
    "instructions of the developer alone, as one": [
      input(
        { role: "developer", content: "A" },
        {
          role: "developer",
          content: [
            { type: "input_text", text: "B" },
            { type: "input_text", text: "C" }
          ]
        },
        user
      ),
      { messages: [{ role: "system", content: "A\n\nB\n\nC" }, user] }
    ],
    "what the developer says later": [
      input(user, { role: "developer", content: "B" }),
      { messages: [user, { role: "system", content: "B" }] }
    ],
    "texts and images in their order": [
      input({ type: "message", role: "user", content: [image, { type: "input_text", text: "What?" }] }),
      {
        messages: [
          {
            role: "user",
            content: [
              { type: "image", image: "iVBORw0KGgo=" },
              { type: "text", text: "What?" }
            ]
          }
        ]
      }
    ],
    "an earlier response": [
      input(
        user,
        { id: "rs_1", type: "reasoning", summary: [{ type: "summary_text", text: "t" }], encrypted_content: "" },
        {
          id: "msg_1",
          type: "message",
          role: "assistant",
          status: "completed",
          content: [{ type: "output_text", text: "x", annotations: [] }]
        },
        { ...call, id: "fc_1", status: "completed" },
        { ...call, call_id: "c2", arguments: "" },
        output("20"),
        { ...output([{ type: "input_text", text: "21" }]), call_id: "c2" },
        user
      ),
      {
        messages: [
          user,
          {
            role: "assistant",
            content: "x",
            thinking: "t",
            toolCalls: [...toolCalls, { id: "c2", name: "f", arguments: {} }]
          },
          { role: "tool", content: "20", toolCallId: "c1" },
          { role: "tool", content: "21", toolCallId: "c2" },
          user
        ]
      }
    ],
    "calls one after the other": [
      input(user, call, output("1"), { ...call, call_id: "c2" }, { ...output("2"), call_id: "c2" }),
      {
        messages: [
          user,
          { role: "assistant", content: "", toolCalls },
          { role: "tool", content: "1", toolCallId: "c1" },
          { role: "assistant", content: "", toolCalls: [{ ...toolCalls[0], id: "c2" }] },
          { role: "tool", content: "2", toolCallId: "c2" }
        ]
      }
    ],
    "two messages of the assistant": [
      input(user, { role: "assistant", content: "x" }, { role: "assistant", content: "y" }),
      { messages: [user, { role: "assistant", content: "x" }, { role: "assistant", content: "y" }] }
    ],
    "thinking in place of its summary": [
      input(user, {
        type: "reasoning",
        summary: [{ type: "summary_text", text: "s" }],
        content: [{ type: "reasoning_text", text: "t" }]
      }),
      { messages: [user, { role: "assistant", content: "", thinking: "t" }] }
    ],
    "thinking that nobody here can read": [input(user, { type: "reasoning", summary: [], encrypted_content: "x" }), {}],
    "a refusal": [
      input(user, { role: "assistant", content: [{ type: "refusal", refusal: "no" }] }),
      { messages: [user, { role: "assistant", content: "no" }] }
    ],
    max_output_tokens: [{ max_output_tokens: 5 }, { maxTokens: 5 }],
    temperature: [{ temperature: 0 }, { temperature: 0 }],
    top_p: [{ top_p: 0.5 }, { topP: 0.5 }],
    "the end of a prompt that is too long": [{ truncation: "auto" }, { overflow: "truncate" }],
    effort: [{ reasoning: { effort: "low", summary: "auto" } }, { think: "low" }],
    "no effort": [{ reasoning: { effort: "none" } }, { think: false }],
    "a schema": [
      { text: { format: { type: "json_schema", name: "x", schema: { type: "object" }, strict: true } } },
      { format: { type: "object" } }
    ],
    "any JSON": [{ text: { format: { type: "json_object" }, verbosity: "low" } }, { format: "json" }],
    "functions, without the other tools of codex": [{ tools: [...ofCodex, tool] }, { tools: [f] }],
    "groups of functions": [
      { tools: [tool, group, { ...group, name: "ns" }], tool_choice: "auto" },
      { tools: [f, { ...f, name: "mcp__files__read" }, { ...f, name: "ns__read" }], toolChoice: "auto" }
    ],
    "a call of a function of a group": [
      input(user, { ...call, name: "read", namespace: "mcp__files__" }),
      {
        messages: [user, { role: "assistant", content: "", toolCalls: [{ ...toolCalls[0], name: "mcp__files__read" }] }]
      }
    ],
    "the choice of a function": [
      { tools: [tool], tool_choice: { type: "function", name: "f" } },
      { tools: [f], toolChoice: { name: "f" } }
    ],
    "the choice among some": [
      {
        tools: [tool, { ...tool, name: "g" }],
        tool_choice: {
          type: "allowed_tools",
          mode: "required",
          tools: [{ type: "function", name: "f" }, { type: "web_search" }]
        }
      },
      { tools: [f], toolChoice: "required" }
    ],
    "a choice without functions": [{ tools: ofCodex, tool_choice: "auto" }, {}]
  },
  ignored: {
    store: true,
    include: ["reasoning.encrypted_content"],
    parallel_tool_calls: false,
    service_tier: "auto",
    stream_options: { include_obfuscation: false },
    metadata: { a: "b" },
    user: "u",
    safety_identifier: "u",
    prompt_cache_retention: "24h",
    client_metadata: {},
    previous_response_id: null,
    conversation: null,
    background: false,
    text: { format: { type: "text" } },
    truncation: "disabled",
    reasoning: { effort: null, summary: null },
    anything: { at: "all" }
  },
  refused: {
    "a missing input": [{ input: undefined }, "invalid input: "],
    "an empty input": [{ input: [] }, "invalid input[0]: "],
    "an item that is no object": [{ input: [5] }, "invalid input[0]: Expected object"],
    "an item of another type": [
      input({ type: "item_reference", id: "x" }),
      'invalid input[0].type: items of the type "item_reference" are not supported here'
    ],
    "an unknown role": [input({ role: "robot", content: "" }), "invalid input[0].role: "],
    "a content of another type": [input({ role: "user", content: 5 }), "invalid input[0].content: "],
    "a part of another type": [
      input({ role: "user", content: [{ type: "input_file", file_data: "x" }] }),
      'invalid input[0].content[0].type: parts of the type "input_file" are not supported here'
    ],
    "an image by its address": [
      input({ role: "user", content: [{ ...image, image_url: "https://x/y.png" }] }),
      "invalid input[0].content[0].image_url: images are not loaded from an address"
    ],
    "an image that is text": [
      input({ role: "user", content: [{ ...image, image_url: "data:image/svg+xml,<svg/>" }] }),
      "invalid input[0].content[0].image_url: "
    ],
    "an image in a file": [
      input({ role: "user", content: [{ type: "input_image", file_id: "f" }] }),
      "invalid input[0].content[0].file_id: no files are stored here"
    ],
    "a call whose arguments are not JSON": [
      input(user, { ...call, arguments: "{" }),
      "invalid input[1].arguments: it is not JSON"
    ],
    "a call that would change a prototype": [
      input(user, { ...call, arguments: '{"__proto__":{}}' }),
      "invalid input[1].arguments: it is unsafe: the key `__proto__`"
    ],
    "an output without a call": [
      input(user, output("x")),
      "invalid input[1].call_id: Expected the call_id of an earlier function_call"
    ],
    "an output before its call": [input(output("x"), call), "invalid input[0].call_id: "],
    "a tool that OpenAI runs": [
      { tools: [tool, { type: "file_search", vector_store_ids: [] }] },
      'invalid tools[1].type: tools of the type "file_search" are not supported, only functions'
    ],
    "a tool without a name": [{ tools: [{ ...tool, name: "" }] }, "invalid tools[0].name: "],
    "a function of a group without a name": [
      { tools: [{ ...group, tools: [{ type: "function" }] }] },
      "invalid tools[0].tools[0].name: "
    ],
    "the choice required without functions": [{ tool_choice: "required" }, "invalid tool_choice: it needs tools"],
    "the choice of an unknown function": [
      { tools: [tool], tool_choice: { type: "function", name: "g" } },
      "invalid tool_choice.name: "
    ],
    "the choice of an unknown function among some": [
      { tools: [tool], tool_choice: { type: "allowed_tools", mode: "auto", tools: [{ type: "function", name: "g" }] } },
      "invalid tool_choice.tools: "
    ],
    "the choice of a search": [
      { tools: [tool], tool_choice: { type: "web_search" } },
      'invalid tool_choice.type: a choice of the type "web_search" is not supported here'
    ],
    "an earlier response": [
      { previous_response_id: "resp_1" },
      "invalid previous_response_id: no responses are stored; send the whole conversation as input"
    ],
    "a conversation": [{ conversation: { id: "c" } }, "invalid conversation: no conversations are stored"],
    "a stored prompt": [{ prompt: { id: "p" } }, "invalid prompt: no prompts are stored"],
    "a response in the background": [{ background: true }, "invalid background: no responses are stored"],
    probabilities: [{ top_logprobs: 2 }, "invalid top_logprobs: it is not supported here"],
    "a wrong number": [{ max_output_tokens: "5" }, "invalid max_output_tokens: "],
    "a wrong format": [{ text: { format: { type: "grammar" } } }, "invalid text.format.type: "],
    "a wrong stream": [{ stream: 1 }, "invalid stream: "]
  },
  full: {
    model: "m",
    instructions: "i",
    input: [
      { type: "message", role: "user", content: [{ type: "input_text", text: "x" }, image] },
      { type: "reasoning", summary: [{ type: "summary_text", text: "t" }], content: [] },
      {
        role: "assistant",
        content: [
          { type: "output_text", text: "y" },
          { type: "refusal", refusal: "n" }
        ]
      },
      { ...call, namespace: "ns" },
      output([{ type: "input_text", text: "r" }, image])
    ],
    stream: false,
    max_output_tokens: 5,
    temperature: 1,
    top_p: 1,
    tools: [tool, group, ...ofCodex],
    tool_choice: { type: "allowed_tools", mode: "auto", tools: [{ type: "function", name: "f" }] },
    text: { format: { type: "json_schema", name: "x", schema: { type: "object" } } },
    reasoning: { effort: "low" },
    truncation: "auto",
    prompt_cache_key: "k",
    parallel_tool_calls: true,
    metadata: {}
  }
})

describe("a request", () => {
  it("is answered whole, and thinks if the model can", () => {
    const received = Result.getOrThrow(responses.decode({ model: "m", input: "x", prompt_cache_key: "k" }))
    expect(received).toMatchObject({ isStream: false, isThinkOptional: true })
  })

  it("with groups of functions gets their calls by group and name", () => {
    const { encode, makeWriter } = Result.getOrThrow(responses.decode({ model: "m", input: "x", tools: [group] }))
    const context = { model: "m", id: "x1", createdAt: 0 }
    const calls = [{ id: "c1", name: "mcp__files__read", arguments: {} }]
    const final: FinalChunk = { content: "", isFinal: true, toolCalls: calls, model: "m", finishReason: "tool-calls" }
    const item = { type: "function_call", call_id: "c1", name: "read", namespace: "mcp__files__", arguments: "{}" }
    expect(encode({ ...final, toolCalls: calls }, context)).toMatchObject({ output: [item] })
    expect(makeWriter(context).chunk(final)).toContain('"call_id":"c1","name":"read","namespace":"mcp__files__"')
  })
})
