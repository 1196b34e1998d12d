/** Long answers, slow readers, slow networks and pages in the background. */
import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { CDPSession, Page } from "playwright-core"
import { FakeServer } from "../../src/testing/index.ts"
import * as Chromium from "./support/chromium.ts"
import * as Lab from "./support/lab.ts"

const start = Effect.fnUntraced(function* (script: FakeServer.Script) {
  const { origin } = yield* Chromium.Pages
  return yield* FakeServer.make(script, { origins: [origin] })
})

const MB = 1_000_000

/** A text in pieces of 8 kB. */
function* long(megabytes: number): Generator<string> {
  for (let count = 0; count < (megabytes * MB) / 8000; count++) yield "word ".repeat(1600)
}

/** The JavaScript heap after a garbage collection, in bytes. */
const heapOf = (page: Page) =>
  Effect.promise(async () => {
    const session = await page.context().newCDPSession(page)
    await session.send("HeapProfiler.collectGarbage")
    await session.send("Performance.enable")
    const { metrics } = await session.send("Performance.getMetrics")
    await session.detach()
    return metrics.find(({ name }) => name === "JSHeapUsedSize")?.value ?? NaN
  })

/** What the browser does to a page. */
const control = (page: Page, step: (session: CDPSession) => Promise<unknown>) =>
  Effect.acquireRelease(
    Effect.promise(() => page.context().newCDPSession(page)),
    (session) => Effect.promise(() => session.detach())
  ).pipe(Effect.tap((session) => Effect.promise(() => step(session))))

layer(Chromium.live, { excludeTestServices: true, timeout: "60 seconds" })("load in a browser", (it) => {
  for (const server of ["Ollama", "LmStudio"] as const) {
    it.effect(`${server}: a page with a heap of 64 MB reads an answer of 200 MB, which leaves no memory behind`, () =>
      Effect.gen(function* () {
        const lab = yield* Lab.open
        const { url } = yield* start(({ index }) => ({ pieces: long(index === 0 ? 1 : 200) }))
        yield* lab.read({ server, url })
        const before = yield* heapOf(lab.page)
        expect(yield* lab.read({ server, url })).toMatchObject({ outcome: "complete", characters: 200 * MB })
        expect((yield* heapOf(lab.page)) - before).toBeLessThan(2 * MB)
      })
    )

    it.effect(`${server}: a page that reads slowly stops the server, once the buffers of the browser are full`, () =>
      Effect.gen(function* () {
        const endless = yield* start({ pieces: FakeServer.endless("word ".repeat(1600)) })
        const lab = yield* Lab.open
        const asked = yield* lab.ask({ server, url: endless.url, pause: 100 })
        const written = Effect.map(endless.state, ({ requests }) => requests[0]?.bytesWritten ?? 0)
        const untilFull = (before: number): Effect.Effect<number> =>
          Effect.delay(written, "1 second").pipe(
            Effect.flatMap((now) => (now === before ? Effect.succeed(now) : untilFull(now)))
          )
        expect(yield* untilFull(0)).toBeLessThan(150 * MB)
        const { chunks } = yield* asked.look
        yield* asked.until((reading) => reading.chunks > chunks + 3)
        yield* asked.stop
        yield* endless.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
      })
    )
  }

  it.effect("a slow network: chunks arrive one by one, and stopping is as prompt", () =>
    Effect.gen(function* () {
      const lab = yield* Lab.open
      const slow = { offline: false, latency: 200, downloadThroughput: 20_000, uploadThroughput: 20_000 }
      yield* control(lab.page, async (session) => {
        await session.send("Network.enable")
        await session.send("Network.emulateNetworkConditions", slow)
      })
      const server = yield* start({ pieces: FakeServer.endless("again "), delay: { between: "20 millis" } })
      const asked = yield* lab.ask({ url: server.url })
      const { times } = yield* asked.until(({ chunks }) => chunks > 20)
      const distinct = new Set(times.map(Math.round)).size
      expect(distinct).toBeGreaterThan(5)
      yield* asked.stop
      yield* server.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
    })
  )

  it.effect("a page that is offline", () =>
    Effect.gen(function* () {
      const lab = yield* Lab.open
      const server = yield* start({ text: "Blue." })
      const offline = { offline: true, latency: 0, downloadThroughput: -1, uploadThroughput: -1 }
      const session = yield* control(lab.page, async (session) => {
        await session.send("Network.enable")
        await session.send("Network.emulateNetworkConditions", offline)
      })
      expect(yield* lab.read({ url: server.url })).toMatchObject({ failure: { reason: "NetworkError" } })
      yield* Effect.promise(() => session.send("Network.emulateNetworkConditions", { ...offline, offline: false }))
      expect(yield* lab.read({ url: server.url })).toMatchObject({ outcome: "complete" })
    })
  )

  it.effect("a page whose timers the browser delays, as those of hidden pages", () =>
    Effect.gen(function* () {
      const { origin } = yield* Chromium.Pages
      const lab = yield* Lab.open
      yield* Effect.promise(async () => {
        await lab.page.addInitScript(() => {
          const setTimer = globalThis.setTimeout
          const setSlowTimer = (handler: () => void, time = 0) => setTimer(handler, Math.max(time, 1000))
          Object.assign(globalThis, { setTimeout: setSlowTimer })
        })
        await lab.page.goto(`${origin}/lab`)
        await lab.page.waitForFunction(() => "lab" in globalThis)
      })
      const server = yield* start({ text: "word ".repeat(500), delay: { between: "4 millis" } })
      const reading = yield* lab.read({ url: server.url })
      expect(reading).toMatchObject({ outcome: "complete", characters: 2500 })
      // Text does not wait for timers: it comes all the time, not once in a second.
      expect(new Set(reading.times.map((time) => Math.round(time / 100))).size).toBeGreaterThan(10)
      yield* server.setScript({ text: "The sky", cut: { how: "stall" } })
      const stalled = yield* lab.read({ url: server.url, deadlines: { idle: 300 } })
      expect(stalled).toMatchObject({ text: "The sky", failure: { reason: "Timeout" } })
    })
  )
})
