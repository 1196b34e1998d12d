/** A real browser, its pages, and the server that they come from. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { createServer } from "node:http"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { chromium, type Page } from "playwright-core"
import { bundle } from "../../../scripts/support/bundle.ts"

export class Chromium extends Context.Service<
  Chromium,
  {
    /** Opens a page of its own session. It is closed with the scope. */
    readonly open: (url: string) => Effect.Effect<Page, never, Scope.Scope>
  }
>()("test/Chromium") {}

export const layer: Layer.Layer<Chromium> = Layer.effect(
  Chromium,
  Effect.gen(function* () {
    const browser = yield* Effect.acquireRelease(
      Effect.promise(() =>
        chromium.launch({
          executablePath: process.env["CHROMIUM"] ?? "",
          env: { ...process.env, LD_LIBRARY_PATH: process.env["CHROMIUM_LIBRARIES"] },
          // A page has less memory than the longest answer of the tests.
          args: ["--disable-gpu", "--disable-quic", "--disable-sync", "--js-flags=--max-old-space-size=64"],
          // Pages in the background shall be slowed down as usual.
          ignoreDefaultArgs: [
            "--disable-background-timer-throttling",
            "--disable-backgrounding-occluded-windows",
            "--disable-renderer-backgrounding"
          ]
        })
      ),
      (browser) => Effect.promise(() => browser.close())
    )
    return Chromium.of({
      open: (url) =>
        Effect.acquireRelease(
          Effect.promise(async () => {
            const context = await browser.newContext()
            const page = await context.newPage()
            page.setDefaultTimeout(20_000)
            await page.goto(url)
            return page
          }),
          (page) => Effect.promise(() => page.context().close())
        )
    })
  })
)

/** Where pages come from: an origin of its own. */
export class Pages extends Context.Service<Pages, { readonly origin: string }>()("test/Pages") {}

const file = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** `/` is the page of `examples/browser`, `/lab` an empty page with the functions of `lab.ts`; `/strict` forbids `eval`. */
export const layerPages: Layer.Layer<Pages> = Layer.effect(
  Pages,
  Effect.gen(function* () {
    const html = { "content-type": "text/html; charset=utf-8" }
    const javascript = { "content-type": "text/javascript; charset=utf-8" }
    const [example, lab] = yield* Effect.promise(() =>
      Promise.all([
        bundle({ file: file("../../../examples/browser/main.ts") }, { minify: true }),
        bundle({ file: file("../lab.ts") })
      ])
    )
    const page = readFileSync(file("../../../examples/browser/index.html"), "utf8").replace("./main.ts", "/main.js")
    const labPage = `<!doctype html><title>Lab</title><script type="module" src="/lab.js"></script>`
    const files: ReadonlyMap<string, readonly [string, Readonly<Record<string, string>>]> = new Map([
      ["/", [page, html]],
      ["/main.js", [example.code, javascript]],
      ["/lab", [labPage, html]],
      ["/strict", [labPage, { ...html, "content-security-policy": "script-src 'self'" }]],
      ["/lab.js", [lab.code, javascript]],
      ["/elsewhere", ["<!doctype html><title>Elsewhere</title>", html]]
    ])
    const server = createServer(({ url = "" }, response) => {
      const [body, headers] = files.get(url) ?? ["", { "content-type": "image/x-icon" }]
      response.writeHead(200, headers).end(body)
    })
    yield* Effect.acquireRelease(
      Effect.promise(() => new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))),
      () =>
        Effect.sync(() => {
          server.close()
          server.closeAllConnections()
        })
    )
    const address = server.address()
    const port = typeof address === "object" && address !== null ? address.port : 0
    return Pages.of({ origin: `http://127.0.0.1:${port}` })
  })
)

/** All that a test in a browser needs. */
export const live = Layer.merge(layer, layerPages)
