/** `local-llm top` on a pseudo-terminal. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import { vi } from "vitest"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"
import * as Gateway from "../support/serve.ts"

// Each of them starts programs, on a machine that may be busy.
vi.setConfig({ testTimeout: 60_000 })

/** What is on the screen: what was written since it was erased. */
const screenOf = ({ stdout }: CommandLine.Output): string => stdout.split("\u001B[H\u001B[J").at(-1) ?? ""

/** Starts it on a terminal with 12 rows and 70 columns, which `resize` changes. */
const startTop = Effect.fnUntraced(function* (url: string) {
  const command = `tty; stty cols 70 rows 12; exec ${CommandLine.shellCommand(["top", "--url", url])}`
  const quoted = `'${command.replaceAll("'", `'\\''`)}'`
  const top = yield* CommandLine.startShell(`exec script -qec ${quoted} /dev/null`, { keepStdinOpen: true })
  const untilScreen = (predicate: (screen: string) => boolean) => top.until((output) => predicate(screenOf(output)))
  return {
    ...top,
    untilScreen,
    resize: Effect.fnUntraced(function* (columns: number, rows: number) {
      const [, terminal = ""] = /^(\/dev\/\S+)/.exec((yield* top.output).stdout) ?? []
      execFileSync("stty", ["-F", terminal, "cols", String(columns), "rows", String(rows)])
    })
  }
})

const widest = (screen: string): number => Math.max(...screen.split(/\r?\n/).map((line) => line.length))

const heightOf = (screen: string): number => screen.trimEnd().split("\n").length

describe.skipIf(!CommandLine.hasTerminals)("local-llm top", () => {
  it.live("shows the hosts, fits any size of the terminal, and leaves the screen as it was", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ text: "Yes" }, { models: ["a-model-with-a-long-name:latest"] })
      const names = ["a", "b", "c", "d"].map((path) => `${server.url}/${path}`)
      const gateway = yield* Gateway.serve(["--host", server.url, ...names.flatMap((url) => ["--host", url])])
      const { output, resize, result, type, untilScreen } = yield* startTop(gateway.url)
      yield* untilScreen((screen) => /Ollama +ready +0 of 4/.test(screen))
      expect(widest(screenOf(yield* output))).toBeLessThanOrEqual(70)
      yield* resize(24, 5)
      // `stty` changes columns and rows one after the other.
      yield* untilScreen((screen) => screen.includes("…") && widest(screen) <= 24 && heightOf(screen) <= 4)
      yield* resize(200, 40)
      yield* untilScreen((screen) => screen.includes(`${server.url}/d`) && widest(screen) > 70)
      yield* type("\u0003")
      const { stdout } = yield* result
      expect(stdout).toContain("\u001B[?25h\u001B[?1049l")
    })
  )

  it.live("waits for a gateway that has stopped, and goes on when it is back", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ text: "Yes" }, { models: ["m:latest"] })
      const gateway = yield* Gateway.serve(["--host", server.url])
      const { untilScreen } = yield* startTop(gateway.url)
      yield* untilScreen((screen) => screen.includes("ready"))
      yield* gateway.kill("SIGTERM")
      yield* untilScreen((screen) => screen.includes("it does not answer") && !screen.includes("ready"))
      yield* Gateway.serve(["--host", server.url, "--listen", new URL(gateway.url).port])
      yield* untilScreen((screen) => screen.includes("ready"))
    })
  )

  it.live("fails at once where there is no gateway, without touching the screen", () =>
    Effect.gen(function* () {
      const result = yield* CommandLine.runOnTerminal(["top", "--url", CommandLine.nowhere])
      expect(result.code).toBe(1)
      expect(result.stdout).toMatch(/the gateway at http:\/\/127.0.0.1:1: it does not answer/)
      expect(result.stdout).not.toContain("\u001B[?1049h")
    })
  )
})
