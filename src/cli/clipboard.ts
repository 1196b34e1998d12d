/** Puts a text into the clipboard. */
import * as Effect from "effect/Effect"
import { spawn } from "node:child_process"
import { platform } from "node:process"
import { variable } from "./access.ts"
import * as Failure from "./failure.ts"
import * as Output from "./output.ts"

/** Many terminals take no longer sequence. */
const maxSequence = 100_000

/** By a program of the desktop, or else by a sequence (OSC 52) that a terminal understands or ignores. Returns how. */
export const copy = Effect.fnUntraced(function* (text: string) {
  for (const [program, ...args] of yield* findPrograms) {
    if (program !== undefined && (yield* runWith(program, args, text))) return `by ${program}`
  }
  if ((yield* variable("TERM")) === "dumb") return yield* Failure.fail("the terminal cannot copy")
  const sequence = `\u001B]52;c;${Buffer.from(text).toString("base64")}\u0007`
  if (sequence.length > maxSequence)
    return yield* Failure.fail("the text is too long for the terminal; /save writes it")
  yield* Output.write(sequence)
  return "by the terminal, if it allows that"
})

/** On another machine, the clipboard is that of the terminal. */
const findPrograms: Effect.Effect<ReadonlyArray<ReadonlyArray<string>>> = Effect.gen(function* () {
  if ((yield* variable("SSH_CONNECTION")) !== "") return []
  if (platform === "darwin") return [["pbcopy"]]
  const wayland = (yield* variable("WAYLAND_DISPLAY")) === "" ? [] : [["wl-copy"]]
  const x11 =
    (yield* variable("DISPLAY")) === ""
      ? []
      : [
          ["xclip", "-selection", "clipboard"],
          ["xsel", "--input", "--clipboard"]
        ]
  return [...wayland, ...x11]
})

/** Whether a program is there and takes the text. Such programs go on in the background with their output. */
const runWith = (program: string, args: ReadonlyArray<string>, text: string): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const child = spawn(program, args, { stdio: ["pipe", "ignore", "ignore"] })
    child.once("error", () => resume(Effect.succeed(false)))
    child.once("exit", (code) => resume(Effect.succeed(code === 0)))
    child.stdin.on("error", () => undefined)
    child.stdin.end(text)
    return Effect.sync(() => child.kill())
  })
