/** What is written where, and what happens if it cannot be written. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"

const hostile = "a\u001B[2Jb\u001B]0;title\u0007c\u009B31md\u0008e\rf\u202Eg"
const harmless = "a␛[2Jb␛]0;title␇c\uFFFD31md␈e␍f\uFFFDg"
/** On a single line. */
const harmlessLine = harmless.replace("␍", " ")

const isHarmless = (output: string): boolean =>
  // The program itself dims thinking and the summary.
  !/[^\P{Cc}\n\t]/u.test(
    ["\r\n", "\u001B[2m", "\u001B[22m"].reduce((text, expected) => text.replaceAll(expected, "\n"), output)
  )

describe("standard error", () => {
  it.live.each(["2>&-", "2> >(true)", "2>/dev/full"])("is not needed for the answer: %s", (redirect) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ thinking: "hm", text: "Rayleigh." })
      const command = `${CommandLine.shellCommand(["Why?"])} ${redirect}`
      const { code, stdout } = yield* CommandLine.runShell(`exec bash -c "${command.replaceAll('"', '\\"')}"`, {
        env: { OLLAMA_HOST: server.url }
      })
      expect({ code, stdout }).toEqual({ code: 0, stdout: "Rayleigh.\n" })
    })
  )

  it.live("is not needed for the answer when its reader has gone", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({
        thinking: "hm",
        pieces: Array.from("Rayleigh scattering."),
        delay: { headers: "500 millis" }
      })
      const command = yield* CommandLine.start(["Why?"], { env: { OLLAMA_HOST: server.url } })
      yield* command.closeStderr
      const { code, stdout } = yield* command.result
      expect({ code, stdout }).toEqual({ code: 0, stdout: "Rayleigh scattering.\n" })
    })
  )
})

describe.skipIf(!Fs.existsSync("/dev/full"))("a full disk", () => {
  it.live.each(["Why?", "models"])("is an error: %s", (word) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make()
      const command = `${CommandLine.shellCommand([word])} > /dev/full`
      const { code, stderr } = yield* CommandLine.runShell(command, { env: { OLLAMA_HOST: server.url } })
      expect(stderr.trimStart()).toMatch(/^local-llm: standard output cannot be written: ENOSPC[^\n]*\n$/)
      expect(code).toBe(1)
    })
  )
})

describe("a character that is split between two chunks", () => {
  it.live("is joined, in the answer and in thinking", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({
        pieces: [{ thinking: "x\uD83D" }, { thinking: "\uDE00y" }, "a\uD83D", "\uDE00b"]
      })
      const { stderr, stdout } = yield* CommandLine.run(["Why?"], { env: { OLLAMA_HOST: server.url } })
      expect(stdout).toBe("a😀b\n")
      expect(stderr).toMatch(/^x😀y\n\nfake/)
    })
  )
})

describe.skipIf(!CommandLine.hasTerminals)("control characters on a terminal", () => {
  it.live("are replaced in answers and thinking", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ pieces: [{ thinking: hostile }, hostile] })
      const { code, stdout } = yield* CommandLine.runOnTerminal(["Why?"], { env: { OLLAMA_HOST: server.url } })
      expect(code).toBe(0)
      expect(stdout.split(harmless)).toHaveLength(3)
      expect(stdout).toSatisfy(isHarmless)
    })
  )

  it.live("are replaced in the names of models", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({}, { models: [`${hostile}\nx`] })
      const env = { OLLAMA_HOST: server.url }
      const models = yield* CommandLine.runOnTerminal(["models"], { env })
      expect(models.stdout).toMatch(/^Ollama {2}[^\n]*\r\n$/)
      expect(models.stdout).toContain(`${harmlessLine} x`)
      const answer = yield* CommandLine.runOnTerminal(["Why?"], { env })
      expect(answer.stdout).toContain(`${harmlessLine} x on Ollama`)
      for (const { stdout } of [models, answer]) expect(stdout).toSatisfy(isHarmless)
    })
  )

  it.live.each([
    ["Why?", "--json"],
    ["Why?", "--jsonl"],
    ["models", "--json"],
    ["ps", "--json"]
  ])("are escaped in JSON, whose value stays the same: %j", (args) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(
        ({ path }): FakeServer.Answer =>
          path === "/api/ps" ? { status: 200, body: { models: [{ name: hostile }] } } : { text: hostile },
        { models: [hostile] }
      )
      const { code, stdout } = yield* CommandLine.runOnTerminal(args, { env: { OLLAMA_HOST: server.url } })
      expect(code).toBe(0)
      expect(stdout).toSatisfy(isHarmless)
      const texts: Array<unknown> = []
      for (const line of stdout.trim().split("\n")) JSON.parse(line, (_, value) => (texts.push(value), value))
      expect(texts).toContain(hostile)
    })
  )

  it.live("are replaced in errors", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(
        { status: 400, body: { error: `${hostile}\nlocal-llm: all is well` } },
        { models: [hostile] }
      )
      for (const args of [
        ["Why?"],
        ["--model", "m", "--provider", "ollama", "Why?"],
        ["models"],
        ["--model", "m", "x"]
      ]) {
        const { code, stdout } = yield* CommandLine.runOnTerminal(args, { env: { OLLAMA_HOST: server.url } })
        expect(code).toBe(1)
        expect(stdout).toMatch(/^local-llm: [^\n]*\r\n$/)
        expect(stdout).toSatisfy(isHarmless)
      }
    })
  )
})

describe("control characters in a pipe", () => {
  it.live("are passed on in answers", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ pieces: Array.from(hostile) })
      const { stdout } = yield* CommandLine.run(["Why?"], { env: { OLLAMA_HOST: server.url } })
      expect(stdout).toBe(`${hostile}\n`)
    })
  )
})

describe("colours", () => {
  const dim = "\u001B[2m"
  it.live.each<[env: Readonly<Record<string, string>>, isDim: boolean]>([
    [{}, false],
    [{ FORCE_COLOR: "1" }, true],
    [{ FORCE_COLOR: "0" }, false],
    [{ FORCE_COLOR: "1", NO_COLOR: "1" }, false]
  ])("in a pipe with %j", ([env, isDim]) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ thinking: "hm", text: "Yes" })
      const { stderr } = yield* CommandLine.run(["x"], { env: { OLLAMA_HOST: server.url, ...env } })
      expect(stderr.includes(dim)).toBe(isDim)
      // Node.js writes a warning if it prefers one of the variables.
      expect(stderr).not.toContain("Warning")
    })
  )
})

describe.skipIf(!CommandLine.hasTerminals)("colours on a terminal", () => {
  it.live.each<[env: Readonly<Record<string, string>>, isDim: boolean]>([
    [{ TERM: "xterm" }, true],
    [{ TERM: "xterm", NO_COLOR: "" }, true],
    [{ TERM: "xterm", NO_COLOR: "1" }, false],
    [{ TERM: "dumb" }, false]
  ])("with %j", ([env, isDim]) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ thinking: "hm", text: "Yes" })
      const { stdout } = yield* CommandLine.runOnTerminal(["x"], { env: { OLLAMA_HOST: server.url, ...env } })
      expect(stdout.includes("\u001B[2m")).toBe(isDim)
    })
  )
})

describe("a standard output that is closed from the start", () => {
  it.live("is that of a program that wants no output: Node.js opens /dev/null in its place", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ text: "Yes" })
      const script = `${CommandLine.shellCommand(["x", "-q"])} >&-`
      const result = yield* CommandLine.runShell(script, { env: { OLLAMA_HOST: server.url } })
      expect(result).toEqual({ code: 0, stdout: "", stderr: "" })
    })
  )
})
