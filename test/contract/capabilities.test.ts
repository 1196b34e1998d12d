/** What is known about a model, and requests that need what it cannot do. */
import { describe, expect, it } from "@effect/vitest"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import * as LlamaServer from "../../src/LlamaServer.ts"
import * as LmStudio from "../../src/LmStudio.ts"
import * as Ollama from "../../src/Ollama.ts"
import type { ProviderError } from "../../src/ProviderError.ts"
import { FakeServer } from "../../src/testing/index.ts"
import type { ServerName } from "../support/setups.ts"
import { serverNames, start } from "../support/setups.ts"

const png = "iVBORw0KGgo="
const message = { role: "user", content: "Why?" } as const

const needs: { readonly [feature: string]: CompletionRequest } = {
  images: { model: "m", messages: [{ ...message, images: [png] }] },
  tools: { model: "m", messages: [message], tools: [{ name: "f" }] },
  thinking: { model: "m", messages: [message], think: true }
}

interface Row {
  readonly server: ServerName
  /** The name of the model there. Default: `m`. */
  readonly name?: string
  /** Answers by path. */
  readonly answers: { readonly [path: string]: object }
  readonly expected: object
  /** The features that are known to be missing. */
  readonly missing: ReadonlyArray<string>
}

const details = { family: "llama", parameter_size: "8.0B", quantization_level: "Q4_K_M" }

const ollama = {
  "/api/show": { details, model_info: { "llama.context_length": 8192 }, capabilities: ["completion"] },
  "/api/ps": {
    models: [{ name: "m:latest", size: 5, context_length: 4096, expires_at: "2026-11-24T00:01:46.098715038Z" }]
  }
}

const rows: ReadonlyArray<Row> = [
  {
    server: "Ollama",
    answers: ollama,
    expected: {
      id: "m",
      family: "llama",
      parameterSize: "8.0B",
      quantization: "Q4_K_M",
      contextLength: 8192,
      capabilities: ["completion"],
      isLoaded: true,
      loadedContextLength: 4096,
      memoryBytes: 5,
      expiresAt: DateTime.makeUnsafe("2026-11-24T00:01:46.098Z")
    },
    missing: ["images", "tools", "thinking"]
  },
  {
    server: "Ollama",
    answers: { "/api/show": { details: null, model_info: null }, "/api/ps": { models: null } },
    expected: { id: "m", isLoaded: false },
    missing: []
  },
  {
    server: "LM Studio",
    answers: {
      "/api/v1/models": {
        models: [
          {
            type: "llm",
            key: "m",
            architecture: "qwen3",
            quantization: { name: "Q4_K_M", bits_per_weight: 4 },
            size_bytes: 7,
            params_string: "8B",
            loaded_instances: [{ id: "m:2", config: { context_length: 4096 } }],
            max_context_length: 32_768,
            format: "gguf",
            capabilities: { vision: false, trained_for_tool_use: false }
          }
        ]
      }
    },
    expected: {
      id: "m",
      sizeBytes: 7,
      family: "qwen3",
      parameterSize: "8B",
      quantization: "Q4_K_M",
      contextLength: 32_768,
      capabilities: ["completion", "tools"],
      isLoaded: true,
      loadedContextLength: 4096
    },
    missing: ["images"]
  },
  {
    server: "LM Studio",
    answers: {
      "/api/v0/models": { data: [{ id: "m", type: "llm", arch: "qwen3", state: "not-loaded", max_context_length: 9 }] }
    },
    expected: { id: "m", family: "qwen3", contextLength: 9, capabilities: ["completion", "tools"], isLoaded: false },
    missing: ["images"]
  },
  {
    server: "LM Studio",
    answers: { "/v1/models": { data: [{ id: "m" }] } },
    expected: { id: "m" },
    missing: []
  },
  {
    server: "llama-server",
    // Requests for any name are completed by this model.
    name: "file.gguf",
    answers: {
      "/v1/models": { data: [{ id: "file.gguf", meta: { size: 3, n_ctx_train: 4096 } }] },
      "/props": { default_generation_settings: { n_ctx: 512 }, modalities: { vision: false } }
    },
    expected: {
      id: "file.gguf",
      sizeBytes: 3,
      contextLength: 4096,
      isLoaded: true,
      loadedContextLength: 512,
      capabilities: ["completion"]
    },
    missing: ["images"]
  },
  {
    server: "OpenAI-compatible server",
    answers: { "/v1/models": { data: [{ id: "m", max_model_len: 4096 }] } },
    expected: { id: "m", contextLength: 4096 },
    missing: []
  }
]

const script =
  (answers: Row["answers"]) =>
  ({ path }: FakeServer.ReceivedRequest): FakeServer.Answer => {
    const body = answers[path]
    if (body !== undefined) return { status: 200, body }
    return { text: "Hi" }
  }

const startRow = ({ answers, server }: Row) => start({ provider: server, client: "undici" }, script(answers))

describe.each(rows)("$server, $answers", (row) => {
  it.effect("describes a model", () =>
    Effect.gen(function* () {
      const { provider } = yield* startRow(row)
      expect(yield* provider.model(row.name ?? "m")).toEqual(row.expected)
    })
  )

  it.effect("a request that the model cannot fulfil is not sent; any other is", () =>
    Effect.gen(function* () {
      for (const [feature, request] of Object.entries(needs)) {
        const { provider, server } = yield* startRow(row)
        const result = yield* Effect.result(provider.complete(request))
        const { requests } = yield* server.state
        const isSent = requests.some(({ path }) => /chat/.test(path))
        if (row.missing.includes(feature)) {
          expect(result).toMatchObject({ failure: { reason: { _tag: "Unsupported", feature } } })
          expect(isSent).toBe(false)
        } else {
          expect(result).toMatchObject({ success: { content: "Hi" } })
          expect(isSent).toBe(true)
        }
      }
    })
  )
})

const startOllama = (reply: FakeServer.Script) => start({ provider: "Ollama", client: "undici" }, reply)

it.effect("a model that the server does not have", () =>
  Effect.gen(function* () {
    for (const server of serverNames) {
      const { provider } = yield* start({ provider: server, client: "undici" }, { text: "" })
      const { reason } = yield* Effect.flip(provider.model("nope"))
      expect(reason).toMatchObject({ _tag: "ModelNotAvailable", model: "nope" })
    }
  })
)

it.effect("a request without such needs asks for nothing besides", () =>
  Effect.gen(function* () {
    const { provider, server } = yield* startOllama({ text: "Hi" })
    yield* provider.complete({ model: "m", messages: [message], think: false })
    expect((yield* server.state).requests.map(({ path }) => path)).toEqual(["/api/chat"])
  })
)

it.effect("concurrent lookups share one request, which counts for 15 seconds; failures do not count", () =>
  Effect.gen(function* () {
    let isDown = true
    const { provider, server } = yield* startOllama((request) => {
      if (isDown) return { status: 503, body: { error: "busy" } }
      return script(ollama)(request)
    })
    const shows = Effect.map(server.state, ({ requests }) => requests.filter(({ path }) => path === "/api/show").length)
    yield* Effect.flip(provider.model("m"))
    isDown = false
    yield* Effect.all(
      Array.from({ length: 20 }, () => provider.model("m")),
      { concurrency: "unbounded" }
    )
    expect(yield* shows).toBe(2)
    yield* TestClock.adjust("14 seconds")
    yield* provider.model("m")
    expect(yield* shows).toBe(2)
    yield* TestClock.adjust("2 seconds")
    yield* provider.model("m")
    expect(yield* shows).toBe(3)
  })
)

it.effect("a lookup whose first caller is interrupted still answers the others", () =>
  Effect.gen(function* () {
    const { provider, server } = yield* startOllama((request) =>
      request.index === 0 ? { status: 200, delay: { headers: Infinity } } : script(ollama)(request)
    )
    const first = yield* Effect.forkChild(provider.model("m"))
    yield* server.until(({ requests }) => requests.length === 1)
    const second = yield* Effect.forkChild(provider.model("m"))
    yield* Effect.yieldNow
    yield* Fiber.interrupt(first)
    const third = provider.model("m")
    yield* Fiber.interrupt(second)
    expect((yield* third).id).toBe("m")
  })
)

it.effect("a failed lookup does not stop a request", () =>
  Effect.gen(function* () {
    const { provider } = yield* startOllama(({ path }) =>
      path === "/api/show" ? { status: 500, body: { error: "broken" } } : { text: "Hi" }
    )
    for (const request of Object.values(needs)) expect((yield* provider.complete(request)).content).toBe("Hi")
  })
)

it.effect("a lookup that hangs is subject to the deadlines of the request, and is closed with it", () =>
  Effect.gen(function* () {
    const { provider, server } = yield* startOllama({ status: 200, delay: { headers: Infinity } })
    const fiber = yield* Effect.forkChild(
      Effect.flip(
        provider.complete({ model: "m", messages: [message], think: true, deadlines: { firstChunk: "1 second" } })
      )
    )
    yield* server.until(({ requests }) => requests.length === 1)
    yield* TestClock.adjust("1 second")
    expect((yield* Fiber.join(fiber)).reason).toMatchObject({ _tag: "Timeout", kind: "first-chunk" })
    const { requests } = yield* server.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
    expect(requests.map(({ path }) => path)).toEqual(["/api/show"])
  })
)

it.effect("a cached refusal is checked again before it is returned", () =>
  Effect.gen(function* () {
    let capabilities = ["completion"]
    const { provider } = yield* startOllama(({ path }) =>
      path === "/api/show" ? { status: 200, body: { details, capabilities } } : { text: "Hi" }
    )
    yield* provider.model("m")
    capabilities = ["completion", "thinking"]
    expect(yield* provider.complete({ model: "m", messages: [message], think: true })).toMatchObject({ content: "Hi" })
    expect((yield* provider.model("m")).capabilities).toContain("thinking")
    capabilities = ["completion"]
    yield* TestClock.adjust("15 seconds")
    const refused = provider.complete({ model: "m", messages: [message], think: true })
    for (const _ of [1, 2]) expect((yield* Effect.flip(refused)).reason._tag).toBe("Unsupported")
  })
)

it.effect("model: a report counts for as long as its reader wants", () =>
  Effect.gen(function* () {
    const { provider, server } = yield* startOllama(script(ollama))
    const shows = Effect.map(server.state, ({ requests }) => requests.filter(({ path }) => path === "/api/show").length)
    yield* provider.model("m")
    yield* TestClock.adjust("2 seconds")
    yield* provider.model("m", { maxAge: "3 seconds" })
    expect(yield* shows).toBe(1)
    yield* provider.model("m", { maxAge: "2 seconds" })
    expect(yield* shows).toBe(2)
    yield* provider.model("m", { maxAge: 0 })
    expect(yield* shows).toBe(3)
    yield* provider.model("m")
    expect(yield* shows).toBe(3)
  })
)

it.effect("a report grows old although the wall clock is set back", () =>
  Effect.gen(function* () {
    const { provider, server } = yield* startOllama(script(ollama))
    const shows = Effect.map(server.state, ({ requests }) => requests.filter(({ path }) => path === "/api/show").length)
    const clock = yield* Clock.Clock
    yield* provider.model("m")
    yield* TestClock.adjust("16 seconds")
    const back: Clock.Clock = { ...clock, currentTimeMillisUnsafe: () => -3_600_000 }
    yield* Effect.provideService(provider.model("m"), Clock.Clock, back)
    expect(yield* shows).toBe(2)
  })
)

it.effect.each(serverNames)("%s: supportsModel does not remember a model that is gone", (server) =>
  Effect.gen(function* () {
    let models = [{ id: "m", name: "m" }]
    const { provider } = yield* start({ provider: server, client: "undici" }, ({ path }) =>
      path === "/api/tags" || path === "/v1/models"
        ? { status: 200, body: { models, data: models } }
        : { status: 404, body: "404 page not found" }
    )
    expect(yield* provider.supportsModel("m")).toBe(true)
    models = []
    expect(yield* provider.supportsModel("m")).toBe(false)
  })
)

describe("own changes are visible at once", () => {
  const changes: {
    readonly [name: string]: (ollama: Ollama.Ollama) => Effect.Effect<unknown, ProviderError>
  } = {
    load: (ollama) => ollama.load("m"),
    unload: (ollama) => ollama.unload("m"),
    deleteModel: (ollama) => ollama.deleteModel("m"),
    copyModel: (ollama) => ollama.copyModel("m", "n"),
    pull: (ollama) => Stream.runDrain(ollama.pull("m")),
    "pull, interrupted": (ollama) => Stream.runDrain(Stream.take(ollama.pull("m"), 1)),
    create: (ollama) => Stream.runDrain(ollama.create({ model: "m", from: "n" })),
    "create, before its last report": (ollama) =>
      Stream.runForEach(ollama.create({ model: "m", from: "n" }), ({ isFinal }) =>
        isFinal ? ollama.model("m") : Effect.void
      )
  }
  for (const [name, change] of Object.entries(changes)) {
    it.live(name, () =>
      Effect.gen(function* () {
        const server = yield* FakeServer.make({ text: "Hi" }, { models: ["m", "n"] })
        const provider = yield* Ollama.make({ baseUrl: server.url })
        const shows = Effect.map(
          server.state,
          ({ requests }) => requests.filter(({ path }) => path === "/api/show").length
        )
        yield* provider.model("m")
        yield* change(provider)
        yield* provider.model("m")
        expect(yield* shows).toBeGreaterThanOrEqual(2)
      }).pipe(Effect.provide(NodeHttpClient.layerUndici))
    )
  }

  it.live("on LM Studio and llama-server", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(({ path }) => {
        if (path === "/api/v1/models") return { status: 200, body: { models: [{ key: "m", loaded_instances: [] }] } }
        if (path === "/v1/models") return { status: 200, body: { data: [{ id: "m" }, { id: "n" }] } }
        if (path.endsWith("/load")) return { status: 200, body: { instance_id: "m", success: true } }
        return { status: 200, body: { success: true } }
      })
      const count = (path: string) =>
        Effect.map(server.state, ({ requests }) => requests.filter((request) => request.path === path).length)
      const lmStudio = yield* LmStudio.make({ baseUrl: server.url })
      yield* lmStudio.model("m")
      yield* lmStudio.load("m")
      const before = yield* count("/api/v1/models")
      yield* lmStudio.model("m")
      expect(yield* count("/api/v1/models")).toBe(before + 1)
      const llamaServer = yield* LlamaServer.make({ baseUrl: server.url })
      yield* llamaServer.model("m")
      yield* llamaServer.load("m")
      yield* llamaServer.model("m")
      yield* llamaServer.unload("m")
      yield* llamaServer.model("m")
      expect(yield* count("/v1/models")).toBe(3)
    }).pipe(Effect.provide(NodeHttpClient.layerUndici))
  )
})
