/** The status page of a gateway. */
import { expect, layer } from "@effect/vitest"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { createServer } from "node:http"
import * as Accounts from "../../src/cli/serve/accounts.ts"
import * as Routes from "../../src/cli/serve/routes.ts"
import type { Status } from "../../src/cli/serve/status.ts"
import { Refusal } from "../../src/gateway/access.ts"
import * as Chromium from "./support/chromium.ts"

const status: Status = {
  at: 100_000,
  upSeconds: 3700,
  isDemonstration: false,
  waiting: 2,
  hosts: [
    {
      name: "<img src=x onerror=alert(1)>",
      kind: "Ollama",
      status: "ready",
      active: 1,
      permits: 4,
      tokensPerSecond: 12.3,
      models: [{ id: "llama3.2", memoryBytes: 5e9 }]
    }
  ],
  failures: [{ at: 91_000, host: "gpu-1", model: "llama3.2", message: "the connection failed" }]
}

/** The key is `secret`; `undefined`: none is needed. Returns the address. */
const serve = Effect.fnUntraced(function* (key: string | undefined, waiting: () => number) {
  const accounts: Accounts.Accounts = {
    ...Accounts.open,
    authorizeStatus: (given) =>
      key === undefined || (given !== undefined && Redacted.value(given) === key)
        ? Effect.void
        : Effect.fail(new Refusal({ status: 401, message: "The gateway needs a key" }))
  }
  const routes = Routes.layer({
    accounts,
    names: { hosts: () => [], origins: () => [] },
    reporter: {
      status: Effect.sync(() => ({ ...status, waiting: waiting() })),
      isReady: Effect.succeed(true),
      measure: Effect.void
    },
    isOpen: () => true
  })
  const server = yield* Layer.build(NodeHttpServer.layer(() => createServer(), { host: "127.0.0.1", port: 0 }))
  yield* Layer.build(
    Layer.provide(
      HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }),
      Layer.succeedContext(server)
    )
  )
  return yield* Effect.provideContext(HttpServer.addressFormattedWith(Effect.succeed), server)
})

layer(Chromium.live, { excludeTestServices: true, timeout: "60 seconds" })("the status page of a gateway", (it) => {
  it.effect("shows hosts and failures as text, and changes while it is open", () =>
    Effect.gen(function* () {
      let waiting = 2
      const url = yield* serve(undefined, () => waiting)
      const page = yield* (yield* Chromium.Chromium).open(url)
      yield* Effect.promise(() => page.locator("#hosts", { hasText: "<img src=x" }).waitFor())
      const text = yield* Effect.promise(() => page.locator("#state").innerText())
      for (const part of ["Ollama", "ready", "1 of 4", "llama3.2 (5.0 GB)", "9 s ago", "the connection failed"]) {
        expect(text).toContain(part)
      }
      waiting = 7
      yield* Effect.promise(() => page.locator("#waiting", { hasText: "7" }).waitFor())
      expect(yield* Effect.promise(() => page.locator("#hosts img").count())).toBe(0)
    })
  )

  it.effect("asks for a key where one is needed", () =>
    Effect.gen(function* () {
      const url = yield* serve("secret", () => 0)
      const page = yield* (yield* Chromium.Chromium).open(url)
      const enter = (key: string) =>
        Effect.promise(async () => {
          await page.getByLabel("The gateway needs a key").fill(key)
          await page.getByRole("button", { name: "Show" }).click()
        })
      yield* enter("wrong")
      yield* enter("secret")
      yield* Effect.promise(() => page.locator("#hosts", { hasText: "Ollama" }).waitFor())
    })
  )
})
