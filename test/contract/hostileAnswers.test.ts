/** Whatever a server answers to questions about its models, the result is a value or a `ProviderError`. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as LlamaServer from "../../src/LlamaServer.ts"
import * as LmStudio from "../../src/LmStudio.ts"
import * as Ollama from "../../src/Ollama.ts"
import * as OpenAiCompatible from "../../src/OpenAiCompatible.ts"
import { isProviderError } from "../../src/ProviderError.ts"
import { FakeServer } from "../../src/testing/index.ts"

const values: ReadonlyArray<unknown> = [
  null,
  0,
  "",
  "text",
  [],
  [null],
  [[null]],
  [["AAAA"]],
  [[Number.MAX_VALUE]],
  {},
  { id: null },
  { name: 1 },
  { error: null },
  [{ id: "m", key: "m", name: "m", index: -1, embedding: "AAAA", loaded_instances: [null] }],
  [{ id: "m", key: "m", name: "m", index: 1e300, embedding: [1], expires_at: "x", capabilities: [1] }],
  [{ id: "__proto__", key: "__proto__", name: "__proto__", size: -1, context_length: -5, expires_at: "9999999-01-01" }]
]

const names = [
  "models",
  "data",
  "embeddings",
  "capabilities",
  "details",
  "model_info",
  "modalities",
  "job_id",
  "status"
]

const bodies = [
  ...values.map((value) => JSON.stringify(value) ?? ""),
  ...names.flatMap((name) =>
    values.map((value) => JSON.stringify({ [name]: value, models: value, data: value }) ?? "")
  ),
  "",
  "{",
  '{"__proto__":{"models":[]}}',
  `${"[".repeat(50_000)}`,
  `{"models":${"[".repeat(5000)}${"]".repeat(5000)}}`
]

it.live(
  "no answer is a defect",
  () =>
    Effect.gen(function* () {
      let body = ""
      const { url: baseUrl } = yield* FakeServer.make(() => ({
        status: 200,
        headers: { "content-type": "application/json" },
        body
      }))
      const http = yield* Layer.build(NodeHttpClient.layerUndici)
      for (body of bodies) {
        const ollama = yield* Effect.provide(Ollama.make({ baseUrl }), http)
        const lmStudio = yield* Effect.provide(LmStudio.make({ baseUrl }), http)
        const llama = yield* Effect.provide(LlamaServer.make({ baseUrl }), http)
        const other = yield* Effect.provide(OpenAiCompatible.make({ baseUrl }), http)
        const runs = [
          ...[ollama, lmStudio, llama, other].flatMap(({ embed, listModels, model }) => [
            embed({ model: "m", input: ["a", "b"] }),
            model("__proto__"),
            model("m"),
            listModels
          ]),
          ollama.running,
          ollama.version,
          ollama.deleteModel("m"),
          Stream.runDrain(ollama.pull("m")),
          lmStudio.load("m"),
          lmStudio.unload("m"),
          Stream.runDrain(Stream.take(lmStudio.download("m"), 1)),
          llama.slots,
          llama.load("m")
        ]
        const exits = yield* Effect.forEach(runs, (run) => Effect.exit(Effect.asVoid<unknown, unknown, never>(run)), {
          concurrency: "unbounded"
        })
        for (const exit of exits) {
          expect(Exit.isSuccess(exit) || isProviderError(Cause.squash(exit.cause)), body.slice(0, 200)).toBe(true)
        }
      }
    }),
  180_000
)
