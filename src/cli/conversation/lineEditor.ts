/** Prompts that a person types on a terminal, with a history. Node's `readline` does the editing. */
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as Terminal from "effect/Terminal"
import * as Readline from "node:readline"
import { PassThrough, Writable } from "node:stream"
import type { History } from "./history.ts"
import * as Keys from "./keys.ts"

export interface LineEditor {
  /** The next prompt, of one or more lines. It may be empty, as after Ctrl-C. `undefined` at the end of the input. */
  readonly read: Effect.Effect<string | undefined>
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

const shownLineEnd = "⏎"

export const make = Effect.fnUntraced(function* (options: Options) {
  const isDumb = (yield* Effect.orElseSucceed(Config.String("TERM"), () => "")) === "dumb"
  return isDumb ? yield* makePlain(options) : yield* makeEditing(options)
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
    read: Effect.matchEffect(readText, {
      onFailure: () => Effect.undefined,
      onSuccess: (text) => Effect.as(history.add(text), text)
    }),
    whileBusy: Effect.exit
  }
  return editor
})

const makeEditing = Effect.fnUntraced(function* (options: Options) {
  const kept: Array<Parameters<Keys.OnKey>> = []
  const keep: Keys.OnKey = (...key) => void kept.push(key)
  let onKey = keep
  let onEnd = (): void => undefined
  let isEnded = false
  yield* Keys.open({
    onKey: (...key) => onKey(...key),
    onEnd: () => {
      isEnded = true
      onEnd()
    }
  })
  const run = yield* FiberSet.makeRuntime()

  const readText = Effect.callback<string | undefined>((resume) => {
    if (isEnded) return resume(Effect.undefined)
    const editing = edit(options, run, (text) => {
      onKey = keep
      onEnd = () => undefined
      resume(Effect.succeed(text))
    })
    onKey = editing.onKey
    onEnd = editing.close
    for (let key = kept.shift(); key !== undefined; key = kept.shift()) {
      onKey(...key)
      if (onKey === keep) break
    }
    return Effect.sync(editing.close)
  })

  const editor: LineEditor = {
    read: Effect.tap(readText, (text) => (text === undefined ? Effect.void : options.history.add(text))),
    whileBusy: Effect.fnUntraced(function* (effect) {
      const fiber = yield* Effect.forkChild(effect)
      const stop = () => {
        kept.length = 0
        fiber.interruptUnsafe()
      }
      onKey = (text, key) => {
        if (Keys.isControl(key, "c")) stop()
        else if (Keys.isControl(key, "z")) run(Keys.suspend)
        else keep(text, key)
      }
      // The answer is not read any more.
      onEnd = stop
      // It may have come before the effect began.
      if (isEnded || kept.some(([, key]) => Keys.isControl(key, "c"))) stop()
      return yield* Effect.ensuring(
        Fiber.await(fiber),
        Effect.sync(() => {
          onKey = keep
          onEnd = () => undefined
        })
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
) => {
  let isDone = false
  const parts: Array<string> = []
  const finish = (text: string | undefined): void => {
    if (isDone) return
    isDone = true
    lines.close()
    stopResizing()
    done(text)
  }
  const completer = (line: string, use: (error: null, result: [Array<string>, string]) => void): void => {
    run(Effect.map(complete(line), (found) => (isDone ? undefined : use(null, [[...found], line]))))
  }
  const { output, stopResizing } = makeOutput()
  const lines = Readline.createInterface({
    // It gets its keys from `onKey`, so that it gets none while something else is going on.
    input: new PassThrough(),
    output,
    terminal: true,
    prompt,
    history: history.entries.map((entry) => entry.replaceAll("\n", Keys.lineEnd)),
    historySize: history.entries.length + 1000,
    completer
  })
  lines.on("line", (line) => {
    parts.push(line.replaceAll(Keys.lineEnd, "\n"))
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
    run(Effect.andThen(Keys.suspend, () => Effect.sync(() => (isDone ? undefined : lines.prompt(true)))))
  })
  lines.prompt()
  const onKey: Keys.OnKey = (text, key) => lines.write(text ?? "", key)
  return { onKey, close: () => lines.close() }
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
      stdout.write(String(text).replaceAll(Keys.lineEnd, shownLineEnd))
      done()
    }
  })
  Object.defineProperty(output, "columns", { get: () => stdout.columns })
  const onResize = () => output.emit("resize")
  stdout.on("resize", onResize)
  return { output, stopResizing: () => stdout.off("resize", onResize) }
}
