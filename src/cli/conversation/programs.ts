/** Programs of the user: the editor, and those that fill the clipboard. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { spawn, type SpawnOptions } from "node:child_process"
import { platform } from "node:process"
import { variable } from "../access.ts"
import * as Failure from "../failure.ts"
import * as Output from "../output.ts"

/** The exit code of a program; `undefined` if it cannot be started. `input` is written to it. Such programs may go on in the background. */
const run = ([program = "", ...args]: ReadonlyArray<string>, options: SpawnOptions, input = "") =>
  Effect.callback<number | null | undefined>((resume) => {
    const child = spawn(program, args, options)
    child.once("error", () => resume(Effect.undefined))
    child.once("exit", (code) => resume(Effect.succeed(code)))
    child.stdin?.on("error", () => undefined)
    child.stdin?.end(input)
    return Effect.sync(() => child.kill())
  })

/** The command of the editor, which may have arguments. `undefined` if there is none. */
export const editor = Effect.gen(function* () {
  const names = yield* Effect.forEach(["VISUAL", "EDITOR"], variable)
  return names.map((name) => name.trim()).find((name) => name !== "")
})

/** The text as the editor has left it, without blank lines at its end. Only the user can read the file. */
export const edit = Effect.fnUntraced(function* (command: string, text: string) {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = path.join(yield* files.makeTempDirectoryScoped({ prefix: "local-llm-" }), "prompt.md")
  yield* files.writeFileString(file, `${text}\n`, { flag: "wx", mode: 0o600 })
  // A shell divides the command into words, as it does for git.
  const code = yield* platform === "win32"
    ? run([`${command} "${file}"`], { shell: true, stdio: "inherit" })
    : run(["sh", "-c", `${command} "$1"`, "sh", file], { stdio: "inherit" })
  if (code !== 0) return yield* Failure.fail(`the editor failed: ${command}`)
  return (yield* files.readFileString(file)).trimEnd()
}, Effect.scoped)

/** Many terminals take no longer sequence. */
const maxSequence = 100_000

/** By a program of the desktop, or else by a sequence (OSC 52) that a terminal understands or ignores. Returns how. */
export const copy = Effect.fnUntraced(function* (text: string) {
  for (const command of yield* clipboards) {
    if ((yield* run(command, { stdio: ["pipe", "ignore", "ignore"] }, text)) === 0) return `by ${command[0]}`
  }
  if ((yield* variable("TERM")) === "dumb") return yield* Failure.fail("the terminal cannot copy")
  const sequence = `\u001B]52;c;${Buffer.from(text).toString("base64")}\u0007`
  if (sequence.length > maxSequence) {
    return yield* Failure.fail("the text is too long for the terminal; /save writes it")
  }
  yield* Output.write(sequence)
  return "by the terminal, if it allows that"
})

const x11 = ["xclip -selection clipboard", "xsel --input --clipboard"]

/** On another machine, the clipboard is that of the terminal. */
const clipboards = Effect.gen(function* () {
  const isSet = (name: string) => Effect.map(variable(name), (value) => value !== "")
  if (yield* isSet("SSH_CONNECTION")) return []
  const wayland = (yield* isSet("WAYLAND_DISPLAY")) ? ["wl-copy"] : []
  const commands = platform === "darwin" ? ["pbcopy"] : [...wayland, ...((yield* isSet("DISPLAY")) ? x11 : [])]
  return commands.map((command) => command.split(" "))
})
