/** The file of the history. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { describe, expect, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as History from "../../src/cli/conversation/history.ts"

const makeFolder = (): string => Fs.mkdtempSync(Path.join(Os.tmpdir(), "local-llm-"))

const fileIn = (folder: string): string => Path.join(folder, "local-llm", "history")

const open = (env: Record<string, string>) =>
  History.open(false).pipe(
    Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env }))),
    Effect.provide(NodeServices.layer)
  )

/** Writes the file before a program starts. */
const write = (folder: string, text: string): string => {
  Fs.mkdirSync(Path.join(folder, "local-llm"), { recursive: true })
  Fs.writeFileSync(fileIn(folder), text)
  return fileIn(folder)
}

const modeOf = (path: string): number => Fs.statSync(path).mode & 0o777

describe("the history", () => {
  it.live("is kept between conversations, the newest first, with line ends", () =>
    Effect.gen(function* () {
      const folder = makeFolder()
      const first = yield* open({ XDG_STATE_HOME: folder })
      expect(first.entries).toEqual([])
      yield* first.add("one")
      yield* first.add("two\nlines \u2028\t😀")
      yield* first.add("two\nlines \u2028\t😀")
      yield* first.add("  ")
      const second = yield* open({ XDG_STATE_HOME: folder })
      expect(second.entries).toEqual(["two\nlines \u2028\t😀", "one"])
      expect(modeOf(fileIn(folder))).toBe(0o600)
      expect(modeOf(Path.dirname(fileIn(folder)))).toBe(0o700)
    })
  )

  it.live("of two programs at the same time has the prompts of both", () =>
    Effect.gen(function* () {
      const env = { XDG_STATE_HOME: makeFolder() }
      const [a, b] = yield* Effect.all([open(env), open(env)])
      yield* Effect.forEach(Array.from({ length: 50 }), (_, i) => Effect.all([a.add(`a${i}`), b.add(`b${i}`)]), {
        concurrency: "unbounded"
      })
      expect(new Set((yield* open(env)).entries).size).toBe(100)
    })
  )

  it.live("is bounded, and a longer file is replaced by its newest prompts", () =>
    Effect.gen(function* () {
      const folder = makeFolder()
      const lines = Array.from({ length: 3 * History.maxEntries }, (_, i) => `"${i}"\n`).join("")
      const file = write(folder, lines)
      const { entries } = yield* open({ XDG_STATE_HOME: folder })
      expect(entries.length).toBe(History.maxEntries)
      expect(entries[0]).toBe(`${3 * History.maxEntries - 1}`)
      expect(Fs.readFileSync(file, "utf8").split("\n").length).toBe(History.maxEntries + 1)
      expect(modeOf(file)).toBe(0o600)
      expect(Fs.readdirSync(Path.dirname(file))).toEqual(["history"])
      expect((yield* open({ XDG_STATE_HOME: folder })).entries).toEqual(entries)
    })
  )

  it.live("that is huge is read at its end only", () =>
    Effect.gen(function* () {
      const folder = makeFolder()
      const file = write(folder, `"${"x".repeat(20 * History.maxBytes)}"\n"last"\n`)
      expect((yield* open({ XDG_STATE_HOME: folder })).entries).toEqual(["last"])
      expect(Fs.readFileSync(file, "utf8")).toBe('"last"\n')
    })
  )

  it.live("skips what cannot be decoded", () =>
    Effect.gen(function* () {
      const folder = makeFolder()
      write(folder, 'nonsense\n"good"\n"\\u001B[2J"\n{"a":1}\n\u0000\uFFFD\n"cut')
      const { add, entries } = yield* open({ XDG_STATE_HOME: folder })
      expect(entries).toEqual(["good"])
      yield* add("next")
      yield* add("after that")
      expect((yield* open({ XDG_STATE_HOME: folder })).entries).toEqual(["after that", "next", "good"])
    })
  )

  it.live("makes a file that others could read private", () =>
    Effect.gen(function* () {
      const folder = makeFolder()
      const file = write(folder, '"old"\n')
      Fs.chmodSync(file, 0o644)
      yield* open({ XDG_STATE_HOME: folder })
      expect(modeOf(file)).toBe(0o600)
    })
  )

  it.live("keeps a very long prompt for this conversation only", () =>
    Effect.gen(function* () {
      const folder = makeFolder()
      const { add, entries } = yield* open({ XDG_STATE_HOME: folder })
      yield* add("x".repeat(100_000))
      expect(entries.length).toBe(1)
      expect((yield* open({ XDG_STATE_HOME: folder })).entries).toEqual([])
    })
  )

  it.live("lasts as long as the conversation if the file cannot be used", () =>
    Effect.gen(function* () {
      const folder = makeFolder()
      Fs.mkdirSync(fileIn(folder), { recursive: true })
      const pipe = makeFolder()
      Fs.mkdirSync(Path.join(pipe, "local-llm"))
      execFileSync("sh", ["-c", 'mkfifo "$0"', fileIn(pipe)])
      const device = makeFolder()
      Fs.mkdirSync(Path.join(device, "local-llm"))
      Fs.symlinkSync("/dev/null", fileIn(device))
      const places = [folder, pipe, device, "/dev/null/impossible", "/proc/impossible"]
      for (const XDG_STATE_HOME of places) {
        const { add, entries } = yield* open({ XDG_STATE_HOME })
        yield* add("one")
        expect(entries).toEqual(["one"])
        expect((yield* open({ XDG_STATE_HOME })).entries).toEqual([])
      }
    })
  )

  it.live("does not follow a link", () =>
    Effect.gen(function* () {
      const folder = makeFolder()
      const victim = Path.join(makeFolder(), "victim")
      Fs.writeFileSync(victim, '"old"\n', { mode: 0o644 })
      Fs.mkdirSync(Path.join(folder, "local-llm"))
      for (const target of [victim, `${victim}-missing`]) {
        Fs.symlinkSync(target, fileIn(folder))
        const { add, entries } = yield* open({ XDG_STATE_HOME: folder })
        yield* add("one")
        expect(entries).toEqual(["one"])
        Fs.unlinkSync(fileIn(folder))
      }
      expect(Fs.readFileSync(victim, "utf8")).toBe('"old"\n')
      expect(modeOf(victim)).toBe(0o644)
      expect(Fs.readdirSync(Path.dirname(victim))).toEqual(["victim"])
    })
  )

  it.live("is off with LOCAL_LLM_NOHISTORY, and without a home", () =>
    Effect.gen(function* () {
      const folder = makeFolder()
      write(folder, '"old"\n')
      const off = yield* open({ XDG_STATE_HOME: folder, LOCAL_LLM_NOHISTORY: "1" })
      yield* off.add("new")
      expect(off.entries).toEqual(["new"])
      expect(Fs.readFileSync(fileIn(folder), "utf8")).toBe('"old"\n')
      expect((yield* open({})).entries).toEqual([])
    })
  )

  it.live.skipIf(process.platform !== "linux")("is in ~/.local/state, also if XDG_STATE_HOME is not absolute", () =>
    Effect.gen(function* () {
      const home = makeFolder()
      const { add } = yield* open({ HOME: home, XDG_STATE_HOME: "relative" })
      yield* add("one")
      expect(Fs.readFileSync(Path.join(home, ".local", "state", "local-llm", "history"), "utf8")).toBe('"one"\n')
    })
  )
})
