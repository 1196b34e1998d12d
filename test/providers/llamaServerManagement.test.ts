/** What only llama.cpp's server can do: to wait until it is ready, its slots, and the models of its router. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as LlamaServer from "../../src/LlamaServer.ts"
import { FakeServer } from "../../src/testing/index.ts"

const start = Effect.fnUntraced(function* (script: FakeServer.Script) {
  const server = yield* FakeServer.make(script)
  const layer = Layer.provide(LlamaServer.layer({ baseUrl: server.url }), NodeHttpClient.layerUndici)
  return { provider: Context.get(yield* Layer.build(layer), LlamaServer.LlamaServer), server }
})

const loading: FakeServer.Reply = {
  status: 503,
  body: { error: { code: 503, message: "Loading model", type: "unavailable_error" } }
}

it.effect("ready waits while the server loads its model", () =>
  Effect.gen(function* () {
    const { provider, server } = yield* start(({ index }) =>
      index < 3 ? loading : { status: 200, body: { status: "ok" } }
    )
    const ready = yield* Effect.forkChild(provider.ready)
    for (const count of [1, 2, 3]) {
      yield* server.until(({ requests }) => requests.filter(({ outcome }) => outcome === "completed").length === count)
      while ((yield* server.state).requests.length === count) {
        yield* TestClock.adjust("250 millis")
        yield* Effect.promise(() => new Promise(setImmediate))
      }
    }
    yield* Fiber.join(ready)
    expect((yield* server.state).requests.map(({ path }) => path)).toEqual(Array.from({ length: 4 }, () => "/health"))
  })
)

it.effect("ready fails at once with any other status", () =>
  Effect.gen(function* () {
    for (const status of [500, 502, 401]) {
      const { provider, server } = yield* start({ status, body: { error: { message: "boom" } } })
      const { reason } = yield* Effect.flip(provider.ready)
      expect(reason).toMatchObject(status === 401 ? { _tag: "AuthenticationError" } : { _tag: "ApiError", status })
      expect((yield* server.state).requests.length).toBe(1)
    }
  })
)

it.effect("slots, with the context of each if the server reports it", () =>
  Effect.gen(function* () {
    const slots = [
      { id: 0, n_ctx: 4096, is_processing: true, speculative: false },
      { id: 1, is_processing: false }
    ]
    const { provider } = yield* start({ status: 200, body: slots })
    expect(yield* provider.slots).toEqual([
      { id: 0, isProcessing: true, contextLength: 4096 },
      { id: 1, isProcessing: false, contextLength: undefined }
    ])
  })
)

it.effect("a router loads and unloads a model; a server with one model has no such endpoint", () =>
  Effect.gen(function* () {
    const router = yield* start({ status: 200, body: { success: true } })
    yield* router.provider.load("m")
    yield* router.provider.unload("m")
    const { requests } = yield* router.server.state
    expect(requests.map(({ body, method, path }) => ({ method, path, body }))).toEqual([
      { method: "POST", path: "/models/load", body: { model: "m" } },
      { method: "POST", path: "/models/unload", body: { model: "m" } }
    ])
    const single = yield* start({ status: 404, body: { error: { code: 404, message: "File Not Found" } } })
    expect((yield* Effect.flip(single.provider.load("m"))).reason).toMatchObject({
      _tag: "Unsupported",
      endpoint: "POST /models/load"
    })
  })
)
