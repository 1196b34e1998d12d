// A program of a user. The checks of the package compile and run it in empty projects.
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Stream } from "effect"
import type { StreamingChunk } from "effect-local-llm"
import { LmStudio, MockProvider, Ollama, Provider } from "effect-local-llm"
import type { ProviderError } from "effect-local-llm/ProviderError"
import { FakeServer } from "effect-local-llm/testing"

const textOf = (chunk: StreamingChunk.StreamingChunk): string => chunk.content

const program: Effect.Effect<void, ProviderError, Provider.Provider> = Provider.Provider.use((provider) =>
  provider
    .stream({ model: "any", messages: [{ role: "user", content: "Why is the sky blue?" }] })
    .pipe(Stream.map(textOf), Stream.mkString, Effect.flatMap(Console.log))
)

const onFakeServer = <A, E, R>(layer: (url: string) => Layer.Layer<A, E, R>) =>
  Layer.unwrap(FakeServer.FakeServer.use(({ url }) => Effect.succeed(layer(url)))).pipe(
    Layer.provide(FakeServer.layer({ text: "Rayleigh scattering." })),
    Layer.provide(NodeHttpClient.layerUndici)
  )

Effect.gen(function* () {
  yield* Effect.provide(
    program,
    onFakeServer((baseUrl) => Ollama.layer({ baseUrl }))
  )
  yield* Effect.provide(
    program,
    onFakeServer((baseUrl) => LmStudio.layer({ baseUrl }))
  )
  yield* Effect.provide(program, MockProvider.layer(["Rayleigh ", "scattering."]))
}).pipe(NodeRuntime.runMain)
