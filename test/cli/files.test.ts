/** Files that only the user can read. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Files from "../../src/cli/files.ts"

const makeFolder = (): string => Fs.mkdtempSync(Path.join(Os.tmpdir(), "local-llm-"))

const modeOf = (path: string): number => Fs.lstatSync(path).mode & 0o777

const replace = (file: string, text: string) => Effect.provide(Files.replace(file, text), NodeServices.layer)

it.live("a new file and one that others could read are private, and nothing else is left", () =>
  Effect.gen(function* () {
    const folder = makeFolder()
    for (const name of ["new", "old"]) {
      const file = Path.join(folder, name)
      if (name === "old") Fs.writeFileSync(file, "before", { mode: 0o666 })
      yield* replace(file, name)
      expect(Fs.readFileSync(file, "utf8")).toBe(name)
      expect(modeOf(file)).toBe(0o600)
    }
    expect(Fs.readdirSync(folder)).toEqual(["new", "old"])
  })
)

it.live("a link is replaced, and its target stays as it is", () =>
  Effect.gen(function* () {
    const folder = makeFolder()
    const victim = Path.join(folder, "victim")
    Fs.writeFileSync(victim, "before", { mode: 0o644 })
    for (const target of [victim, Path.join(folder, "missing")]) {
      const file = Path.join(folder, `link-to-${Path.basename(target)}`)
      Fs.symlinkSync(target, file)
      yield* replace(file, "secret")
      expect(Fs.lstatSync(file).isSymbolicLink()).toBe(false)
      expect(Fs.readFileSync(file, "utf8")).toBe("secret")
    }
    expect(Fs.readFileSync(victim, "utf8")).toBe("before")
    expect(modeOf(victim)).toBe(0o644)
    expect(Fs.existsSync(Path.join(folder, "missing"))).toBe(false)
  })
)

it.live("the temporary file has another name each time, is private from the start, and must not exist", () =>
  Effect.gen(function* () {
    const folder = makeFolder()
    const written: Array<readonly [name: string, options: object | undefined]> = []
    const files = yield* FileSystem.FileSystem
    const spy = FileSystem.make({
      ...files,
      writeFile: (path, data, options) => {
        written.push([path, options])
        return files.writeFile(path, data, options)
      }
    })
    for (const text of ["a", "b"]) {
      yield* Effect.provideService(Files.replace(Path.join(folder, "file"), text), FileSystem.FileSystem, spy)
    }
    expect(written.map(([, options]) => options)).toEqual([
      { flag: "wx", mode: 0o600 },
      { flag: "wx", mode: 0o600 }
    ])
    const [first, second] = written.map(([name]) => name)
    expect(first).not.toBe(second)
    expect(first).not.toContain(String(process.pid))
  }).pipe(Effect.provide(NodeServices.layer))
)

it.live("a failure leaves the file as it was, and no other", () =>
  Effect.gen(function* () {
    const folder = makeFolder()
    const file = Path.join(folder, "file")
    Fs.mkdirSync(file)
    yield* Effect.flip(replace(file, "text"))
    expect(Fs.readdirSync(folder)).toEqual(["file"])
  })
)
