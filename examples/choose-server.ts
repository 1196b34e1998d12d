// The server is chosen by the environment or a .env file, not by the program:
// MODEL_SERVER=ollama MODEL=llama3.2 node examples/choose-server.ts "Why is the sky blue?"
import { NodeHttpClient, NodeRuntime, NodeServices } from "@effect/platform-node"
import { Config, ConfigProvider, Effect, Layer, Stream } from "effect"
import type { HttpClient } from "effect/http"
import { LmStudio, MockProvider, Ollama, Pool, Provider, type ProviderError } from "effect-local-llm"
import * as Discovery from "effect-local-llm/Discovery"

// Options of every request that does not set its own, whichever server answers.
const defaults = {
  model: Config.String("MODEL").pipe(Config.withDefault("llama3.2")),
  deadlines: { firstChunk: Config.Duration("FIRST_CHUNK").pipe(Config.withDefault("2 minutes")) }
}

type Errors = Config.ConfigError | ProviderError.ProviderError | Discovery.NoServerFound
type Name = "auto" | "ollama" | "lmstudio" | "pool" | "mock"

const servers: Readonly<Record<Name, Layer.Layer<Provider.Provider, Errors, HttpClient.HttpClient>>> = {
  // Whatever runs on this machine.
  auto: Layer.unwrap(Effect.map(Config.unwrap(defaults), (defaults) => Discovery.layer({ defaults }))),
  // OLLAMA_HOST, OLLAMA_API_KEY
  ollama: Ollama.layerConfig({ defaults }),
  // LMSTUDIO_BASE_URL, LM_API_TOKEN
  lmstudio: LmStudio.layerConfig({ defaults }),
  // OLLAMA_HOSTS=gpu-1,gpu-2
  pool: Pool.layerConfig({ defaults }),
  // No server at all.
  mock: MockProvider.layer(["Because of ", "Rayleigh scattering."], { defaults: { model: "mock" } })
}

const name = Config.Literals(["auto", "ollama", "lmstudio", "pool", "mock"], "MODEL_SERVER")
const provider = Layer.unwrap(Effect.map(Config.withDefault(name, "auto"), (name) => servers[name]))

// The environment takes precedence. A file that is not there is no error.
const dotEnv = ConfigProvider.layerAdd(
  Effect.orElseSucceed(ConfigProvider.fromDotEnv(), () => ConfigProvider.fromEnv({ env: {} }))
).pipe(Layer.provide(NodeServices.layer))

const program = Effect.gen(function* () {
  const { stream } = yield* Provider.Provider
  const content = process.argv[2] ?? "Why is the sky blue?"
  yield* stream({ messages: [{ role: "user", content }] }).pipe(
    Stream.runForEach((chunk) => Effect.sync(() => process.stdout.write(chunk.content)))
  )
  process.stdout.write("\n")
})

const live = provider.pipe(Layer.provide(NodeHttpClient.layerUndici), Layer.provide(dotEnv))
program.pipe(Effect.provide(live), NodeRuntime.runMain)
