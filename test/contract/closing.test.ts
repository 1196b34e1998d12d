import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ProviderError } from "../../src/ProviderError.ts"
import { FakeServer } from "../../src/testing/index.ts"
import type { Running, Setup } from "../support/setups.ts"
import { request, setups, start } from "../support/setups.ts"
import { record } from "../support/transcript.ts"

const counting: Iterable<string> = {
  *[Symbol.iterator]() {
    for (let i = 1; ; i++) yield String(i)
  }
}

/** A consumer: does what it does with the provider, and says when it stops. */
type Consumer = (running: Running, stop: Effect.Effect<void>) => Effect.Effect<unknown, unknown>

const consumers: { readonly [name: string]: Consumer } = {
  take: ({ provider }, stop) =>
    provider.stream(request).pipe(
      Stream.take(3),
      Stream.tap((chunk) => (chunk.content === "3" ? stop : Effect.void)),
      Stream.runDrain
    ),
  "a failure of its own": ({ provider }, stop) =>
    provider.stream(request).pipe(
      Stream.mapEffect((chunk) => (chunk.content === "3" ? Effect.andThen(stop, Effect.fail("enough")) : Effect.void)),
      Stream.runDrain
    ),
  "a defect of its own": ({ provider }, stop) =>
    provider
      .stream(request)
      .pipe(
        Stream.runForEach((chunk) =>
          chunk.content === "3" ? Effect.andThen(stop, Effect.die("its fault")) : Effect.void
        )
      ),
  "the end of its scope": ({ provider }, stop) =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const pull = yield* Scope.provide(Stream.toPull(provider.stream(request)), scope)
      yield* pull
      yield* stop
      yield* Scope.close(scope, Exit.void)
    }),
  "an interrupt of the stream in mid-body": ({ provider }, stop) =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const fiber = yield* provider.stream(request).pipe(
        Stream.runForEach((chunk) => (chunk.content === "3" ? Deferred.succeed(begun, undefined) : Effect.void)),
        Effect.forkChild
      )
      yield* Deferred.await(begun)
      yield* stop
      yield* Fiber.interrupt(fiber)
    }),
  "an interrupt of the whole answer in mid-body": ({ provider, server }, stop) =>
    Effect.gen(function* () {
      const fiber = yield* Effect.forkChild(provider.complete(request))
      yield* server.until(({ requests }) => (requests[0]?.bytesWritten ?? 0) > 1000)
      yield* stop
      yield* Fiber.interrupt(fiber)
    })
}

const early = (run: (provider: Running["provider"]) => Effect.Effect<unknown, ProviderError>): Consumer =>
  Effect.fnUntraced(function* ({ provider, server }, stop) {
    const fiber = yield* Effect.forkChild(run(provider))
    yield* server.until(({ requests }) => requests.length === 1)
    yield* stop
    yield* Fiber.interrupt(fiber)
  })

const earlyConsumers: { readonly [name: string]: Consumer } = {
  "an interrupt of the stream": early((provider) => Stream.runDrain(provider.stream(request))),
  "an interrupt of the whole answer": early((provider) => provider.complete(request)),
  "an interrupt of the list of models": early((provider) => provider.listModels)
}

/** Milliseconds from the stop to the moment when the server saw the connection close. */
const timeToClose = Effect.fnUntraced(function* (setup: Setup, script: FakeServer.Script, consumer: Consumer) {
  const running = yield* start(setup, script)
  let stoppedAt = Infinity
  const closed = yield* Effect.forkChild(
    Effect.map(
      running.server.until(({ openConnections, requests }) => requests.length === 1 && openConnections === 0),
      ({ requests }) => ({ at: performance.now(), outcome: requests[0]?.outcome })
    )
  )
  yield* Effect.exit(
    consumer(
      running,
      Effect.sync(() => {
        stoppedAt = performance.now()
      })
    )
  )
  const { at, outcome } = yield* Fiber.join(closed)
  expect(outcome).toBe("cut-by-client")
  return at - stoppedAt
}, Effect.scoped)

/** Of five, since this machine may be busy with something else for one of them. */
const medianTimeToClose = (...args: Parameters<typeof timeToClose>) =>
  Effect.map(
    Effect.forEach(Array.from({ length: 5 }), () => timeToClose(...args)),
    (times) => times.toSorted((a, b) => a - b)[2]
  )

describe.each(setups)("$provider over $client", (setup) => {
  it.live.each(Object.entries(consumers))("%s closes the connection in mid-body", ([, consumer]) =>
    Effect.gen(function* () {
      expect(yield* medianTimeToClose(setup, { pieces: counting }, consumer)).toBeLessThan(100)
    })
  )

  it.live.each(Object.entries(earlyConsumers))("%s closes the connection before headers", ([, consumer]) =>
    Effect.gen(function* () {
      expect(yield* medianTimeToClose(setup, FakeServer.silence, consumer)).toBeLessThan(100)
    })
  )

  it.live.each([
    ["first-chunk", FakeServer.silence, { firstChunk: "100 millis" }, ""],
    ["first-chunk", { delay: { first: Infinity } }, { firstChunk: "100 millis" }, ""],
    ["idle", { pieces: ["Hm"], cut: { how: "stall" } }, { idle: "40 millis" }, "Hm|"],
    ["total", { pieces: FakeServer.endless(""), delay: { between: "5 millis" } }, { total: "60 millis" }, undefined]
  ] as const)("the %s deadline closes the connection", ([kind, script, deadlines, expected]) =>
    Effect.gen(function* () {
      const { provider, server } = yield* start(setup, script, { deadlines })
      const { failure, pieces } = yield* record(provider.stream(request))
      expect(failure).toMatchObject({ _tag: "Timeout", kind })
      if (expected !== undefined) expect(pieces).toBe(expected)
      // On a busy machine the deadline may pass before the server has the request.
      yield* server.until(
        ({ openConnections, requests }) =>
          openConnections === 0 && requests.every(({ outcome }) => outcome === "cut-by-client")
      )
    })
  )
})
