/** What only Ollama can do: its models downloaded, changed, loaded. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { ModelProgress } from "../../src/ModelProgress.ts"
import * as Ollama from "../../src/Ollama.ts"
import type { ProviderError } from "../../src/ProviderError.ts"
import { addSpeed } from "../../src/servers/ollama.ts"
import { FakeServer } from "../../src/testing/index.ts"
import * as CannedHttp from "../support/cannedHttp.ts"
import * as Captures from "../support/captures.ts"

const clients = {
  undici: NodeHttpClient.layerUndici,
  "node:http": NodeHttpClient.layerNodeHttp,
  fetch: NodeHttpClient.layerFetch
}

const start = Effect.fnUntraced(function* (
  script: FakeServer.Script = { text: "" },
  client: keyof typeof clients = "undici"
) {
  const server = yield* FakeServer.make(script)
  const layer = Layer.provide(Ollama.layer({ baseUrl: server.url }), clients[client])
  return { server, ollama: Context.get(yield* Layer.build(layer), Ollama.Ollama) }
})

const layer = (completed: number, digest = "sha256:a", total = 1000): object => ({
  status: `pulling ${digest}`,
  digest,
  total,
  ...(completed === 0 ? {} : { completed })
})

const reply = (reports: ReadonlyArray<object>, more: FakeServer.Delivery = {}): FakeServer.Reply => ({
  status: 200,
  headers: { "content-type": "application/x-ndjson" },
  body: reports.map((report) => `${JSON.stringify(report)}\n`).join(""),
  ...more
})

const collect = (stream: Stream.Stream<ModelProgress, unknown>) => {
  const reports: Array<ModelProgress> = []
  return Effect.map(
    Effect.flip(Stream.runForEach(stream, (report) => Effect.sync(() => reports.push(report)))),
    (error) => ({ error, reports })
  )
}

const bytes = (reports: ReadonlyArray<ModelProgress>) => reports.map(({ completedBytes }) => completedBytes)

describe.each(["undici", "node:http", "fetch"] as const)("over %s", (client) => {
  it.effect("transfers report their progress and end with success", () =>
    Effect.gen(function* () {
      const { ollama, server } = yield* start(undefined, client)
      const runs = [
        ollama.pull("m", { insecure: true }),
        ollama.push("m"),
        ollama.create({ model: "n", from: "m", system: "Be brief.", parameters: { num_ctx: 8 } })
      ]
      for (const run of runs) {
        const reports = yield* Stream.runCollect(run)
        expect(bytes(reports)).toEqual([0, 250, 500, 1000, 1000])
        expect(reports.at(-1)).toMatchObject({ status: "success", isFinal: true, totalBytes: 1000 })
      }
      const { requests } = yield* server.state
      expect(requests.map(({ body, path }) => ({ path, body }))).toEqual([
        { path: "/api/pull", body: { model: "m", insecure: true, stream: true } },
        { path: "/api/push", body: { model: "m", stream: true } },
        {
          path: "/api/create",
          body: { model: "n", from: "m", system: "Be brief.", parameters: { num_ctx: 8 }, stream: true }
        }
      ])
    })
  )

  it.effect("models are copied, deleted, loaded and unloaded", () =>
    Effect.gen(function* () {
      const { ollama, server } = yield* start(undefined, client)
      yield* ollama.copyModel("fake", "other")
      yield* ollama.deleteModel("fake")
      yield* ollama.load("fake", { keepAlive: "1 hour", contextLength: 8192 })
      yield* ollama.unload("fake")
      const { requests } = yield* server.state
      expect(requests.map(({ body, method, path }) => ({ method, path, body }))).toEqual([
        { method: "POST", path: "/api/copy", body: { source: "fake", destination: "other" } },
        { method: "DELETE", path: "/api/delete", body: { model: "fake" } },
        {
          method: "POST",
          path: "/api/generate",
          body: { model: "fake", keep_alive: 3600, options: { num_ctx: 8192 }, stream: false }
        },
        { method: "POST", path: "/api/generate", body: { model: "fake", keep_alive: 0, stream: false } }
      ])
      for (const run of [ollama.copyModel("nope", "other"), ollama.deleteModel("nope")]) {
        expect((yield* Effect.flip(run)).reason).toMatchObject({ _tag: "ModelNotAvailable", model: "nope" })
      }
    })
  )

  it.effect("a pull that is cut in the middle fails, and the next one resumes", () =>
    Effect.gen(function* () {
      const first = [{ status: "pulling manifest" }, layer(0), layer(300), layer(600)]
      const { ollama } = yield* start(
        ({ index }) =>
          index === 0
            ? reply(first, { cut: { how: "close" } })
            : reply([{ status: "pulling manifest" }, layer(600), layer(1000), { status: "success" }]),
        client
      )
      const { error, reports } = yield* collect(ollama.pull("m"))
      expect(error).toMatchObject({ reason: { _tag: "NetworkError", isRetryable: true } })
      expect(bytes(reports)).toEqual([0, 0, 300, 600])
      expect(bytes(yield* Stream.runCollect(ollama.pull("m")))).toEqual([0, 600, 1000, 1000])
    })
  )

  it.effect("a consumer that stops closes the connection", () =>
    Effect.gen(function* () {
      const { ollama, server } = yield* start(reply([layer(1)], { holdOpen: true }), client)
      yield* Stream.runDrain(Stream.take(ollama.pull("m"), 1))
      yield* server.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
    })
  )
})

it.effect("reports that end without success are not a complete transfer", () =>
  Effect.gen(function* () {
    for (const reports of [[], [layer(1000)], [{ status: "writing manifest" }]]) {
      const { ollama } = yield* start(reply(reports))
      expect((yield* collect(ollama.pull("m"))).error).toMatchObject({ reason: { _tag: "StreamTruncated" } })
    }
  })
)

it.effect("a transfer in which nothing moves is stalled, however many reports arrive", () =>
  Effect.gen(function* () {
    const { ollama, server } = yield* start(reply([layer(500), layer(500), layer(500)], { holdOpen: true }))
    const fiber = yield* Effect.forkChild(collect(ollama.pull("m", { deadlines: { idle: "30 seconds" } })))
    yield* server.until(({ requests }) => (requests[0]?.bytesWritten ?? 0) > 200)
    yield* Effect.repeat(TestClock.adjust("1 second"), { times: 40 })
    const { error, reports } = yield* Fiber.join(fiber)
    expect(error).toMatchObject({ reason: { _tag: "Timeout", kind: "idle" } })
    expect(reports.length).toBe(1)
    yield* server.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
  })
)

it.effect("the bytes of all layers are summed up, and what was there before does not count as speed", () =>
  Effect.gen(function* () {
    const reports = [layer(1000, "a"), layer(500, "b"), layer(700, "b"), { status: "success" }]
    const { ollama } = yield* start(reply(reports, { drip: { bytes: 80, every: "10 millis" } }))
    const fiber = yield* Effect.forkChild(Stream.runCollect(ollama.pull("m")))
    while (fiber.pollUnsafe() === undefined) {
      yield* TestClock.adjust("10 millis")
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 1)))
    }
    const received = yield* Fiber.join(fiber)
    expect(received.map(({ completedBytes, totalBytes }) => [completedBytes, totalBytes])).toEqual([
      [1000, 1000],
      [1500, 2000],
      [1700, 2000],
      [2000, 2000]
    ])
    expect(received.map(({ bytesPerSecond }) => bytesPerSecond === undefined)).toEqual([true, true, false, true])
  })
)

it.effect("endless layers do not fill the memory", () =>
  Effect.gen(function* () {
    const reports = Array.from({ length: 1000 }, (_, i) => layer(1, `sha256:${i}`))
    const server = yield* FakeServer.make(reply(reports))
    const http = Layer.provide(Ollama.layer({ baseUrl: server.url, maxLineBytes: 1024 }), NodeHttpClient.layerUndici)
    const ollama = Context.get(yield* Layer.build(http), Ollama.Ollama)
    expect((yield* collect(ollama.pull("m"))).error).toMatchObject({ reason: { _tag: "LineTooLong" } })
  })
)

it.effect("ensure downloads only what is missing", () =>
  Effect.gen(function* () {
    const { ollama, server } = yield* start()
    expect(yield* Stream.runCollect(ollama.ensure("fake"))).toMatchObject([{ isFinal: true }])
    expect((yield* Stream.runCollect(ollama.ensure("other"))).length).toBe(5)
    expect((yield* server.state).requests.map(({ path }) => path)).toEqual(["/api/tags", "/api/tags", "/api/pull"])
  })
)

it.effect("a model that only embeds is loaded through the endpoint for embeddings", () =>
  Effect.gen(function* () {
    const { ollama, server } = yield* start(({ path }) =>
      path === "/api/generate"
        ? { status: 400, body: { error: '"nomic" does not support generate' } }
        : { status: 200, body: { model: "nomic", embeddings: [] } }
    )
    yield* ollama.load("nomic")
    expect((yield* server.state).requests.map(({ path }) => path)).toEqual(["/api/generate", "/api/embed"])
  })
)

it.effect("the models in memory", () =>
  Effect.gen(function* () {
    const { ollama } = yield* start(() => ({
      status: 200,
      body: { models: [{ name: "m:latest", size: 5, context_length: 8, expires_at: "0001-01-01T00:00:00Z" }] }
    }))
    expect(yield* ollama.running).toEqual([{ id: "m:latest", isLoaded: true, memoryBytes: 5, loadedContextLength: 8 }])
  })
)

it.effect("a model that is kept has the time that the server reports", () =>
  Effect.gen(function* () {
    const expires_at = "2318-07-05T12:20:30.123Z"
    const { ollama } = yield* start(() => ({ status: 200, body: { models: [{ name: "m:latest", expires_at }] } }))
    expect(yield* ollama.running).toMatchObject([{ expiresAt: DateTime.makeUnsafe(expires_at) }])
  })
)

it.effect("a transfer is complete at its success, also if its last bytes were not reported", () =>
  Effect.gen(function* () {
    const layer = (letter: string, completed?: number) => ({
      status: "pulling",
      digest: `sha256:${letter}`,
      total: 40_022_080,
      completed
    })
    for (const reports of [[layer("a", 39_780_352)], [layer("a"), layer("b", 40_022_080)], []]) {
      const { ollama } = yield* start(() => ({
        status: 200,
        headers: { "content-type": "application/x-ndjson" },
        body: [...reports, { status: "success" }].map((report) => `${JSON.stringify(report)}\n`).join("")
      }))
      for (const transfer of [ollama.pull("m"), ollama.push("m"), ollama.create({ model: "m", from: "n" })]) {
        const last = yield* Stream.runLast(transfer)
        const totalBytes = 40_022_080 * reports.length
        expect(Option.getOrThrow(last)).toMatchObject({ isFinal: true, completedBytes: totalBytes, totalBytes })
      }
    }
  })
)

it.effect("the speed of a layer that begins again is measured anew", () =>
  Effect.gen(function* () {
    const completed = [500, 100, 300]
    const reports = Stream.fromIterable(completed, { chunkSize: 1 }).pipe(
      Stream.mapEffect((completedBytes) => Effect.as(TestClock.adjust("1 second"), completedBytes)),
      Stream.map((completedBytes): ModelProgress => {
        const amounts = { completedBytes, totalBytes: 1000 }
        return { status: "pulling", isFinal: false, layer: { digest: "sha256:a", ...amounts }, ...amounts }
      })
    )
    const measured = yield* Stream.runCollect(addSpeed(reports))
    expect(measured.map(({ bytesPerSecond }) => bytesPerSecond)).toEqual([undefined, undefined, 200])
  })
)

it.effect("invalid names and invalid deadlines are rejected before anything is sent", () =>
  Effect.gen(function* () {
    const { ollama, server } = yield* start()
    // As from a program without types.
    const missing: { readonly model: string } = JSON.parse("{}")
    const runs: ReadonlyArray<Effect.Effect<unknown, ProviderError>> = [
      Stream.runDrain(ollama.pull("")),
      Stream.runDrain(ollama.pull(missing.model)),
      ollama.deleteModel(missing.model),
      ollama.unload(missing.model),
      ollama.show(missing.model),
      ollama.copyModel(missing.model, "x"),
      Stream.runDrain(ollama.push(" ")),
      Stream.runDrain(ollama.create({ model: "", from: "m" })),
      Stream.runDrain(ollama.pull("m", { deadlines: { idle: -1 } })),
      ollama.deleteModel(""),
      ollama.copyModel("", "x"),
      ollama.copyModel("x", ""),
      ollama.load(""),
      ollama.load("m", { contextLength: -1 }),
      ollama.load("m", { keepAlive: NaN }),
      ollama.model("")
    ]
    for (const run of runs) expect((yield* Effect.flip(run)).reason._tag).toBe("InvalidRequest")
    expect((yield* server.state).requests).toEqual([])
  })
)

it.effect("show has the texts of a model, of a real server's answer", () => {
  const capture = Captures.read("ollama/show")
  return Effect.gen(function* () {
    const shown = yield* Effect.flatMap(Ollama.make(), ({ show }) => show("think"))
    expect(shown).toMatchObject({ id: "think", family: "llama", capabilities: ["completion", "thinking"] })
    expect(shown.template?.startsWith("{{- range .Messages }}")).toBe(true)
    expect(shown.license).toBeUndefined()
  }).pipe(Effect.provide(CannedHttp.layer({ ...capture, pieces: [capture.body] })))
})
