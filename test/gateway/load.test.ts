/** Many clients at once: each gets its own completion, and those that leave leave nothing behind. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Ollama from "../../src/Ollama.ts"
import * as Pool from "../../src/Pool.ts"
import { FakeServer } from "../../src/testing/index.ts"
import * as Gateway from "../support/gateway.ts"

const words = (id: number): string => Array.from({ length: 20 }, (_, i) => `<${id}.${i}>`).join(" ")

const start = Effect.gen(function* () {
  const server = yield* FakeServer.make(
    ({ body, path }) =>
      path === "/api/chat" || path === "/api/generate"
        ? { text: words(Number(/question (\d+)/.exec(JSON.stringify(body))?.[1])), delay: { first: 20, between: 10 } }
        : {},
    { models: ["m"] }
  )
  const pool = yield* Pool.make({ hosts: [{ provider: Ollama.make({ baseUrl: server.url }), permits: 64 }] })
  return { server, pool, url: yield* Gateway.serve(pool) }
})

const rows = Object.values(Gateway.rows)

/** On all routes in turn. */
const send = (url: string, id: number) => {
  const row = rows[id % rows.length]
  const body = JSON.parse(JSON.stringify(row?.body).replace(/Once|Why is the sky blue\?/, `question ${id}`))
  return { ...Gateway.send(`${url}${row?.path}`, { ...body, stream: true }), end: row?.end }
}

it.live(
  "200 streams at once",
  () =>
    Effect.gen(function* () {
      const { url } = yield* start
      const sent = Array.from({ length: 200 }, (_, id) => send(url, id))
      const responses = yield* Effect.promise(() => Promise.all(sent.map(({ seen }) => seen)))
      for (const [id, { isWhole, status, text }] of responses.entries()) {
        expect([id, status, isWhole]).toEqual([id, 200, true])
        expect(text).toContain(sent[id]?.end)
        const received = text.match(/<\d+\.\d+>/g) ?? []
        // Responses have the whole text once more in their end.
        expect(received.slice(0, 20).join(" ")).toBe(words(id))
      }
    }).pipe(Effect.provide(NodeHttpClient.layerUndici)),
  120_000
)

const count = Number(process.env["GATEWAY_REQUESTS"] ?? 400)

/** The sockets of this process, which are those of the clients, the gateway and the host. */
const countSockets = (): number => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length

it.live(
  `${count} requests, half of which leave`,
  () =>
    Effect.gen(function* () {
      const before = countSockets()
      const { pool, server, url } = yield* start
      /** Those with an odd number leave: before the response begins, in the middle, or after its end. */
      const run = (id: number) =>
        Effect.promise(async () => {
          const { request, seen } = send(url, id)
          if (id % 2 === 0) return await seen
          const closed = new Promise((resolve) => request.once("close", resolve))
          setTimeout(() => request.destroy(), (id * 7) % 400)
          await closed
          return undefined
        })
      const ids = Array.from({ length: count }, (_, id) => id)
      const responses = yield* Effect.forEach(ids, run, { concurrency: 200 })
      expect(responses.filter((seen) => seen?.isWhole === true && seen.status === 200).length).toBe(count / 2)
      const isIdle = Stream.filter(
        SubscriptionRef.changes(pool.state),
        ({ hosts, waiting }) => waiting === 0 && hosts.every(({ active }) => active === 0)
      )
      yield* Effect.timeout(Stream.runHead(isIdle), "5 seconds")
      const { openConnections } = yield* Effect.timeout(
        server.until(({ requests }) => requests.every(({ outcome }) => outcome !== "answering")),
        "5 seconds"
      )
      // The pool keeps connections for its next requests. Both ends of them are here.
      expect(openConnections).toBeLessThanOrEqual(64)
      yield* Effect.timeout(
        Effect.repeat(Effect.delay(server.state, "20 millis"), {
          until: ({ openConnections }) => countSockets() - 2 * openConnections <= before
        }),
        "5 seconds"
      )
    }).pipe(Effect.provide(NodeHttpClient.layerUndici)),
  600_000
)
