/** Edits a text in the editor of the user. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { spawn } from "node:child_process"
import { platform } from "node:process"
import { variable } from "../access.ts"
import * as Failure from "../failure.ts"

/** The command of the editor, which may have arguments. `undefined` if there is none. */
export const command = Effect.gen(function* () {
  const names = yield* Effect.forEach(["VISUAL", "EDITOR"], variable)
  return names.map((name) => name.trim()).find((name) => name !== "")
})

/** The text as the editor has left it, without blank lines at its end. Only the user can read the file. */
export const edit = Effect.fnUntraced(function* (command: string, text: string) {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const file = path.join(yield* files.makeTempDirectoryScoped({ prefix: "local-llm-" }), "prompt.md")
  yield* files.writeFileString(file, `${text}\n`, { flag: "wx", mode: 0o600 })
  const code = yield* run(command, file)
  if (code !== 0) return yield* Failure.fail(`the editor failed: ${command}`)
  return (yield* files.readFileString(file)).trimEnd()
}, Effect.scoped)

/** A shell divides the command into words, as it does for git. */
const run = (command: string, file: string): Effect.Effect<number | null> =>
  Effect.callback((resume) => {
    const child =
      platform === "win32"
        ? spawn(`${command} "${file}"`, { shell: true, stdio: "inherit" })
        : spawn("sh", ["-c", `${command} "$1"`, "sh", file], { stdio: "inherit" })
    child.once("error", () => resume(Effect.succeed(null)))
    child.once("exit", (code) => resume(Effect.succeed(code)))
    return Effect.sync(() => child.kill())
  })
