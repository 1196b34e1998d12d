/** What is shown while an answer is waited for, on a pseudo-terminal. */
import { describe, expect, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"
import { ctrlC, ctrlD, enter, start, startWithFake } from "../support/conversation.ts"

const loaded = { status: 200, body: { models: [{ name: "m:latest", model: "m:latest" }] } }

const erase = "\r\u001B[K"

/** The last lines that were drawn one over the other before a text. */
const before = (output: string, text: string): string => output.slice(0, output.indexOf(text))

// Several programs start in some of them.
vi.setConfig({ testTimeout: 60_000 })

describe.skipIf(!CommandLine.hasTerminals)("waiting", () => {
  it.live("shows whether the model is loaded or the prompt is read, and the seconds of a long wait", () =>
    Effect.gen(function* () {
      let isLoaded = false
      const { program, say, server } = yield* startWithFake(({ path }): FakeServer.Answer => {
        if (path === "/api/ps" && isLoaded) return loaded
        return { text: "Because.", delay: { first: 4500 } }
      })
      yield* say(`Why?${enter}`, "loading the model", "loading the model, 4 s", "Because.", "tokens")
      expect((yield* program.output).stdout.split("Because.")[0]?.endsWith(erase)).toBe(true)
      isLoaded = true
      yield* say(`Why?${enter}`, "reading the prompt", "reading the prompt, 3 s", "Because.", "tokens")
      const { requests } = yield* server.state
      expect(requests.filter(({ path }) => path === "/api/ps").length).toBe(2)
    })
  )

  it.live.each([
    { name: "never answers", reply: FakeServer.silence },
    { name: "fails", reply: { status: 500, body: { error: "no" } } }
  ])("does not depend on the list of models in memory: it $name", ({ reply }) =>
    Effect.gen(function* () {
      const { program, say, server } = yield* startWithFake(({ path }): FakeServer.Answer =>
        path === "/api/ps" ? reply : { text: "Because.", delay: { first: 1000 } }
      )
      yield* say(`Why?${enter}`, "connecting")
      yield* server.until(({ requests }) => requests.some(({ path }) => path === "/api/ps"))
      yield* say("", "Because.", "tokens")
      yield* program.type(ctrlD)
      const { code, stdout } = yield* program.result
      expect(code).toBe(0)
      expect(before(stdout, "Because.")).not.toContain("loading")
    })
  )

  it.live("shows how much of the prompt llama-server has read", () =>
    Effect.gen(function* () {
      const progress = (processed: number): FakeServer.Piece => ({
        record: JSON.stringify({
          id: "1",
          model: "m",
          choices: [{ index: 0, delta: {} }],
          prompt_progress: { total: 200, cache: 0, processed, time_ms: 1 }
        })
      })
      const server = yield* FakeServer.make(
        { pieces: [progress(50), progress(150), "Because."], delay: { between: 900 } },
        { models: ["m"] }
      )
      const { say } = yield* start(["--provider", "llama-server", "--url", server.url], {})
      yield* say(`Why?${enter}`, "reading the prompt, 25 %", "reading the prompt, 75 %", "Because.", "tokens")
    })
  )

  it.live("shows that the request waits in the queue of a pool", () =>
    Effect.gen(function* () {
      const script: FakeServer.Script = ({ path }): FakeServer.Answer =>
        path === "/api/chat" ? FakeServer.silence : { text: "" }
      const a = yield* FakeServer.make(script, { models: ["m"] })
      const b = yield* FakeServer.make(script, { models: ["m"] })
      const { say } = yield* start(["--host", a.url, "--host", b.url, "--provider", "ollama", "-m", "m"], {})
      // A host counts a request that was stopped before its answer for a while, since it still reads the prompt.
      for (let i = 0; i < 8; i++) {
        yield* say(`Why?${enter}`, "loading the model")
        yield* say(ctrlC, "stopped")
      }
      yield* say(`Why?${enter}`, "queued")
      yield* say(ctrlC, "stopped")
    })
  )

  it.live("shows it in narrow terminals and for a single prompt, but not with --quiet", () =>
    Effect.gen(function* () {
      const script: FakeServer.Script = { text: "Because.", delay: { first: 1200 } }
      const { say, program } = yield* startWithFake(script, { before: "stty cols 12; " })
      yield* say(`Why?${enter}`, "Because.", "tokens")
      const { stdout } = yield* program.output
      // Eleven columns, and nothing else between two of them.
      const lines = stdout.slice(stdout.indexOf(erase), stdout.lastIndexOf(erase)).split(erase).slice(1)
      const dimmed = ["connectin", "loading t"].map((text) => `\u001B[2m${text}\u001B[22m`)
      expect(lines.length).toBeGreaterThan(2)
      for (const line of lines) expect(dimmed).toContain(line.replace(/[^ ] /, ""))

      const server = yield* FakeServer.make(script)
      const env = { OLLAMA_HOST: server.url, TERM: "xterm" }
      expect((yield* CommandLine.runOnTerminal(["Why?"], { env })).stdout).toContain("loading the model")
      const quiet = yield* CommandLine.runOnTerminal(["Why?", "--quiet"], { env })
      expect(quiet.stdout).toBe("Because.\r\n")
    })
  )
})
