/** The page about the command line agrees with its help and its behaviour. */
import { describe, expect, it } from "@effect/vitest"
import type { CommandDescriptor } from "effect/cli/Completions"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import { describe as describeCommand } from "../../src/cli/commands.ts"
import { complete } from "../../src/cli/conversation/commands.ts"
import * as Kept from "../../src/cli/conversation/kept.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import * as CommandLine from "../support/commandLine.ts"

const page = Fs.readFileSync("docs/command-line.md", "utf8")
const section = (title: string): string => page.split(`## ${title}\n`)[1]?.split("\n## ")[0] ?? ""
const firstColumn = (text: string): string =>
  text
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => line.split("|")[1])
    .join("\n")

const root = describeCommand()
const namesOf = ({ flags }: CommandDescriptor): ReadonlyArray<string> =>
  flags.flatMap(({ aliases, name }) => [`--${name}`, ...aliases.map((alias) => `-${alias}`)])

const allCommands = (command: CommandDescriptor): ReadonlyArray<CommandDescriptor> => [
  command,
  ...command.subcommands.flatMap(allCommands)
]

describe("docs/command-line.md", () => {
  it("has every flag, and no other", () => {
    const flags = new Set(allCommands(root).flatMap(namesOf))
    const documented = firstColumn(section("Flags")).match(/(?<=[`\s])--?[a-z-]+/g) ?? []
    expect(new Set(documented)).toEqual(flags)
  })

  it("has every command, and no other", () => {
    const documented = firstColumn(section("Commands")).match(/(?<=`)(?!local-llm)[a-z-]+(?=[ `])/g) ?? []
    expect(new Set([...documented, "chat"])).toEqual(new Set(root.subcommands.map(({ name }) => name)))
  })

  it.effect("has every command of a conversation, and no other", () =>
    Effect.gen(function* () {
      const provider = yield* MockProvider.make([])
      const nothing = { system: undefined, messages: [], turn: undefined, images: [], files: [], answeredBy: undefined }
      const session = { provider, keeper: Kept.none, settings: {}, model: "m", ...nothing, isOver: false }
      const commands = yield* complete(session)("/")
      const documented = firstColumn(section("Conversations")).match(/(?<=`)\/[a-z]+/g) ?? []
      expect(new Set(documented)).toEqual(new Set(commands.map((line) => line.trim())))
    })
  )

  it.live("agrees with the help", () =>
    Effect.gen(function* () {
      const { stdout } = yield* CommandLine.run(["--help"])
      const documented = firstColumn(section("Flags"))
      const inHelp = stdout.match(/(?<=\n {2}|, )--?[a-z][a-z-]*/g) ?? []
      expect(inHelp).toContain("--max-tokens")
      for (const flag of inHelp) expect(documented).toContain(flag)
    })
  )
})

describe("the next start", () => {
  it.live.each([
    { env: {}, isKept: true },
    { env: { NODE_DISABLE_COMPILE_CACHE: "1" }, isKept: false }
  ])("uses compiled modules of this one unless that is disabled: $env", ({ env, isKept }) =>
    Effect.gen(function* () {
      const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "local-llm-"))
      const { code } = yield* CommandLine.run(["--version"], {
        env: { NODE_COMPILE_CACHE: undefined, ...env, TMPDIR: folder }
      })
      expect(code).toBe(0)
      expect(Fs.readdirSync(folder)).toEqual(isKept ? ["node-compile-cache"] : [])
    })
  )
})

const yes: FakeServer.Script = { text: "Yes" }
const onPost =
  (answer: FakeServer.Answer): FakeServer.Script =>
  ({ method }) =>
    method === "POST" ? answer : {}
const overflow = { error: "the request exceeds the available context size, prompt tokens 5000, n_ctx 4096" }

/** Each exit code, and for failures the line that says what to do. */
const rows: ReadonlyArray<[args: ReadonlyArray<string>, script: FakeServer.Script, code: number, message?: RegExp]> = [
  [["x"], yes, 0],
  [["--help"], yes, 0],
  [["help"], yes, 0],
  [["--version"], yes, 0],
  [["models"], yes, 0],
  [["x", "--max-tokens", "1"], { text: "Yes", finishReason: "length" }, 0],
  [["x", "--provider", "lmstudio", "--url", CommandLine.nowhere], yes, 1, /is the server running\?/],
  [["x", "--url", CommandLine.nowhere], yes, 1, /nothing listens on 127\.0\.0\.1:1; is the server running\?/],
  [["x", "--url", "ftp://a"], yes, 1, /^local-llm: Ollama: invalid address: Expected an http or https address$/],
  [["x"], onPost({ status: 404, body: "404 page not found" }), 1, /; is it another kind of server\? --provider names/],
  [["x", "--host", ""], yes, 1, /invalid address/],
  [["x", "-m", "nope"], yes, 1, /there is no model "nope"; it has m:latest/],
  [["--modle", "m"], yes, 1, /unknown flag --modle; did you mean --model\?/],
  [["x", "--no-json"], yes, 1, /unknown flag --no-json/],
  [["x", "--think", "much"], yes, 1, /--think.*"low"/],
  [["x", "--temperature", "3"], yes, 1, /invalid --temperature: Expected a value between 0 and 2/],
  [["x", "--max-tokens", "0"], yes, 1, /invalid --max-tokens/],
  [["x", "--context", "-1"], yes, 1, /invalid --context/],
  [["x", "--stop", ""], yes, 1, /invalid --stop/],
  [["x", "--image", "/no/such.png"], yes, 1, /--image cannot be read: there is no such file: \/no\/such\.png/],
  [["x", "--image", "LICENSE"], yes, 1, /images.*"local-llm show MODEL" shows what a model can do/],
  [["x", "--schema", "src"], yes, 1, /--schema cannot be read: .*directory.*src/],
  [["x", "--schema", "LICENSE"], yes, 1, /the file of --schema cannot be used/],
  [["x"], onPost({ status: 400, body: overflow }), 1, /shorten the prompt, or give the model a larger context/],
  [["x"], { status: 401, body: { error: "no" } }, 1, /set the token: OLLAMA_API_KEY/],
  [["x"], onPost({ status: 404, body: { error: "model 'm' not found" } }), 1, /"local-llm models" lists the models/],
  [["x"], { status: 200, headers: { "content-type": "text/html" }, body: "<html>" }, 1, /check --url and the proxy/],
  [
    ["x"],
    { status: 302, headers: { location: "http://x/?token=secret" } },
    1,
    /set --url to the address of the server/
  ],
  [["x"], onPost({ status: 500, body: { error: "out of memory" } }), 1, /status 500: out of memory$/],
  [["x", "--json"], { text: "Yes", cut: { how: "end" } }, 1, /the answer ended without its end marker/]
]

describe("exit codes", () => {
  it.live.each(rows)("%j", ([args, script, code, message]) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(script, { models: ["m:latest"] })
      const result = yield* CommandLine.run(args, { env: { OLLAMA_HOST: server.url } })
      expect(result.code).toBe(code)
      expect(section("Exit codes")).toContain(`| ${code} `)
      if (code === 0) return
      expect(result.stdout).toBe("")
      expect(result.stderr.trim().split("\n")).toHaveLength(1)
      expect(result.stderr.trim()).toMatch(message ?? /./)
      expect(result.stderr).not.toMatch(/secret|baseUrl|redacted/)
    })
  )
})
