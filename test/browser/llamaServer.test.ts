/** A page and a real llama.cpp server, which allows every origin. */
import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as RealServer from "../real/llamaServer.ts"
import { sky } from "../support/scriptedModels.ts"
import * as Chromium from "./support/chromium.ts"
import * as Lab from "./support/lab.ts"

RealServer.describeLlamaServer("llama.cpp's server in a browser", () => {
  layer(Chromium.live, { excludeTestServices: true, timeout: "60 seconds" })((it) => {
    it.effect("gives the known answer", () =>
      Effect.gen(function* () {
        const { url } = yield* RealServer.start({ model: "sky" })
        const lab = yield* Lab.open
        for (const server of ["LlamaServer", "LmStudio"] as const) {
          const reading = yield* lab.read({ server, url })
          expect(reading).toMatchObject({ text: sky.join(""), outcome: "complete" })
        }
      })
    )

    it.effect("stops generating when the page stops or is left", () =>
      Effect.gen(function* () {
        const { origin } = yield* Chromium.Pages
        const { untilGenerating, url } = yield* RealServer.start({ model: "endless" })
        const lab = yield* Lab.open
        const question = { server: "LlamaServer", url } as const
        const asked = yield* lab.ask(question)
        yield* asked.until(({ chunks }) => chunks > 3)
        yield* untilGenerating(1)
        yield* asked.stop
        yield* untilGenerating(0)
        const again = yield* lab.ask(question)
        yield* again.until(({ chunks }) => chunks > 3)
        yield* untilGenerating(1)
        yield* Effect.promise(() => lab.page.goto(`${origin}/elsewhere`))
        yield* untilGenerating(0)
      })
    )
  })
})
