import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Redacted, Stream } from "effect"
import { TestClock } from "effect/testing"
import { MockProvider, Provider, ProviderError } from "../../src/index.ts"
import type { StreamingChunk } from "../../src/StreamingChunk.ts"

const request = { model: "any", messages: [{ role: "user", content: "Why is the sky blue?" }] } as const

const chunksOf = Effect.flatMap(Provider.Provider, (provider) => Stream.runCollect(provider.stream(request)))

const final: StreamingChunk = { content: "", isFinal: true, model: "any", finishReason: "stop" }
const call = { id: "call_0", name: "get_weather", arguments: { city: "Paris" } }

describe("MockProvider", () => {
  it.effect.each([
    ["texts", ["a", "b"], [{ content: "a", isFinal: false }, { content: "b", isFinal: false }, final]],
    ["nothing", [], [final]],
    [
      "a final chunk of its own",
      [{ content: "a", isFinal: true, usage: { totalTokens: 3 } }, "never"],
      [{ ...final, content: "a", usage: { totalTokens: 3 } }]
    ],
    [
      "tool calls",
      [{ toolCalls: [call] }],
      [
        { content: "", isFinal: false, toolCalls: [call] },
        { ...final, finishReason: "tool-calls" }
      ]
    ],
    ["thinking", [{ thinking: "Hm" }], [{ content: "", isFinal: false, thinking: "Hm" }, final]]
  ] as const)("%s", ([, script, expected]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* chunksOf, [...expected])
    }).pipe(Effect.provide(MockProvider.layer(script)))
  )

  it.effect("the script may be made of the request", () =>
    Effect.gen(function* () {
      const provider = yield* Provider.Provider
      assert.strictEqual((yield* provider.complete(request)).content, "ANY")
    }).pipe(Effect.provide(MockProvider.layer(({ model }) => [model.toUpperCase()])))
  )

  it.effect("a script can be played again, each run is a request, and only what was run is recorded", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.MockProvider
      const stream = mock.stream(request)
      assert.lengthOf(yield* mock.requests, 0)
      yield* Stream.runDrain(stream)
      yield* Stream.runDrain(stream)
      yield* Effect.flip(mock.complete({ model: "", prompt: "x" }))
      assert.deepStrictEqual(yield* mock.requests, [request, request])
    }).pipe(Effect.provide(MockProvider.layer(["a"])))
  )

  it.effect("failure comes after what was said before, with the mock's name and any reason", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const provider = yield* Provider.Provider
      const error = yield* provider.stream(request).pipe(
        Stream.runForEach((chunk) => Effect.sync(() => seen.push(chunk.content))),
        Effect.flip
      )
      assert.deepStrictEqual(seen, ["a", "b"])
      assert.strictEqual(error.provider, "Local")
      assert.strictEqual(error.reason._tag, "ParseError")
    }).pipe(
      Effect.provide(
        MockProvider.layer(
          ["a", "b", MockProvider.fail(new ProviderError.ParseError({ excerpt: Redacted.make("{") })), "c"],
          { name: "Local" }
        )
      )
    )
  )

  it.effect("waits pass on the test's clock", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(chunksOf)
      yield* TestClock.adjust("59 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.lengthOf(yield* Fiber.join(fiber), 3)
    }).pipe(Effect.provide(MockProvider.layer(["a", MockProvider.wait("1 minute"), "b"])))
  )

  it.effect("an answer that hangs ends by its deadline, and interrupting one ends at once", () =>
    Effect.gen(function* () {
      const hanging = yield* Effect.forkChild(Effect.flip(chunksOf))
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* Fiber.join(hanging)).reason._tag, "Timeout")
      const interrupted = yield* Effect.forkChild(chunksOf)
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(interrupted)
    }).pipe(Effect.provide(MockProvider.layer(["a", MockProvider.hang])))
  )

  it.effect("an endless answer gives what is taken", () =>
    Effect.gen(function* () {
      const provider = yield* Provider.Provider
      assert.lengthOf(yield* Stream.runCollect(Stream.take(provider.stream(request), 1000)), 1000)
    }).pipe(
      Effect.provide(
        MockProvider.layer(function* () {
          while (true) yield "ha "
        })
      )
    )
  )

  it.effect("lists its models", () =>
    Effect.gen(function* () {
      const provider = yield* Provider.Provider
      assert.deepStrictEqual(yield* provider.listModels, [{ id: "a" }, { id: "b" }])
      assert.isTrue(yield* provider.supportsModel("b"))
      assert.isFalse(yield* provider.supportsModel("c"))
    }).pipe(Effect.provide(MockProvider.layer([], { models: ["a", "b"] })))
  )
})
