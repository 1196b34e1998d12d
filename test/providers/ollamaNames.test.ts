/** Names of models as Ollama reads them. */
import { describe, expect, it } from "@effect/vitest"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { isSame } from "../../src/protocol/ollama/models.ts"
import * as Ollama from "../../src/Ollama.ts"
import * as OpenAiCompatible from "../../src/OpenAiCompatible.ts"
import * as Pool from "../../src/Pool.ts"
import { FakeServer } from "../../src/testing/index.ts"
import * as Captures from "../support/captures.ts"

const same = [
  "llama3.1",
  "Llama3.1",
  "llama3.1:LATEST",
  "library/llama3.1",
  "Library/Llama3.1:latest",
  "registry.ollama.ai/library/llama3.1:latest",
  "https://registry.ollama.ai/library/llama3.1",
  "Registry.Ollama.AI/library/llama3.1"
]
const others = [
  "llama3.1:8b",
  "llama3",
  "me/llama3.1",
  "localhost:5000/library/llama3.1",
  "hf.co/library/llama3.1",
  "library/library/llama3.1",
  ""
]

describe("isSameModel", () => {
  for (const name of same) it(name, () => expect(isSame(name, "llama3.1:latest")).toBe(true))
  for (const name of others) it(`not ${name}`, () => expect(isSame(name, "llama3.1:latest")).toBe(false))
  it("a registry with a port, with and without a tag", () => {
    expect(isSame("localhost:5000/me/x", "LOCALHOST:5000/me/X:latest")).toBe(true)
    expect(isSame("localhost:5000/me/x:1", "localhost:5000/me/x:2")).toBe(false)
  })
  it("a long name takes linear time", () => {
    const name = ":/".repeat(500_000)
    expect(isSame(name, `${name}x`)).toBe(false)
  })
})

const withTags =
  (body: object): FakeServer.Script =>
  ({ path }) =>
    path === "/api/ps" ? { status: 200, body: { models: [{ name: "llama3.1:latest" }] } } : { text: "Hi", ...body }

it.live.each(same)("%s is a model of the server", (name) =>
  Effect.gen(function* () {
    const server = yield* FakeServer.make(withTags({}), { models: ["llama3.1:latest"] })
    const ollama = yield* Ollama.make({ baseUrl: server.url })
    expect(yield* ollama.supportsModel(name)).toBe(true)
    expect(yield* ollama.model(name)).toMatchObject({ isLoaded: true })
    expect(yield* Stream.runCollect(ollama.ensure(name))).toHaveLength(1)
    expect((yield* server.state).requests.some(({ path }) => path === "/api/pull")).toBe(false)
    const pool = yield* Pool.make({ hosts: [{ provider: ollama }, { provider: ollama, name: "other" }] })
    expect(yield* pool.complete({ model: name, prompt: "x" })).toMatchObject({ content: "Hi" })
  }).pipe(Effect.provide(NodeHttpClient.layerUndici))
)

describe("Ollama behind its /v1", () => {
  const list = JSON.parse(new TextDecoder().decode(Captures.read("ollama/v1-models").body))
  const shown = { details: {}, model_info: {}, capabilities: ["completion"] }
  const routes: { readonly [path: string]: object } = {
    "/v1/models": list,
    "/api/show": shown,
    "/api/ps": { models: [{ name: "sky:latest", context_length: 4096 }] }
  }
  const start = Effect.fnUntraced(function* (answers: { readonly [path: string]: object } = routes) {
    const server = yield* FakeServer.make(({ path }) => {
      const body = answers[path]
      if (body !== undefined) return { status: 200, body }
      return path.startsWith("/api") ? { status: 404, body: "404 page not found" } : { text: "Hi" }
    })
    return { server, provider: yield* OpenAiCompatible.make({ baseUrl: `${server.url}/v1` }) }
  })
  const image = { role: "user", content: "x", images: ["aGk="] } as const

  it.live("names need no tag, for one server and for a pool", () =>
    Effect.gen(function* () {
      const { provider } = yield* start()
      for (const name of ["sky", "SKY:latest", "library/sky"]) expect(yield* provider.supportsModel(name)).toBe(true)
      expect(yield* provider.supportsModel("moon")).toBe(false)
      expect(yield* provider.model("sky")).toMatchObject({ isLoaded: true, loadedContextLength: 4096 })
      const pool = yield* Pool.make({ hosts: [{ provider }, { provider, name: "other" }] })
      expect(yield* pool.complete({ model: "sky", prompt: "x" })).toMatchObject({ content: "Hi" })
      expect(yield* pool.supportsModel("sky")).toBe(true)
    }).pipe(Effect.provide(NodeHttpClient.layerUndici))
  )

  it.live("an image for a model that cannot see is not sent", () =>
    Effect.gen(function* () {
      const { provider, server } = yield* start()
      const { reason } = yield* Effect.flip(provider.complete({ model: "sky", messages: [image] }))
      expect(reason).toMatchObject({ _tag: "Unsupported", feature: "images" })
      expect((yield* server.state).requests.some(({ path }) => path === "/v1/chat/completions")).toBe(false)
    }).pipe(Effect.provide(NodeHttpClient.layerUndici))
  )

  it.live("other servers, and a proxy without Ollama's own routes, get the image", () =>
    Effect.gen(function* () {
      for (const answers of [
        { "/v1/models": list },
        { ...routes, "/v1/models": { data: [{ id: "sky", owned_by: "vllm" }] } },
        { ...routes, "/v1/models": { data: null } }
      ]) {
        const { provider } = yield* start(answers)
        expect(yield* provider.complete({ model: "sky", messages: [image] })).toMatchObject({ content: "Hi" })
      }
    }).pipe(Effect.provide(NodeHttpClient.layerUndici))
  )
})
