/** What coding agents send to Anthropic's and OpenAI's newest routes, on real sockets. */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Provider from "../../src/Provider.ts"
import * as Reasons from "../../src/ProviderError.ts"
import * as Gateway from "../support/gateway.ts"

const user = { role: "user", content: "Why is the sky blue?" }

/** The headers of Anthropic's clients. */
const headers = { "anthropic-version": "2023-06-01", "x-api-key": "" }

const description = "Reads a file from the disk. ".repeat(110)

/** A request of Claude Code 2.1: 24 tools, blocks of the system, and fields for Anthropic's own servers. */
const claudeCode = {
  model: "m",
  max_tokens: 32_000,
  stream: true,
  system: [
    { type: "text", text: "x-anthropic-billing-header: cc_version=2.1.177; cch=36ee5;" },
    { type: "text", text: "You are Claude Code.", cache_control: { type: "ephemeral" } }
  ],
  messages: [{ role: "user", content: [{ type: "text", text: "Hi", cache_control: { type: "ephemeral" } }] }],
  tools: Array.from({ length: 24 }, (_, i) => ({
    name: `Tool${i}`,
    description,
    input_schema: {
      $schema: "https://json-schema.org/draft/2020-12/schema",
      type: "object",
      properties: { path: { type: "string" } },
      required: ["path"],
      additionalProperties: false
    }
  })),
  thinking: { type: "enabled", budget_tokens: 31_999 },
  context_management: { edits: [{ type: "clear_thinking_20251015", keep: "all" }] },
  output_config: { effort: "high" },
  metadata: { user_id: "user_1_session_2" }
}

/** A request of codex: 20 kB of instructions, and tools of all its kinds. */
const codex = {
  model: "m",
  instructions: "You are Codex. ".repeat(1400),
  input: [
    { type: "message", role: "developer", content: [{ type: "input_text", text: "Sandbox: none." }] },
    { type: "message", role: "user", content: [{ type: "input_text", text: "Hi" }] }
  ],
  tools: [
    { type: "function", name: "shell", description, strict: false, parameters: { type: "object", properties: {} } },
    { type: "custom", name: "apply_patch", description, format: { type: "grammar", syntax: "lark", definition: "x" } },
    { type: "web_search", external_web_access: false },
    {
      type: "namespace",
      name: "mcp__files__",
      description: "",
      tools: [{ type: "function", name: "read", parameters: {} }]
    }
  ],
  tool_choice: "auto",
  parallel_tool_calls: false,
  reasoning: { effort: "medium", summary: "auto" },
  store: false,
  stream: true,
  include: ["reasoning.encrypted_content"],
  prompt_cache_key: "0199",
  client_metadata: {}
}

/** A model that cannot think, as Ollama is asked before it generates. */
const withoutThinking = (mock: MockProvider.MockProvider) =>
  Provider.make({
    ...mock,
    stream: (request) =>
      request.messages !== undefined && request.think !== undefined
        ? Stream.fail(
            new Reasons.ProviderError({ provider: "x", reason: new Reasons.Unsupported({ feature: "thinking" }) })
          )
        : mock.stream(request)
  })

describe.each([
  {
    name: "Claude Code",
    path: "/v1/messages?beta=true",
    body: claudeCode,
    end: "message_stop",
    bytes: 77_000,
    tools: 24
  },
  { name: "codex", path: "/v1/responses", body: codex, end: "response.completed", bytes: 20_000, tools: 2 }
])("$name", ({ body, bytes, end, path, tools }) => {
  it.live("gets a completion of a model that cannot think", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make(["Hello"])
      const url = yield* Gateway.serve(withoutThinking(mock))
      expect(JSON.stringify(body).length).toBeGreaterThan(bytes)
      const { status, text } = yield* Gateway.ask(url + path, body, { headers })
      expect(status).toBe(200)
      expect(text).toContain(end)
      const [request] = yield* mock.requests
      expect(request?.tools).toHaveLength(tools)
      expect(request?.messages?.map(({ role }) => role)).toEqual(["system", "user"])
      expect(JSON.stringify(request?.messages)).not.toContain("billing")
    })
  )

  it.live("gets the thinking of one that can", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make([{ thinking: "Hm" }, "Hello"])
      const url = yield* Gateway.serve(mock)
      const { text } = yield* Gateway.ask(url + path, body, { headers })
      expect(text).toMatch(/"(?:thinking|delta)":"Hm"/)
      expect((yield* mock.requests)[0]).toHaveProperty("think")
    })
  )
})

describe("Anthropic's other routes", () => {
  const serve = Effect.flatMap(MockProvider.make(["x"], { models: ["a", "b/c:1"] }), Gateway.serve)
  const ask = (path: string, body?: object) =>
    Effect.gen(function* () {
      const { status, text } = yield* Gateway.ask((yield* serve) + path, body, { headers })
      return { status, body: JSON.parse(text) }
    })

  it.live("count the tokens of a prompt", () =>
    Effect.gen(function* () {
      const { body, status } = yield* ask("/v1/messages/count_tokens?beta=true", { model: "a", messages: [user] })
      expect(status).toBe(200)
      expect(body.input_tokens).toBeGreaterThan(5)
      expect(yield* ask("/v1/messages/count_tokens", { model: "a", messages: 5 })).toEqual({
        status: 400,
        body: {
          type: "error",
          error: { type: "invalid_request_error", message: expect.stringMatching(/^invalid messages: /) }
        }
      })
    })
  )

  it.live("list models, each with its slashes", () =>
    Effect.gen(function* () {
      const list = yield* ask("/v1/models?limit=1000")
      expect(list).toMatchObject({ status: 200, body: { has_more: false, first_id: "a", last_id: "b/c:1" } })
      expect(list.body.data).toHaveLength(2)
      expect(yield* ask("/v1/models/b/c:1")).toMatchObject({ status: 200, body: { type: "model", id: "b/c:1" } })
    })
  )

  it.live("refuse what they do not know in their own form", () =>
    Effect.gen(function* () {
      const refusal = { type: "error", error: { type: "not_found_error" } }
      expect(yield* ask("/v1/messages/batches", {})).toMatchObject({ status: 404, body: refusal })
    })
  )
})

describe("a failure", () => {
  const ask = (path: string, body: object, reason: Reasons.ProviderErrorReason) =>
    Effect.gen(function* () {
      const url = yield* Gateway.serve(yield* MockProvider.make([MockProvider.fail(reason)]))
      const { status, text } = yield* Gateway.ask(url + path, body, { headers })
      return { status, ...JSON.parse(text).error }
    })
  const messages = { model: "m", messages: [user] }

  /** What Claude Code 2.1.197 does with each: it repeats the request up to 10 times, or shows the failure. */
  it.live.each<[reason: Reasons.ProviderErrorReason, status: number, isRepeated: boolean]>([
    [new Reasons.ApiError({ status: 500 }), 502, true],
    [new Reasons.ApiError({ status: 503 }), 529, true],
    [new Reasons.NetworkError({}), 502, true],
    [new Reasons.Timeout({ kind: "first-chunk", limit: Duration.seconds(1) }), 504, true],
    [new Reasons.RateLimited({ retryAfter: Duration.seconds(1) }), 429, true],
    [new Reasons.ModelNotAvailable({ model: "m" }), 404, false],
    [new Reasons.ContextOverflow({ promptTokens: 100, contextLength: 50 }), 400, false]
  ])("before the first text has a status that Claude Code knows: %s, %s, repeated: %s", ([reason, status, repeated]) =>
    Effect.gen(function* () {
      const url = yield* Gateway.serve(yield* MockProvider.make([MockProvider.fail(reason)]))
      const seen = yield* Gateway.ask(`${url}/v1/messages?beta=true`, claudeCode, { headers })
      expect([seen.status, seen.status === 429 || seen.status >= 500]).toEqual([status, repeated])
      expect(seen.headers["retry-after"]).toBe(status === 429 ? "1" : undefined)
      expect(JSON.parse(seen.text)).toMatchObject({ type: "error", error: { message: expect.any(String) } })
    })
  )

  it.live("after it makes Claude Code drop the text and ask for the whole message, which it gets", () =>
    Effect.gen(function* () {
      let requests = 0
      const mock = yield* MockProvider.make(() =>
        requests++ === 0 ? ["Hel", MockProvider.fail(new Reasons.StreamError({}))] : ["Hello ", "there."]
      )
      const url = yield* Gateway.serve(mock)
      const first = yield* Gateway.ask(`${url}/v1/messages?beta=true`, claudeCode, { headers })
      expect(first.text).toMatch(/event: error\n.*\n\n$/)
      const { stream: _, ...whole } = claudeCode
      const second = yield* Gateway.ask(`${url}/v1/messages?beta=true`, whole, { headers })
      expect(JSON.parse(second.text)).toMatchObject({
        content: [{ type: "text", text: "Hello there." }],
        stop_reason: "end_turn"
      })
    })
  )

  it.live("of a host that has too much to do is `overloaded_error`", () =>
    Effect.gen(function* () {
      const failure = yield* ask("/v1/messages", messages, new Reasons.ApiError({ status: 503 }))
      expect(failure).toMatchObject({ status: 529, type: "overloaded_error" })
    })
  )

  it.live("of a prompt that does not fit has the words and codes by which agents compact it", () =>
    Effect.gen(function* () {
      const reason = new Reasons.ContextOverflow({ promptTokens: 100, contextLength: 50 })
      expect((yield* ask("/v1/messages", messages, reason)).message).toMatch(
        /^prompt is too long: 100 tokens > 50 maximum/
      )
      expect((yield* ask("/v1/responses", { model: "m", input: "x" }, reason)).code).toBe("context_length_exceeded")
    })
  )
})
