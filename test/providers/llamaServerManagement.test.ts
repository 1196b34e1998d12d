/** What only llama.cpp's server can do: to wait until it is ready, its slots, and the models of its router. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as TestClock from "effect/testing/TestClock"
import * as LlamaServer from "../../src/LlamaServer.ts"
import * as Models from "../../src/servers/models.ts"
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

const props = { default_generation_settings: { n_ctx: 512 }, modalities: { vision: false } }

/** A server with these models. */
const serving =
  (data: ReadonlyArray<object>, properties: object = props): FakeServer.Script =>
  ({ path }) =>
    path === "/v1/models"
      ? { status: 200, body: { object: "list", data } }
      : path === "/props"
        ? { status: 200, body: properties }
        : { text: "Hi", model: "the-only-one" }

describe("a model of a server with one model", () => {
  const meta = { n_ctx_train: 4096, size: 3 }
  const servers: { readonly [what: string]: { readonly data: object; readonly names: ReadonlyArray<string> } } = {
    "by its path": {
      data: { id: "models/sky.gguf", aliases: ["models/sky.gguf"] },
      names: ["models/sky.gguf", "sky.gguf"]
    },
    "by a path of Windows": { data: { id: "C:\\models\\sky.gguf" }, names: ["C:\\models\\sky.gguf", "sky.gguf"] },
    "by its alias": { data: { id: "sky", aliases: ["sky", "sky-2"] }, names: ["sky", "sky-2"] },
    "by its alias, with its file": { data: { id: "sky", aliases: ["sky", "/m/sky.gguf"] }, names: ["sky", "sky.gguf"] }
  }
  for (const [what, { data, names }] of Object.entries(servers)) {
    it.effect(`is found ${what}, and no other is`, () =>
      Effect.gen(function* () {
        const { provider } = yield* start(serving([{ ...data, meta }]))
        for (const name of names) {
          expect(yield* provider.model(name)).toMatchObject({ contextLength: 4096, isLoaded: true })
          expect(yield* provider.supportsModel(name)).toBe(true)
        }
        for (const name of ["nonexistent", "sk", "models", ".gguf", "", "gguf"]) {
          if (name !== "") {
            const { reason } = yield* Effect.flip(provider.model(name))
            expect(reason).toMatchObject({ _tag: "ModelNotAvailable", model: name })
          }
          expect(yield* provider.supportsModel(name).pipe(Effect.orElseSucceed(() => false))).toBe(false)
        }
        // It completes requests for any name, and says which model it is.
        expect(yield* provider.complete({ model: "nonexistent", prompt: "x" })).toMatchObject({ model: "the-only-one" })
      })
    )
  }

  it.effect("is in memory by its description and by the list of those in memory, unless it sleeps", () =>
    Effect.gen(function* () {
      for (const isSleeping of [false, true]) {
        const { provider } = yield* start(serving([{ id: "sky" }], { ...props, is_sleeping: isSleeping }))
        expect((yield* provider.model("sky")).isLoaded).toBe(!isSleeping)
        const running = yield* Models.findRunning(provider, yield* provider.listModels)
        expect(running.map(({ id }) => id)).toEqual(isSleeping ? [] : ["sky"])
      }
    })
  )
})

it.effect("a router reports which of its models are in memory", () =>
  Effect.gen(function* () {
    const states = ["unloaded", "loading", "loaded", "sleeping", "downloading"]
    const { provider } = yield* start(serving(states.map((value) => ({ id: value, status: { value } }))))
    for (const id of states) expect((yield* provider.model(id)).isLoaded).toBe(id === "loaded")
    const running = yield* Models.findRunning(provider, yield* provider.listModels)
    expect(running.map(({ id }) => id)).toEqual(["loaded"])
    expect((yield* Effect.flip(provider.model("other"))).reason).toMatchObject({ _tag: "ModelNotAvailable" })
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
