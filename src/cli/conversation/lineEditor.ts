/** Prompts that a person types on a terminal, with a history. Node's `readline` does the editing. */
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Terminal from "effect/Terminal"
import * as Readline from "node:readline"
import { PassThrough, Writable } from "node:stream"
import { variable } from "../access.ts"
import type { History } from "./history.ts"

export interface LineEditor {
  /** The next prompt, of one or more lines. It may be empty, as after Ctrl-C. `undefined` at the end of the input. A draft is edited, without its control characters. */
  readonly read: (draft?: string) => Effect.Effect<string | undefined>
  /** Runs an effect that uses the terminal itself. */
  readonly leave: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Runs an effect. Ctrl-C interrupts it. Other keys are kept for the next `read`. */
  readonly whileBusy: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<Exit.Exit<A, E>, never, R>
}

export interface Options {
  readonly history: History
  /** What a line may become with the Tab key. */
  readonly complete: (line: string) => Effect.Effect<ReadonlyArray<string>>
  /** Is shown after Ctrl-C on an empty line. */
  readonly hint: string
}

export const make = Effect.fnUntraced(function* (options: Options) {
  return (yield* variable("TERM")) === "dumb" ? yield* makePlain(options) : yield* makeEditing(options)
})

/** On a terminal without control sequences, the terminal itself edits a line, and Ctrl-C ends the program. */
const makePlain = Effect.fnUntraced(function* ({ history }: Options) {
  const terminal = yield* Terminal.Terminal
  const ask = (prompt: string) => Effect.andThen(Effect.ignore(terminal.display(prompt)), terminal.readLine)
  const readText = Effect.gen(function* () {
    let text = yield* ask(prompt)
    while (isOpen(text)) text += `\n${yield* ask(continuation)}`
    return text
  })
  const editor: LineEditor = {
    // It cannot show a draft.
    read: () =>
      Effect.matchEffect(readText, {
        onFailure: () => Effect.undefined,
        onSuccess: (text) => Effect.as(history.add(text), text)
      }),
    leave: (effect) => effect,
    whileBusy: Effect.exit
  }
  return editor
})

/** What gets the keys at the moment. */
interface Receiver {
  readonly onKey: OnKey
  readonly onEnd: () => void
}

const makeEditing = Effect.fnUntraced(function* (options: Options) {
  const kept: Array<Parameters<OnKey>> = []
  const keeping: Receiver = { onKey: (...key) => void kept.push(key), onEnd: () => undefined }
  let receiver = keeping
  let isEnded = false
  const keys = makeKeys({
    onKey: (...key) => receiver.onKey(...key),
    onEnd: () => {
      isEnded = true
      receiver.onEnd()
    }
  })
  yield* Effect.acquireRelease(keys.open, () => keys.close)
  const run = yield* FiberSet.makeRuntime()

  const readText = (draft: string) =>
    Effect.callback<string | undefined>((resume) => {
      if (isEnded) return resume(Effect.undefined)
      const editing = edit(options, run, (text) => {
        receiver = keeping
        resume(Effect.succeed(text))
      })
      receiver = editing
      if (draft !== "") editing.onKey(draft.replaceAll(/[^\P{Cc}\t\n]/gu, "").replaceAll("\n", lineEnd), {})
      for (let key = kept.shift(); key !== undefined; key = kept.shift()) {
        editing.onKey(...key)
        if (receiver !== editing) break
      }
      return Effect.sync(editing.onEnd)
    })

  const editor: LineEditor = {
    read: (draft = "") =>
      Effect.tap(readText(draft), (text) => (text === undefined ? Effect.void : options.history.add(text))),
    leave: (effect) => Effect.ensuring(Effect.andThen(keys.close, effect), keys.open),
    whileBusy: Effect.fnUntraced(function* (effect) {
      const fiber = yield* Effect.forkChild(effect)
      const stop = () => {
        kept.length = 0
        fiber.interruptUnsafe()
      }
      const onKey: OnKey = (text, key) => {
        if (isControl(key, "c")) stop()
        else if (isControl(key, "z")) run(suspend)
        else keeping.onKey(text, key)
      }
      receiver = { onKey, onEnd: stop }
      // It may have come before the effect began.
      if (isEnded || kept.some(([, key]) => isControl(key, "c"))) stop()
      return yield* Effect.ensuring(
        Fiber.await(fiber),
        Effect.sync(() => (receiver = keeping))
      )
    })
  }
  return editor
})

/** Edits one prompt. A prompt that begins with `"""` goes on until a line that ends with it. */
const edit = (
  { complete, hint, history }: Options,
  run: (effect: Effect.Effect<void>) => unknown,
  done: (text: string | undefined) => void
): Receiver => {
  let isDone = false
  const parts: Array<string> = []
  const { output, stopResizing } = makeOutput()
  const lines = Readline.createInterface({
    // It gets its keys from `onKey`, so that it gets none while something else is going on.
    input: new PassThrough(),
    output,
    terminal: true,
    prompt,
    history: history.entries.map((entry) => entry.replaceAll("\n", lineEnd)),
    historySize: history.entries.length + 1000,
    completer: (line: string, use: (error: null, result: [Array<string>, string]) => void): void => {
      run(Effect.map(complete(line), (found) => (isDone ? undefined : use(null, [[...found], line]))))
    }
  })
  const finish = (text: string | undefined): void => {
    if (isDone) return
    isDone = true
    lines.close()
    stopResizing()
    done(text)
  }
  lines.on("line", (line) => {
    parts.push(line.replaceAll(lineEnd, "\n"))
    const text = parts.join("\n")
    if (!isOpen(text)) return finish(text)
    lines.setPrompt(continuation)
    return lines.prompt()
  })
  lines.on("SIGINT", () => {
    const isEmpty = lines.line === "" && parts.length === 0
    lines.write(null, { ctrl: true, name: "e" })
    output.write(isEmpty ? `\n${hint}\n` : "^C\n")
    finish("")
  })
  lines.on("close", () => finish(undefined))
  lines.on("SIGTSTP", () => {
    run(Effect.andThen(suspend, () => Effect.sync(() => (isDone ? undefined : lines.prompt(true)))))
  })
  lines.prompt()
  return { onKey: (text, key) => lines.write(text ?? "", key), onEnd: () => lines.close() }
}

const prompt = "> "
const continuation = "… "

/** Whether a prompt goes on. */
const isOpen = (text: string): boolean => {
  const trimmed = text.trim()
  return trimmed.startsWith('"""') && (trimmed.length < 6 || !trimmed.endsWith('"""'))
}

/** Standard output, which shows line ends of the edited line by a symbol. */
const makeOutput = () => {
  const { stdout } = process
  const output = new Writable({
    decodeStrings: false,
    write: (text, _, done) => {
      // It does not wait, so that nothing written to standard output directly comes before it.
      stdout.write(String(text).replaceAll(lineEnd, "⏎"))
      done()
    }
  })
  Object.defineProperty(output, "columns", { get: () => stdout.columns })
  const onResize = () => output.emit("resize")
  stdout.on("resize", onResize)
  return { output, stopResizing: () => stdout.off("resize", onResize) }
}

/** A key as Node decodes it. A pasted text is one key without a name. */
type OnKey = (text: string | undefined, key: Readline.Key) => void

const isControl = ({ ctrl, name }: Readline.Key, letter: string): boolean => ctrl === true && name === letter

/** Stands for a line end in a pasted text, since `readline` edits single lines. Unicode assigns it to no character of any text. */
const lineEnd = "\uFDD0"

/** Terminals mark pasted text if they are asked to, so that its line ends do not send it. */
const markPastes = "\u001B[?2004h"
const stopMarkingPastes = "\u001B[?2004l"

/** In this mode each key reaches the program at once, Ctrl-C as well, and is not shown by the terminal. */
const setKeyMode = (isOn: boolean): void => {
  process.stdin.setRawMode(isOn)
  process.stdout.write(isOn ? markPastes : stopMarkingPastes)
}

/** Reads keys from the terminal, one by one, while it is open. */
const makeKeys = ({ onEnd, onKey }: Receiver) => {
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
  return {
    open: Effect.sync(() => {
      Readline.emitKeypressEvents(stdin)
      stdin.on("keypress", onKeypress)
      stdin.on("end", onEnd)
      setKeyMode(true)
      stdin.resume()
    }),
    close: Effect.sync(() => {
      stdin.off("keypress", onKeypress)
      stdin.off("end", onEnd)
      stdin.pause()
      setKeyMode(false)
    })
  }
}

/**
 * Stops the process, as Ctrl-Z does elsewhere, and succeeds when it runs again. A process whose parent does not control jobs is not
 * stopped and gets no signal to continue, so the time decides: it passes once the process runs.
 */
const suspend: Effect.Effect<void> =
  process.platform === "win32"
    ? Effect.void
    : Effect.sync(() => {
        setKeyMode(false)
        process.kill(process.pid, "SIGTSTP")
      }).pipe(Effect.andThen(Effect.sleep("100 millis")), Effect.andThen(Effect.sync(() => setKeyMode(true))))
