import { assert, describe, expect, it } from "@effect/vitest"
import { Duration, Effect, Exit, Fiber, Layer, Redacted, Stream } from "effect"
import { TestClock } from "effect/testing"
import { MockProvider, Provider, ProviderError, Retry } from "../../src/index.ts"
import type { StreamingChunk } from "../../src/StreamingChunk.ts"

const request = { model: "any", messages: [{ role: "user", content: "Why is the sky blue?" }] } as const

const chunksOf = Effect.flatMap(Provider.Provider, (provider) => Stream.runCollect(provider.stream(request)))

const final: StreamingChunk = { content: "", isFinal: true, model: "any", finishReason: "stop", provider: "Mock" }
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

  it.effect("a function makes the script from the request", () =>
    Effect.gen(function* () {
      const provider = yield* Provider.Provider
      assert.strictEqual((yield* provider.complete(request)).content, "ANY")
    }).pipe(Effect.provide(MockProvider.layer(({ model }) => [model.toUpperCase()])))
  )

  it.effect("every run plays the script again and is recorded as a request", () =>
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

  it.effect("a failure follows the steps before it, with the mock's name and any reason", () =>
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

  it.effect("waits use the test's clock", () =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(chunksOf)
      yield* TestClock.adjust("59 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.lengthOf(yield* Fiber.join(fiber), 3)
    }).pipe(Effect.provide(MockProvider.layer(["a", MockProvider.wait("1 minute"), "b"])))
  )

  it.effect("an answer that hangs ends by its deadline, or at once by an interrupt", () =>
    Effect.gen(function* () {
      const hanging = yield* Effect.forkChild(Effect.flip(chunksOf))
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual((yield* Fiber.join(hanging)).reason._tag, "Timeout")
      const interrupted = yield* Effect.forkChild(chunksOf)
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(interrupted)
    }).pipe(Effect.provide(MockProvider.layer(["a", MockProvider.hang])))
  )

  it.effect("an endless answer ends when the consumer stops", () =>
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

  const invalidOptions: Readonly<Record<string, MockProvider.Options>> = {
    "deadlines.idle": { deadlines: { idle: 0 } },
    "deadlines.total": { deadlines: { total: Number.NaN } },
    "deadlines.firstChunk": { deadlines: { firstChunk: "-1 second" } },
    "defaults.temperature": { defaults: { temperature: Number.NaN } }
  }
  for (const [field, options] of Object.entries(invalidOptions)) {
    it.effect(`invalid ${field} fails the layer, as with real servers`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(Layer.build(MockProvider.layer([], { name: "Local", ...options })))
        assert.strictEqual(error.provider, "Local")
        assert.deepInclude(error.reason, { _tag: "InvalidRequest", field })
      }).pipe(Effect.scoped)
    )
  }

  it.effect("an invalid deadline of a request fails the stream", () =>
    Effect.gen(function* () {
      const provider = yield* Provider.Provider
      const error = yield* Effect.flip(provider.complete({ ...request, deadlines: { idle: Number.NaN } }))
      assert.deepInclude(error.reason, { _tag: "InvalidRequest", field: "deadlines.idle" })
    }).pipe(Effect.provide(MockProvider.layer(["a"])))
  )

  it.effect("a script that can be read only once is rejected", () =>
    Effect.gen(function* () {
      const generator = (function* () {
        yield "a"
      })()
      for (const script of [generator, ["a"].values(), new Set(["a"]).values()]) {
        const error = yield* Effect.flip(MockProvider.make(script))
        assert.deepInclude(error.reason, { _tag: "InvalidRequest", field: "script" })
      }
      assert.deepStrictEqual(generator.next(), { done: false, value: "a" })
    })
  )

  it.effect("a generator function is played for every request", () =>
    Effect.gen(function* () {
      const provider = yield* Provider.Provider
      for (const _ of [1, 2]) assert.strictEqual((yield* provider.complete(request)).content, "ab")
    }).pipe(
      Effect.provide(
        MockProvider.layer(function* () {
          yield "a"
          yield "b"
        })
      )
    )
  )

  const invalidSteps: ReadonlyArray<readonly [what: string, step: object | number]> = [
    ["a chunk whose content is not a text", { content: 5 }],
    ["a chunk with an unknown field", { text: "b" }],
    ["a final chunk with an unknown finish reason", { isFinal: true, finishReason: "done" }],
    ["a final chunk without an id in its tool call", { isFinal: true, toolCalls: [{ name: "f", arguments: {} }] }],
    ["tool calls that are not a list", { toolCalls: 5 }],
    ["a field of the final chunk on another one", { usage: { totalTokens: 3 } }],
    ["a failure without a reason", new MockProvider.Failure(JSON.parse('{"reason":"boom"}'))],
    ["a wait without a duration", new MockProvider.Wait({ duration: Number.NaN })],
    ["a number", 5]
  ]
  for (const [what, step] of invalidSteps) {
    it.effect(`${what} fails the stream`, () =>
      Effect.gen(function* () {
        const script: Array<MockProvider.Step> = ["a"]
        Reflect.set(script, 1, step)
        const mock = yield* MockProvider.make(script)
        const seen: Array<string> = []
        const error = yield* mock.stream(request).pipe(
          Stream.runForEach((chunk) => Effect.sync(() => seen.push(chunk.content))),
          Effect.flip
        )
        assert.deepStrictEqual(seen, ["a"])
        assert.deepInclude(error.reason, { _tag: "InvalidRequest", field: "script[1]" })
      })
    )
  }

  it.effect("a function that returns no steps fails the stream", () =>
    Effect.gen(function* () {
      const scripts: { readonly nothing: MockProvider.Script } = JSON.parse("{}")
      const mock = yield* MockProvider.make(() => scripts.nothing)
      const error = yield* Effect.flip(Stream.runDrain(mock.stream(request)))
      assert.deepInclude(error.reason, { _tag: "InvalidRequest", field: "script" })
    })
  )

  it.effect("an exception of a script is a defect, so no handler of provider errors hides it", () =>
    Effect.gen(function* () {
      const scripts = [
        () => {
          throw new Error("no script")
        },
        function* () {
          yield "a"
          throw new Error("no script")
        }
      ]
      for (const script of scripts) {
        const mock = yield* MockProvider.make(script)
        const exit = yield* Effect.exit(Effect.ignore(mock.complete(request)))
        assert.isTrue(Exit.hasDies(exit))
      }
    })
  )

  it.effect("defaults apply to every request and are recorded with it", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.MockProvider
      assert.strictEqual((yield* mock.complete({ prompt: "x" })).model, "small")
      assert.strictEqual((yield* mock.complete({ prompt: "x", model: "large" })).model, "large")
      assert.deepStrictEqual(yield* mock.requests, [
        { prompt: "x", model: "small", temperature: 0 },
        { prompt: "x", model: "large", temperature: 0 }
      ])
    }).pipe(Effect.provide(MockProvider.layer([], { defaults: { model: "small", temperature: 0 } })))
  )

  it.effect("a request without a model fails if there is no default", () =>
    Effect.gen(function* () {
      const provider = yield* Provider.Provider
      const { reason } = yield* Effect.flip(provider.complete({ prompt: "x" }))
      assert.deepInclude(reason, { _tag: "InvalidRequest", field: "model" })
      assert.include(reason.message, "defaults")
    }).pipe(Effect.provide(MockProvider.layer([])))
  )
})

describe("a sequence", () => {
  const texts = (provider: Provider.Provider, count: number) =>
    Effect.forEach(Array.from({ length: count }), () =>
      Effect.match(provider.complete({ model: "m", prompt: "x" }), {
        onSuccess: ({ content }) => content,
        onFailure: ({ reason }) => reason
      })
    )

  it.effect(
    "answers successive requests with successive answers, failures included, and then says that it is over",
    () =>
      Effect.gen(function* () {
        const busy = new ProviderError.RateLimited({})
        const mock = yield* MockProvider.make(
          MockProvider.sequence([
            ["a"],
            MockProvider.fail(busy),
            ["b", MockProvider.fail(busy)],
            ({ model }) => [model],
            []
          ])
        )
        expect(yield* texts(mock, 5)).toEqual(["a", busy, busy, "m", ""])
        const over = {
          _tag: "InvalidRequest",
          isRetryable: false,
          description: expect.stringContaining("has 5 answers")
        }
        expect(yield* texts(mock, 2)).toMatchObject([over, over])
        expect(yield* mock.requests).toHaveLength(7)
      })
  )

  it.effect("begins anew with each mock, and each attempt of a policy is a request", () =>
    Effect.gen(function* () {
      const answers = MockProvider.sequence([
        MockProvider.fail(new ProviderError.RateLimited({ retryAfter: Duration.zero })),
        ["Hi"]
      ])
      for (let i = 0; i < 2; i++) {
        const mock = yield* MockProvider.make(answers)
        expect(yield* texts(Retry.apply(mock), 1)).toEqual(["Hi"])
        // No policy sends the request again that comes after the last answer.
        expect(yield* texts(Retry.apply(mock), 1)).toMatchObject([{ _tag: "InvalidRequest" }])
        expect(yield* mock.requests).toHaveLength(3)
      }
    })
  )

  it.effect("is validated: each answer has to be a script that can be played", () =>
    Effect.gen(function* () {
      const once = (function* () {
        yield "a"
      })()
      const error = yield* Effect.flip(MockProvider.make(MockProvider.sequence([["a"], once])))
      expect(error.reason).toMatchObject({ _tag: "InvalidRequest", field: "sequence[1]" })
    })
  )
})
