/** The tokens of prompts, for every server over sockets. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ChatRequest, Image, Message } from "../../src/CompletionRequest.ts"
import * as Pool from "../../src/Pool.ts"
import * as Provider from "../../src/Provider.ts"
import { NetworkError, ProviderError } from "../../src/ProviderError.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import * as TokenCount from "../../src/TokenCount.ts"
import type { FakeServer } from "../../src/testing/index.ts"
import * as Gateway from "../support/gateway.ts"
import { policies } from "../support/policies.ts"
import type { ServerName } from "../support/setups.ts"
import { request, serverNames, start } from "../support/setups.ts"

const tools = [{ name: "f", parameters: Schema.Struct({ a: Schema.String }) }]
const thinking: ChatRequest = { model: "m", messages: [{ role: "user", content: "Why?" }], tools, think: false }
const png: Image = new Uint8Array([137, 80, 78, 71])
const text = "The quick brown fox jumps over the lazy dog. ".repeat(100)
const ofText = (content: string, model = "m"): ChatRequest => ({ model, messages: [{ role: "user", content }] })

/** Replies to these paths. */
const on =
  (replies: Readonly<Record<string, FakeServer.Reply>>): FakeServer.Script =>
  ({ path }) =>
    replies[path] ?? { text: "Hi", usage: { promptTokens: 500, completionTokens: 1, totalTokens: 501 } }

const reply = (body: object): FakeServer.Reply => ({ status: 200, body })
const missing: FakeServer.Reply = { status: 404, body: { error: { message: "File Not Found", code: 404 } } }

const startWith = (provider: ServerName, script: FakeServer.Script, options = {}) =>
  start({ provider, client: "undici" }, script, options)

const bodyOf = (sent: FakeServer.ReceivedRequest | undefined): object =>
  Predicate.isObject(sent?.body) ? sent.body : {}

describe("llama-server", () => {
  it.live("counts the tokens of a chat as it would read it, defaults included", () =>
    Effect.gen(function* () {
      const replies = {
        "/v1/chat/completions/input_tokens": reply({ object: "response.input_tokens", input_tokens: 42 })
      }
      const { provider, server } = yield* startWith("llama-server", on(replies), { defaults: { temperature: 0 } })
      expect(yield* provider.countTokens(thinking)).toEqual({ tokens: 42, exact: true })
      yield* provider.complete(thinking)
      const { requests } = yield* server.state
      expect(requests.map(({ path }) => path)).toEqual(["/v1/chat/completions/input_tokens", "/v1/chat/completions"])
      expect(bodyOf(requests[0])).toEqual(bodyOf(requests[1]))
      expect(bodyOf(requests[0])).toMatchObject({ temperature: 0, chat_template_kwargs: { enable_thinking: false } })
    })
  )

  it.live("applies the template and counts its tokens if it has no route for both", () =>
    Effect.gen(function* () {
      const { provider, server } = yield* startWith(
        "llama-server",
        on({
          "/v1/chat/completions/input_tokens": missing,
          "/apply-template": reply({ prompt: "<|user|>Why?" }),
          "/tokenize": reply({ tokens: [1, 2, { id: 3, piece: "x" }] })
        })
      )
      expect(yield* provider.countTokens(thinking)).toEqual({ tokens: 3, exact: true })
      const { requests } = yield* server.state
      expect(bodyOf(requests.at(-1))).toEqual({ content: "<|user|>Why?", add_special: true, parse_special: true })
    })
  )

  it.live("counts the tokens of a prompt", () =>
    Effect.gen(function* () {
      const { provider, server } = yield* startWith("llama-server", on({ "/tokenize": reply({ tokens: [1, 2] }) }))
      expect(yield* provider.countTokens({ model: "m", prompt: "Once" })).toEqual({ tokens: 2, exact: true })
      expect((yield* server.state).requests.map(({ path }) => path)).toEqual(["/tokenize"])
    })
  )

  it.live("that reports a count below zero violates its protocol", () =>
    Effect.gen(function* () {
      const path = "/v1/chat/completions/input_tokens"
      const { provider } = yield* startWith("llama-server", on({ [path]: reply({ input_tokens: -1 }) }))
      expect(yield* Effect.flip(provider.countTokens(request))).toMatchObject({ reason: { _tag: "ParseError" } })
    })
  )

  it.live("that is loading fails with its own error", () =>
    Effect.gen(function* () {
      const loading = {
        status: 503,
        body: { error: { code: 503, message: "Loading model", type: "unavailable_error" } }
      }
      const { provider } = yield* startWith("llama-server", () => loading)
      expect(yield* Effect.flip(provider.countTokens(request))).toMatchObject({
        isRetryable: true,
        reason: { status: 503 }
      })
    })
  )
})

describe("an OpenAI-compatible server", () => {
  const openAi = "OpenAI-compatible server"

  it.live("counts as vLLM does", () =>
    Effect.gen(function* () {
      const script = on({ "/tokenize": reply({ count: 17, max_model_len: 4096, tokens: [] }) })
      const { provider, server } = yield* startWith(openAi, script)
      expect(yield* provider.countTokens({ ...thinking, extra: { chat_template_kwargs: { x: 1 } } })).toEqual({
        tokens: 17,
        exact: true
      })
      expect(yield* provider.countTokens({ model: "m", prompt: "Once" })).toEqual({ tokens: 17, exact: true })
      const [chat, prompt] = (yield* server.state).requests
      expect(Object.keys(bodyOf(chat)).toSorted()).toEqual(["chat_template_kwargs", "messages", "model", "tools"])
      expect(bodyOf(prompt)).toEqual({ model: "m", prompt: "Once" })
    })
  )

  it.live.each<readonly [what: string, reply: FakeServer.Reply]>([
    ["without the route", missing],
    ["with another method", { status: 405, body: "no" }],
    ["behind a proxy that guards it", { status: 403, body: "no" }],
    ["with the route of llama-server", reply({ tokens: [] })],
    ["with a count below zero", reply({ count: -1 })],
    ["with a page", { status: 404, headers: { "content-type": "text/html" }, body: "<html></html>" }]
  ])("%s is asked once, and then estimated", ([, answer]) =>
    Effect.gen(function* () {
      const { provider, server } = yield* startWith(openAi, on({ "/tokenize": answer }))
      for (let i = 0; i < 3; i++) {
        expect(yield* provider.countTokens(ofText(text))).toEqual({ tokens: 1515, exact: false })
      }
      expect((yield* server.state).requests.length).toBe(1)
    })
  )

  it.live("that rejects one request is asked again for others", () =>
    Effect.gen(function* () {
      const { provider, server } = yield* startWith(
        openAi,
        on({ "/tokenize": { status: 400, body: { message: "no" } } })
      )
      expect(yield* provider.countTokens(request)).toMatchObject({ exact: false })
      yield* server.setScript(on({ "/tokenize": reply({ count: 17 }) }))
      expect(yield* provider.countTokens(request)).toEqual({ tokens: 17, exact: true })
    })
  )
})

describe.each(serverNames)("%s", (server) => {
  it.live("rejects an invalid request, and sends nothing", () =>
    Effect.gen(function* () {
      const running = yield* startWith(server, on({}))
      const error = yield* Effect.flip(running.provider.countTokens({ model: "m", messages: [] }))
      expect(error.reason).toMatchObject({ _tag: "InvalidRequest", field: "messages" })
      expect((yield* running.server.state).requests).toEqual([])
    })
  )

  it.live("does not claim to know the tokens of images", () =>
    Effect.gen(function* () {
      const { provider } = yield* startWith(server, on({ "/tokenize": reply({ count: 1, tokens: [1] }) }))
      const messages: ReadonlyArray<Message> = [
        { role: "user", content: [{ type: "image", image: png }], images: [png] }
      ]
      const { exact, tokens } = yield* provider.countTokens({ model: "m", messages })
      expect(exact).toBe(false)
      expect(tokens).toBeGreaterThanOrEqual(3200)
    })
  )
})

describe("an estimate", () => {
  it("has tokens for each byte, above 0", () => {
    for (const tokensPerByte of [0, -1, Number.NaN, Infinity]) {
      const estimated = TokenCount.estimate(request, { tokensPerByte })
      expect(estimated).toMatchObject({ failure: { _tag: "InvalidRequest", field: "tokensPerByte" } })
    }
  })

  const usage = (promptTokens: number): FakeServer.Script => ({
    text: "Hi",
    usage: { promptTokens, completionTokens: 1, totalTokens: promptTokens + 1 }
  })

  it.live.each(["Ollama", "LM Studio"] as const)("of %s learns from earlier completions of the model", (server) =>
    Effect.gen(function* () {
      const running = yield* startWith(server, usage(900))
      const count = (content: string, model = "m") => running.provider.countTokens(ofText(content, model))
      expect(yield* count(text)).toEqual({ tokens: 1515, exact: false })
      yield* running.provider.complete(ofText(text))
      // 900, and a tenth for the next text.
      expect(yield* count(text)).toEqual({ tokens: 991, exact: false })
      expect(yield* count(text + text)).toMatchObject({ tokens: expect.closeTo(1970, -2) })
      expect(yield* count(text, "other")).toEqual({ tokens: 1515, exact: false })
      // The highest rate counts.
      yield* running.server.setScript(usage(600))
      yield* running.provider.complete(ofText(text))
      expect(yield* count(text)).toEqual({ tokens: 991, exact: false })
    })
  )

  it.live("is at most one token for each byte, and not lowered by tokens from the cache", () =>
    Effect.gen(function* () {
      const { provider, server } = yield* startWith("Ollama", usage(1))
      yield* provider.countTokens(ofText(text))
      yield* provider.complete(ofText(text))
      expect(yield* provider.countTokens(ofText(text))).toEqual({ tokens: 1515, exact: false })
      yield* server.setScript(usage(1300))
      yield* provider.complete(ofText(text))
      yield* server.setScript(usage(600))
      for (let i = 0; i < 20; i++) yield* provider.complete(ofText(text))
      expect(yield* provider.countTokens(ofText(text))).toEqual({ tokens: 1430, exact: false })
      yield* server.setScript(usage(1_000_000))
      yield* provider.complete(ofText(text))
      expect((yield* provider.countTokens(ofText(text))).tokens).toBeLessThan(5000)
    })
  )

  it.live("does not learn from short prompts, whose tokens are those of the template", () =>
    Effect.gen(function* () {
      const { provider } = yield* startWith("Ollama", usage(300))
      yield* provider.countTokens(ofText("Hi"))
      yield* provider.complete(ofText("Hi"))
      expect(yield* provider.countTokens(ofText(text))).toEqual({ tokens: 1515, exact: false })
    })
  )

  it("counts the schemas of tools and of the format, and of arguments with the names of images", () => {
    const of = (more: Partial<ChatRequest>) => TokenCount.estimate({ ...ofText("x"), ...more })
    expect(of({ tools, format: tools[0]?.parameters })).toMatchObject({ success: { tokens: expect.closeTo(100, -2) } })
    const toolCalls = [{ id: "c", name: "f", arguments: { images: [text], content: [{ type: "image", text }] } }]
    expect(of({ messages: [{ role: "assistant", content: "", toolCalls }] })).toMatchObject({
      success: { tokens: expect.closeTo(3040, -2) }
    })
  })
})

describe.each(Object.keys(policies))("through %s", (policy) => {
  it.live("the server counts", () =>
    Effect.gen(function* () {
      const replies = {
        "/v1/chat/completions/input_tokens": reply({ input_tokens: 42 }),
        "/v1/models": reply({ data: [{ id: "m" }] })
      }
      const running = yield* startWith("llama-server", on(replies))
      const apply = policies[policy]
      if (apply === undefined) return yield* Effect.die(policy)
      const provider = yield* apply(running.provider)
      expect(yield* provider.countTokens(request)).toEqual({ tokens: 42, exact: true })
    })
  )
})

describe("a pool", () => {
  const counting = (name: string, tokens: number, models: ReadonlyArray<string>, loaded = false) =>
    Provider.make({
      name,
      stream: () => Stream.empty,
      listModels: Effect.succeed(models.map((id) => ({ id, isLoaded: loaded }))),
      countTokens: () => Effect.succeed({ tokens, exact: true })
    })
  const failed = new ProviderError({ provider: "down", reason: new NetworkError({ description: "refused" }) })
  const down = Provider.make({
    ...counting("down", 0, ["m"]),
    countTokens: () => Effect.fail(failed),
    model: () => Effect.fail(failed)
  })

  it.effect("asks the first host that has the model and answers", () =>
    Effect.gen(function* () {
      const hosts = [
        { provider: down },
        { provider: counting("a", 1, ["other"]) },
        { provider: counting("b", 2, ["m"]) }
      ]
      const pool = yield* Pool.make({ hosts })
      expect(yield* pool.countTokens(request)).toEqual({ tokens: 2, exact: true })
      expect(yield* pool.countTokens({ ...thinking, model: undefined })).toEqual({
        tokens: 1,
        exact: true
      })
    })
  )

  it.effect("fails as its hosts do", () =>
    Effect.gen(function* () {
      const pool = yield* Pool.make({ hosts: [{ provider: down }] })
      expect(yield* Effect.flip(pool.countTokens(request))).toBe(failed)
    })
  )
})

describe("a gateway", () => {
  const ask = (url: string, body: object) =>
    Effect.map(Gateway.ask(`${url}/v1/messages/count_tokens`, body), ({ status, text }) => ({
      status,
      body: JSON.parse(text)
    }))
  const body = { model: "a", messages: [{ role: "user", content: "Why?" }] }

  it.live("counts as the server does, by the name that the client knows", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make(["x"])
      const models: Array<string | undefined> = []
      const provider = Provider.make({
        ...mock,
        countTokens: ({ model }) =>
          Effect.sync(() => {
            models.push(model)
            return { tokens: 12, exact: true }
          })
      })
      const url = yield* Gateway.serve(provider, { aliases: { a: "b" } })
      expect(yield* ask(url, body)).toEqual({ status: 200, body: { input_tokens: 12 } })
      expect(models).toEqual(["b"])
    })
  )

  it.live("estimates while the server does not answer", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make(["x"])
      const reason = new NetworkError({ description: "refused" })
      const provider = Provider.make({
        ...mock,
        countTokens: () => Effect.fail(new ProviderError({ provider: "p", reason }))
      })
      const { body: counted, status } = yield* ask(yield* Gateway.serve(provider), body)
      expect(status).toBe(200)
      expect(counted.input_tokens).toBeGreaterThan(5)
    })
  )
})
