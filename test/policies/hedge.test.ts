/** A second request for an answer that is late to begin. */
import { describe, expect, it } from "@effect/vitest"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Scheduler from "effect/Scheduler"
import * as Semaphore from "effect/Semaphore"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import * as Hedge from "../../src/Hedge.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import * as Pool from "../../src/Pool.ts"
import * as Provider from "../../src/Provider.ts"
import { ProviderError } from "../../src/ProviderError.ts"
import { FakeServer } from "../../src/testing/index.ts"
import { Attempts, expected, receive, refused, settle, toScript } from "../support/attempts.ts"
import { InterruptAt, nextTask } from "../support/interruptAt.ts"
import { connect, request, setups } from "../support/setups.ts"

const prompt: CompletionRequest = { model: "m", prompt: "x" }

const mocks = (first: MockProvider.Script, second: MockProvider.Script) =>
  Effect.all([MockProvider.make(first, { name: "first" }), MockProvider.make(second, { name: "second" })])

const count = (provider: MockProvider.MockProvider) => Effect.map(provider.requests, ({ length }) => length)

const fork = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.forkChild(effect, { startImmediately: true })

it.effect.prop(
  "whatever is slow or fails and wherever, the answer that begins first is delivered, in order and once",
  { attempts: Attempts },
  ({ attempts: [firstSteps = [], secondSteps = []] }) =>
    Effect.gen(function* () {
      const [first, second] = yield* mocks(toScript(firstSteps, 0), toScript(secondSteps, 1))
      const hedged = yield* Hedge.make(first, { alternatives: [second] })
      const { chunks, error, finals, text } = yield* settle(receive(hedged.stream(prompt)))
      const one = expected(firstSteps, 0)
      const two = expected(secondSteps, 1)
      const isSent = one.seconds > 2
      const isSecond = isSent && two.commits && !(one.commits && one.seconds < 2 + two.seconds)
      const winner = isSecond ? two : one
      expect(text).toBe(winner.text)
      expect(error?.reason._tag).toBe(winner.reason)
      expect(finals).toBe(error === undefined ? 1 : 0)
      if (error === undefined) expect(chunks.at(-1)).toMatchObject({ provider: isSecond ? "second" : "first" })
      expect([yield* count(first), yield* count(second)]).toEqual([1, isSent ? 1 : 0])
    })
)

/** Takes so long until the first chunk, each time. */
const taking = (...durations: ReadonlyArray<Duration.Input>) => {
  let index = 0
  return () => [MockProvider.wait(durations[Math.min(index++, durations.length - 1)] ?? 0), "Hi"]
}

describe("the second request", () => {
  it.effect("is sent after two seconds, or the wait that is set, and to the provider itself by default", () =>
    Effect.gen(function* () {
      for (const [options, millis] of [
        [{}, 2000],
        [{ minDelay: "300 millis" }, 300]
      ] as const) {
        const provider = yield* MockProvider.make([MockProvider.hang])
        const fiber = yield* fork((yield* Hedge.make(provider, options)).complete(prompt))
        yield* TestClock.adjust(millis - 1)
        expect(yield* count(provider)).toBe(1)
        yield* TestClock.adjust(1)
        expect(yield* count(provider)).toBe(2)
        yield* Fiber.interrupt(fiber)
      }
    })
  )

  it.effect("is sent after the 95th percentile of the waits for this model", () =>
    Effect.gen(function* () {
      const [, second] = yield* mocks([], ["Hi"])
      // While this is false, no second request is sent, so that all of these waits are recorded.
      let isAllowed = false
      const first = yield* MockProvider.make(
        taking(...Array.from({ length: 19 }, () => "4 seconds" as const), "30 seconds", "1 hour")
      )
      const isLoaded = () => Effect.sync(() => isAllowed)
      const hedged = yield* Hedge.make(first, { alternatives: [second], isLoaded, share: 1 })
      for (let i = 0; i < 20; i++) yield* settle(hedged.complete(prompt))
      isAllowed = true
      const fiber = yield* fork(hedged.complete(prompt))
      yield* TestClock.adjust("3999 millis")
      expect(yield* count(second)).toBe(0)
      yield* TestClock.adjust("1 millis")
      expect(yield* count(second)).toBe(1)
      expect(yield* Fiber.join(fiber)).toMatchObject({ provider: "second" })
      // Nothing is known about another model.
      const other = yield* fork(hedged.complete({ ...prompt, model: "other" }))
      yield* TestClock.adjust("2 seconds")
      expect(yield* count(second)).toBe(2)
      yield* Fiber.interrupt(other)
    })
  )

  it.effect("is sent for 5 % of the requests, and one more, within ten minutes", () =>
    Effect.gen(function* () {
      const [first, second] = yield* mocks([MockProvider.wait("1 minute"), "late"], ["early"])
      const hedged = yield* Hedge.make(first, { alternatives: [second] })
      const many = Effect.forEach(Array.from({ length: 100 }), () => hedged.complete(prompt), {
        concurrency: "unbounded"
      })
      yield* settle(many)
      expect(yield* count(second)).toBe(6)
      yield* settle(many)
      expect(yield* count(second)).toBe(12)
    })
  )

  it.effect("can be limited otherwise", () =>
    Effect.gen(function* () {
      for (const [share, sent] of [
        [0, 1],
        [0.5, 6],
        [1, 10]
      ] as const) {
        const [first, second] = yield* mocks([MockProvider.wait("1 minute"), "late"], ["early"])
        const hedged = yield* Hedge.make(first, { alternatives: [second], share })
        yield* settle(
          Effect.forEach(Array.from({ length: 10 }), () => hedged.complete(prompt), { concurrency: "unbounded" })
        )
        expect(yield* count(second)).toBe(sent)
      }
    })
  )

  it.effect("is sent to the first alternative that has the model in memory, if any", () =>
    Effect.gen(function* () {
      const slow = yield* MockProvider.make([MockProvider.wait("1 minute"), "late"])
      const having = (name: string, isLoaded: boolean | undefined) =>
        Effect.map(MockProvider.make(["Hi"], { name }), (mock) =>
          Provider.make({ ...mock, model: (id) => Effect.succeed({ id, isLoaded }) })
        )
      const idle = yield* having("idle", false)
      const ready = yield* having("ready", true)
      const silent = yield* having("silent", undefined)
      const down = Provider.make({
        ...ready,
        name: "down",
        model: () => Effect.fail(new ProviderError({ provider: "down", reason: refused }))
      })
      for (const [alternatives, answering] of [
        [[idle, down, ready, silent], "ready"],
        [[idle, silent, ready], "silent"],
        [[idle, down], "Mock"],
        [[], "Mock"]
      ] as const) {
        const hedged = yield* Hedge.make(slow, { alternatives })
        expect(yield* settle(hedged.complete(prompt))).toMatchObject({ provider: answering })
      }
      // Nobody knows which model a layer chooses.
      const unnamed = yield* MockProvider.make([MockProvider.wait("1 minute"), "late"], { defaults: { model: "m" } })
      const hedged = yield* Hedge.make(unnamed, { alternatives: [ready] })
      expect(yield* settle(hedged.complete({ prompt: "x" }))).toMatchObject({ provider: "Mock" })
    })
  )

  it.effect("does not wait for an alternative that does not say whether it has the model", () =>
    Effect.gen(function* () {
      const [first, second] = yield* mocks([MockProvider.hang], ["Hi"])
      const silent = Provider.make({ ...first, name: "silent", model: () => Effect.never })
      const fiber = yield* fork((yield* Hedge.make(first, { alternatives: [silent, second] })).complete(prompt))
      yield* TestClock.adjust("4 seconds")
      expect(yield* Fiber.join(fiber)).toMatchObject({ provider: "second" })
    })
  )

  it.effect("has what is left of the total deadline", () =>
    Effect.gen(function* () {
      const [first, second] = yield* mocks(
        [MockProvider.wait("9 seconds"), MockProvider.fail(refused)],
        [MockProvider.hang]
      )
      const hedged = yield* Hedge.make(first, { alternatives: [second] })
      const fiber = yield* fork(Effect.flip(hedged.complete({ ...prompt, deadlines: { total: "10 seconds" } })))
      yield* TestClock.adjust("9999 millis")
      expect(fiber.pollUnsafe()).toBeUndefined()
      yield* TestClock.adjust("1 millis")
      expect((yield* Fiber.join(fiber)).reason).toBe(refused)
    })
  )
})

it.effect("prompt progress of the first request is passed on at once, and that of the second one is not", () =>
  Effect.gen(function* () {
    const progress = (processed: number) => ({ promptProgress: { processed, total: 10 } })
    const [first, second] = yield* mocks(
      [progress(1), MockProvider.wait("5 seconds"), progress(2), MockProvider.hang],
      [progress(7), MockProvider.wait("9 seconds"), "Hi"]
    )
    const received: Array<number | string> = []
    const fiber = yield* (yield* Hedge.make(first, { alternatives: [second] })).stream(prompt).pipe(
      Stream.runForEach((chunk) =>
        Effect.sync(() => received.push((chunk.isFinal ? undefined : chunk.promptProgress?.processed) ?? chunk.content))
      ),
      fork
    )
    yield* TestClock.adjust(0)
    expect(received).toEqual([1])
    yield* TestClock.adjust("5 seconds")
    expect(received).toEqual([1, 2])
    yield* TestClock.adjust("6 seconds")
    expect(received).toEqual([1, 2, "Hi", ""])
    yield* Fiber.join(fiber)
  })
)

it.effect("an interrupt at any step closes both answers", () =>
  Effect.gen(function* () {
    let open = 0
    const opening = Effect.acquireRelease(
      Effect.sync(() => open++),
      () => Effect.sync(() => open--)
    )
    const mock = yield* MockProvider.make([MockProvider.wait("3 seconds"), "a"])
    const counted = Provider.make({
      ...mock,
      stream: (request) => Stream.unwrap(Effect.as(opening, mock.stream(request)))
    })
    let isOver = false
    for (let step = 1; !isOver; step++) {
      // A pool opens an answer when it is pulled, not before.
      const pool = yield* Pool.make({ hosts: [{ provider: counted }], abandonedFor: 0 })
      const scheduler = new InterruptAt(step, () => fiber.interruptUnsafe())
      const fiber = yield* Effect.forkChild(
        Effect.provideService((yield* Hedge.make(pool)).complete(prompt), Scheduler.Scheduler, scheduler)
      )
      yield* TestClock.adjust("10 seconds")
      yield* nextTask
      yield* TestClock.adjust("1 minute")
      isOver = scheduler.isOver
      expect([step, open]).toEqual([step, 0])
    }
  })
)

it.effect("wrong requests are no defects, and a defect is one", () =>
  Effect.gen(function* () {
    const mock = yield* MockProvider.make(["Hi"])
    for (const wrong of ["null", "7", '{"model":"m","prompt":"x","deadlines":7}', '{"model":7,"prompt":"x"}']) {
      const error = yield* Effect.flip((yield* Hedge.make(mock)).complete(JSON.parse(wrong)))
      expect(error.reason._tag).toBe("InvalidRequest")
    }
    const broken = Provider.make({ ...mock, stream: () => Stream.die("the fault of a provider") })
    expect(yield* Effect.exit((yield* Hedge.make(broken)).complete(prompt))).toMatchObject({ _tag: "Failure" })
  })
)

it.effect("as a layer, with alternatives that are layers", () =>
  Effect.gen(function* () {
    const provider = yield* Provider.Provider
    expect(yield* settle(provider.complete(prompt))).toMatchObject({ provider: "second" })
  }).pipe(
    Effect.provide(
      Hedge.layer({ alternatives: [MockProvider.layer(["Hi"], { name: "second" })] }).pipe(
        Layer.provide(MockProvider.layer([MockProvider.hang]))
      )
    )
  )
)

describe("on real sockets", () => {
  const pair = Effect.fnUntraced(function* (
    setup: (typeof setups)[number],
    first: FakeServer.Script,
    second: FakeServer.Script
  ) {
    const one = yield* FakeServer.make(first, { models: ["m"] })
    const two = yield* FakeServer.make(second, { models: ["m"] })
    const provider = yield* Hedge.make(yield* connect(setup, { baseUrl: one.url, name: "first" }), {
      alternatives: [yield* connect(setup, { baseUrl: two.url, name: "second" })],
      isLoaded: () => Effect.succeed(true),
      minDelay: "20 millis"
    })
    return { one, two, provider }
  })
  const isClosed = ({ requests }: FakeServer.State) => requests[0]?.outcome === "cut-by-client"
  const endless = { pieces: FakeServer.endless("again ") }
  const openAtOnce = { status: 200, body: "\n", holdOpen: true }

  for (const setup of setups.filter(({ provider }) => provider === "Ollama")) {
    for (const [how, script] of [
      ["before its headers", FakeServer.silence],
      ["after its headers", openAtOnce]
    ] as const) {
      it.live(`${setup.client}: the first request's connection is closed ${how} while the second one answers`, () =>
        Effect.gen(function* () {
          const { one, provider, two } = yield* pair(setup, script, endless)
          const reading = yield* fork(Stream.runDrain(provider.stream(request)))
          yield* one.until(isClosed)
          expect((yield* two.state).requests[0]?.outcome).toBe("answering")
          yield* Fiber.interrupt(reading)
          yield* two.until(isClosed)
        })
      )
    }

    it.live(`${setup.client}: the second request's connection is closed while the first one answers`, () =>
      Effect.gen(function* () {
        const late = { ...endless, delay: { first: "150 millis" } } as const
        const { one, provider, two } = yield* pair(setup, late, FakeServer.silence)
        const reading = yield* fork(Stream.runDrain(provider.stream(request)))
        yield* two.until(isClosed)
        expect((yield* one.state).requests[0]?.outcome).toBe("answering")
        yield* Fiber.interrupt(reading)
        yield* one.until(isClosed)
      })
    )

    it.live(`${setup.client}: an interrupt before either answers closes both`, () =>
      Effect.gen(function* () {
        const { one, provider, two } = yield* pair(setup, FakeServer.silence, FakeServer.silence)
        const reading = yield* fork(provider.complete(request))
        yield* two.until(({ requests }) => requests.length === 1)
        yield* Fiber.interrupt(reading)
        yield* one.until(isClosed)
        yield* two.until(isClosed)
      })
    )
  }
})

describe("around a pool with one permit", () => {
  const failure = () => new ProviderError({ provider: "gpu", reason: refused })

  it.effect.each([
    ["a defect", () => Effect.die("the fault of a provider"), "Die"],
    ["a failure of a stream that holds its permit", () => Effect.fail(failure()), "Fail"]
  ] as const)("%s of the first request ends it, although the second one waits for the permit", ([, fails, tag]) =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make([])
      const provider = Provider.make({
        ...mock,
        stream: () => Stream.fromEffect(Effect.delay(Effect.suspend(fails), "5 seconds"))
      })
      const pool = yield* Pool.make({ hosts: [{ provider, permits: 1 }] })
      const fiber = yield* fork(Effect.exit((yield* Hedge.make(pool)).complete(prompt)))
      yield* TestClock.adjust("11 seconds")
      const exit = fiber.pollUnsafe()
      expect(exit).toBeDefined()
      const outcome = yield* Fiber.join(fiber)
      expect(outcome._tag === "Failure" && outcome.cause.reasons[0]?._tag).toBe(tag)
    }).pipe(Effect.scoped)
  )

  it.effect("what the first attempt holds is released before the second is waited for", () =>
    Effect.gen(function* () {
      const mock = yield* MockProvider.make(["Hi"])
      const permit = yield* Semaphore.make(1)
      let sent = 0
      const provider = Provider.make({
        ...mock,
        // It has the permit until its scope closes.
        stream: (request) =>
          Stream.unwrap(
            Effect.gen(function* () {
              yield* Effect.acquireRelease(permit.take(1), () => permit.release(1))
              return sent++ === 0
                ? Stream.fromEffect(Effect.delay(Effect.fail(failure()), "5 seconds"))
                : mock.stream(request)
            })
          )
      })
      const answer = yield* settle((yield* Hedge.make(provider)).complete(prompt))
      expect(answer.content).toBe("Hi")
    })
  )
})
