/** One of two hosts is killed while it answers. All of them are programs of their own. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as Gateway from "../support/gateway.ts"

/** Starts a program that writes its address. */
const start = Effect.fnUntraced(function* (name: string, ...args: ReadonlyArray<string>) {
  const program = fileURLToPath(new URL(`../support/${name}.ts`, import.meta.url))
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "inherit"] })),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  const url = yield* Effect.callback<string>((resume) => {
    child.stdout.setEncoding("utf8").once("data", (text: string) => resume(Effect.succeed(text.trim())))
  })
  return { url, kill: Effect.sync(() => child.kill("SIGKILL")) }
})

/** A gateway in front of two hosts. All requests together need both of them. */
const startAll = Effect.fnUntraced(function* (behaviour: "silent" | "endless") {
  const [victim, survivor] = yield* Effect.all([start("serveHost", behaviour), start("serveHost")], { concurrency: 2 })
  const gateway = yield* start("serveGateway", "--permits=20", victim.url, survivor.url)
  return { victim, gateway }
})

const rows = Object.values(Gateway.rows)

/** 40 requests, on all routes in turn. */
const sendAll = ({ url }: { readonly url: string }, isStream: (i: number) => boolean) =>
  Array.from({ length: 40 }, (_, i) => {
    const { body, end = "", failure = /x/, path } = rows[i % rows.length] ?? {}
    const own = JSON.parse(JSON.stringify(body).replace(/Once|Why is the sky blue\?/, `question ${i}`))
    return { end, failure, ...Gateway.send(`${url}${path}`, { ...own, stream: isStream(i) }) }
  })

const allSeen = (sent: ReturnType<typeof sendAll>) => Promise.all(sent.map(({ seen }) => seen))

it.live(
  "before the first text: none of 40 requests fails, nor do those after them",
  () =>
    Effect.gen(function* () {
      const { gateway, victim } = yield* startAll("silent")
      const isStream = (i: number) => i % 4 > 0
      const sent = sendAll(gateway, isStream)
      let ended = 0
      for (const { seen } of sent) void seen.then(() => ended++)
      // What does not end is on the host that does not begin.
      yield* Effect.repeat(Effect.sleep("20 millis"), { until: () => ended >= 20 })
      yield* victim.kill
      for (const requests of [sent, sendAll(gateway, isStream)]) {
        const responses = yield* Effect.promise(() => allSeen(requests))
        expect(responses.map(({ isWhole, status }) => [status, isWhole])).toEqual(responses.map(() => [200, true]))
        for (const { text } of responses) expect(text).toContain("word19")
      }
    }),
  90_000
)

it.live(
  "after it: those of that host end with the record of a failure, and the others are whole",
  () =>
    Effect.gen(function* () {
      const { gateway, victim } = yield* startAll("endless")
      const sent = sendAll(gateway, () => true)
      yield* Effect.promise(() => Promise.all(sent.map(({ until }) => until((text) => /word1|again/.test(text)))))
      yield* victim.kill
      const responses = yield* Effect.promise(() => allSeen(sent))
      let failures = 0
      for (const [i, { isWhole, text }] of responses.entries()) {
        const { end = "", failure = /x/ } = sent[i] ?? {}
        expect(isWhole).toBe(true)
        if (!text.includes("again")) {
          expect(text).toContain(end)
          expect(text).toContain("word19")
          continue
        }
        failures++
        expect(text).toMatch(failure)
        expect(text).not.toContain(end)
        expect(text).not.toContain("word")
      }
      expect(failures).toBeGreaterThan(0)
      expect(failures).toBeLessThanOrEqual(20)
    }),
  90_000
)
