/** Answers of a model server, read by a page of another origin. */
import { expect, layer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { FakeServer } from "../../src/testing/index.ts"
import type { ServerName } from "./lab.ts"
import * as Chromium from "./support/chromium.ts"
import * as Lab from "./support/lab.ts"

const serverNames: ReadonlyArray<ServerName> = ["Ollama", "LmStudio", "LlamaServer"]

/** The server allows the page. */
const start = Effect.fnUntraced(function* (script: FakeServer.Script) {
  const { origin } = yield* Chromium.Pages
  return yield* FakeServer.make(script, { origins: [origin] })
})

/** One piece, and the rest when the test allows it. */
const heldBack = Effect.map(Deferred.make<void>(), (allowed) => {
  const rest = Stream.concat(Stream.drain(Stream.fromEffect(Deferred.await(allowed))), Stream.make(" is", " blue."))
  const allow = Deferred.succeed(allowed, undefined)
  return { pieces: Stream.concat(Stream.make<Array<FakeServer.Piece>>({ thinking: "Hm. " }, "The sky"), rest), allow }
})

layer(Chromium.live, { excludeTestServices: true, timeout: "60 seconds" })("streams in a browser", (it) => {
  for (const server of serverNames) {
    it.effect(`${server}: chunks arrive while the server holds the rest back`, () =>
      Effect.gen(function* () {
        const { allow, pieces } = yield* heldBack
        const { state, url } = yield* start({ pieces })
        const lab = yield* Lab.open
        const asked = yield* lab.ask({ server, url })
        expect(yield* asked.until(({ chunks }) => chunks === 2)).toMatchObject({
          text: "Hm. The sky",
          outcome: "reading"
        })
        yield* allow
        expect(yield* asked.end).toMatchObject({ text: "Hm. The sky is blue.", outcome: "complete" })
        const { preflights, requests } = yield* state
        expect(preflights).toHaveLength(1)
        expect(requests).toHaveLength(1)
      })
    )

    it.effect(`${server}: stopping closes the connection, in an answer and before its headers`, () =>
      Effect.gen(function* () {
        const lab = yield* Lab.open
        const endless = yield* start({ pieces: FakeServer.endless("again "), delay: { between: "5 millis" } })
        const asked = yield* lab.ask({ server, url: endless.url })
        yield* asked.until(({ chunks }) => chunks > 3)
        yield* asked.stop
        const { requests } = yield* endless.until(({ requests }) => requests[0]?.outcome !== "answering")
        expect(requests).toMatchObject([{ outcome: "cut-by-client" }])
        expect(yield* asked.end).toMatchObject({ outcome: "interrupted" })

        const silent = yield* start(FakeServer.silence)
        const waiting = yield* lab.ask({ server, url: silent.url })
        yield* silent.until(({ requests }) => requests.length === 1)
        yield* waiting.stop
        yield* silent.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
        // Once more changes nothing.
        yield* waiting.stop
        expect(yield* waiting.end).toMatchObject({ outcome: "interrupted", chunks: 0 })
      })
    )

    it.effect(`${server}: a page that takes enough closes the connection`, () =>
      Effect.gen(function* () {
        const lab = yield* Lab.open
        const endless = yield* start({ pieces: FakeServer.endless("again ") })
        expect(yield* lab.read({ server, url: endless.url, take: 3 })).toMatchObject({ chunks: 3, outcome: "complete" })
        yield* endless.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
      })
    )

    it.effect(`${server}: a page that is left, reloaded or closed closes the connection`, () =>
      Effect.gen(function* () {
        const { origin } = yield* Chromium.Pages
        const endless = yield* start({ pieces: FakeServer.endless("again "), delay: { between: "5 millis" } })
        const leave: ReadonlyArray<(page: Lab.LabPage["page"]) => Promise<unknown>> = [
          (page) => page.goto(`${origin}/elsewhere`),
          (page) => page.reload(),
          (page) => page.close()
        ]
        for (const [index, step] of leave.entries()) {
          const lab = yield* Lab.open
          const asked = yield* lab.ask({ server, url: endless.url })
          yield* asked.until(({ chunks }) => chunks > 3)
          yield* Effect.promise(() => step(lab.page))
          yield* endless.until(({ requests }) => requests[index]?.outcome === "cut-by-client")
        }
      })
    )
  }

  it.effect("sends no header that Ollama does not allow", () =>
    Effect.gen(function* () {
      const server = yield* start({ text: "Blue." })
      const lab = yield* Lab.open
      expect(yield* lab.read({ url: server.url, token: "secret" })).toMatchObject({ outcome: "complete" })
      const { preflights, requests } = yield* server.state
      expect(preflights.map(({ headers }) => headers["access-control-request-headers"])).toEqual([
        "authorization,content-type"
      ])
      expect(requests).toMatchObject([{ headers: { authorization: "Bearer secret" } }])
      for (const name of ["traceparent", "b3"]) expect(requests[0]?.headers).not.toHaveProperty(name)
    })
  )

  it.effect("headers that Ollama does not allow fail before the request: trace headers, and those of the options", () =>
    Effect.gen(function* () {
      const server = yield* start({ text: "Blue." })
      const lab = yield* Lab.open
      for (const options of [{ traceHeaders: true }, { headers: { "x-team": "a" } }]) {
        const reading = yield* lab.read({ url: server.url, ...options })
        expect(reading).toMatchObject({ outcome: "failed", failure: { reason: "NetworkError" } })
      }
      expect((yield* server.state).requests).toEqual([])
    })
  )

  it.effect("asks for permission once, and keeps the connection for the next question", () =>
    Effect.gen(function* () {
      const server = yield* start({ text: "Blue." })
      const lab = yield* Lab.open
      for (let count = 1; count <= 5; count++) {
        expect(yield* lab.read({ url: server.url })).toMatchObject({ outcome: "complete" })
      }
      expect(yield* server.state).toMatchObject({ preflights: { length: 1 }, requests: { length: 5 }, connections: 1 })
    })
  )

  it.effect("six answers of one server come at once; the seventh waits for a connection, in another tab as well", () =>
    Effect.gen(function* () {
      const server = yield* start({ pieces: FakeServer.endless("again "), delay: { between: "20 millis" } })
      const lab = yield* Lab.open
      const tab = yield* Lab.openTab(lab)
      const asked = yield* Effect.forEach(Array.from({ length: 6 }), () => lab.ask({ url: server.url }))
      yield* Effect.forEach(asked, ({ until }) => until(({ chunks }) => chunks > 0))
      for (const place of [lab, tab]) {
        const seventh = yield* place.read({ url: server.url, deadlines: { firstChunk: 500 } })
        expect(seventh).toMatchObject({ failure: { reason: "Timeout" } })
      }
      expect((yield* server.state).requests).toHaveLength(6)
      const waiting = yield* lab.ask({ url: server.url })
      yield* Effect.forEach(asked.slice(0, 1), ({ stop }) => stop)
      yield* waiting.until(({ chunks }) => chunks > 0)
    })
  )

  it.effect("two pages are independent", () =>
    Effect.gen(function* () {
      const server = yield* start({ pieces: FakeServer.endless("again "), delay: { between: "5 millis" } })
      const [left, right] = [yield* Lab.open, yield* Lab.open]
      const [one, other] = [yield* left.ask({ url: server.url }), yield* right.ask({ url: server.url })]
      yield* other.until(({ chunks }) => chunks > 3)
      yield* one.stop
      yield* server.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
      const { chunks } = yield* other.look
      expect(yield* other.until((reading) => reading.chunks > chunks + 3)).toMatchObject({ outcome: "reading" })
    })
  )

  it.effect("a page whose policy forbids to generate code reads answers, and finds what is wrong in them", () =>
    Effect.gen(function* () {
      const server = yield* start({ thinking: "Hm.", text: "Blue." })
      const lab = yield* Lab.openAt("/strict")
      for (const name of serverNames) {
        const reading = yield* lab.read({ server: name, url: server.url })
        expect(reading).toMatchObject({ text: "Hm.Blue.", outcome: "complete" })
      }
      yield* server.setScript({ pieces: [{ record: '{"model":"m","message":{"content":7},"done":false}' }] })
      expect(yield* lab.read({ url: server.url })).toMatchObject({ failure: { reason: "ParseError" } })
    })
  )

  it.effect("a token reaches a server that allows every origin and every header, as LM Studio does", () =>
    Effect.gen(function* () {
      const allowed = { "access-control-allow-origin": "*", "access-control-allow-headers": "*" }
      const events = { "content-type": "text/event-stream", ...allowed }
      const body =
        'data: {"choices":[{"index":0,"delta":{"content":"Blue."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
      const server = yield* FakeServer.make(({ method }) =>
        method === "OPTIONS" ? { status: 200, headers: allowed } : { status: 200, headers: events, body }
      )
      const lab = yield* Lab.open
      const reading = yield* lab.read({ server: "LmStudio", url: server.url, token: "secret" })
      expect(reading).toMatchObject({ text: "Blue.", outcome: "complete" })
      expect((yield* server.state).requests).toMatchObject([{ headers: { authorization: "Bearer secret" } }])
    })
  )

  it.effect("a worker reads answers as a page does, and closes the connection when it is terminated", () =>
    Effect.gen(function* () {
      const server = yield* start({ pieces: FakeServer.endless("again "), delay: { between: "5 millis" } })
      const { page } = yield* Lab.open
      const reading = yield* Effect.promise(async () => {
        const started = page.waitForEvent("worker")
        await page.evaluate(() => {
          const worker = new Worker("/lab.js", { type: "module" })
          document.addEventListener("click", () => worker.terminate())
        })
        const worker = await started
        return worker.evaluate(async (url) => {
          while (!("lab" in globalThis)) await new Promise((resolve) => setTimeout(resolve, 10))
          const number = lab.ask({ url })
          while ((lab.look(number)?.chunks ?? 0) < 4) await new Promise((resolve) => setTimeout(resolve, 10))
          return lab.look(number)
        }, server.url)
      })
      expect(reading).toMatchObject({ outcome: "reading", text: expect.stringMatching(/^again again/) })
      yield* Effect.promise(() => page.mouse.click(1, 1))
      yield* server.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
    })
  )
})
