/** The other parts of the library, each used once in a page. */
import { expect, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { FakeServer } from "../../src/testing/index.ts"
import * as Chromium from "./support/chromium.ts"
import * as Lab from "./support/lab.ts"

const start = Effect.fnUntraced(function* (script: FakeServer.Script) {
  const { origin } = yield* Chromium.Pages
  return yield* FakeServer.make(script, { origins: [origin] })
})

const busy: FakeServer.Answer = { status: 503, body: { error: "server busy, please try again." } }
const blue: FakeServer.Answer = { text: "Blue." }
const missing: FakeServer.Answer = { status: 404 }
const blueLate: FakeServer.Answer = { text: "Late.", delay: { headers: "20 seconds" } }

layer(Chromium.live, { excludeTestServices: true, timeout: "60 seconds" })(
  "parts of the library in a browser",
  (it) => {
    it.effect("Pool sends to both hosts", () =>
      Effect.gen(function* () {
        const servers = [yield* start(blue), yield* start(blue)] as const
        expect(yield* (yield* Lab.open).run("pool", ...servers)).toEqual(["Blue.", "Blue."])
        for (const { state } of servers) {
          const { requests } = yield* state
          expect(requests.filter(({ path }) => path === "/api/chat")).toHaveLength(1)
        }
      })
    )

    it.effect("Retry asks again", () =>
      Effect.gen(function* () {
        const server = yield* start(({ index }) => (index === 0 ? busy : blue))
        expect(yield* (yield* Lab.open).run("retry", server)).toBe("Blue.")
        expect((yield* server.state).requests).toHaveLength(2)
      })
    )

    it.effect("Fallback asks another one", () =>
      Effect.gen(function* () {
        const [broken, working] = [yield* start(busy), yield* start(blue)]
        expect(yield* (yield* Lab.open).run("fallback", broken, working)).toBe("Blue.")
      })
    )

    it.effect("Hedge takes the faster one, and stops the other", () =>
      Effect.gen(function* () {
        const [slow, fast] = [yield* start(blueLate), yield* start(blue)]
        expect(yield* (yield* Lab.open).run("hedge", slow, fast)).toBe("Blue.")
        yield* slow.until(({ requests }) => requests[0]?.outcome === "cut-by-client")
      })
    )

    it.effect.each([
      ["telemetry", blue, "Blue."],
      ["thinking", { text: "<think>Hm.</think>Blue." }, { thinking: "Hm.", content: "Blue." }],
      ["typed", { text: '{"city":"Lagos","celsius":31}' }, { city: "Lagos", celsius: 31 }],
      ["models", blue, [["fake:latest"], expect.objectContaining({ id: expect.stringContaining("fake") })]],
      ["pull", blue, true],
      ["embeddings", blue, 2],
      ["mock", blue, "Rayleigh scattering."]
    ] as const)("%s", ([name, script, result]) =>
      Effect.gen(function* () {
        expect(yield* (yield* Lab.open).run(name, yield* start(script))).toEqual(result)
      })
    )

    it.effect("layerConfig reads a configuration of the page; there is no other", () =>
      Effect.gen(function* () {
        const server = yield* start(blue)
        expect(yield* (yield* Lab.open).run("configured", server)).toEqual([server.url, "http://127.0.0.1:11434"])
      })
    )

    it.effect("effect/ai runs a tool", () =>
      Effect.gen(function* () {
        const server = yield* start({ toolCalls: [{ id: "c", name: "now", arguments: {} }] })
        expect(yield* (yield* Lab.open).run("languageModel", server)).toBe("[12 o'clock]")
      })
    )

    it.effect("Discovery finds the servers that allow the page", () =>
      Effect.gen(function* () {
        const ollama = yield* start(({ path }) => (path === "/lmstudio-greeting" ? missing : blue))
        const lmstudio = yield* start(({ path }) => (path.startsWith("/api") ? missing : blue))
        const lab = yield* Lab.open
        expect(yield* lab.run("discovery", ollama, lmstudio)).toEqual(["ollama", "lmstudio"])
        const closed = yield* FakeServer.make(blue)
        expect(yield* lab.run("discovery", closed, lmstudio)).toEqual(["lmstudio"])
      })
    )
  }
)
