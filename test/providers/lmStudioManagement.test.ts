/** What only LM Studio and llama.cpp's server can do with their models. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as LlamaServer from "../../src/LlamaServer.ts"
import * as LmStudio from "../../src/LmStudio.ts"
import type { ModelProgress } from "../../src/ModelProgress.ts"
import { FakeServer } from "../../src/testing/index.ts"

const start = Effect.fnUntraced(function* (script: FakeServer.Script) {
  const server = yield* FakeServer.make(script)
  const baseUrl = server.url
  const http = yield* Layer.build(NodeHttpClient.layerUndici)
  return {
    server,
    lmStudio: yield* Effect.provide(LmStudio.make({ baseUrl }), http),
    llama: yield* Effect.provide(LlamaServer.make({ baseUrl }), http)
  }
})

const instance = (id: string, context_length: number): object => ({ id, config: { context_length } })
const models = (...loaded_instances: ReadonlyArray<object>): object => ({
  models: [{ type: "llm", key: "qwen", loaded_instances, max_context_length: 32_768 }]
})

const lmStudio =
  (list: object) =>
  ({ method }: FakeServer.ReceivedRequest): FakeServer.Reply =>
    method === "GET" ? { status: 200, body: list } : { status: 200, body: { instance_id: "qwen:9", status: "loaded" } }

const posts = (server: FakeServer.FakeServer["Service"]) =>
  Effect.map(server.state, ({ requests }) =>
    requests.filter(({ method }) => method === "POST").map(({ body, path }) => [path, body])
  )

it.effect("a model is loaded once, unless another context is asked for", () =>
  Effect.gen(function* () {
    const list = models(instance("qwen", 4096), instance("qwen:2", 8192))
    const { lmStudio: studio, server } = yield* start(lmStudio(list))
    expect(yield* studio.load("qwen")).toBe("qwen")
    expect(yield* studio.load("qwen", { contextLength: 8192 })).toBe("qwen:2")
    expect(yield* posts(server)).toEqual([])
    expect(yield* studio.load("qwen", { contextLength: 16_384 })).toBe("qwen:9")
    expect(yield* studio.load("other")).toBe("qwen:9")
    expect(yield* posts(server)).toEqual([
      ["/api/v1/models/load", { model: "qwen", context_length: 16_384 }],
      ["/api/v1/models/load", { model: "other" }]
    ])
  })
)

it.effect("options of load that are invalid are rejected before anything is sent", () =>
  Effect.gen(function* () {
    const { lmStudio: studio, server } = yield* start(lmStudio(models()))
    for (const contextLength of [0, -1, 1.5, Number.NaN]) {
      const error = yield* Effect.flip(studio.load("qwen", { contextLength }))
      expect(error.reason).toMatchObject({ _tag: "InvalidRequest", field: "contextLength" })
    }
    // @ts-expect-error no option of LM Studio
    expect((yield* Effect.flip(studio.load("qwen", { keepAlive: 1 }))).reason).toMatchObject({ field: "keepAlive" })
    expect((yield* server.state).requests).toEqual([])
  })
)

it.effect("a model is unloaded with all its instances, or one of them", () =>
  Effect.gen(function* () {
    const list = models(instance("qwen", 4096), instance("qwen:2", 8192))
    const { lmStudio: studio, server } = yield* start(lmStudio(list))
    yield* studio.unload("qwen:2")
    yield* studio.unload("qwen")
    expect(yield* posts(server)).toEqual(
      ["qwen:2", "qwen", "qwen:2"].map((instance_id) => ["/api/v1/models/unload", { instance_id }])
    )
  })
)

it.effect("servers without these routes do not support them", () =>
  Effect.gen(function* () {
    const { llama, lmStudio: studio } = yield* start({ text: "" })
    const runs = [
      studio.load("m"),
      studio.unload("m"),
      Stream.runDrain(studio.download("m")),
      llama.slots,
      llama.load("m"),
      llama.unload("m")
    ]
    for (const run of runs) expect((yield* Effect.flip(run)).reason._tag).toBe("Unsupported")
  })
)

it.effect("a model that LM Studio cannot find", () =>
  Effect.gen(function* () {
    const { lmStudio: studio } = yield* start(({ method }) =>
      method === "GET"
        ? { status: 200, body: models() }
        : { status: 404, body: { error: { type: "model_not_found", message: "Model nope not found" } } }
    )
    expect((yield* Effect.flip(studio.load("nope"))).reason).toMatchObject({ _tag: "ModelNotAvailable", model: "nope" })
  })
)

/** Answers the download with the first report, and each question for its status with the next. */
const download = Effect.fnUntraced(function* (reports: ReadonlyArray<object>) {
  const running = yield* start(({ index }) => ({
    status: 200,
    body: reports[Math.min(index, reports.length - 1)] ?? {}
  }))
  const received: Array<ModelProgress> = []
  const fiber = yield* Effect.forkChild(
    Effect.result(
      Stream.runForEach(running.lmStudio.download("qwen"), (report) => Effect.sync(() => received.push(report)))
    )
  )
  for (let count = 1; fiber.pollUnsafe() === undefined && count < 400; count++) {
    yield* TestClock.adjust("1 second")
    yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 2)))
  }
  return { result: yield* Fiber.join(fiber), received, server: running.server }
})

const job = (status: string, downloaded_bytes: number): object => ({
  job_id: "job/1",
  status,
  total_size_bytes: 100,
  downloaded_bytes
})

it.effect("a download reports its progress until it is complete", () =>
  Effect.gen(function* () {
    const { received, result, server } = yield* download([
      job("downloading", 0),
      job("downloading", 40),
      job("downloading", 40),
      job("completed", 100)
    ])
    expect(result._tag).toBe("Success")
    expect(received.map(({ completedBytes, isFinal }) => [completedBytes, isFinal])).toEqual([
      [0, false],
      [40, false],
      [100, true]
    ])
    expect((yield* server.state).requests.map(({ path }) => path)[1]).toBe("/api/v1/models/download/status/job%2F1")
  })
)

it.effect("a model that is there already needs no download", () =>
  Effect.gen(function* () {
    const { received, server } = yield* download([{ status: "already_downloaded" }])
    expect(received).toEqual([{ status: "already_downloaded", isFinal: true, completedBytes: 0, totalBytes: 0 }])
    expect((yield* server.state).requests.length).toBe(1)
  })
)

it.effect("a download that fails, has no job, or does not move is an error", () =>
  Effect.gen(function* () {
    const failures = [
      [[job("downloading", 0), job("failed", 10)], "StreamError"],
      [[{ status: "downloading" }], "StreamTruncated"],
      [[job("downloading", 10)], "Timeout"]
    ] as const
    for (const [reports, _tag] of failures) {
      const { received, result } = yield* download(reports)
      expect(result).toMatchObject({ failure: { reason: { _tag } } })
      expect(received.some(({ isFinal }) => isFinal)).toBe(false)
    }
  })
)

it.effect("the id of a download may be any text, and no error quotes it", () =>
  Effect.gen(function* () {
    for (const job_id of ["\ud800", "SECRET/../?#"]) {
      const { lmStudio } = yield* start(({ method }) =>
        method === "POST"
          ? { status: 200, body: { job_id, status: "downloading" } }
          : { status: 404, body: { error: { type: "job_not_found", message: job_id } } }
      )
      const fiber = yield* Effect.forkChild(Effect.flip(Stream.runDrain(lmStudio.download("qwen"))))
      while (fiber.pollUnsafe() === undefined) {
        yield* TestClock.adjust("1 second")
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 2)))
      }
      const error = yield* Fiber.join(fiber)
      expect(error.reason).toMatchObject({ _tag: "Unsupported", feature: "GET /api/v1/models/download/status" })
      expect(error.message).not.toContain("SECRET")
    }
  })
)

it.effect("an invalid context is rejected", () =>
  Effect.gen(function* () {
    const { lmStudio: studio, server } = yield* start(lmStudio(models()))
    for (const contextLength of [Number.NaN, -5, 0, 1.5]) {
      const { reason } = yield* Effect.flip(studio.load("qwen", { contextLength }))
      expect(reason).toMatchObject({ _tag: "InvalidRequest", field: "contextLength" })
    }
    expect(yield* posts(server)).toEqual([])
  })
)

it.effect("a router that does not carry out a command", () =>
  Effect.gen(function* () {
    const { llama } = yield* start(() => ({ status: 200, body: { success: false } }))
    for (const run of [llama.load("qwen"), llama.unload("qwen")]) {
      expect((yield* Effect.flip(run)).reason._tag).toBe("StreamError")
    }
  })
)

it.effect("numbers that cannot be are not reported", () =>
  Effect.gen(function* () {
    const body = {
      models: [{ key: "m", size_bytes: -1, max_context_length: -1, loaded_instances: [instance("m", -1)] }],
      data: [{ id: "m", meta: { size: -1, n_ctx_train: -5 }, max_model_len: 10 }],
      default_generation_settings: { n_ctx: -1 }
    }
    const { llama, lmStudio: studio } = yield* start(() => ({ status: 200, body }))
    expect(yield* studio.model("m")).toEqual({ id: "m", isLoaded: true })
    expect(yield* llama.model("m")).toEqual({ id: "m", isLoaded: true, contextLength: 10 })
  })
)

it.effect("slots of a llama.cpp server, and its router", () =>
  Effect.gen(function* () {
    const { llama, server } = yield* start(({ path }) => ({
      status: 200,
      body: path === "/slots" ? [{ id: 0, is_processing: true, n_ctx: 512 }] : { success: true }
    }))
    expect(yield* llama.slots).toEqual([{ id: 0, isProcessing: true, contextLength: 512 }])
    yield* llama.load("qwen")
    yield* llama.unload("qwen")
    expect(yield* posts(server)).toEqual([
      ["/models/load", { model: "qwen" }],
      ["/models/unload", { model: "qwen" }]
    ])
  })
)
