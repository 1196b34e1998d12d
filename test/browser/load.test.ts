/** Long answers, slow readers, slow networks and pages in the background. */
import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { Page } from "playwright-core"
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

const send = (page: Page, method: "Page.setWebLifecycleState", state: "frozen" | "active") =>
  Effect.promise(async () => {
    const session = await page.context().newCDPSession(page)
    await session.send(method, { state })
    await session.detach()
  })

layer(Chromium.live, { excludeTestServices: true, timeout: "60 seconds" })("load in a browser", (it) => {
  for (const server of ["Ollama", "LmStudio"] as const) {
    it.effect(`${server}: an answer of 60 MB leaves no memory behind, and needs little on its way`, () =>
      Effect.gen(function* () {
        const { memory } = yield* Chromium.Chromium
        const lab = yield* Lab.open
        const { url } = yield* start((request) => ({ pieces: long(request.index === 0 ? 1 : 60) }))
        yield* lab.read({ server, url })
        const before = { heap: yield* heapOf(lab.page), memory: yield* memory }
        const asked = yield* lab.ask({ server, url })
        let highest = 0
        yield* asked.until(({ outcome }) => outcome !== "reading").pipe(
          Effect.raceFirst(
            Effect.forever(
              Effect.delay(
                Effect.tap(memory, (bytes) => Effect.sync(() => (highest = Math.max(highest, bytes)))),
                50
              )
            )
          )
        )
        const reading = yield* asked.look
        console.log(server, { ...reading, text: "", times: [] }, { before, highest, heap: yield* heapOf(lab.page) })
        expect(reading).toMatchObject({ outcome: "complete", characters: 60 * MB })
        expect((yield* heapOf(lab.page)) - before.heap).toBeLessThan(2 * MB)
        expect(highest - before.memory).toBeLessThan(60 * MB)
      })
    )

    it.effect(`${server}: a slow page slows the server down`, () =>
      Effect.gen(function* () {
        const endless = yield* start({ pieces: FakeServer.endless("word ".repeat(1600)) })
        const lab = yield* Lab.open
        const asked = yield* lab.ask({ server, url: endless.url, pause: 100 })
        yield* asked.until(({ chunks }) => chunks >= 5)
        const written = () => Effect.map(endless.state, ({ requests }) => requests[0]?.bytesWritten ?? 0)
        yield* Effect.sleep("1 second")
        const first = yield* written()
        yield* Effect.sleep("2 seconds")
        const second = yield* written()
        console.log(server, { first, second, reading: (yield* asked.look).chunks })
        // 20 more pieces were read.
        expect(second - first).toBeLessThan(MB)
        yield* asked.stop
        yield* endless.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
      })
    )
  }
})
