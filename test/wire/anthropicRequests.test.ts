/** The fields of requests of Anthropic's API, one by one. */
import { describe, expect, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { decodeCount, messages } from "../../src/protocol/anthropic/messages.ts"
import * as TokenCount from "../../src/TokenCount.ts"
import { nested } from "../support/hostileBodies.ts"
import { checkTables } from "../support/requestTables.ts"

const user = { role: "user", content: "Why?" }
const tool = { name: "f", input_schema: { type: "object", properties: {} } }
const call = { type: "tool_use", id: "t1", name: "f", input: { n: 1 } }
const asked = [user, { role: "assistant", content: [call] }]
const result = (fields: object) => ({ role: "user", content: [{ type: "tool_result", tool_use_id: "t1", ...fields }] })
const received = [user, { role: "assistant", content: "", toolCalls: [{ id: "t1", name: "f", arguments: { n: 1 } }] }]
const image = { type: "image", source: { type: "base64", media_type: "image/png", data: "iVBOR w0KG\ngo=" } }
const blocks = (...content: ReadonlyArray<object>) => ({ messages: [{ role: "user", content }] })
const say = (...content: ReadonlyArray<object>) => ({ messages: [user, { role: "assistant", content }] })

checkTables(messages.decode, {
  base: { model: "m", messages: [user] },
  kept: {
    max_tokens: [{ max_tokens: 5 }, { maxTokens: 5 }],
    temperature: [{ temperature: 0 }, { temperature: 0 }],
    top_p: [{ top_p: 0.5 }, { topP: 0.5 }],
    top_k: [{ top_k: 40 }, { topK: 40 }],
    stop_sequences: [{ stop_sequences: ["\n\n"] }, { stop: ["\n\n"] }],
    "null for a field": [{ temperature: null, system: null, tools: null, thinking: null }, {}],
    "a system text": [{ system: "Be brief." }, { messages: [{ role: "system", content: "Be brief." }, user] }],
    "system blocks, without that for billing": [
      {
        system: [
          { type: "text", text: "x-anthropic-billing-header: cc_version=2.1; cch=1a2b3;" },
          { type: "text", text: "You are a cat.", cache_control: { type: "ephemeral" } },
          { type: "text", text: "Be brief." }
        ]
      },
      { messages: [{ role: "system", content: "You are a cat.\n\nBe brief." }, user] }
    ],
    "a system text that begins with the line for billing": [
      { system: "x-anthropic-billing-header: cch=1a2b3;\nBe brief." },
      { messages: [{ role: "system", content: "Be brief." }, user] }
    ],
    "a system message": [
      { messages: [user, { role: "system", content: [{ type: "text", text: "Be brief." }] }] },
      { messages: [user, { role: "system", content: "Be brief." }] }
    ],
    "texts and images in their order": [
      blocks(image, { type: "text", text: "What?" }),
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
    "a document that is a text": [
      blocks({ type: "document", title: "T", source: { type: "text", media_type: "text/plain", data: "Once" } }),
      { messages: [{ role: "user", content: "T\nOnce" }] }
    ],
    "no content": [blocks(), { messages: [{ role: "user", content: "" }] }],
    "thinking that was sent back": [
      say(
        { type: "thinking", thinking: "a", signature: "s" },
        { type: "redacted_thinking", data: "x" },
        { type: "thinking", thinking: "b", signature: "s" },
        { type: "text", text: "Hi" }
      ),
      { messages: [user, { role: "assistant", content: "Hi", thinking: "ab" }] }
    ],
    "a result as text": [
      { messages: [...asked, result({ content: "20" })] },
      { messages: [...received, { role: "tool", content: "20", toolCallId: "t1" }] }
    ],
    "a result without content": [
      { messages: [...asked, result({})] },
      { messages: [...received, { role: "tool", content: "", toolCallId: "t1" }] }
    ],
    "a failed result": [
      { messages: [...asked, result({ content: [{ type: "text", text: "no" }], is_error: true })] },
      { messages: [...received, { role: "tool", content: "no", toolCallId: "t1", isError: true }] }
    ],
    "a result with an image": [
      { messages: [...asked, result({ content: [{ type: "text", text: "x" }, image] })] },
      {
        messages: [
          ...received,
          {
            role: "tool",
            content: [
              { type: "text", text: "x" },
              { type: "image", image: "iVBORw0KGgo=" }
            ],
            toolCallId: "t1"
          }
        ]
      }
    ],
    "a call whose arguments are no object": [
      { messages: [user, { role: "assistant", content: [{ ...call, input: [1] }] }] },
      {
        messages: [user, { role: "assistant", content: "", toolCalls: [{ id: "t1", name: "f", arguments: [1] }] }]
      }
    ],
    "a result that names tools": [
      { messages: [...asked, result({ content: [{ type: "tool_reference", tool_name: "f" }] })] },
      { messages: [...received, { role: "tool", content: "f", toolCallId: "t1" }] }
    ],
    "a text before a result, which comes first": [
      {
        messages: [
          ...asked,
          {
            role: "user",
            content: [
              { type: "text", text: "Well?" },
              { type: "tool_result", tool_use_id: "t1", content: "1" }
            ]
          }
        ]
      },
      { messages: [...received, { role: "tool", content: "1", toolCallId: "t1" }, { role: "user", content: "Well?" }] }
    ],
    tools: [
      { tools: [{ ...tool, type: "custom", description: "d", cache_control: {} }] },
      { tools: [{ name: "f", description: "d", parameters: tool.input_schema }] }
    ],
    "the choice auto": [
      { tools: [tool], tool_choice: { type: "auto", disable_parallel_tool_use: true } },
      { tools: [{ name: "f", parameters: tool.input_schema }], toolChoice: "auto" }
    ],
    "the choice any": [
      { tools: [tool], tool_choice: { type: "any" } },
      { tools: [{ name: "f", parameters: tool.input_schema }], toolChoice: "required" }
    ],
    "the choice none": [
      { tools: [tool], tool_choice: { type: "none" } },
      { tools: [{ name: "f", parameters: tool.input_schema }], toolChoice: "none" }
    ],
    "the choice of a tool": [
      { tools: [tool], tool_choice: { type: "tool", name: "f" } },
      { tools: [{ name: "f", parameters: tool.input_schema }], toolChoice: { name: "f" } }
    ],
    "the choice auto without tools": [{ tool_choice: { type: "auto" } }, {}],
    thinking: [{ thinking: { type: "enabled", budget_tokens: 1024 } }, { think: true }],
    "no thinking": [{ thinking: { type: "disabled" } }, { think: false }],
    "thinking as the model likes": [{ thinking: { type: "adaptive", display: "summarized" } }, {}],
    "a format": [
      { output_config: { effort: "high", format: { type: "json_schema", schema: { type: "object" } } } },
      { format: { type: "object" } }
    ],
    "a format in its earlier field": [
      { output_format: { type: "json_schema", schema: { type: "object" } } },
      { format: { type: "object" } }
    ]
  },
  ignored: {
    metadata: { user_id: "x" },
    service_tier: "auto",
    cache_control: { type: "ephemeral" },
    context_management: { edits: [{ type: "clear_thinking_20251015", keep: "all" }] },
    output_config: { effort: "high" },
    mcp_servers: [],
    container: null,
    anything: { at: "all" }
  },
  refused: {
    "a missing model": [{ model: undefined }, "invalid model: "],
    "an empty model": [{ model: "" }, "invalid model: "],
    "no messages": [{ messages: [] }, "invalid messages: "],
    "an unknown role": [{ messages: [{ role: "tool", content: "" }] }, "invalid messages[0].role: "],
    "a content of another type": [{ messages: [user, { role: "user", content: 5 }] }, "invalid messages[1].content: "],
    "a block without a type": [blocks({ text: "x" }), "invalid messages[0].content[0]: "],
    "a text of another type": [
      blocks({ type: "text", text: 5 }),
      "invalid messages[0].content[0].text: Expected string"
    ],
    "a block that only a server writes": [
      say({ type: "server_tool_use", id: "s", name: "web_search", input: {} }),
      'invalid messages[1].content[0].type: blocks of the type "server_tool_use" are not supported here'
    ],
    "a call of the user": [blocks(call), "invalid messages[0].content[0].type: "],
    "the name of a property of all objects": [blocks({ type: "constructor" }), "invalid messages[0].content[0].type: "],
    "a type that cannot be quoted": [
      blocks({ type: "a\nb" }),
      "invalid messages[0].content[0].type: blocks of the type this one are not supported here"
    ],
    "an image by its address": [
      blocks({ type: "image", source: { type: "url", url: "http://169.254.169.254/" } }),
      "invalid messages[0].content[0].source.url: images are not loaded from an address; send them as base64"
    ],
    "an image in a file": [
      blocks({ type: "image", source: { type: "file", file_id: "f" } }),
      "invalid messages[0].content[0].source.type: "
    ],
    "an image that is an address in place of base64": [
      blocks({ type: "image", source: { type: "base64", data: "http://x/y" } }),
      "invalid messages[0].content[0].source.data: Expected base64 text"
    ],
    "a document that is a PDF": [
      blocks({ type: "document", source: { type: "base64", data: "AAAA" } }),
      "invalid messages[0].content[0].source.type: only documents of text are supported"
    ],
    "a result without a call": [
      { messages: [user, result({ content: "x" })] },
      "invalid messages[1].content[0].tool_use_id: Expected the id of a tool_use block in an earlier message"
    ],
    "a result before its call": [
      { messages: [result({ content: "x" }), ...asked] },
      "invalid messages[0].content[0].tool_use_id: "
    ],
    "a tool of the server": [
      { tools: [tool, { type: "web_search_20250305", name: "web_search" }] },
      'invalid tools[1].type: tools of the type "web_search_20250305" are not supported'
    ],
    "a tool without a schema": [{ tools: [{ name: "f" }] }, "invalid tools[0].input_schema: "],
    "a tool without a name": [{ tools: [{ ...tool, name: "" }] }, "invalid tools[0].name: "],
    "the choice of an unknown tool": [
      { tools: [tool], tool_choice: { type: "tool", name: "g" } },
      "invalid tool_choice.name: Expected the name of one of the tools"
    ],
    "the choice any without tools": [{ tool_choice: { type: "any" } }, "invalid tool_choice: it needs tools"],
    "an unknown choice": [{ tools: [tool], tool_choice: { type: "some" } }, "invalid tool_choice.type: "],
    "a wrong max_tokens": [{ max_tokens: "5" }, "invalid max_tokens: "],
    "no tokens": [{ max_tokens: 0 }, "invalid max_tokens: "],
    "a temperature that is too high": [{ temperature: 3 }, "invalid temperature: "],
    "an empty stop text": [{ stop_sequences: [""] }, "invalid stop_sequences[0]: "],
    "a wrong stream": [{ stream: "yes" }, "invalid stream: "],
    "an unknown thinking": [{ thinking: { type: "always" } }, "invalid thinking.type: "],
    "servers of tools": [{ mcp_servers: [{ url: "http://x" }] }, "invalid mcp_servers: it is not supported here"],
    "a container": [{ container: "c" }, "invalid container: it is not supported here"]
  },
  full: {
    model: "m",
    max_tokens: 5,
    system: [{ type: "text", text: "s" }],
    messages: [
      { role: "user", content: [{ type: "text", text: "x" }, image] },
      {
        role: "assistant",
        content: [{ type: "thinking", thinking: "t", signature: "s" }, { type: "text", text: "y" }, call]
      },
      result({ content: [{ type: "text", text: "r" }, image], is_error: false }),
      user
    ],
    temperature: 1,
    top_p: 1,
    top_k: 1,
    stop_sequences: ["x"],
    stream: false,
    tools: [{ ...tool, description: "d" }],
    tool_choice: { type: "tool", name: "f" },
    thinking: { type: "enabled", budget_tokens: 5 },
    output_config: { format: { type: "json_schema", schema: { type: "object" } } },
    metadata: { user_id: "u" }
  }
})

describe("a request", () => {
  it("of a user is answered whole, and thinks if the model can", () => {
    const body = { model: "m", messages: [user], metadata: { user_id: "u" } }
    expect(Result.getOrThrow(messages.decode(body))).toMatchObject({ isStream: false, isThinkOptional: true })
  })
})

describe("the number of tokens", () => {
  const count = (body: object) =>
    Result.map(
      Result.flatMap(decodeCount({ model: "m", ...body }), (request) => TokenCount.estimate(request)),
      ({ tokens }) => tokens
    )
  const text = "The quick brown fox jumps over the lazy dog. ".repeat(100)

  it("is above that of tokenizers, which have about 10 for this sentence", () => {
    const tokens = Result.getOrThrow(count({ messages: [{ role: "user", content: text }] }))
    expect(tokens).toBeGreaterThan(1000)
    expect(tokens).toBeLessThan(2000)
  })

  it("counts an image once, however large it is", () => {
    const data = "A".repeat(1_000_000)
    const tokens = Result.getOrThrow(count(blocks({ type: "image", source: { type: "base64", data } })))
    expect(tokens).toBeGreaterThan(1600)
    expect(tokens).toBeLessThan(1700)
  })

  it("counts tools", () => {
    const countWith = (tools: ReadonlyArray<object>) => Result.getOrThrow(count({ messages: [user], tools }))
    expect(countWith([{ ...tool, description: text }])).toBeGreaterThan(countWith([]) + 1000)
  })

  it("of arguments that are nested too deeply is not counted", () => {
    const input = { n: nested(20_000) }
    const body = { messages: [user, { role: "assistant", content: [{ ...call, input }] }] }
    expect(Result.getOrThrow(Result.flip(count(body))).message).toBe("invalid messages: they are nested too deeply")
  })

  it("is that of a valid request", () => {
    expect(Result.getOrThrow(Result.flip(count({ messages: [] }))).message).toMatch(/^invalid messages: /)
  })
})
