import { assert, describe, it } from "@effect/vitest"
import { Cause, Clock, Deferred, Duration, Effect, Exit, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Delivered from "../../src/protocol/delivered.ts"
import * as Deadlines from "../../src/Deadlines.ts"
import type { CompletionRequest } from "../../src/CompletionRequest.ts"
import type { ProviderErrorReason, Timeout } from "../../src/ProviderError.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import type { ContentChunk, StreamingChunk } from "../../src/StreamingChunk.ts"
import { policies } from "../support/policies.ts"

const piece = (content: string): StreamingChunk => ({ content, isFinal: false })
const final: StreamingChunk = { content: "", isFinal: true, model: "m", finishReason: "stop" }

const progress = (processed: number): StreamingChunk => ({
  content: "",
  isFinal: false,
  promptProgress: { processed, total: 9 }
})

const limits = { firstChunk: "10 seconds", idle: "3 seconds", total: "60 seconds" } as const
const off = { firstChunk: Infinity, idle: Infinity, total: Infinity }

/** A stream that waits before each chunk. */
const paced = (...steps: ReadonlyArray<readonly [wait: Duration.Input, chunk: StreamingChunk]>) =>
  Stream.fromIterable(steps).pipe(
    Stream.rechunk(1),
    Stream.mapEffect(([wait, chunk]) => Effect.delay(Effect.succeed(chunk), wait))
  )

type Failure = Timeout | "aborted"
type Chunks = Stream.Stream<StreamingChunk, Failure>

/** Any stream as a response: when it is aborted, what it waits for is interrupted. */
const abortable = (stream: Chunks) =>
  Effect.map(Deferred.make<void>(), (aborted) => ({
    items: Stream.interruptWhen(stream, Effect.andThen(Deferred.await(aborted), Effect.fail("aborted" as const))),
    abort: Deferred.succeed(aborted, undefined),
    release: Effect.void
  }))

const apply = (stream: Chunks, deadlines: Parameters<typeof Deadlines.apply>[1]) =>
  Deadlines.apply(abortable(stream), deadlines, (timeout): Failure => timeout, Delivered.makeAdvances)

/** Runs a stream while the test's clock goes on by a second at a time; gives what came and how it ended. */
const play = (stream: Chunks, seconds: number) =>
  Effect.gen(function* () {
    const chunks: Array<string> = []
    const fiber = yield* stream.pipe(
      Stream.runForEach((chunk) => Effect.sync(() => chunks.push(chunk.content))),
      Effect.forkChild
    )
    for (let i = 0; i < seconds; i++) yield* TestClock.adjust("1 second")
    const exit = fiber.pollUnsafe()
    yield* Fiber.interrupt(fiber)
    return { chunks, end: exit === undefined ? "open" : Exit.isSuccess(exit) ? "whole" : kindOf(exit.cause) }
  })

const kindOf = (cause: Cause.Cause<Failure>): string => {
  const failure = cause.reasons.find(Cause.isFailReason)?.error
  if (failure === undefined || failure === "aborted") return Cause.pretty(cause)
  return `${failure.kind} ${Duration.format(failure.limit)}`
}

/** What servers send while they do nothing. */
const empties: { readonly [name: string]: Partial<ContentChunk> } = {
  "empty content": { content: "" },
  "empty thinking": { thinking: "" },
  "no fragments of calls": { toolCallDeltas: [] },
  "no calls": { toolCalls: [] },
  "fragments without anything": { toolCallDeltas: [{ index: 0, argumentsDelta: "" }] },
  "progress that stands still": { promptProgress: { processed: 5, total: 10 } }
}

const repeat = (chunk: Partial<ContentChunk>, isBefore: boolean) =>
  function* (): MockProvider.Script {
    if (!isBefore) yield "Hi"
    for (;;) {
      yield MockProvider.wait("500 millis")
      yield chunk
    }
  }

/** Of a pool in a fallback, for example. */
const innermost = (reason: ProviderErrorReason): ProviderErrorReason | undefined => {
  if (reason._tag !== "AllProvidersFailed") return reason
  const [first] = reason.errors
  return first === undefined ? undefined : innermost(first.reason)
}

describe.each(["none", ...Object.keys(policies)])("chunks that carry nothing do not count, policy: %s", (policy) => {
  it.effect.each(Object.keys(empties).flatMap((name) => [[name, "first-chunk"] as const, [name, "idle"] as const]))(
    "%s, %s",
    ([name, kind]) =>
      Effect.gen(function* () {
        // The first report of the progress counts.
        const expected = name === "progress that stands still" ? "idle" : kind
        const deadlines = { firstChunk: "4 seconds", idle: "3 seconds" } as const
        const mock = yield* MockProvider.make(repeat(empties[name] ?? {}, kind === "first-chunk"), { deadlines })
        const provider = yield* policies[policy]?.(mock) ?? Effect.succeed(mock)
        const fiber = yield* Effect.forkChild(Effect.flip(provider.complete({ model: "m", prompt: "x" })))
        for (let i = 0; i < 6; i++) yield* TestClock.adjust("10 seconds")
        assert.isDefined(fiber.pollUnsafe(), "the stream never ends")
        const { reason } = yield* Fiber.join(fiber)
        assert.propertyVal(innermost(reason), "kind", expected)
      }).pipe(Effect.scoped)
  )
})

describe("Deadlines", () => {
  it.effect.each([
    ["first chunk in time", paced(["9 seconds", final]), limits, 9, "whole"],
    ["first chunk late", paced(["11 seconds", final]), limits, 10, "first-chunk 10s"],
    ["no first chunk, one second before", paced(["11 seconds", final]), limits, 9, "open"],
    [
      "chunks in time",
      paced(["1 second", piece("a")], ["2 seconds", piece("b")], ["2 seconds", final]),
      limits,
      5,
      "whole"
    ],
    ["idle", paced(["1 second", piece("a")], ["4 seconds", final]), limits, 4, "idle 3s"],
    ["idle, one second before", paced(["1 second", piece("a")], ["4 seconds", final]), limits, 3, "open"],
    [
      "a first chunk after more than an idle time",
      paced(["8 seconds", piece("a")], ["9 seconds", final]),
      limits,
      11,
      "idle 3s"
    ],
    ["total", Stream.forever(paced(["2 seconds", piece("a")])), limits, 60, "total 1m"],
    ["total, one second before", Stream.forever(paced(["2 seconds", piece("a")])), limits, 59, "open"],
    ["all off", paced(["1 day", piece("a")], ["1 day", final]), off, 3600, "open"],
    ["idle off", paced(["1 second", piece("a")], ["50 seconds", final]), { ...limits, idle: Infinity }, 51, "whole"],
    ["first chunk off", paced(["50 seconds", final]), { ...limits, firstChunk: Infinity }, 50, "whole"],
    [
      "progress that advances counts",
      paced(...[1, 2, 3, 4].map((n) => ["2 seconds", progress(n)] as const), ["2 seconds", final]),
      limits,
      10,
      "whole"
    ],
    [
      "progress that goes back and forth does not",
      Stream.forever(paced(["1 second", progress(2)], ["1 second", progress(1)])),
      limits,
      5,
      "idle 3s"
    ],
    [
      "a call that is announced again and again does not",
      Stream.forever(
        paced(["1 second", { ...piece(""), toolCallDeltas: [{ index: 0, id: "a", argumentsDelta: "" }] }])
      ),
      limits,
      5,
      "idle 3s"
    ],
    ["default first chunk", Stream.never, {}, 300, "first-chunk 5m"],
    ["default idle", Stream.concat(Stream.succeed(piece("a")), Stream.never), {}, 120, "idle 2m"]
  ] as const)("%s", ([, stream, deadlines, seconds, end]) =>
    Effect.gen(function* () {
      assert.strictEqual((yield* play(apply(stream, deadlines), seconds)).end, end)
    })
  )

  it.effect("the time in which the consumer is busy does not count between empty chunks either", () =>
    Effect.gen(function* () {
      // It takes a second for each chunk, but only while the consumer waits.
      const source = Effect.map(Deferred.make<never, Failure>(), (aborted) => ({
        items: Stream.forever(
          Stream.fromEffect(
            Effect.raceFirst(Effect.delay(Effect.succeed(piece("")), "1 second"), Deferred.await(aborted))
          )
        ),
        abort: Deferred.fail(aborted, "aborted"),
        release: Effect.void
      }))
      const toFailure = (timeout: Failure) => timeout
      const fiber = yield* Deadlines.apply(
        source,
        { ...limits, total: Infinity },
        toFailure,
        Delivered.makeAdvances
      ).pipe(
        Stream.runForEach(() => Effect.sleep("1 minute")),
        Effect.flip,
        Effect.forkChild
      )
      // 9 waits of a second, and 9 minutes of the consumer. The tenth wait is the last.
      for (let i = 0; i < 549; i++) yield* TestClock.adjust("1 second")
      assert.isUndefined(fiber.pollUnsafe())
      for (let i = 0; i < 70; i++) yield* TestClock.adjust("1 second")
      assert.propertyVal(yield* Fiber.join(fiber), "kind", "first-chunk")
    })
  )

  it.effect("what came before is delivered, the deadline comes last", () =>
    Effect.gen(function* () {
      const stream = Stream.concat(Stream.fromIterable([piece("a"), piece("b")]), Stream.never)
      assert.deepStrictEqual(yield* play(apply(stream, limits), 3), { chunks: ["a", "b"], end: "idle 3s" })
    })
  )

  it.effect("a slow consumer does not make the server late", () =>
    Effect.gen(function* () {
      const stream = apply(Stream.rechunk(Stream.fromIterable([piece("a"), piece("b"), final]), 1), {
        ...limits,
        total: Infinity
      })
      const fiber = yield* stream.pipe(
        Stream.runForEach(() => Effect.sleep("1 hour")),
        Effect.forkChild
      )
      for (let i = 0; i < 180; i++) yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
    })
  )

  it.effect("a wall clock that is set back does not extend a deadline", () =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let offset = 0
      const setBack: Clock.Clock = {
        ...clock,
        currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() - offset,
        currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe() - BigInt(offset) * 1_000_000n,
        monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
        sleep: (duration) => clock.sleep(duration)
      }
      const fiber = yield* apply(Stream.never, limits).pipe(
        Stream.runDrain,
        Effect.flip,
        Effect.provideService(Clock.Clock, setBack),
        Effect.forkChild
      )
      yield* TestClock.adjust("1 second")
      offset = 3_600_000
      yield* TestClock.adjust("10 seconds")
      assert.propertyVal(yield* Fiber.join(fiber), "kind", "first-chunk")
    })
  )

  it.effect("total aborts the response while the consumer is busy", () =>
    Effect.gen(function* () {
      let abortedAt: number | undefined
      const source = Effect.succeed({
        items: Stream.suspend(() =>
          abortedAt === undefined ? Stream.succeed(piece("a")) : Stream.fail("aborted" as const)
        ),
        abort: Effect.clockWith((clock) =>
          Effect.sync(() => {
            abortedAt = clock.currentTimeMillisUnsafe()
          })
        ),
        release: Effect.void
      })
      const endless = Effect.map(source, (opened) => ({ ...opened, items: Stream.forever(opened.items) }))
      const fiber = yield* Deadlines.apply(endless, limits, (timeout): Failure => timeout).pipe(
        Stream.runForEach(() => Effect.sleep("1 hour")),
        Effect.flip,
        Effect.forkChild
      )
      yield* TestClock.adjust("60 seconds")
      assert.strictEqual(abortedAt, 60_000)
      yield* TestClock.adjust("1 hour")
      assert.propertyVal(yield* Fiber.join(fiber), "kind", "total")
    })
  )

  it.effect.each([
    ["a deadline", (stream: Chunks) => Effect.exit(Stream.runDrain(stream)), true],
    ["take", (stream: Chunks) => Stream.runDrain(Stream.take(stream, 1)), false],
    [
      "the consumer's failure",
      (stream: Chunks) => Effect.exit(Stream.runForEach(stream, () => Effect.fail("no"))),
      false
    ]
  ] as const)("%s closes what is open", ([, run, waits]) =>
    Effect.gen(function* () {
      const closed = yield* Deferred.make<void>()
      const source = Stream.concat(Stream.succeed(piece("a")), Stream.never).pipe(
        Stream.ensuring(Deferred.succeed(closed, undefined))
      )
      const fiber = yield* Effect.forkChild(run(apply(source, limits)))
      yield* TestClock.adjust(waits ? "1 minute" : "0 seconds")
      yield* Fiber.join(fiber)
      assert.isTrue(Deferred.isDoneUnsafe(closed))
    })
  )

  it.effect("interruption closes what is open", () =>
    Effect.gen(function* () {
      const closed = yield* Deferred.make<void>()
      const source = Stream.never.pipe(Stream.ensuring(Deferred.succeed(closed, undefined)))
      const fiber = yield* Effect.forkChild(Stream.runDrain(apply(source, limits)))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.isTrue(Deferred.isDoneUnsafe(closed))
    })
  )

  it.effect("an answer that has ended is not aborted afterwards", () =>
    Effect.gen(function* () {
      let aborts = 0
      const source = Effect.succeed({
        items: Stream.fromIterable([piece("a"), final]),
        abort: Effect.sync(() => aborts++),
        release: Effect.void
      })
      for (const run of [Stream.runDrain, (stream: Chunks) => Stream.runDrain(Stream.take(stream, 1))]) {
        yield* run(Deadlines.apply(source, limits, (timeout): Failure => timeout))
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(aborts, 0)
      }
    })
  )

  it("each deadline of a request replaces that of the layer, and the defaults fill the rest", () => {
    const layer = { firstChunk: 1, idle: 2, total: 3 }
    for (const [request, expected] of [
      [undefined, { firstChunk: 1, idle: 2, total: 3 }],
      [{}, { firstChunk: 1, idle: 2, total: 3 }],
      [{ firstChunk: 7 }, { firstChunk: 7, idle: 2, total: 3 }],
      [{ idle: 8 }, { firstChunk: 1, idle: 8, total: 3 }],
      [{ total: 9 }, { firstChunk: 1, idle: 2, total: 9 }],
      [
        { firstChunk: Infinity, idle: 0 },
        { firstChunk: Infinity, idle: 0, total: 3 }
      ]
    ] as const) {
      assert.deepStrictEqual(Deadlines.override(layer, request), expected)
    }
    assert.deepStrictEqual(Deadlines.resolve(Deadlines.override({ idle: 2 }, { total: 9 })), {
      firstChunk: 300_000,
      idle: 2,
      total: 9
    })
  })

  it.effect("the first-chunk deadline counts from the first pull, however late", () =>
    Effect.gen(function* () {
      const pull = yield* Stream.toPull(apply(Stream.never, { ...off, firstChunk: "10 seconds" }))
      yield* TestClock.adjust("1 hour")
      const fiber = yield* Effect.forkChild(Effect.flip(pull))
      yield* TestClock.adjust("9 seconds")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("10 seconds")
      assert.propertyVal(yield* Fiber.join(fiber), "kind", "first-chunk")
    }).pipe(Effect.scoped)
  )

  it.effect("nothing is pulled before the consumer pulls", () =>
    Effect.gen(function* () {
      let pulled = 0
      const source = Effect.succeed({
        items: Stream.forever(Stream.sync(() => piece(String(pulled++)))),
        abort: Effect.void,
        release: Effect.void
      })
      yield* Deadlines.apply(source, limits, (timeout) => timeout).pipe(
        Stream.take(3),
        Stream.runForEach((chunk) =>
          Effect.gen(function* () {
            yield* Effect.yieldNow
            assert.strictEqual(pulled, Number(chunk.content) + 1)
          })
        )
      )
    })
  )

  it.effect("failures, defects and interruption of the source stay what they are", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* Effect.flip(Stream.runDrain(apply(Stream.fail("aborted"), limits))), "aborted")
      const exit = yield* Effect.exit(Stream.runDrain(apply(Stream.die("bug"), limits)))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    })
  )
})

describe("the idle deadline of a request with tools", () => {
  const tools = [{ name: "f" }]
  const request = { model: "m", messages: [{ role: "user", content: "Why?" }] } as const
  const requests: ReadonlyArray<
    readonly [what: string, layer: MockProvider.Options, request: CompletionRequest, expected: string]
  > = [
    ["without tools", {}, request, "idle 2m"],
    ["with an empty list", {}, { ...request, tools: [] }, "idle 2m"],
    ["with tools", {}, { ...request, tools }, "idle 5m"],
    ["of the defaults", { defaults: { tools } }, request, "idle 5m"],
    ["beside another deadline", { deadlines: { total: "1 hour" } }, { ...request, tools }, "idle 5m"],
    ["that the layer sets", { deadlines: { idle: "3 seconds" } }, { ...request, tools }, "idle 3s"],
    ["that the defaults set", { defaults: { deadlines: { idle: "4 seconds" } } }, { ...request, tools }, "idle 4s"],
    ["that the request sets", {}, { ...request, tools, deadlines: { idle: "6 seconds" } }, "idle 6s"],
    ["where the request sets another", {}, { ...request, tools, deadlines: { total: "1 hour" } }, "idle 5m"]
  ]
  it.effect.each(requests)("%s", ([, options, request, expected]) =>
    Effect.gen(function* () {
      const { stream } = yield* MockProvider.make(["a", MockProvider.hang], options)
      const fiber = yield* Effect.forkChild(Effect.flip(Stream.runDrain(stream(request))))
      yield* TestClock.adjust("10 minutes")
      const { reason } = yield* Fiber.join(fiber)
      assert.strictEqual(reason._tag === "Timeout" ? `${reason.kind} ${Duration.format(reason.limit)}` : "", expected)
    })
  )
})
