import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import { FakeServer } from "../../src/testing/index.ts"
import { connect, firstOutcome, request, servers, setups, start } from "../support/setups.ts"
import { record } from "../support/transcript.ts"

describe.each(setups)("$provider over $client", (setup) => {
  it.live("sends nothing before it is run, and a new request each time", () =>
    Effect.gen(function* () {
      const { provider, server } = yield* start(setup, { text: "Hello" })
      const answer = provider.stream(request)
      const whole = provider.complete(request)
      expect((yield* server.state).connections).toBe(0)

      for (const run of [Stream.runDrain(answer), Stream.runDrain(answer), whole, whole]) yield* run
      const { requests } = yield* server.until(({ requests }) =>
        requests.every(({ outcome }) => outcome === "completed")
      )
      expect(requests.length).toBe(4)
      expect(new Set(requests.map(({ body }) => JSON.stringify(body))).size).toBe(1)
    })
  )

  it.live("delivers each chunk before the server sends the next one", () =>
    Effect.gen(function* () {
      const pieces = yield* Queue.unbounded<FakeServer.Piece>()
      const { provider } = yield* start(setup, { pieces: Stream.fromQueue(pieces) })
      const pull = yield* Stream.toPull(provider.stream(request))
      for (const piece of ["The", " sky", "", " 🌈", "\n\n"]) {
        yield* Queue.offer(pieces, piece)
        expect((yield* pull).map(({ content }) => content)).toEqual([piece])
      }
    })
  )

  it.live("delivers the text of many records for any division of their bytes", () =>
    Effect.gen(function* () {
      const text = "Größe: 3 µm, 日本語, 🌈👩‍🚀, <&>\r\n\u2028end"
      const { provider, server } = yield* start(setup, { text })
      for (const bytes of [1, 7, 100]) {
        yield* server.setScript({ text, drip: { bytes } })
        expect((yield* provider.complete(request)).content).toBe(text)
      }
    })
  )

  it.live("the final chunk, the completion and the embedding have the name of the provider", () =>
    Effect.gen(function* () {
      for (const name of [undefined, "gpu-1"]) {
        const { provider } = yield* start(setup, { text: "Hi" }, { name })
        expect(provider.name).toBe(name ?? setup.provider)
        const final = (yield* Stream.runCollect(provider.stream(request))).find(({ isFinal }) => isFinal)
        expect(final).toMatchObject({ provider: provider.name })
        expect(yield* provider.complete(request)).toMatchObject({ provider: provider.name })
        expect(yield* provider.complete({ model: "m", prompt: "x" })).toMatchObject({ provider: provider.name })
        expect(yield* provider.embed({ model: "m", input: "x" })).toMatchObject({ provider: provider.name })
      }
    })
  )

  it.live("delivers thinking, tool calls, usage and the finish reason", () =>
    Effect.gen(function* () {
      const toolCalls = [
        { id: "call_1", name: "weather", arguments: { city: "Zürich" } },
        { id: "call_2", name: "time", arguments: {} }
      ]
      const { provider } = yield* start(setup, { thinking: "Let me see.", text: "Asking.", toolCalls, model: "m:7b" })
      expect(yield* provider.complete(request)).toMatchObject({
        content: "Asking.",
        thinking: "Let me see.",
        toolCalls,
        model: "m:7b",
        finishReason: "tool-calls",
        usage: { promptTokens: 10, completionTokens: 6, totalTokens: 16 }
      })
    })
  )

  it.live("streams a plain completion of a prompt", () =>
    Effect.gen(function* () {
      const { provider, server } = yield* start(setup, { pieces: ["Once", " upon"], finishReason: "length" })
      const { final, pieces } = yield* record(provider.stream({ model: "m", prompt: "Tell" }))
      expect({ pieces, reason: final?.finishReason }).toEqual({ pieces: "Once| upon|", reason: "length" })
      const path = servers[setup.provider].promptPath
      expect((yield* server.state).requests[0]).toMatchObject({ path, body: { prompt: "Tell" } })
    })
  )

  it.live("lists the models of the server", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({}, { models: ["a:latest", "b:7b"] })
      const provider = yield* connect(setup, { baseUrl: server.url })
      expect((yield* provider.listModels).map(({ id }) => id)).toEqual(["a:latest", "b:7b"])
      expect(yield* provider.supportsModel("b:7b")).toBe(true)
      expect(yield* provider.supportsModel("c")).toBe(false)
    })
  )

  it.live("runs two answers at once, each with its own text", () =>
    Effect.gen(function* () {
      const left = yield* Queue.unbounded<string>()
      const right = yield* Queue.unbounded<string>()
      const { provider } = yield* start(setup, ({ index }) => ({
        pieces: Stream.fromQueue(index === 0 ? left : right)
      }))
      const pull = Effect.map(
        Stream.toPull(provider.stream(request)),
        Effect.map((chunks) => chunks[0].content)
      )
      yield* Queue.offer(left, "l0")
      const pullLeft = yield* pull
      expect(yield* pullLeft).toBe("l0")
      const pullRight = yield* pull
      for (const i of [1, 2, 3]) {
        yield* Queue.offer(left, `l${i}`)
        yield* Queue.offer(right, `r${i}`)
        expect([yield* pullRight, yield* pullLeft]).toEqual([`r${i}`, `l${i}`])
      }
    })
  )

  it.live("ends with the final chunk, though the server leaves the connection open", () =>
    Effect.gen(function* () {
      const { provider, server } = yield* start(setup, { text: "Done.", holdOpen: true })
      expect((yield* provider.complete(request)).content).toBe("Done.")
      expect(yield* firstOutcome(server)).toBe("cut-by-client")
    })
  )

  it.live("slows the server down when the consumer is slow, and loses nothing", () =>
    Effect.gen(function* () {
      const piece = "x".repeat(10_000)
      const { provider, server } = yield* start(setup, { pieces: FakeServer.endless(piece) })
      const written = Effect.map(server.state, ({ requests }) => requests[0]?.bytesWritten ?? 0)
      const pull = yield* Stream.toPull(provider.stream(request))
      yield* pull

      let stalledAt = -1
      while (stalledAt !== (yield* written)) {
        stalledAt = yield* written
        yield* Effect.sleep("250 millis")
      }
      // What fits into the buffers of two sockets and of a client.
      expect(stalledAt).toBeLessThan(32 * 1024 * 1024)

      let pulled = 0
      while (pulled <= stalledAt) {
        for (const { content } of yield* pull) {
          expect(content).toBe(piece)
          pulled += content.length
        }
      }
      expect(yield* written).toBeGreaterThan(stalledAt)
    })
  )
})
