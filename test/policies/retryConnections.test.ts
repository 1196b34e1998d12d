/** Requests that are sent again on real sockets. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Pool from "../../src/Pool.ts"
import * as Retry from "../../src/Retry.ts"
import type { FakeServer } from "../../src/testing/index.ts"
import { receive } from "../support/attempts.ts"
import { request, setups, start } from "../support/setups.ts"

const stalled: FakeServer.Answer = { status: 200, delay: { headers: Infinity } }
const quick = { schedule: Schedule.spaced("1 millis") }
const byTurn =
  (...answers: ReadonlyArray<FakeServer.Answer>): FakeServer.Script =>
  ({ index }) =>
    answers[Math.min(index, answers.length - 1)] ?? {}

for (const setup of setups.filter(({ provider }) => provider === "Ollama")) {
  const name = setup.client

  it.live(`${name}: 429 with Retry-After, then the answer`, () =>
    Effect.gen(function* () {
      const busy = { status: 429, headers: { "retry-after": "1" }, body: { error: "busy" } }
      const { provider, server } = yield* start(setup, byTurn(busy, { text: "Hi there" }))
      // The schedule's own wait would not end in time.
      const retrying = Retry.apply(provider, { schedule: Schedule.spaced("1 hour") })
      expect(yield* retrying.complete(request)).toMatchObject({ content: "Hi there" })
      expect((yield* server.state).requests).toHaveLength(2)
    })
  )

  it.live(`${name}: reset before the headers is replaced at once`, () =>
    Effect.gen(function* () {
      const reset = { text: "Hi", cut: { how: "reset", afterBytes: 0 } } as const
      const { provider } = yield* start(setup, byTurn(reset, { text: "Hi there" }))
      const retrying = Retry.apply(provider, { attempts: 1, schedule: Schedule.spaced("1 hour") })
      expect(yield* retrying.complete(request)).toMatchObject({ content: "Hi there" })
    })
  )

  it.live(`${name}: cut in the middle of the answer is not retried`, () =>
    Effect.gen(function* () {
      // A reset may overtake the text otherwise.
      const pause = { wait: "250 millis" } as const
      for (const how of ["reset", "close", "end"] as const) {
        const pieces = how === "reset" ? ["Rayleigh", pause] : ["Rayleigh"]
        const { provider, server } = yield* start(setup, { pieces, cut: { how } })
        const { error, text } = yield* receive(Retry.apply(provider, quick).stream(request))
        expect(error?.isRetryable).toBe(true)
        expect(text).toBe("Rayleigh")
        expect((yield* server.state).requests).toHaveLength(1)
      }
    })
  )

  it.live(`${name}: an interim answer that was not requested is accepted, or the request is not sent again`, () =>
    Effect.gen(function* () {
      for (const interim of [100, 102] as const) {
        const { provider, server } = yield* start(setup, { text: "Hi there", interim })
        const pool = yield* Pool.make({
          hosts: [
            { provider, name: "a" },
            { provider, name: "b" }
          ]
        })
        const result = yield* Effect.result(Retry.apply(pool, quick).complete({ ...request, model: "fake:latest" }))
        // Clients on undici take 100 for a fault.
        if (interim === 102 || setup.client === "node:http")
          expect(result).toMatchObject({ success: { content: "Hi there" } })
        else {
          expect(result).toMatchObject({ failure: { isRetryable: false, reason: { _tag: "ApiError", status: 100 } } })
          expect(Result.isFailure(result) && result.failure.message).toContain("NodeHttpClient.layerNodeHttp")
        }
        expect((yield* server.state).requests.filter(({ path }) => path === "/api/chat")).toHaveLength(1)
      }
    })
  )

  it.live(`${name}: the connection of a failed attempt is closed before the next one`, () =>
    Effect.gen(function* () {
      const broken = { pieces: [{ error: "broken" }], holdOpen: true }
      const { provider, server } = yield* start(setup, byTurn(broken, broken, stalled))
      yield* Effect.forkChild(Retry.apply(provider, quick).complete(request))
      const { requests } = yield* server.until(
        ({ requests }) => requests.length === 3 && requests[1]?.outcome !== "answering"
      )
      expect(requests.map(({ outcome }) => outcome)).toEqual(["cut-by-client", "cut-by-client", "answering"])
    })
  )

  it.live(`${name}: an interrupt closes the connection of any attempt`, () =>
    Effect.gen(function* () {
      const { provider, server } = yield* start(setup, byTurn({ status: 503, body: {} }, stalled))
      const fiber = yield* Effect.forkChild(Retry.apply(provider, quick).complete(request))
      yield* server.until(({ requests }) => requests.length === 2)
      yield* Fiber.interrupt(fiber)
      yield* server.until(({ requests }) => requests[1]?.outcome === "cut-by-client")
    })
  )
}
