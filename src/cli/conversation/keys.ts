/** The keys that a person presses on a terminal. */
import * as Effect from "effect/Effect"
import * as Readline from "node:readline"

/** A key as Node decodes it. A pasted text is one key without a name. */
export type OnKey = (text: string | undefined, key: Readline.Key) => void

export const isControl = ({ ctrl, name }: Readline.Key, letter: string): boolean => ctrl === true && name === letter

/** Stands for a line end in a pasted text, since `readline` edits single lines. Unicode assigns it to no character of any text. */
export const lineEnd = "\uFDD0"

/** Terminals mark pasted text if they are asked to, so that its line ends do not send it. */
const markPastes = "\u001B[?2004h"
const stopMarkingPastes = "\u001B[?2004l"

/** In this mode each key reaches the program at once, Ctrl-C as well, and is not shown by the terminal. */
const setKeyMode = (isOn: boolean): void => {
  process.stdin.setRawMode(isOn)
  process.stdout.write(isOn ? markPastes : stopMarkingPastes)
}

/** Reads keys from the terminal, one by one, until the scope closes. */
export const open = ({ onEnd, onKey }: { readonly onKey: OnKey; readonly onEnd: () => void }) => {
  const { stdin } = process
  let pasted: string | undefined
  const onKeypress: OnKey = (text, key) => {
    if (key.name === "paste-start") pasted = ""
    else if (key.name === "paste-end") {
      onKey((pasted ?? "").replaceAll(/\r\n|\r|\n/g, lineEnd), {})
      pasted = undefined
    } else if (pasted === undefined) onKey(text, key)
    // Control characters of a pasted text are dropped.
    else if (/^(\P{Cc}|[\t\r\n])$/u.test(key.sequence ?? "")) pasted += key.sequence
  }
  // Without a listener, the error of a terminal that has gone would end the process before its finalizers.
  stdin.on("error", onEnd)
  return Effect.acquireRelease(
    Effect.sync(() => {
      Readline.emitKeypressEvents(stdin)
      stdin.on("keypress", onKeypress)
      stdin.on("end", onEnd)
      setKeyMode(true)
      stdin.resume()
    }),
    () =>
      Effect.sync(() => {
        stdin.off("keypress", onKeypress)
        stdin.off("end", onEnd)
        stdin.pause()
        setKeyMode(false)
      })
  )
}

/**
 * Stops the process, as Ctrl-Z does elsewhere, and succeeds when it runs again. A process whose parent does not control jobs is not
 * stopped and gets no signal to continue, so the time decides: it passes once the process runs.
 */
export const suspend: Effect.Effect<void> =
  process.platform === "win32"
    ? Effect.void
    : Effect.sync(() => {
        setKeyMode(false)
        process.kill(process.pid, "SIGTSTP")
      }).pipe(Effect.andThen(Effect.sleep("100 millis")), Effect.andThen(Effect.sync(() => setKeyMode(true))))
