/** What is shown while an answer is waited for, on a pseudo-terminal. */
import { describe, expect, it, vi } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"
import { ctrlC, ctrlD, enter, start, startWithFake } from "../support/conversation.ts"

const loaded = { status: 200, body: { models: [{ name: "m:latest", model: "m:latest" }] } }

const erase = "\r\u001B[K"

/** A piece that is sent once the test has seen something. */
const after = <A>(isSeen: Deferred.Deferred<void>, piece: A): Stream.Stream<A> =>
  Stream.fromEffect(Effect.as(Deferred.await(isSeen), piece))

/** The last lines that were drawn one over the other before a text. */
const before = (output: string, text: string): string => output.slice(0, output.indexOf(text))

// Several programs start in some of them.
vi.setConfig({ testTimeout: 60_000 })

describe.skipIf(!CommandLine.hasTerminals)("waiting", () => {
  it.live("shows whether the model is loaded or the prompt is read, and the seconds of a long wait", () =>
    Effect.gen(function* () {
      let isLoaded = false
      let isSeen = yield* Deferred.make<void>()
      const { program, say, server } = yield* startWithFake(({ path }): FakeServer.Answer =>
        path === "/api/ps" && isLoaded ? loaded : { pieces: after(isSeen, "Because.") }
      )
      yield* say(`Why?${enter}`, "loading the model", "loading the model, 3 s")
      yield* Deferred.succeed(isSeen, undefined)
      yield* say("", "Because.", "tokens")
      expect((yield* program.output).stdout.split("Because.")[0]?.endsWith(erase)).toBe(true)
      isLoaded = true
      isSeen = yield* Deferred.make<void>()
      yield* say(`Why?${enter}`, "reading the prompt", "reading the prompt, 3 s")
      yield* Deferred.succeed(isSeen, undefined)
      yield* say("", "Because.", "tokens")
      const { requests } = yield* server.state
      expect(requests.filter(({ path }) => path === "/api/ps").length).toBe(2)
    })
  )

  it.live.each([
    { name: "never answers", reply: FakeServer.silence },
    { name: "fails", reply: { status: 500, body: { error: "no" } } }
  ])("does not depend on the list of models in memory: it $name", ({ reply }) =>
    Effect.gen(function* () {
      const isSeen = yield* Deferred.make<void>()
      const { program, say, server } = yield* startWithFake(({ path }): FakeServer.Answer =>
        path === "/api/ps" ? reply : { pieces: after(isSeen, "Because.") }
      )
      yield* say(`Why?${enter}`, "connecting")
      yield* server.until(({ requests }) => requests.some(({ path }) => path === "/api/ps"))
      // It is drawn several times in half a second.
      yield* Effect.sleep("500 millis")
      yield* Deferred.succeed(isSeen, undefined)
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
      const [isQuarterSeen, isRestSeen] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const pieces: Stream.Stream<FakeServer.Piece> = Stream.make(progress(50)).pipe(
        Stream.concat(after(isQuarterSeen, progress(150))),
        Stream.concat(after(isRestSeen, "Because."))
      )
      const server = yield* FakeServer.make({ pieces }, { models: ["m"] })
      const { say } = yield* start(["--provider", "llama-server", "--url", server.url], {})
      yield* say(`Why?${enter}`, "reading the prompt, 25 %")
      yield* Deferred.succeed(isQuarterSeen, undefined)
      yield* say("", "reading the prompt, 75 %")
      yield* Deferred.succeed(isRestSeen, undefined)
      yield* say("", "Because.", "tokens")
    })
  )

  it.live("shows that the request waits for a pool whose hosts are off", () =>
    Effect.gen(function* () {
      const servers = yield* Scope.make()
      const makeHost = Scope.provide(FakeServer.make({ text: "" }, { models: ["m"] }), servers)
      const [a, b] = yield* Effect.all([makeHost, makeHost])
      const { say } = yield* start(["--host", a.url, "--host", b.url, "--provider", "ollama", "-m", "m"], {})
      yield* Scope.close(servers, Exit.void)
      // Each prompt is a failure of both hosts. After five, they are off.
      for (let i = 0; i < 5; i++) yield* say(`Why?${enter}`, "ECONNREFUSED")
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
