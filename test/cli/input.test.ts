/** Where the prompt comes from. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"

const license = Fs.readFileSync("LICENSE", "utf8")

const named = (url: string) => ["--provider", "ollama", "--model", "m", "--url", url]

const lastPrompt = (server: FakeServer.FakeServer["Service"]) =>
  Effect.map(server.state, ({ requests }) => requests.findLast(({ body }) => body !== undefined)?.body)

const prompt = (content: string) => expect.objectContaining({ messages: [{ role: "user", content }] })

describe("the prompt", () => {
  it.live("is the text on standard input if there is no argument", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make()
      const { code } = yield* CommandLine.run(named(server.url), { input: "Why is\nthe sky blue?\n" })
      expect(code).toBe(0)
      expect(yield* lastPrompt(server)).toEqual(prompt("Why is\nthe sky blue?\n"))
    })
  )

  it.live("is the argument, a blank line and the text on standard input if there are both", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make()
      const { code } = yield* CommandLine.run([...named(server.url), "Summarize:"], { input: "Once upon\na time.\n" })
      expect(code).toBe(0)
      expect(yield* lastPrompt(server)).toEqual(prompt("Summarize:\n\nOnce upon\na time.\n"))
    })
  )

  it.live.each([
    { name: "a file", script: (command: string) => `${command} < LICENSE`, input: license },
    { name: "a pipe", script: (command: string) => `echo piped | ${command}`, input: "piped\n" },
    { name: "/dev/null", script: (command: string) => `${command} < /dev/null`, input: "" },
    { name: "a closed one", script: (command: string) => `${command} <&-`, input: "" }
  ])("with standard input from $name", ({ input, script }) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make()
      const { code } = yield* CommandLine.runShell(script(CommandLine.shellCommand([...named(server.url), "Why?"])))
      expect(code).toBe(0)
      expect(yield* lastPrompt(server)).toEqual(prompt(input === "" ? "Why?" : `Why?\n\n${input}`))
    })
  )

  it.live.skipIf(!CommandLine.hasTerminals)("does not wait for standard input if that is a terminal", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make()
      const options = { keepStdinOpen: true }
      const { code } = yield* CommandLine.runOnTerminal([...named(server.url), "Why?"], options)
      expect(code).toBe(0)
      expect(yield* lastPrompt(server)).toEqual(prompt("Why?"))
    })
  )

  it.live("waits for the end of standard input, which a line reports", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make()
      const command = yield* CommandLine.start([...named(server.url), "Why?"], { keepStdinOpen: true })
      yield* command.until(({ stderr }) => stderr.startsWith("local-llm: waiting for the end of standard input"))
      yield* command.closeStdin
      expect((yield* command.result).code).toBe(0)
      expect(yield* lastPrompt(server)).toEqual(prompt("Why?"))
    })
  )

  it.live("must not be empty", () =>
    Effect.gen(function* () {
      for (const [args, input] of [
        [[], ""],
        [[" "], "\n"]
      ] as const) {
        const { code, stderr, stdout } = yield* CommandLine.run(args, { input })
        expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
        expect(stderr).toMatch(/^local-llm: the prompt is empty; give one as an argument[^\n]*\n$/)
      }
    })
  )

  it.live("that is no text is an error", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make()
      const printed = `printf 'PNG\\377\\376\\0' | ${CommandLine.shellCommand([...named(server.url), "Why?"])}`
      const { code, stderr, stdout } = yield* CommandLine.runShell(printed)
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
      expect(stderr).toBe("local-llm: standard input is no text in UTF-8; an image belongs to --image\n")
      expect((yield* server.state).requests).toEqual([])
    })
  )

  it.live("that cannot be read is an error", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* CommandLine.runShell(`${CommandLine.shellCommand(["Why?"])} 0> /dev/null`)
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
      expect(stderr).toMatch(/^local-llm: standard input cannot be read: EBADF[^\n]*\n$/)
    })
  )
})
