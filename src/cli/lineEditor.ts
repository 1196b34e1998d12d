/** Lines that a person edits, with a history. Node's `readline` does the editing. */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Readline from "node:readline"
import { Writable } from "node:stream"

export interface LineEditor {
  /** The next line; `undefined` at the end of the input. */
  readonly read: Effect.Effect<string | undefined>
  /** Waits for an answer. Keys are not shown meanwhile, and Ctrl-C runs `stop`. */
  readonly whileAnswering: <A, E>(
    answer: Effect.Effect<Exit.Exit<A, E>>,
    stop: Effect.Effect<void>
  ) => Effect.Effect<Exit.Exit<A, E>>
}

export const make = Effect.fnUntraced(function* (commands: ReadonlyArray<string>) {
  let isMuted = false
  const output = new Writable({
    write: (chunk, _, done) => {
      if (!isMuted) process.stdout.write(chunk)
      done()
    }
  })
  const lines = yield* Effect.acquireRelease(
    Effect.sync(() =>
      Readline.createInterface({
        input: process.stdin,
        output,
        terminal: true,
        historySize: 500,
        prompt: "> ",
        completer: (line: string) => [commands.filter((command) => command.startsWith(line)), line]
      })
    ),
    (lines) => Effect.sync(() => lines.close())
  )
  let isClosed = false
  // Lines that were typed during an answer.
  const typed: Array<string> = []
  let take: ((line: string | undefined) => void) | undefined
  const give = (line: string | undefined): void => {
    if (take === undefined) {
      if (line !== undefined) typed.push(line)
      return
    }
    const resume = take
    take = undefined
    resume(line)
  }
  lines.on("line", give)
  lines.on("close", () => {
    isClosed = true
    give(undefined)
  })
  let stop: () => void = () => undefined
  lines.on("SIGINT", () => {
    if (isMuted) return stop()
    // An empty line, as in a shell.
    output.write("^C\n")
    lines.write(null, { ctrl: true, name: "e" })
    lines.write(null, { ctrl: true, name: "u" })
    return lines.prompt()
  })

  const editor: LineEditor = {
    read: Effect.callback((resume) => {
      const next = typed.shift()
      if (next !== undefined) return resume(Effect.succeed(next))
      if (isClosed) return resume(Effect.succeed(undefined))
      take = (line) => resume(Effect.succeed(line))
      return lines.prompt()
    }),
    whileAnswering: (answer, interrupt) =>
      Effect.suspend(() => {
        isMuted = true
        stop = () => void Effect.runFork(interrupt)
        return Effect.ensuring(
          answer,
          Effect.sync(() => {
            isMuted = false
          })
        )
      })
  }
  return editor
})
