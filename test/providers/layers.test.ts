import { describe, expect, it } from "@effect/vitest"
import { type Config, ConfigProvider, Context, Effect, Layer, Redacted } from "effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import { LmStudio, Ollama, Provider, type ProviderError } from "../../src/index.ts"
import { encode } from "../support/bytes.ts"
import * as CannedHttp from "../support/cannedHttp.ts"

type Live = Layer.Layer<Provider.Provider, ProviderError.ProviderError | Config.ConfigError, HttpClient.HttpClient>

const layers: ReadonlyArray<readonly [name: string, layer: (options: Ollama.Options & LmStudio.Options) => Live]> = [
  ["Ollama", Ollama.layer],
  ["LM Studio", LmStudio.layer]
]

describe.each(layers)("%s", (provider, layer) => {
  it.effect.each([
    ["baseUrl", { baseUrl: "http://user:secret@host" }],
    ["maxLineBytes", { maxLineBytes: 0 }],
    ["deadlines.idle", { deadlines: { idle: 0 } }],
    ["deadlines.total", { deadlines: { total: Number.NaN } }],
    ["defaults.temperature", { defaults: { temperature: Number.NaN } }]
  ] as const)("a wrong %s fails the layer", ([field, options]) =>
    Effect.gen(function* () {
      const built = Layer.build(Layer.provide(layer(options), CannedHttp.layer({ pieces: [] })))
      const error = yield* Effect.flip(built)
      expect(error).toMatchObject({ provider, reason: { _tag: "InvalidRequest", field } })
      expect(error.message).not.toContain("secret")
    }).pipe(Effect.scoped)
  )

  it.effect("the layer's defaults apply to requests, and a model must come from either", () =>
    Effect.gen(function* () {
      const requests: Array<HttpClientRequest.HttpClientRequest> = []
      const http = CannedHttp.layer({ pieces: [] }, requests)
      const build = (options: Ollama.Options) =>
        Effect.map(Layer.build(Layer.provide(layer(options), http)), Context.get(Provider.Provider))

      const withModel = yield* build({ defaults: { model: "small", temperature: 0.5 } })
      yield* Effect.flip(withModel.complete({ prompt: "Once" }))
      yield* Effect.flip(withModel.complete({ prompt: "Once", model: "large" }))
      const bodies = requests.map(({ body }) => (body._tag === "Uint8Array" ? new TextDecoder().decode(body.body) : ""))
      expect(bodies.map((body) => JSON.parse(body).model)).toEqual(["small", "large"])
      for (const body of bodies) expect(body).toContain('"temperature":0.5')

      const withoutModel = yield* build({})
      const error = yield* Effect.flip(withoutModel.complete({ prompt: "Once" }))
      expect(error).toMatchObject({ provider, reason: { _tag: "InvalidRequest", field: "model" } })
      expect(requests.length).toBe(2)
    }).pipe(Effect.scoped)
  )
})

const configured: ReadonlyArray<
  readonly [variables: Record<string, string>, layer: Live, url: string, authorization?: string]
> = [
  [{}, Ollama.layerConfig(), "http://127.0.0.1:11434/api/tags"],
  [{}, LmStudio.layerConfig(), "http://127.0.0.1:1234/v1/models"],
  [{ OLLAMA_HOST: "gpu-1", OLLAMA_API_KEY: "key" }, Ollama.layerConfig(), "http://gpu-1:11434/api/tags", "Bearer key"],
  [
    { LMSTUDIO_BASE_URL: "http://gpu-2:1234/v1/", LM_API_TOKEN: "key" },
    LmStudio.layerConfig(),
    "http://gpu-2:1234/v1/models",
    "Bearer key"
  ]
]

const wiped = Redacted.make("SECRET")
Redacted.wipeUnsafe(wiped)

const throwing = Object.defineProperty({ toJSON: () => "throwing" }, "idle", {
  get: () => {
    throw new Error("SECRET")
  }
})

describe("options that the compiler would reject", () => {
  const options: ReadonlyArray<readonly [field: string | undefined, options: object]> = [
    ["token", { token: "SECRET" }],
    ["token", { token: null }],
    ["token", { token: Redacted.make(undefined) }],
    ["token", { token: wiped }],
    ["headers", { headers: { authorization: Redacted.make("SECRET\nX") } }],
    ["headers", { headers: { "x-key": null } }],
    ["headers", { headers: [5] }],
    [undefined, { defaults: throwing }],
    [undefined, { deadlines: throwing }],
    ["headers", { headers: null }],
    ["headers", { headers: 5 }],
    ["baseUrl", { baseUrl: new URL("http://127.0.0.1") }],
    ["baseUrl", { baseUrl: "" }],
    ["name", { name: 5 }],
    ["name", { name: "" }],
    [undefined, { url: "http://127.0.0.1" }]
  ]
  for (const [field, invalid] of options) {
    it.effect(`${field}: ${JSON.stringify(invalid)}`, () =>
      Effect.gen(function* () {
        for (const [, layer] of layers) {
          const error = yield* Effect.flip(Layer.build(Layer.provide(layer(invalid), CannedHttp.layer({ pieces: [] }))))
          expect(error).toMatchObject({ reason: { _tag: "InvalidRequest" } })
          if (field !== undefined) expect(error).toMatchObject({ reason: { field } })
          expect(error.message).not.toContain("SECRET")
        }
      }).pipe(Effect.scoped)
    )
  }
})

describe("layerConfig", () => {
  it.effect.each(configured)("takes address and token from %j", ([variables, layer, url, authorization]) =>
    Effect.gen(function* () {
      const requests: Array<HttpClientRequest.HttpClientRequest> = []
      const http = CannedHttp.layer({ pieces: [encode('{"models":[],"data":[]}')] }, requests)
      const config = ConfigProvider.layer(ConfigProvider.fromUnknown(variables))
      const context = yield* Layer.build(Layer.provide(layer, [http, config]))
      yield* Context.get(context, Provider.Provider).listModels
      expect(requests.map(({ headers, url }) => [url, headers["authorization"]])).toEqual([[url, authorization]])
    }).pipe(Effect.scoped)
  )
})
