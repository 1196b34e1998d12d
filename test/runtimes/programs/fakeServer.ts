// The fake server in the tests of a user, on every runtime.
import { Effect, Layer, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { Ollama, Provider } from "effect-local-llm"
import { FakeServer } from "effect-local-llm/testing"

const ollama = Layer.unwrap(Effect.map(FakeServer.FakeServer, ({ url }) => Ollama.layer({ baseUrl: url }))).pipe(
  Layer.provide(FetchHttpClient.layer),
  Layer.provideMerge(FakeServer.layer({ pieces: FakeServer.endless("again ") }))
)

const program = Effect.gen(function* () {
  const provider = yield* Provider.Provider
  const server = yield* FakeServer.FakeServer
  yield* provider.stream({ model: "any", prompt: "Once" }).pipe(Stream.take(3), Stream.runDrain)
  const { requests } = yield* server.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
  return requests.length
})

console.log(await Effect.runPromise(Effect.provide(program, ollama)))
