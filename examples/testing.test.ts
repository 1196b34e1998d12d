// Tests of code that uses a model, with @effect/vitest: npx vitest run examples/testing.test.ts
import { NodeHttpClient } from "@effect/platform-node"
import { expect, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import { MockProvider, Ollama, Provider, ProviderError } from "effect-local-llm"
import { FakeServer } from "effect-local-llm/testing"

/** The code under test. */
const title = (text: string) =>
  Provider.Provider.use(({ complete }) =>
    complete({ model: "llama3.2", prompt: `A title for "${text}":`, deadlines: { total: "1 minute" } })
  ).pipe(
    Effect.map(({ content, finishReason }) => (finishReason === "length" ? `${content}…` : content)),
    Effect.catchReason("ProviderError", "Timeout", () => Effect.succeed("Untitled"))
  )

it.effect("asks for a title of the text", () =>
  Effect.gen(function* () {
    expect(yield* title("It rained.")).toBe("Rain")
    const mock = yield* MockProvider.MockProvider
    expect(yield* mock.requests).toMatchObject([{ prompt: 'A title for "It rained.":' }])
  }).pipe(Effect.provide(MockProvider.layer(["Ra", "in"])))
)

it.effect("marks a title that was cut", () =>
  Effect.gen(function* () {
    expect(yield* title("It rained.")).toBe("Rain and…")
  }).pipe(Effect.provide(MockProvider.layer(["Rain and", { isFinal: true, finishReason: "length" }])))
)

it.effect("has a title after a minute, whatever the model does", () =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(title("It rained."))
    yield* TestClock.adjust("1 minute")
    expect(yield* Fiber.join(fiber)).toBe("Untitled")
  }).pipe(Effect.provide(MockProvider.layer(["Ra", MockProvider.hang])))
)

it.effect("passes other failures on", () =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(title("It rained."))
    expect(error.reason._tag).toBe("ModelNotAvailable")
  }).pipe(
    Effect.provide(MockProvider.layer([MockProvider.fail(new ProviderError.ModelNotAvailable({ model: "llama3.2" }))]))
  )
)

// A real server on loopback, for what a mock cannot show.
const ollama = Layer.unwrap(FakeServer.FakeServer.useSync(({ url }) => Ollama.layer({ baseUrl: url })))
const withServer = (script: FakeServer.Script) =>
  Layer.provideMerge(ollama, Layer.merge(FakeServer.layer(script), NodeHttpClient.layerUndici))

it.live("does not take half an answer for a title", () =>
  Effect.gen(function* () {
    const error = yield* Effect.flip(title("It rained."))
    expect(error.reason._tag).toBe("StreamTruncated")
  }).pipe(Effect.provide(withServer({ text: "Rain and", cut: { how: "end" } })))
)

it.live("stops the server with the consumer", () =>
  Effect.gen(function* () {
    const provider = yield* Provider.Provider
    const server = yield* FakeServer.FakeServer
    yield* provider.stream({ model: "llama3.2", prompt: "Once" }).pipe(Stream.take(3), Stream.runDrain)
    yield* server.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
  }).pipe(Effect.provide(withServer({ pieces: FakeServer.endless("word ") })))
)
