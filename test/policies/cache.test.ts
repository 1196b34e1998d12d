/** A cache of completions. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as Cache from "../../src/Cache.ts"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Provider from "../../src/Provider.ts"
import { RateLimited } from "../../src/ProviderError.ts"
import * as Retry from "../../src/Retry.ts"
import { FakeServer } from "../../src/testing/index.ts"
import { Attempts, expected, receive, settle, toScript } from "../support/attempts.ts"
import { connect, setups } from "../support/setups.ts"

const prompt: CompletionRequest = { model: "m", prompt: "x", temperature: 0 }

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

const count = (mock: MockProvider.MockProvider) => Effect.map(mock.requests, ({ length }) => length)

const memory = Effect.provide(KeyValueStore.KeyValueStore, KeyValueStore.layerMemory)

const stores = [
  ["in memory", undefined],
  ["in a store", memory]
] as const

const broken = (reason: Effect.Effect<never>): KeyValueStore.KeyValueStore =>
  KeyValueStore.makeStringOnly({
    get: () => reason,
    set: () => reason,
    remove: () => reason,
    clear: reason,
    keys: reason,
    size: reason
  })

describe.each(stores)("%s", (_, store) => {
  it.effect.prop(
    "what was complete is replayed with the same chunks, and nothing else is; none is delivered twice",
    { attempts: Attempts },
    ({ attempts }) =>
      Effect.gen(function* () {
        const mock = yield* MockProvider.make(MockProvider.sequence(attempts.map(toScript)))
        const cached = yield* Cache.make(mock, { store })
        const carrying = (chunks: ReadonlyArray<object>) =>
          chunks.filter((chunk) => JSON.stringify(chunk).match(/\d\.\d |isFinal":true/) !== null)
        for (const outcome of attempts.map(expected)) {
          const first = yield* settle(receive(cached.stream(prompt)))
          expect([first.text, first.error?.reason._tag]).toEqual([outcome.text, outcome.reason])
          if (outcome.reason !== undefined) continue
          const again = yield* settle(receive(cached.stream(prompt)))
          const hasAnswer = first.chunks.some(({ content, toolCalls = [] }) => content !== "" || toolCalls.length > 0)
          if (!hasAnswer) return
          expect(carrying(again.chunks.slice(0, -1))).toEqual(carrying(first.chunks.slice(0, -1)))
          const last = first.chunks.at(-1)
          expect(again.chunks.at(-1)).toEqual({ ...last, fromCache: true })
          expect(last).not.toHaveProperty("fromCache")
          return
        }
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 50 } }
  )
})

describe("what is cached", () => {
  const asked = (requests: ReadonlyArray<CompletionRequest>, options: Cache.Options = {}) =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make(["Hi"])
      const cached = yield* Cache.make(mock, options)
      yield* Effect.forEach(requests, (request) => Effect.exit(cached.complete(request)))
      return yield* count(mock)
    }).pipe(Effect.scoped)

  const tool = { name: "f", parameters: Schema.Struct({ a: Schema.String }) }
  const chat = { model: "m", seed: 1, messages: [{ role: "user", content: "x" }] } as const
  const bytes = new Uint8Array([1, 2])

  it.effect.each<[requests: ReadonlyArray<CompletionRequest>, sent: number]>([
    [[prompt, { temperature: 0, prompt: "x", model: "m" }, { ...prompt, deadlines: { total: "1 hour" } }], 1],
    [
      [
        { ...prompt, temperature: 0.1 },
        { ...prompt, temperature: 0.1 }
      ],
      2
    ],
    [
      [
        { model: "m", prompt: "x", seed: 0 },
        { model: "m", prompt: "x", seed: 0 }
      ],
      1
    ],
    [[prompt, { ...prompt, maxTokens: 5 }, { ...prompt, extra: { a: 1 } }, { ...prompt, extra: { a: 2 } }], 4],
    [
      [
        { ...chat, tools: [tool] },
        { ...chat, tools: [{ ...tool, parameters: Schema.Struct({ a: Schema.String }) }] }
      ],
      1
    ],
    [[{ ...chat, tools: [tool] }, { ...chat, tools: [tool], toolChoice: "required" }, { ...chat }], 3],
    [
      [
        { ...chat, tools: [tool] },
        { ...chat, tools: [{ ...tool, parameters: Schema.Struct({ b: Schema.String }) }] }
      ],
      2
    ],
    [
      [
        { ...prompt, images: [bytes] },
        { ...prompt, images: [new Uint8Array([1, 3])] },
        { ...prompt, images: [bytes] }
      ],
      2
    ],
    [
      [
        { ...prompt, format: "json" },
        { ...prompt, format: { type: "object" } }
      ],
      2
    ]
  ])("%j", ([requests, sent]) => Effect.map(asked(requests), (count) => expect(count).toBe(sent)))

  it.effect("a request whose model or temperature comes from the defaults of the cache, not of the provider", () =>
    Effect.gen(function* () {
      expect(
        yield* asked([
          { prompt: "x", seed: 1 },
          { prompt: "x", seed: 1 }
        ])
      ).toBe(0)
      const defaults = { model: "m", temperature: 0 }
      expect(yield* asked([{ prompt: "x" }, { prompt: "x" }, prompt], { defaults })).toBe(1)
    })
  )

  it.effect.each<MockProvider.Script>([
    [],
    [{ thinking: "Hm" }],
    ["a", { isFinal: true, finishReason: "other" }],
    ["a", { isFinal: true, finishReason: "content-filter" }],
    ["a", MockProvider.fail(new RateLimited({}))]
  ])("not a completion that is empty, cut by a filter or failed: %j", (script) =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make(script)
      const cached = yield* Cache.make(mock)
      for (let i = 0; i < 2; i++) yield* Effect.exit(cached.complete(prompt))
      expect(yield* count(mock)).toBe(2)
    }).pipe(Effect.scoped)
  )

  it.effect("a completion whose consumer stopped with its final chunk, but not one that stopped before", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make(["a", "b"])
      const cached = yield* Cache.make(mock)
      const take = (n: number) => Stream.runDrain(Stream.take(cached.stream(prompt), n))
      yield* take(2)
      yield* take(3)
      expect(yield* count(mock)).toBe(2)
      expect(yield* cached.complete(prompt)).toMatchObject({ content: "ab", fromCache: true })
      expect(yield* count(mock)).toBe(2)
    }).pipe(Effect.scoped)
  )
})

describe("bounds", () => {
  it.effect.each(stores)("entries, bytes, and time: %s", ([, store]) =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make(({ prompt = "" }) => [prompt])
      const ask = (cached: Provider.Provider, ...prompts: ReadonlyArray<string>) =>
        Effect.andThen(
          Effect.forEach(prompts, (text) => cached.complete({ ...prompt, prompt: text })),
          count(mock)
        )
      const few = yield* Cache.make(mock, { store, maxEntries: 2 })
      expect(yield* ask(few, "a", "b", "a", "c", "a")).toBe(3)
      expect(yield* ask(few, "b")).toBe(4)
      const small = yield* Cache.make(mock, { store, maxBytes: 3000 })
      const long = "x".repeat(1000)
      const before = yield* ask(small, `1${long}`, `2${long}`, `3${long}`)
      expect(yield* ask(small, `3${long}`)).toBe(before)
      expect(yield* ask(small, `1${long}`)).toBe(before + 1)
      const short = yield* Cache.make(mock, { store, maxEntryBytes: 500 })
      const after = yield* ask(short, `4${long}`)
      expect(yield* ask(short, `4${long}`)).toBe(after + 1)
      const brief = yield* Cache.make(mock, { store, timeToLive: "1 hour" })
      const now = yield* ask(brief, "d")
      yield* TestClock.adjust("59 minutes")
      expect(yield* ask(brief, "d")).toBe(now)
      yield* TestClock.adjust("1 minute")
      expect(yield* ask(brief, "d")).toBe(now + 1)
    }).pipe(Effect.scoped)
  )

  it.effect("entries of an earlier program count, and other keys of the store stay", () =>
    Effect.gen(function* () {
      const store = yield* memory
      yield* store.set("other", "1")
      const mock = yield* MockProvider.make(["Hi"])
      for (const text of ["a", "b", "c"]) {
        const cached = yield* Cache.make(mock, { store: Effect.succeed(store), maxEntries: 2 })
        yield* cached.complete({ ...prompt, prompt: text })
      }
      expect(yield* store.size).toBe(3)
      expect(yield* store.get("other")).toBe("1")
      const keys = yield* store.keys
      expect(keys.filter((key) => /^effect-local-llm-answer-[\da-f]{64}$/.test(key))).toHaveLength(2)
    }).pipe(Effect.scoped)
  )
})

describe("a store that is not well", () => {
  it.effect.each([
    ["fails", Effect.die("SECRET")],
    ["hangs", Effect.never]
  ] as const)("%s: requests go on, with one warning", ([, reason]) =>
    Effect.gen(function* () {
      const warnings: Array<unknown> = []
      const logger = Logger.make(({ message }) => void warnings.push(message))
      const mock = yield* MockProvider.make(["Hi"])
      yield* Effect.gen(function* () {
        const cached = yield* settle(Cache.make(mock, { store: Effect.succeed(broken(reason)) }))
        for (let i = 0; i < 2; i++) expect(yield* settle(cached.complete(prompt))).toMatchObject({ content: "Hi" })
      }).pipe(Effect.provide(Logger.layer([logger])))
      expect(yield* count(mock)).toBe(2)
      expect(warnings).toHaveLength(1)
      expect(JSON.stringify(warnings)).not.toContain("SECRET")
    }).pipe(Effect.scoped)
  )

  const final = { content: "", isFinal: true, model: "m", finishReason: "stop" }
  it.effect.each([
    "",
    "{",
    "null",
    JSON.stringify({ version: 2, at: 0, chunks: [final] }),
    JSON.stringify({ version: 1, at: 0, chunks: [] }),
    JSON.stringify({ version: 1, at: 0, chunks: [{ content: "part", isFinal: false }] }),
    JSON.stringify({ version: 1, at: 0, chunks: [final, final] }),
    JSON.stringify({ version: 1, at: 0, chunks: [{ ...final, isFinal: "yes" }] })
  ])("has what is no completion: %s", (text) =>
    Effect.gen(function* () {
      const store = yield* memory
      const mock = yield* MockProvider.make(["Hi"])
      const cached = yield* Cache.make(mock, { store: Effect.succeed(store) })
      yield* cached.complete(prompt)
      const written = Effect.andThen(Effect.yieldNow, store.keys)
      const [key = ""] = yield* Effect.repeat(written, { until: ({ length }) => length > 0 })
      yield* store.set(key, text)
      expect(yield* cached.complete(prompt)).toEqual(expect.not.objectContaining({ fromCache: true }))
      expect(yield* cached.complete(prompt)).toMatchObject({ content: "Hi", fromCache: true })
    }).pipe(Effect.scoped)
  )
})

describe("equal requests at once", () => {
  const slow = ["a", MockProvider.wait("2 seconds"), "b", MockProvider.wait("2 seconds"), "c"]

  it.effect("share one generation: who joins later gets what has come, and then each chunk as it comes", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make(slow)
      const cached = yield* Cache.make(mock)
      const texts: Array<ReadonlyArray<string>> = [[], [], []]
      const read = (i: number) =>
        Stream.runForEach(cached.stream(prompt), ({ content, isFinal, ...rest }) =>
          Effect.sync(() => {
            texts[i] = [...(texts[i] ?? []), content + (isFinal ? JSON.stringify("fromCache" in rest) : "")]
          })
        )
      const first = yield* fork(read(0))
      yield* TestClock.adjust("2 seconds")
      const second = yield* fork(read(1))
      yield* TestClock.adjust(1)
      expect(texts).toEqual([["a", "b"], ["a", "b"], []])
      // The first one leaves, and the others go on.
      yield* Fiber.interrupt(first)
      const third = yield* fork(read(2))
      yield* TestClock.adjust("2 seconds")
      yield* Effect.all([Fiber.join(second), Fiber.join(third)])
      expect(texts.slice(1)).toEqual([
        ["a", "b", "c", "true"],
        ["a", "b", "c", "true"]
      ])
      expect(yield* count(mock)).toBe(1)
    }).pipe(Effect.scoped)
  )

  it.effect("fail together, and a retry of each is one further generation", () =>
    Effect.gen(function* () {
      const busy = [MockProvider.wait("1 second"), MockProvider.fail(new RateLimited({}))]
      const mock = yield* MockProvider.make(MockProvider.sequence([busy, busy, ["Hi"]]))
      const cached = yield* Cache.make(mock)
      const exits = yield* settle(
        Effect.all([Effect.exit(cached.complete(prompt)), Effect.exit(cached.complete(prompt))], { concurrency: 2 })
      )
      expect(exits.map(Exit.isFailure)).toEqual([true, true])
      expect(yield* count(mock)).toBe(1)
      const retrying = Retry.apply(cached)
      const both = yield* settle(Effect.all([retrying.complete(prompt), retrying.complete(prompt)], { concurrency: 2 }))
      expect(both.map(({ content }) => content)).toEqual(["Hi", "Hi"])
      expect(yield* count(mock)).toBe(3)
    }).pipe(Effect.scoped)
  )

  it.effect("do not share with other deadlines, nor after the end of the cache", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make(slow)
      const scope = yield* Scope.make()
      const cached = yield* Scope.provide(Cache.make(mock), scope)
      const short = yield* fork(Effect.flip(cached.complete({ ...prompt, deadlines: { total: "1 second" } })))
      const long = yield* fork(Effect.flip(cached.complete(prompt)))
      yield* TestClock.adjust("1 second")
      expect((yield* Fiber.join(short)).reason).toMatchObject({ _tag: "Timeout", kind: "total" })
      expect(long.pollUnsafe()).toBeUndefined()
      yield* Scope.close(scope, Exit.void)
      expect((yield* Fiber.join(long)).reason).toMatchObject({ _tag: "NetworkError" })
      expect((yield* Effect.flip(cached.complete(prompt))).reason).toMatchObject({ _tag: "NetworkError" })
    })
  )

  it.effect("run as fast as the fastest of them, and not further than the bound before the slowest", () =>
    Effect.gen(function* () {
      let produced = 0
      const endless = Provider.make({
        name: "endless",
        listModels: Effect.succeed([]),
        stream: () =>
          Stream.map(Stream.forever(Stream.succeed("x".repeat(100))), (content) => {
            produced++
            return { content, isFinal: false } as const
          }).pipe(Stream.rechunk(1))
      })
      const cached = yield* Cache.make(endless, { maxEntryBytes: 10_000 })
      const fast = yield* fork(Stream.runDrain(Stream.take(cached.stream(prompt), 5000)))
      const slow = yield* fork(Stream.runForEach(Stream.take(cached.stream(prompt), 2), () => Effect.sleep("1 minute")))
      yield* TestClock.adjust("1 second")
      // 164 bytes for each chunk.
      expect(produced).toBeLessThan(80)
      expect(fast.pollUnsafe()).toBeUndefined()
      // The slow one leaves.
      yield* TestClock.adjust("2 minutes")
      yield* Fiber.join(slow)
      yield* Fiber.join(fast)
      expect(produced).toBeLessThan(5010)
    }).pipe(Effect.scoped)
  )

  it.live.each(setups.slice(0, 2))(
    "on real sockets, $provider, $client: the connection is closed with the last of them",
    (setup) =>
      Effect.gen(function* () {
        const server = yield* FakeServer.make({ pieces: FakeServer.endless("word ") })
        const cached = yield* Cache.make(yield* connect(setup, { baseUrl: server.url }))
        const request = { model: "m", messages: [{ role: "user", content: "x" }], seed: 1 } as const
        const take = (n: number) => Stream.runDrain(Stream.take(cached.stream(request), n))
        const completions = (state: FakeServer.State) => state.requests.filter(({ path }) => /chat/.test(path))
        const many = yield* fork(take(10_000))
        yield* Effect.all([take(3), take(50)], { concurrency: 2 })
        const state = yield* server.state
        expect(completions(state).map(({ outcome }) => outcome)).not.toContain("cut-by-client")
        yield* Fiber.interrupt(many)
        yield* server.until((state) => completions(state)[0]?.outcome === "cut-by-client")
        expect(completions(yield* server.state)).toHaveLength(1)
      }).pipe(Effect.scoped)
  )
})
