/** OpenAI's routes on real ports: what clients get, byte for byte, and what our own client makes of it. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as LmStudio from "../../src/LmStudio.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import type { ModelInfo } from "../../src/ModelInfo.ts"
import * as OpenAiCompatible from "../../src/OpenAiCompatible.ts"
import * as Provider from "../../src/Provider.ts"
import { ModelNotAvailable, ProviderError, RateLimited } from "../../src/ProviderError.ts"
import * as Gateway from "../support/gateway.ts"

const infos: ReadonlyArray<ModelInfo> = [
  { id: "llama3.2:3b", sizeBytes: 2_000_000_000, contextLength: 131_072, capabilities: ["completion", "tools"] },
  {
    id: "qwen/qwen3-vl:8b",
    contextLength: 32_768,
    family: "qwen3",
    quantization: "Q4_K_M",
    capabilities: ["completion", "vision", "tools"],
    isLoaded: true,
    loadedContextLength: 8192
  },
  { id: "nomic-embed-text", capabilities: ["embedding"] },
  { id: "100% new" }
]

/** As most servers: the list has little more than the names. */
const start = (script: MockProvider.Script | ((request: object) => MockProvider.Script) = ["Hi"]) =>
  Effect.gen(function* () {
    const mock = yield* MockProvider.make(script)
    const provider = Provider.make({
      ...mock,
      listModels: Effect.succeed(infos.map(({ contextLength, id, sizeBytes }) => ({ id, contextLength, sizeBytes }))),
      model: (name) => {
        const info = infos.find(({ id }) => id === name)
        return info === undefined
          ? Effect.fail(new ProviderError({ provider: "mock", reason: new ModelNotAvailable({ model: name }) }))
          : Effect.succeed(info)
      }
    })
    return { url: yield* Gateway.serve(provider), mock }
  })

const json = (url: string, body?: object) =>
  Effect.map(Gateway.ask(url, body), ({ status, text }) => [status, JSON.parse(text)])

const messages = [{ role: "user", content: "Why?" }]
const chat = { model: "m", messages, stream: true }

/** The events of a stream, and whether it has the end marker. */
const events = (text: string) => {
  const parts = text.split("\n\n").filter((part) => part !== "")
  const data = parts.map((part) => part.replace(/^data: /, ""))
  const isDone = data.at(-1) === "[DONE]"
  return { isDone, events: (isDone ? data.slice(0, -1) : data).map((each) => JSON.parse(each)) }
}

const steps: MockProvider.Script = [
  { thinking: "Hm" },
  "The",
  " sky",
  {
    isFinal: true,
    finishReason: "tool-calls",
    toolCalls: [
      { id: "c0", name: "f", arguments: { city: "Åre" } },
      { id: "c1", name: "g", arguments: {} }
    ],
    usage: { promptTokens: 10, completionTokens: 5, cachedTokens: 4, reasoningTokens: 1 }
  }
]

const usage = {
  prompt_tokens: 10,
  completion_tokens: 5,
  total_tokens: 15,
  prompt_tokens_details: { cached_tokens: 4 },
  completion_tokens_details: { reasoning_tokens: 1 }
}

const calls = [
  { id: "c0", type: "function", function: { name: "f", arguments: '{"city":"Åre"}' } },
  { id: "c1", type: "function", function: { name: "g", arguments: "{}" } }
]

describe("completions", () => {
  it.live("a chat is a stream of deltas, the role first and the end marker last", () =>
    Effect.gen(function* () {
      const { url } = yield* start(steps)
      const { text } = yield* Gateway.ask(`${url}/v1/chat/completions`, {
        ...chat,
        stream_options: { include_usage: true }
      })
      const seen = events(text)
      expect(seen.isDone).toBe(true)
      const [first] = seen.events
      const head = {
        id: expect.stringMatching(/^chatcmpl-[a-z0-9]+$/),
        object: "chat.completion.chunk",
        created: expect.any(Number),
        model: "m",
        system_fingerprint: "m"
      }
      expect(first).toEqual({ ...head, choices: [expect.anything()] })
      expect(new Set(seen.events.map(({ id }) => id)).size).toBe(1)
      const toChoice = (delta: object, finish_reason: string | null = null) => [
        { index: 0, delta, logprobs: null, finish_reason }
      ]
      expect(seen.events.map(({ choices }) => choices)).toEqual([
        toChoice({ role: "assistant", reasoning_content: "Hm" }),
        toChoice({ content: "The" }),
        toChoice({ content: " sky" }),
        toChoice({ tool_calls: calls.map((call, index) => ({ index, ...call })) }),
        toChoice({}, "tool_calls"),
        []
      ])
      expect(seen.events.map(({ usage }) => usage)).toEqual([...Array.from({ length: 5 }, () => undefined), usage])
      expect(Math.abs(first.created * 1000 - Date.now())).toBeLessThan(60_000)
    })
  )

  it.live("the usage is a chunk of its own, only if it is requested", () =>
    Effect.gen(function* () {
      const { url } = yield* start(steps)
      for (const stream_options of [undefined, null, {}, { include_usage: false }]) {
        const { text } = yield* Gateway.ask(`${url}/v1/chat/completions`, { ...chat, stream_options })
        expect(events(text)).toMatchObject({ isDone: true, events: { length: 5 } })
        expect(text).not.toContain("usage")
      }
    })
  )

  it.live("a chat as a whole", () =>
    Effect.gen(function* () {
      const { url } = yield* start(steps)
      const [status, body] = yield* json(`${url}/v1/chat/completions`, { model: "m", messages })
      expect([status, body]).toEqual([
        200,
        {
          id: expect.stringMatching(/^chatcmpl-/),
          object: "chat.completion",
          created: expect.any(Number),
          model: "m",
          system_fingerprint: "m",
          choices: [
            {
              index: 0,
              message: { role: "assistant", content: "The sky", reasoning_content: "Hm", tool_calls: calls },
              logprobs: null,
              finish_reason: "tool_calls"
            }
          ],
          usage
        }
      ])
    })
  )

  it.live("a plain completion", () =>
    Effect.gen(function* () {
      const { url } = yield* start(["The", " sky", { isFinal: true, finishReason: "length" }])
      const { text } = yield* Gateway.ask(`${url}/v1/completions`, { model: "m", prompt: ["Why"], stream: true })
      const toChoice = (text: string, finish_reason: string | null = null) => [
        { index: 0, text, logprobs: null, finish_reason }
      ]
      expect(events(text).events.map(({ choices }) => choices)).toEqual([
        toChoice("The"),
        toChoice(" sky"),
        toChoice("", "length")
      ])
      const [, whole] = yield* json(`${url}/v1/completions`, { model: "m", prompt: "Why" })
      expect(whole).toMatchObject({
        object: "text_completion",
        choices: toChoice("The sky", "length"),
        usage: { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }
      })
    })
  )

  it.live("a failure after the beginning is an error without an end marker", () =>
    Effect.gen(function* () {
      const { url } = yield* start(["The", MockProvider.fail(new RateLimited({}))])
      const { text } = yield* Gateway.ask(`${url}/v1/chat/completions`, chat)
      const { events: seen, isDone } = events(text)
      expect(isDone).toBe(false)
      expect(seen.at(-1)).toEqual({
        error: {
          message: "too many requests",
          type: "requests",
          param: null,
          code: "rate_limit_exceeded",
          status: 429
        }
      })
    })
  )

  it.live("LM Studio's own routes do the same", () =>
    Effect.gen(function* () {
      const { url } = yield* start(["Hi"])
      const streamed = yield* Gateway.ask(`${url}/api/v0/chat/completions`, chat)
      expect(events(streamed.text)).toMatchObject({ isDone: true, events: { length: 2 } })
      const [, whole] = yield* json(`${url}/api/v0/completions`, { model: "m", prompt: "Why" })
      expect(whole).toMatchObject({ choices: [{ text: "Hi" }] })
      const [status, failure] = yield* json(`${url}/api/v0/chat/completions`, { model: "m" })
      expect([status, failure.error.param]).toEqual([400, "messages"])
    })
  )
})

describe("models", () => {
  it.live("the list", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const [status, { data, object }] = yield* json(`${url}/v1/models`)
      expect([status, object]).toEqual([200, "list"])
      expect(data.slice(0, 2)).toEqual([
        {
          id: "llama3.2:3b",
          object: "model",
          created: 0,
          owned_by: "local",
          max_model_len: 131_072,
          meta: { size: 2_000_000_000 }
        },
        { id: "qwen/qwen3-vl:8b", object: "model", created: 0, owned_by: "local", max_model_len: 32_768 }
      ])
      expect(data.map(({ id }: ModelInfo) => id)).toEqual(infos.map(({ id }) => id))
    })
  )

  // openai-js escapes the name, openai-py does not.
  it.live.each([
    ["llama3.2:3b", "llama3.2:3b"],
    ["llama3.2%3A3b", "llama3.2:3b"],
    ["qwen/qwen3-vl:8b", "qwen/qwen3-vl:8b"],
    ["qwen%2Fqwen3-vl%3A8b", "qwen/qwen3-vl:8b"],
    ["100%25%20new", "100% new"]
  ])("the model /v1/models/%s", ([path, id]) =>
    Effect.gen(function* () {
      const { url } = yield* start()
      for (const route of ["/v1/models", "/api/v0/models"]) {
        const [status, model] = yield* json(`${url}${route}/${path}`)
        expect([route, status, model.id, model.object]).toEqual([route, 200, id, "model"])
      }
    })
  )

  it.live.each(["nothing", "a/b:c", "%E0%A4%A", "%00", "__proto__", "..%2F..%2Fetc", "%"])(
    "no model /v1/models/%s",
    (path) =>
      Effect.gen(function* () {
        const { url } = yield* start()
        const { status, text } = yield* Gateway.ask(`${url}/v1/models/${path}`, undefined)
        expect(status).toSatisfy(isRefused)
        // The router itself refuses a path that is not UTF-8.
        if (!/%(?:$|E0%A4%A$)/.test(path)) expect(JSON.parse(text).error.message).toEqual(expect.any(String))
      })
  )

  const isRefused = (status: number): boolean => status === 404 || status === 400

  it.live("a model that is not there has the code of OpenAI", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      expect(yield* json(`${url}/v1/models/nothing`)).toEqual([
        404,
        {
          error: {
            message: 'the model "nothing" is not available',
            type: "invalid_request_error",
            param: "model",
            code: "model_not_found"
          }
        }
      ])
    })
  )

  it.live("LM Studio's list has what the servers report about each model", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const [, { data }] = yield* json(`${url}/api/v0/models`)
      const common = { object: "model", compatibility_type: "gguf" }
      expect(data).toEqual([
        {
          ...common,
          id: "llama3.2:3b",
          type: "llm",
          publisher: "local",
          arch: "unknown",
          quantization: "unknown",
          state: "not-loaded",
          max_context_length: 131_072,
          capabilities: ["tool_use"]
        },
        {
          ...common,
          id: "qwen/qwen3-vl:8b",
          type: "vlm",
          publisher: "qwen",
          arch: "qwen3",
          quantization: "Q4_K_M",
          state: "loaded",
          max_context_length: 32_768,
          loaded_context_length: 8192,
          capabilities: ["tool_use", "vision"]
        },
        expect.objectContaining({ id: "nomic-embed-text", type: "embeddings" }),
        expect.objectContaining({ id: "100% new", type: "vlm" })
      ])
    })
  )

  it.live("our own clients read the lists again", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const openAi = yield* OpenAiCompatible.make({ baseUrl: `${url}/v1` })
      const known = infos.map(({ contextLength, id, sizeBytes }) => ({ id, contextLength, sizeBytes }))
      expect(yield* openAi.listModels).toEqual(known)
      expect(yield* openAi.model("qwen/qwen3-vl:8b")).toMatchObject({ contextLength: 32_768 })
      const lmStudio = yield* LmStudio.make({ baseUrl: url })
      expect(yield* lmStudio.model("qwen/qwen3-vl:8b")).toMatchObject({
        family: "qwen3",
        quantization: "Q4_K_M",
        contextLength: 32_768,
        capabilities: ["completion", "tools", "vision"],
        isLoaded: true,
        loadedContextLength: 8192
      })
    }).pipe(Effect.provide(NodeHttpClient.layerUndici))
  )
})

describe("embeddings", () => {
  it.live("as numbers, and as base64, which the SDKs of OpenAI request", () =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const request = { model: "nomic-embed-text", input: ["aab", "c"], dimensions: 3 }
      const [, numbers] = yield* json(`${url}/v1/embeddings`, { ...request, encoding_format: "float" })
      const [, text] = yield* json(`${url}/v1/embeddings`, { ...request, encoding_format: "base64", user: "x" })
      const vectors = numbers.data.map(({ embedding }: { embedding: ReadonlyArray<number> }) => embedding)
      expect(vectors[0]).toEqual([2 / Math.sqrt(5), 1 / Math.sqrt(5), 0])
      expect(numbers).toMatchObject({ object: "list", model: "nomic-embed-text", data: [{ index: 0 }, { index: 1 }] })
      const decoded = text.data.map(({ embedding }: { embedding: string }) => {
        const bytes = Uint8Array.from(Buffer.from(embedding, "base64"))
        return Array.from(new Float32Array(bytes.buffer))
      })
      expect(decoded).toEqual(vectors.map((vector: ReadonlyArray<number>) => vector.map(Math.fround)))
    })
  )

  it.live("our own client reads them again", () =>
    Effect.gen(function* () {
      const { mock, url } = yield* start()
      const client = yield* OpenAiCompatible.make({ baseUrl: `${url}/v1` })
      const request = { model: "nomic-embed-text", input: ["a", "b", "é\ud83d"], dimensions: 4 }
      const named = { provider: "OpenAI-compatible server" }
      expect(yield* client.embed(request)).toEqual({ ...(yield* mock.embed(request)), ...named })
      const single = { model: "nomic-embed-text", input: "sky" }
      expect(yield* client.embed(single)).toEqual({ ...(yield* mock.embed(single)), ...named })
    }).pipe(Effect.provide(NodeHttpClient.layerUndici))
  )

  it.live.each([
    [{ input: [1, 2, 3] }, "input", /tokens/],
    [{ input: [[1], [2]] }, "input", /tokens/],
    [{ input: "" }, "input", /length/],
    [{ input: ["a", ""] }, "input[1]", /length/],
    [{ input: 5 }, "input", /Expected/],
    [{}, "input", /Missing/],
    [{ input: "a", dimensions: 0 }, "dimensions", /greater/],
    [{ input: "a", dimensions: "3" }, "dimensions", /number/],
    [{ input: "a", encoding_format: "int8" }, "encoding_format", /float/],
    [{ input: "a", model: {} }, "model", /string/]
  ] as const)("refuses %j", ([body, param, message]) =>
    Effect.gen(function* () {
      const { url } = yield* start()
      const [status, { error }] = yield* json(`${url}/v1/embeddings`, { model: "m", ...body })
      expect([status, error.param, error.message]).toEqual([400, param, expect.stringMatching(message)])
    })
  )
})
