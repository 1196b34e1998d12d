/**
 * All policies together on servers that fail at random: every answer ends complete or with a typed error, no text is doubled, and
 * nothing is left. A failure prints its seed; `CHAOS_SEED` repeats it, `CHAOS_SECONDS` runs the sockets for longer.
 */
import { expect, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as TestClock from "effect/testing/TestClock"
import * as Fallback from "../../src/Fallback.ts"
import * as Hedge from "../../src/Hedge.ts"
import { networkError } from "../../src/http/networkError.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Pool from "../../src/Pool.ts"
import type { Provider } from "../../src/Provider.ts"
import * as Reasons from "../../src/ProviderError.ts"
import * as Retry from "../../src/Retry.ts"
import * as Telemetry from "../../src/Telemetry.ts"
import { FakeServer } from "../../src/testing/index.ts"
import { connect } from "../support/setups.ts"

const environment = process.env
const seed = Number(environment["CHAOS_SEED"] ?? Math.floor(Math.random() * 2 ** 31))
const socketSeconds = Number(environment["CHAOS_SECONDS"] ?? 8)

/** Numbers from 0 to 1 that a seed repeats: a linear congruential generator. */
const makeRandom = (seed: number) => {
  let state = seed >>> 0
  const next = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32
  return { next, pick: <A>(items: ReadonlyArray<A>): A | undefined => items[Math.floor(next() * items.length)] }
}

/** Each word of an answer has the number of its attempt, so a text of two attempts or a word that comes twice shows. */
const wordsOf = (attempt: number, count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) => `${attempt}:${i} `)

const checkText = (text: string): void => {
  const words = text.split(" ").filter((word) => word !== "")
  const attempt = words[0]?.split(":")[0]
  expect(words).toEqual(words.map((_, i) => `${attempt}:${i}`))
}

/** Reads one answer, or a part of it, and checks what was delivered. */
const consume = (provider: Provider, limit: number) => {
  let text = ""
  let finals = 0
  const request = { model: "m", messages: [{ role: "user" as const, content: "Why?" }] }
  return provider.stream(request).pipe(
    Stream.takeWhile(() => text.length < limit),
    Stream.runForEach((chunk) =>
      Effect.sync(() => {
        text += chunk.content
        if (chunk.isFinal) finals++
      })
    ),
    Effect.exit,
    Effect.map((exit) => {
      checkText(text)
      if (Exit.isSuccess(exit)) expect(text.length >= limit || finals === 1).toBe(true)
      else if (!Cause.hasInterruptsOnly(exit.cause))
        expect(Reasons.isProviderError(Cause.squash(exit.cause))).toBe(true)
      return Exit.isSuccess(exit) ? "complete" : Cause.hasInterruptsOnly(exit.cause) ? "interrupted" : "failed"
    })
  )
}

const makeAll = (hosts: ReadonlyArray<Pool.Host>, last: Provider) =>
  Effect.gen(function* () {
    const pool = yield* Pool.make({ hosts, permits: 3, maxWaiting: 20 })
    const hedge = yield* Hedge.make(pool, { minDelay: "500 millis", share: 0.2 })
    const fallback = yield* Fallback.make([{ provider: Retry.apply(hedge) }, { provider: last }])
    return { pool, provider: Telemetry.apply(fallback) }
  })

/** All permits are given back, and nobody waits. */
const expectIdle = (pool: Pool.Pool) =>
  Effect.gen(function* () {
    const { hosts, waiting } = yield* SubscriptionRef.get(pool.state)
    expect(waiting).toBe(0)
    expect(hosts.map(({ active }) => active)).toEqual(hosts.map(() => 0))
  })

const failures = [
  networkError({ code: "ECONNREFUSED" }),
  networkError({ code: "ECONNRESET" }),
  new Reasons.RateLimited({}),
  new Reasons.ApiError({ status: 503 }),
  new Reasons.StreamError({}),
  new Reasons.StreamTruncated(),
  new Reasons.ModelNotAvailable({ model: "m" }),
  new Reasons.ParseError({ excerpt: Redacted.make("{") })
]

it.effect(
  `six hours with five hosts, by the test's clock (seed ${seed})`,
  () =>
    Effect.gen(function* () {
      const random = makeRandom(seed)
      let attempts = 0
      let running = 0
      const script = (): MockProvider.Script => {
        const attempt = attempts++
        const steps: Array<MockProvider.Step> = [MockProvider.wait(random.next() * 3000)]
        if (random.next() < 0.1) steps.push({ promptProgress: { processed: 1, total: 2 } })
        const fails = random.next()
        if (fails < 0.15) steps.push(MockProvider.fail(random.pick(failures) ?? new Reasons.StreamTruncated()))
        if (fails > 0.97) steps.push(MockProvider.hang)
        for (const [i, word] of wordsOf(attempt, 8).entries()) {
          steps.push(word, MockProvider.wait(random.next() * 200))
          if (fails > 0.15 && fails < 0.2 && i === 4) steps.push(MockProvider.fail(new Reasons.StreamTruncated()))
        }
        return steps
      }
      const host = (name: string) =>
        Effect.map(MockProvider.make(script, { name }), (mock) => ({
          name,
          provider: {
            ...mock,
            stream: (request: Parameters<Provider["stream"]>[0]) =>
              Stream.suspend(() => {
                running++
                return Stream.ensuring(
                  mock.stream(request),
                  Effect.sync(() => running--)
                )
              })
          }
        }))
      const hosts = yield* Effect.all(["a", "b", "c", "d", "e"].map(host))
      const last = yield* host("last")
      const { pool, provider } = yield* makeAll(hosts, last.provider)

      const outcomes = { complete: 0, failed: 0, interrupted: 0 }
      const clients = yield* Effect.forEach(Array.from({ length: 8 }), () =>
        Effect.forkChild(
          Effect.gen(function* () {
            for (let i = 0; i < 250; i++) {
              yield* Effect.sleep(random.next() * 120_000)
              const limit = random.next() < 0.2 ? random.next() * 30 : Infinity
              const fiber = yield* Effect.forkChild(consume(provider, limit))
              if (random.next() < 0.2) {
                yield* Effect.sleep(random.next() * 4000)
                yield* Fiber.interrupt(fiber)
                outcomes.interrupted++
              } else outcomes[yield* Fiber.join(fiber)]++
            }
          })
        )
      )
      for (let minute = 0; minute < 6 * 60; minute++) yield* TestClock.adjust("1 minute")
      yield* Effect.forEach(clients, Fiber.interrupt)
      yield* TestClock.adjust("10 minutes")
      expect(outcomes.complete).toBeGreaterThan(500)
      expect(outcomes.failed + outcomes.interrupted).toBeGreaterThan(20)
      yield* expectIdle(pool)
      expect(running).toBe(0)
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())),
  120_000
)

/** What a server does with its next request. */
const behaviours: ReadonlyArray<(attempt: number) => FakeServer.Answer> = [
  (attempt) => ({ pieces: wordsOf(attempt, 8) }),
  (attempt) => ({ pieces: wordsOf(attempt, 8), delay: { between: 5 } }),
  (attempt) => ({ pieces: wordsOf(attempt, 8), drip: { bytes: 7 } }),
  (attempt) => ({ pieces: wordsOf(attempt, 8), cut: { how: "reset", afterBytes: 300 } }),
  (attempt) => ({ pieces: wordsOf(attempt, 8), cut: { how: "end" } }),
  () => ({ pieces: [], cut: { how: "reset", afterBytes: 0 } }),
  () => ({ pieces: [], delay: { headers: Infinity, first: Infinity } }),
  () => ({ pieces: [{ record: "{garbage" }] }),
  () => ({ pieces: [{ error: "out of memory" }] }),
  () => ({ status: 429, headers: { "retry-after": "0" }, body: { error: "busy" } }),
  () => ({ status: 503, body: { error: "loading" } }),
  () => ({ status: 500, body: "<html>" })
]

it.live(
  `four servers on sockets for ${socketSeconds} seconds (seed ${seed})`,
  () =>
    Effect.gen(function* () {
      const random = makeRandom(seed)
      let attempts = 0
      const servers = yield* Effect.forEach(Array.from({ length: 4 }), () =>
        FakeServer.make(({ path }) => {
          const attempt = attempts++
          // Half of the answers are whole. The other endpoints answer as usual.
          const behaviour = random.next() < 0.5 || !/chat/.test(path) ? behaviours[0] : random.pick(behaviours)
          return behaviour?.(attempt) ?? {}
        })
      )
      const names = ["Ollama", "LM Studio", "llama-server", "Ollama"] as const
      const deadlines = { firstChunk: "1 second", idle: "1 second" } as const
      const hosts = yield* Effect.forEach(servers, ({ url }, i) =>
        Effect.map(
          connect({ provider: names[i] ?? "Ollama", client: "undici" }, { baseUrl: url, deadlines, name: `host ${i}` }),
          (provider) => ({ provider })
        )
      )
      const last = yield* MockProvider.make(() => wordsOf(attempts++, 3))
      const { pool, provider } = yield* makeAll(hosts, last)
      const outcomes = { complete: 0, failed: 0, interrupted: 0 }
      const endsAt = Date.now() + socketSeconds * 1000
      yield* Effect.forEach(
        Array.from({ length: 16 }),
        () =>
          Effect.gen(function* () {
            while (Date.now() < endsAt) {
              const limit = random.next() < 0.2 ? random.next() * 30 : Infinity
              const fiber = yield* Effect.forkChild(consume(provider, limit))
              if (random.next() < 0.1) {
                yield* Effect.sleep(random.next() * 300)
                yield* Fiber.interrupt(fiber)
                outcomes.interrupted++
              } else outcomes[yield* Fiber.join(fiber)]++
            }
          }),
        { concurrency: "unbounded", discard: true }
      )
      expect(outcomes.complete).toBeGreaterThan(20)
      yield* expectIdle(pool)
      // Every request is over: none is left generating for a client that went away.
      for (const server of servers) {
        yield* server.until(({ requests }) => requests.every(({ outcome }) => outcome !== "answering"))
      }
    }).pipe(Effect.provideService(Metric.MetricRegistry, new Map())),
  120_000
)
