/** The page of `examples/browser`, used as its readers use it. */
import { expect, layer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Page } from "playwright-core"
import { FakeServer } from "../../src/testing/index.ts"
import * as Chromium from "./support/chromium.ts"

const open = Effect.gen(function* () {
  const { origin } = yield* Chromium.Pages
  return yield* (yield* Chromium.Chromium).open(origin)
})

const start = Effect.fnUntraced(function* (script: FakeServer.Script) {
  const { origin } = yield* Chromium.Pages
  return yield* FakeServer.make(script, { origins: [origin] })
})

const act = (step: () => Promise<unknown>) => Effect.asVoid(Effect.promise(step))

const ask = (page: Page, url: string, server = "Ollama") =>
  act(async () => {
    await page.getByLabel("Server").selectOption(server)
    await page.getByLabel("Address").fill(url)
    await page.getByRole("button", { name: "Ask" }).click()
  })

const pressStop = (page: Page) => act(() => page.getByRole("button", { name: "Stop" }).click())

const text = (page: Page, selector: string) => Effect.promise(() => page.locator(selector).innerText())

/** Waits until an element shows a text. */
const shows = (page: Page, selector: string, expected: string) =>
  act(() => page.locator(selector, { hasText: expected }).waitFor())

const endless = { pieces: FakeServer.endless("again "), delay: { between: "10 millis" } } as const

layer(Chromium.live, { excludeTestServices: true, timeout: "60 seconds" })("the example page", (it) => {
  it.effect.each(["Ollama", "LmStudio", "LlamaServer"])("%s: shows thinking and text as they arrive", (server) =>
    Effect.gen(function* () {
      const rest = yield* Deferred.make<void>()
      const first: ReadonlyArray<FakeServer.Piece> = [{ thinking: "Hm." }, "The <b>sky</b>\n"]
      const pieces = Stream.concat(
        Stream.fromIterable(first),
        Stream.fromEffect(Effect.as(Deferred.await(rest), " is blue."))
      )
      const { state, url } = yield* start({ pieces })
      const page = yield* open
      yield* ask(page, url, server)
      yield* shows(page, "#answer", "The <b>sky</b>")
      yield* shows(page, "#status", "Answering …")
      expect(yield* text(page, "#thinking")).toBe("Hm.")
      yield* Deferred.succeed(rest, undefined)
      yield* shows(page, "#status", "Done (stop).")
      expect(yield* text(page, "#answer")).toBe("The <b>sky</b>\n is blue.")
      expect((yield* state).requests).toMatchObject([{ outcome: "completed" }])
    })
  )

  it.effect("Stop stops the server, and the next question starts from an empty page", () =>
    Effect.gen(function* () {
      const server = yield* start(({ index }) => (index === 0 ? endless : { text: "Blue." }))
      const page = yield* open
      yield* ask(page, server.url)
      yield* shows(page, "#answer", "again again")
      yield* pressStop(page)
      yield* server.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
      yield* shows(page, "#status", "Stopped.")
      expect(yield* text(page, "#answer")).toContain("again")
      yield* ask(page, server.url)
      yield* shows(page, "#status", "Done (stop).")
      expect(yield* text(page, "#answer")).toBe("Blue.")
    })
  )

  it.effect("Stop works before the first text", () =>
    Effect.gen(function* () {
      const server = yield* start(FakeServer.silence)
      const page = yield* open
      yield* ask(page, server.url)
      yield* server.until(({ requests }) => requests.length === 1)
      yield* pressStop(page)
      yield* server.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
      yield* shows(page, "#status", "Stopped.")
    })
  )

  it.effect(
    "a double click asks once; while an answer runs, nothing else can be asked; a second Stop has no effect",
    () =>
      Effect.gen(function* () {
        const server = yield* start(endless)
        const page = yield* open
        yield* act(() => page.getByLabel("Address").fill(server.url))
        yield* act(() => page.getByRole("button", { name: "Ask" }).dblclick())
        yield* shows(page, "#answer", "again")
        yield* act(() => page.evaluate(() => document.querySelector("form")?.requestSubmit()))
        expect(yield* Effect.promise(() => page.getByRole("button", { name: "Ask" }).isDisabled())).toBe(true)
        yield* act(() => page.getByRole("button", { name: "Stop" }).dblclick({ force: true }))
        yield* shows(page, "#status", "Stopped.")
        yield* server.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
        expect((yield* server.state).requests).toHaveLength(1)
        expect(yield* Effect.promise(() => page.getByRole("button", { name: "Stop" }).isDisabled())).toBe(true)
      })
  )

  it.effect("leaving the page stops the server; going back shows a page that works", () =>
    Effect.gen(function* () {
      const { origin } = yield* Chromium.Pages
      const server = yield* start(({ index }) => (index === 0 ? endless : { text: "Blue." }))
      const page = yield* open
      yield* ask(page, server.url)
      yield* shows(page, "#answer", "again again")
      yield* act(() => page.goto(`${origin}/elsewhere`))
      yield* server.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
      yield* act(() => page.goBack())
      yield* ask(page, server.url)
      yield* shows(page, "#answer", "Blue.")
    })
  )

  it.effect("says what failed, and that the answer before it is incomplete", () =>
    Effect.gen(function* () {
      const page = yield* open
      const missing = yield* start({ status: 404, body: { error: "model 'llama3.2' not found" } })
      yield* ask(page, missing.url)
      yield* shows(page, "#status", "run `ollama pull llama3.2`")
      yield* ask(page, "not an address")
      yield* shows(page, "#status", "baseUrl")
      yield* ask(page, "http://127.0.0.1:1")
      yield* shows(page, "#status", "is the server running, and does it allow pages of this origin (CORS)?")
      const broken = yield* start({ text: "The sky", cut: { how: "end" } })
      yield* ask(page, broken.url)
      yield* shows(page, "#status", "the answer ended without its end marker, so it is incomplete")
      expect(yield* text(page, "#answer")).toBe("The sky")
    })
  )

  it.effect("reports nothing on the console", () =>
    Effect.gen(function* () {
      const server = yield* start({ text: "Blue." })
      const page = yield* open
      const lines: Array<string> = []
      page.on("console", (line) => lines.push(line.text()))
      page.on("pageerror", (error) => lines.push(String(error)))
      yield* act(() => page.reload())
      yield* ask(page, server.url)
      yield* shows(page, "#status", "Done (stop).")
      expect(lines).toEqual([])
    })
  )
})
