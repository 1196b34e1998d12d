/** How many requests and tokens each key, model and provider has used. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Accounting from "../../src/Accounting.ts"
import * as Cache from "../../src/Cache.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Pool from "../../src/Pool.ts"
import * as Provider from "../../src/Provider.ts"
import { StreamError } from "../../src/ProviderError.ts"
import { Attempts, expected, receive, settle, toScript } from "../support/attempts.ts"

const prompt = { model: "m", prompt: "x" } as const
const usage = { promptTokens: 10, completionTokens: 3, cachedTokens: 4, reasoningTokens: 1 }
const final = { isFinal: true, usage } as const

const zero = {
  requests: 0,
  stopped: 0,
  failed: 0,
  fromCache: 0,
  promptTokens: 0,
  completionTokens: 0,
  cachedTokens: 0,
  reasoningTokens: 0,
  uncountedChunks: 0
}

const totals = (accounting: Accounting.Accounting) => SubscriptionRef.get(accounting.totals)

it.effect.prop(
  "the totals are the sums of the entries, each request has one, and no chunk is changed",
  { attempts: Attempts },
  ({ attempts }) =>
    Effect.gen(function* () {
      const entries: Array<Accounting.Entry> = []
      const answers = MockProvider.sequence(attempts.map((steps, i) => [...toScript(steps, i), final]))
      const mock = yield* MockProvider.make(answers)
      const plain = yield* MockProvider.make(answers)
      const onUsage = (entry: Accounting.Entry) => Effect.sync(() => entries.push(entry))
      const accounting = yield* Accounting.make(mock, { onUsage })
      for (const _ of attempts) {
        expect(yield* settle(receive(accounting.stream(prompt)))).toEqual(yield* settle(receive(plain.stream(prompt))))
      }
      const outcomes = attempts.map(expected)
      expect(entries.map(({ outcome }) => outcome)).toEqual(
        outcomes.map(({ reason }) => (reason === undefined ? "completed" : "failed"))
      )
      const completed = entries.filter(({ outcome }) => outcome === "completed").length
      const sum = {
        ...zero,
        key: "",
        model: "m",
        provider: "Mock",
        requests: attempts.length,
        failed: attempts.length - completed,
        promptTokens: 10 * completed,
        completionTokens: 3 * completed,
        cachedTokens: 4 * completed,
        reasoningTokens: completed
      }
      const [{ promptTokens = 0, uncountedChunks = 0, ...total } = {}] = yield* totals(accounting)
      const { promptTokens: reported, uncountedChunks: _, ...rest } = sum
      expect(total).toEqual(rest)
      // Prompts that were read in part count too.
      expect(promptTokens).toBeGreaterThanOrEqual(reported)
      expect(uncountedChunks).toBe(
        entries.filter(({ outcome }) => outcome === "failed").reduce((sum, { chunks }) => sum + chunks, 0)
      )
    }),
  { arbitrary: { runs: 50 } }
)

it.effect("a completion that was stopped has its chunks, and the tokens of its prompt that were read", () =>
  Effect.gen(function* () {
    const mock = yield* MockProvider.make([{ promptProgress: { processed: 7, total: 9 } }, "a", "b", MockProvider.hang])
    const accounting = yield* Accounting.make(mock)
    const fiber = yield* Effect.forkChild(accounting.complete(prompt), { startImmediately: true })
    yield* Fiber.interrupt(fiber)
    yield* Stream.runDrain(Stream.take(accounting.stream(prompt), 2))
    expect(yield* totals(accounting)).toEqual([
      { ...zero, key: "", model: "m", provider: "Mock", requests: 2, stopped: 2, promptTokens: 14, uncountedChunks: 3 }
    ])
  })
)

it.effect("series are by key, model and provider, and embeddings count", () =>
  Effect.gen(function* () {
    const hosts = yield* Effect.forEach(["one", "two"], (name) =>
      // Derives from its list whether it has a model.
      Effect.map(MockProvider.make(["a", final], { name, models: [`model of ${name}`] }), (mock) =>
        Provider.make({ ...mock, model: undefined, supportsModel: undefined })
      )
    )
    const pool = Pool.make({ hosts: hosts.map((provider) => ({ provider })) })
    const accounting = yield* Accounting.make(pool)
    const ask = (key: string, model: string) =>
      Effect.provideService(Effect.exit(accounting.complete({ ...prompt, model })), Pool.caller, { name: key })
    yield* Effect.all([ask("a", "model of one"), ask("a", "model of two"), ask("b", "model of two"), ask("b", "none")])
    yield* accounting.embed({ model: "model of one", input: ["x", "y"] })
    yield* Effect.exit(accounting.embed({ model: "none", input: "x" }))
    const all = yield* totals(accounting)
    expect(all.map(({ key, model, provider, requests, failed }) => [key, model, provider, requests, failed])).toEqual([
      ["a", "model of one", "one", 1, 0],
      ["a", "model of two", "two", 1, 0],
      ["b", "model of two", "two", 1, 0],
      ["b", "none", "Pool", 1, 1],
      ["", "model of one", "one", 1, 0],
      ["", "none", "Pool", 1, 1]
    ])
  }).pipe(Effect.scoped)
)

it.effect("what came from a cache cost nothing, and the totals are a stream", () =>
  Effect.gen(function* () {
    const cached = Cache.make(MockProvider.make(["a", final]))
    const accounting = yield* Accounting.make(cached)
    const changes = yield* Effect.forkChild(
      Stream.runCollect(Stream.take(SubscriptionRef.changes(accounting.totals), 3)),
      { startImmediately: true }
    )
    for (let i = 0; i < 2; i++) yield* accounting.complete({ ...prompt, seed: 1 })
    const seen = yield* Fiber.join(changes)
    expect(seen.map(([total]) => [total?.requests, total?.fromCache, total?.promptTokens])).toEqual([
      [undefined, undefined, undefined],
      [1, 0, 10],
      [2, 1, 10]
    ])
  }).pipe(Effect.scoped)
)

it.effect("an invalid request is one that failed", () =>
  Effect.gen(function* () {
    const accounting = yield* Accounting.make(MockProvider.make(["Hi"]))
    const untyped: (u: unknown) => never = (u) => u as never
    for (const wrong of [null, 5, {}, { model: 5n, prompt: "x" }]) {
      expect((yield* Effect.flip(accounting.complete(untyped(wrong)))).reason._tag).toBe("InvalidRequest")
      yield* Effect.flip(accounting.embed(untyped(wrong)))
    }
    expect(yield* totals(accounting)).toMatchObject([{ model: "", requests: 8, failed: 8 }])
  })
)

it.effect("the number of series is bounded", () =>
  Effect.gen(function* () {
    const mock = yield* MockProvider.make([MockProvider.fail(new StreamError({}))])
    const accounting = yield* Accounting.make(mock, { maxSeries: 3 })
    for (let i = 0; i < 10; i++) yield* Effect.exit(accounting.complete({ ...prompt, model: `model ${i}` }))
    const all = yield* totals(accounting)
    expect(all.map(({ model, requests }) => [model, requests])).toEqual([
      ["model 0", 1],
      ["model 1", 1],
      ["model 2", 1],
      ["_OTHER", 7]
    ])
  })
)
