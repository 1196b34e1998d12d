/** The routes of Ollama besides completions, for our own client and for clients that send something else. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as Struct from "effect/Struct"
import type * as GatewayModule from "../../src/Gateway.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import type { ModelInfo } from "../../src/ModelInfo.ts"
import type { ModelProgress } from "../../src/ModelProgress.ts"
import * as Ollama from "../../src/Ollama.ts"
import * as Provider from "../../src/Provider.ts"
import * as Reasons from "../../src/ProviderError.ts"
import * as Gateway from "../support/gateway.ts"
import { start } from "../support/setups.ts"

const loaded: ModelInfo = {
  id: "llama3.2:1b",
  sizeBytes: 1_321_098_329,
  family: "llama",
  parameterSize: "1.2B",
  quantization: "Q8_0",
  contextLength: 131_072,
  capabilities: ["completion", "tools"],
  isLoaded: true,
  loadedContextLength: 8192,
  memoryBytes: 2_000_000_000,
  expiresAt: DateTime.toUtc(Option.getOrThrow(DateTime.make("2026-11-30T15:00:00.000Z")))
}
const idle: ModelInfo = { id: "nomic-embed-text", capabilities: ["embedding"], isLoaded: false }
const infos = [loaded, idle]

/** Lists have less than descriptions. */
const listed = infos.map(({ capabilities, family, id, sizeBytes }): ModelInfo => ({
  id,
  family,
  sizeBytes,
  capabilities
}))

const makeProvider = Effect.fnUntraced(function* (script: MockProvider.Script = ["Sunlight"], kind?: string) {
  const unloaded: Array<string> = []
  const mock = yield* MockProvider.make(script)
  const provider = Provider.make({
    ...mock,
    kind,
    listModels: Effect.succeed(listed),
    model: (name) => {
      const info = infos.find(({ id }) => id === name)
      const reason = new Reasons.ModelNotAvailable({ model: name })
      return info === undefined
        ? Effect.fail(new Reasons.ProviderError({ provider: "Mock", reason }))
        : Effect.succeed(info)
    },
    unload: (model) => Effect.sync(() => void unloaded.push(model))
  })
  return { provider, unloaded, requests: mock.requests }
})

/** Our client of Ollama, in front of a gateway. */
const connect = Effect.fnUntraced(function* (provider: Provider.Provider, options: GatewayModule.Options = {}) {
  const url = yield* Gateway.serve(provider, options)
  const layer = Layer.provide(Ollama.layer({ baseUrl: url }), NodeHttpClient.layerUndici)
  return { url, ollama: Context.get(yield* Layer.build(layer), Ollama.Ollama) }
})

const reasonOf = <A>(effect: Effect.Effect<A, Reasons.ProviderError>) =>
  Effect.map(Effect.result(effect), (result) => (Result.isFailure(result) ? result.failure.reason : undefined))

describe("models", () => {
  it.live("are those of the provider", () =>
    Effect.gen(function* () {
      const { provider } = yield* makeProvider()
      const { ollama } = yield* connect(provider)
      expect(yield* ollama.version).toBe("0.33.0")
      expect(yield* ollama.listModels).toEqual(listed)
      expect(yield* ollama.model("llama3.2:1b")).toEqual(Struct.omit(loaded, ["sizeBytes"]))
      expect(yield* ollama.supportsModel("llama3.2:1b")).toBe(true)
      expect(yield* ollama.running).toEqual([
        {
          id: loaded.id,
          isLoaded: true,
          loadedContextLength: 8192,
          memoryBytes: 2_000_000_000,
          expiresAt: loaded.expiresAt
        }
      ])
      expect(yield* reasonOf(ollama.model("mistral"))).toMatchObject({ _tag: "ModelNotAvailable", model: "mistral" })
    })
  )

  it.live("have what clients require", () =>
    Effect.gen(function* () {
      const { provider } = yield* makeProvider()
      const { url } = yield* connect(provider, { aliases: { "gpt-4o-mini": "llama3.2:1b" } })
      const read = (path: string, body?: object) =>
        Effect.map(Gateway.ask(url + path, body), ({ text }) => JSON.parse(text))
      const { models } = yield* read("/api/tags")
      expect(models).toHaveLength(3)
      // Zed, the ollama CLI.
      for (const model of models) {
        expect(model).toMatchObject({
          name: model.model,
          modified_at: "1970-01-01T00:00:00Z",
          size: expect.any(Number),
          digest: expect.stringMatching(/^[\da-f]{64}$/),
          details: { format: "", family: expect.any(String), parameter_size: "", quantization_level: "" }
        })
      }
      expect(new Set(models.map(({ digest }: { readonly digest: string }) => digest)).size).toBe(3)
      // Copilot, and older clients with `name`.
      const shown = yield* read("/api/show", { name: "gpt-4o-mini", model: "" })
      expect(shown).toMatchObject({
        capabilities: ["completion", "tools"],
        model_info: { "general.architecture": "llama", "llama.context_length": 131_072 },
        details: { family: "llama", context_length: 131_072 },
        template: "{{ .Prompt }}",
        modelfile: "FROM gpt-4o-mini\n",
        license: "",
        parameters: ""
      })
    })
  )

  it.live("may be able to do what nobody has reported", () =>
    Effect.gen(function* () {
      const capabilitiesOf = Effect.fnUntraced(function* (info: ModelInfo, kind?: string) {
        const mock = yield* MockProvider.make([])
        const { url } = yield* connect(Provider.make({ ...mock, kind, model: () => Effect.succeed(info) }))
        return JSON.parse((yield* Gateway.ask(`${url}/api/show`, { model: "m" })).text)
      })
      const unknown = { id: "m" }
      const plain = { id: "m", capabilities: ["completion"] }
      const coder = { id: "m", capabilities: ["completion", "insert"] }
      expect(yield* capabilitiesOf(unknown)).toMatchObject({
        capabilities: ["completion", "tools", "thinking", "vision"],
        model_info: { "general.architecture": "unknown" }
      })
      expect((yield* capabilitiesOf(plain, "ollama")).capabilities).toEqual(["completion"])
      expect((yield* capabilitiesOf(plain)).capabilities).toEqual(["completion"])
      expect((yield* capabilitiesOf(plain, "llama-server")).capabilities).toEqual(["completion", "tools", "thinking"])
      expect((yield* capabilitiesOf({ id: "m", capabilities: ["embedding"] }, "lmstudio")).capabilities).toEqual([
        "embedding"
      ])
      // Continue.
      expect((yield* capabilitiesOf(coder, "ollama")).template).toContain(".Suffix")
    })
  )

  it.live("that cannot be described are not said to be in memory", () =>
    Effect.gen(function* () {
      const { provider } = yield* makeProvider()
      const ids = Array.from({ length: 100 }, (_, i) => ({ id: `m${i}` }))
      const { ollama } = yield* connect(
        Provider.make({ ...provider, listModels: Effect.succeed([...ids, { id: "llama3.2:1b" }]) })
      )
      expect((yield* ollama.running).map(({ id }) => id)).toEqual(["llama3.2:1b"])
    })
  )
})

describe("memory", () => {
  it.live("a model is loaded with the fewest tokens that can be requested, and unloaded without any", () =>
    Effect.gen(function* () {
      const { provider, requests, unloaded } = yield* makeProvider()
      const { ollama, url } = yield* connect(provider)
      yield* ollama.load("llama3.2:1b", { keepAlive: "10 minutes", contextLength: 8192 })
      expect(yield* requests).toMatchObject([{ model: "llama3.2:1b", maxTokens: 1 }])
      yield* ollama.unload("llama3.2:1b")
      expect(unloaded).toEqual(["llama3.2:1b"])
      // As the ollama CLI stops a model.
      const stopped = yield* Gateway.ask(`${url}/api/generate`, { model: "llama3.2:1b", prompt: "", keep_alive: "0s" })
      expect(stopped).toMatchObject({ status: 200, headers: { "content-type": "application/json" } })
      expect(JSON.parse(stopped.text)).toMatchObject({ response: "", done: true, done_reason: "unload" })
      const chat = yield* Gateway.ask(`${url}/api/chat`, { model: "llama3.2:1b", messages: [], stream: true })
      expect(JSON.parse(chat.text)).toMatchObject({ message: { content: "" }, done: true, done_reason: "load" })
      expect(unloaded).toHaveLength(2)
      expect(yield* requests).toHaveLength(2)
    })
  )

  it.live("a model that cannot be loaded is a failure", () =>
    Effect.gen(function* () {
      const reason = new Reasons.ModelNotAvailable({ model: "m" })
      const { ollama } = yield* connect(yield* MockProvider.make([MockProvider.fail(reason)]))
      expect(yield* reasonOf(ollama.load("m"))).toMatchObject({ _tag: "ModelNotAvailable", model: "m" })
    })
  )
})

describe("embeddings", () => {
  it.live("in both forms", () =>
    Effect.gen(function* () {
      const { provider } = yield* makeProvider()
      const { ollama, url } = yield* connect(provider)
      const request = { model: "m", input: ["abc", "", "b"].filter(Boolean), dimensions: 3, keepAlive: 0 }
      expect(yield* ollama.embed(request)).toMatchObject({ ...(yield* provider.embed(request)), provider: "Ollama" })
      const { vectors } = yield* provider.embed({ model: "m", input: "abc" })
      const old = yield* Gateway.ask(`${url}/api/embeddings`, { model: "m", prompt: "abc" })
      expect(JSON.parse(old.text)).toEqual({ embedding: vectors[0] })
      const empty = yield* Gateway.ask(`${url}/api/embed`, { model: "m", input: "" })
      expect(JSON.parse(empty.text)).toEqual({ model: "m", embeddings: [] })
    })
  )
})

const everything: GatewayModule.Access = {
  authorize: () =>
    Effect.succeed({
      name: "admin",
      caller: { name: "admin" },
      allows: () => true,
      mayPull: true,
      admit: Effect.void,
      onUsage: () => Effect.void
    })
}

describe("pull", () => {
  const digest = `sha256:${"5".repeat(64)}`
  const layer = (completedBytes: number) => ({ digest, completedBytes, totalBytes: 1000 })
  const reports: ReadonlyArray<ModelProgress> = [
    { status: "pulling manifest", isFinal: false, completedBytes: 0, totalBytes: 0 },
    { status: "pulling 555", isFinal: false, layer: layer(0), completedBytes: 0, totalBytes: 1000 },
    { status: "pulling 555", isFinal: false, layer: layer(700), completedBytes: 700, totalBytes: 1000 },
    { status: "success", isFinal: true, completedBytes: 1000, totalBytes: 1000 }
  ]
  const failure = new Reasons.ProviderError({
    provider: "Mock",
    reason: new Reasons.NetworkError({ description: "http://secret:11434" })
  })
  const connectTo = Effect.fnUntraced(function* (
    pull: GatewayModule.Options["pull"],
    options: GatewayModule.Options = { access: everything }
  ) {
    const { provider } = yield* makeProvider()
    return yield* connect(provider, { pull, ...options })
  })

  it.live("reports the progress", () =>
    Effect.gen(function* () {
      const { ollama, url } = yield* connectTo(() => Stream.fromIterable(reports))
      const read = yield* Stream.runCollect(ollama.pull("m"))
      expect(read.map((report) => Struct.omit(report, ["bytesPerSecond"]))).toEqual(reports)
      const whole = yield* Gateway.ask(`${url}/api/pull`, { name: "m", stream: false })
      expect(JSON.parse(whole.text)).toEqual({ status: "success" })
    })
  )

  it.live("reports failures before and after its beginning", () =>
    Effect.gen(function* () {
      const early = yield* connectTo(() => Stream.fail(failure))
      expect(yield* reasonOf(Stream.runDrain(early.ollama.pull("m")))).toMatchObject({ _tag: "ApiError", status: 502 })
      const late = yield* connectTo(() => Stream.concat(Stream.fromIterable(reports.slice(0, 3)), Stream.fail(failure)))
      const seen: Array<number> = []
      const reading = Stream.runForEach(late.ollama.pull("m"), ({ completedBytes }) =>
        Effect.sync(() => seen.push(completedBytes))
      )
      expect(yield* reasonOf(reading)).toMatchObject({ _tag: "StreamError" })
      expect(seen).toEqual([0, 0, 700])
      const { text } = yield* Gateway.ask(`${late.url}/api/pull`, { model: "m" })
      expect(text.trimEnd().split("\n").at(-1)).toBe('{"error":"the connection failed"}')
    })
  )

  it.live("stops when the client leaves", () =>
    Effect.gen(function* () {
      let isOver = false
      const endless = Stream.ensuring(
        Stream.concat(Stream.fromIterable(reports.slice(0, 3)), Stream.never),
        Effect.sync(() => {
          isOver = true
        })
      )
      const { url } = yield* connectTo(() => endless)
      const { request, until } = Gateway.send(`${url}/api/pull`, { model: "m" })
      yield* Effect.promise(() => until((text) => text.includes("700")))
      request.destroy()
      yield* Effect.promise(() => expect.poll(() => isOver).toBe(true))
    })
  )

  it.live("is for those who may", () =>
    Effect.gen(function* () {
      for (const { ollama } of [
        yield* connectTo(() => Stream.fromIterable(reports), {}),
        yield* connectTo(undefined)
      ]) {
        expect(yield* reasonOf(Stream.runDrain(ollama.pull("m")))).toMatchObject({ _tag: "AuthenticationError" })
      }
      const { url } = yield* connectTo(() => Stream.fromIterable(reports))
      const insecure = yield* Gateway.ask(`${url}/api/pull`, { model: "m", insecure: true })
      expect(insecure).toMatchObject({ status: 400, text: expect.stringContaining("insecure") })
    })
  )
})

describe("routes", () => {
  it.live("that change models are not there", () =>
    Effect.gen(function* () {
      const { provider } = yield* makeProvider()
      const { ollama, url } = yield* connect(provider)
      const refused = [
        ollama.copyModel("a", "b"),
        ollama.deleteModel("a"),
        Stream.runDrain(ollama.push("a/b")),
        Stream.runDrain(ollama.create({ model: "a", from: "b" }))
      ]
      for (const command of refused) expect(yield* reasonOf(command)).toMatchObject({ _tag: "Unsupported" })
      const push = yield* Gateway.ask(`${url}/api/push`, { model: "a" })
      expect(push).toMatchObject({ status: 501, text: expect.stringContaining("/api/push") })
      const blob = yield* Gateway.ask(`${url}/api/blobs/sha256:123`, undefined, { method: "HEAD" })
      expect(blob.status).toBe(501)
      const unknown = yield* Gateway.ask(`${url}/api/nothing`, {})
      expect(unknown).toMatchObject({ status: 404, text: expect.stringMatching(/^\{"error":"[^"]+"\}$/) })
    })
  )

  it.live("that clients look for first", () =>
    Effect.gen(function* () {
      const { provider } = yield* makeProvider()
      const { url } = yield* connect(provider)
      const root = yield* Gateway.ask(`${url}/`, undefined)
      expect(root).toMatchObject({ status: 200, text: "Ollama is running" })
      expect(root.headers["content-type"]).toMatch(/^text\/plain/)
      for (const path of ["/", "/api/version", "/api/tags", "/?x=1"]) {
        expect(yield* Gateway.ask(url + path, undefined, { method: "HEAD" })).toMatchObject({ status: 200, text: "" })
      }
    })
  )
})

describe("what only some servers can do", () => {
  const body = {
    model: "m",
    prompt: "def f(",
    keep_alive: "5m",
    options: { num_ctx: 8192, num_gpu: 1, temperature: 0.5 },
    stream: false
  }
  const ask = Effect.fnUntraced(function* (provider: "Ollama" | "llama-server", sent: object) {
    const running = yield* start({ provider, client: "undici" }, { text: "x):" })
    const { url } = yield* connect(running.provider)
    const response = yield* Gateway.ask(`${url}/api/generate`, sent)
    const { requests } = yield* running.server.state
    return { response, upstream: requests.find(({ body }) => JSON.stringify(body).includes("def f("))?.body }
  })

  it.live("is left out for others, if it only tunes the server", () =>
    Effect.gen(function* () {
      const ollama = yield* ask("Ollama", { ...body, raw: true })
      expect(ollama.upstream).toMatchObject({
        prompt: "def f(",
        raw: true,
        keep_alive: 300,
        options: { num_ctx: 8192, num_gpu: 1, temperature: 0.5 }
      })
      const other = yield* ask("llama-server", { ...body, raw: true })
      expect(JSON.parse(other.response.text)).toMatchObject({ response: "x):", done: true })
      expect(other.upstream).toMatchObject({ prompt: "def f(", temperature: 0.5 })
      expect(JSON.stringify(other.upstream)).not.toMatch(/num_|keep_alive/)
    })
  )

  it.live("is a failure for others, if it changes the completion", () =>
    Effect.gen(function* () {
      const ollama = yield* ask("Ollama", { ...body, suffix: "return x" })
      expect(ollama.upstream).toMatchObject({ prompt: "def f(", suffix: "return x", raw: false })
      expect(JSON.parse(ollama.response.text)).toMatchObject({ response: "x):" })
      const other = yield* ask("llama-server", { ...body, suffix: "return x" })
      expect(other.response).toMatchObject({ status: 400, text: '{"error":"suffix is not supported"}' })
      expect(other.upstream).toBeUndefined()
    })
  )
})
