import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { FakeServer } from "../../src/testing/index.ts"
import { connect, request, serverNames } from "../support/setups.ts"
import { record } from "../support/transcript.ts"

/** For each provider. */
const countPerProvider = 250

describe.each(["undici", "node:http", "fetch"] as const)("over %s", (client) => {
  const start = Effect.fnUntraced(function* (script: FakeServer.Script) {
    const server = yield* FakeServer.make(script)
    const options = { baseUrl: server.url, maxLineBytes: 10_000 }
    const providers = yield* Effect.forEach(serverNames, (provider) => connect({ provider, client }, options))
    return { server, answers: providers.map(({ stream }) => stream(request)) }
  })

  it.live(
    "1,000 cancelled streams leave no open socket",
    () =>
      Effect.gen(function* () {
        const arrivals = yield* Queue.unbounded<number>()
        const stalling: FakeServer.Answer = { pieces: ["Hm"], cut: { how: "stall" } }
        const { answers, server } = yield* start(({ index }) =>
          Effect.as(Queue.offer(arrivals, index), index % 3 === 0 ? FakeServer.silence : stalling)
        )
        const forty = Effect.gen(function* () {
          const fibers = yield* Effect.forEach(Array.from({ length: 10 }, () => answers).flat(), (answer) =>
            Effect.forkChild(Stream.runDrain(answer))
          )
          yield* Queue.takeN(arrivals, fibers.length)
          yield* Fiber.interruptAll(fibers)
        })
        yield* Effect.repeat(forty, { times: countPerProvider / 10 - 1 })
        const { requests } = yield* server.until(({ openConnections }) => openConnections === 0)
        expect(countBy(requests.map(({ outcome }) => outcome))).toEqual({ "cut-by-client": 1000 })
      }),
    60_000
  )

  it.live(
    "1,000 failed streams leave no open socket",
    () =>
      Effect.gen(function* () {
        // None of these leaves a connection that could be used again.
        const failures: ReadonlyArray<FakeServer.Answer> = [
          { pieces: ["Hm"], cut: { how: "reset" } },
          { pieces: ["Hm"], cut: { how: "close" } },
          { pieces: ["Hm", { error: "out of memory" }], holdOpen: true },
          { pieces: ["Hm", { record: "{not json" }], cut: { how: "stall" } },
          { pieces: FakeServer.endless({ raw: "x".repeat(3000) }) },
          { status: 500, body: "x".repeat(100_000), holdOpen: true },
          { status: 401, body: "x".repeat(100_000), holdOpen: true },
          { status: 200, headers: { "content-type": "text/html" }, body: "<html>".repeat(20_000), holdOpen: true }
        ]
        const { answers, server } = yield* start(({ index }) => failures[index % failures.length] ?? FakeServer.silence)
        const tags = yield* Effect.forEach(
          Array.from({ length: countPerProvider }, () => answers).flat(),
          (answer) => Effect.map(record(answer), ({ failure }) => failure?._tag),
          { concurrency: 50 }
        )
        expect(countBy(tags)).toEqual({
          NetworkError: 250,
          StreamError: 125,
          ParseError: 125,
          LineTooLong: 125,
          ApiError: 250,
          AuthenticationError: 125
        })
        yield* server.until(({ openConnections }) => openConnections === 0)
      }),
    60_000
  )
})

const countBy = (names: ReadonlyArray<string | undefined>): Readonly<Record<string, number>> => {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name ?? "none"] = (counts[name ?? "none"] ?? 0) + 1
  return counts
}
