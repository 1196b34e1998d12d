import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { connect, request, setups, start } from "../support/setups.ts"

describe.each(setups)("$provider over $client", (setup) => {
  it.live("delivers an answer of more than 10 MB unchanged", () =>
    Effect.gen(function* () {
      const text = Array.from({ length: 100 }, (_, i) => `${i}: größer, 日本語, 🌈; `).join("")
      const pieces = Array.from({ length: 4500 }, (_, i) => `${i} ${text}`)
      const { provider } = yield* start(setup, { pieces, drip: { bytes: 2999 } })
      let bytes = 0
      let i = 0
      yield* provider.stream(request).pipe(
        Stream.runForEach(({ content, isFinal }) =>
          Effect.sync(() => {
            if (isFinal) return
            if (content !== pieces[i]) throw new Error(`piece ${i} is not what was sent`)
            bytes += Buffer.byteLength(content)
            i++
          })
        )
      )
      expect(i).toBe(pieces.length)
      expect(bytes).toBeGreaterThan(10_000_000)
    })
  )

  it.live("delivers one record of megabytes", () =>
    Effect.gen(function* () {
      const text = "größer 🌈 ".repeat(400_000)
      const { provider } = yield* start(setup, { pieces: [text] })
      expect((yield* provider.complete(request)).content === text).toBe(true)
    })
  )
})

describe.each(setups)("$provider over $client", (setup) => {
  // The end of a body is read after the answer is complete. A request that is sent before that needs another connection.
  const mostConnections = 2
  const client = setup.client === "node:http" ? NodeHttpClient.layerNodeHttpOptions({ keepAlive: true }) : undefined

  it.live("uses connections again for one answer after another", () =>
    Effect.gen(function* () {
      const { server } = yield* start(setup, { text: "The sky is blue." })
      const provider = yield* connect(setup, { baseUrl: server.url }, client)
      yield* Effect.repeat(provider.complete(request), { times: 19 })
      yield* provider.listModels
      expect((yield* server.state).connections).toBeLessThanOrEqual(mostConnections)
    })
  )

  it.live("uses connections again after an error that the server reported", () =>
    Effect.gen(function* () {
      const { server } = yield* start(setup, { status: 503, body: { error: "server busy" } })
      const provider = yield* connect(setup, { baseUrl: server.url }, client)
      yield* Effect.repeat(Effect.flip(provider.complete(request)), { times: 9 })
      expect((yield* server.state).connections).toBeLessThanOrEqual(mostConnections)
    })
  )
})
