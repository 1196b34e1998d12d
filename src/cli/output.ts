/** Writing to standard output and standard error. Effect's `Stdio` does not report which failed, nor that a reader has gone. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Kinds from "../servers/kinds.ts"
import { variable } from "./access.ts"
import * as Failure from "./failure.ts"
import * as Text from "./text.ts"

export type WriteFailed = Failure.OutputFailed | Failure.ReaderGone

/** Prevents that an error event ends the process. The callback of each write reports the error as well. */
export const ignoreErrorEvents: Effect.Effect<void> = Effect.sync(() => {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined)
})

/** Writes to standard output, and waits until the text is written. */
export const write = (text: string): Effect.Effect<void, WriteFailed> =>
  Effect.mapError(writeTo(process.stdout, text), (error) =>
    "code" in error && error.code === "EPIPE"
      ? new Failure.ReaderGone()
      : new Failure.OutputFailed({ message: `standard output cannot be written: ${error.message}` })
  )

/** Writes a line to standard output. For a terminal it is made safe. */
export const writeLine = (line: string): Effect.Effect<void, WriteFailed> =>
  write(`${process.stdout.isTTY ? Text.toSingleLine(line) : line}\n`)

/** Writes a line of JSON to standard output. */
export const writeJsonLine = (json: string): Effect.Effect<void, WriteFailed> =>
  write(`${process.stdout.isTTY ? Text.escapeControls(json) : json}\n`)

/** Writes a value as a line of JSON. */
export const writeJson = (value: unknown): Effect.Effect<void, WriteFailed> => writeJsonLine(JSON.stringify(value))

/** Writes to standard error. It never has the result, so a failure is ignored. */
export const writeError = (text: string): Effect.Effect<void> => Effect.ignore(writeTo(process.stderr, text))

/** Writes a line to standard error. */
export const note = (line: string): Effect.Effect<void> =>
  Effect.flatMap(conceal(line), (line) => writeError(`${Text.toSingleLine(line)}\n`))

/** Writes a line of less importance to standard error. */
export const dimNote = (line: string): Effect.Effect<void> =>
  Effect.flatMap(Effect.all([dim, conceal(line)]), ([dim, line]) => writeError(`${dim(Text.toSingleLine(line))}\n`))

const writeTo = (stream: NodeJS.WriteStream, text: string): Effect.Effect<void, Error> =>
  Effect.callback((resume) => {
    stream.write(text, (error) => resume(error ? Effect.fail(error) : Effect.void))
  })

/** Runs an effect, and writes a line to standard error if it takes more than a time. Default: three seconds. */
export const withNoteIfSlow =
  (line: string, after: Duration.Input = "3 seconds") =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.raceFirst(effect, Effect.andThen(Effect.delay(dimNote(line), after), Effect.never))

/** Whether standard error is a terminal that interprets control sequences. */
export const canErase: Effect.Effect<boolean> = Effect.map(
  variable("TERM"),
  (terminal) => process.stderr.isTTY && terminal !== "dumb"
)

/** Whether text is shown in styles: by default where control sequences are interpreted. `NO_COLOR` takes precedence over `FORCE_COLOR`. */
export const hasStyles = Effect.fnUntraced(function* (byDefault: boolean) {
  const forced = yield* variable("FORCE_COLOR")
  const hasColors = forced === "" ? byDefault : forced !== "0" && forced !== "false"
  return hasColors && (yield* variable("NO_COLOR")) === ""
})

/** Dims text for standard error where styles are shown. */
export const dim: Effect.Effect<(text: string) => string> = Effect.map(
  Effect.flatMap(canErase, hasStyles),
  (isDimmed) => (text) => (isDimmed && text !== "" ? `\u001B[2m${text}\u001B[22m` : text)
)

const secretVariables = ["LOCAL_LLM_HEADERS", "LOCAL_LLM_KEY", ...Kinds.tokenVariables]

/** Shorter values are no secrets, and may be a part of any message. */
const minLength = 4

/** Removes the tokens and the values of headers, which servers quote in their errors. */
const conceal = (message: string): Effect.Effect<string> =>
  Effect.map(Effect.forEach(secretVariables, variable), ([headers = "", ...tokens]) => {
    const lines = [...headers.split(/\r?\n/), ...headerFlags(process.argv)]
    const values = lines.map((header) => header.slice(header.indexOf(":") + 1))
    return [...values, ...tokens].flatMap(toForms).reduce(remove, message)
  })

const headerFlags = (args: ReadonlyArray<string>): ReadonlyArray<string> =>
  args.flatMap((arg, index) =>
    args[index - 1] === "--header" ? [arg] : arg.startsWith("--header=") ? [arg.slice("--header=".length)] : []
  )

/** A value, what follows its scheme, such as `Basic`, and both as JSON quotes them. The longest come first. */
const toForms = (value: string): ReadonlyArray<string> => {
  const text = value.trim()
  const forms = [text, text.slice(text.indexOf(" ") + 1).trim()]
  return [...forms, ...forms.map((form) => JSON.stringify(form).slice(1, -1))]
    .filter((form) => form.length >= minLength)
    .toSorted((a, b) => b.length - a.length)
}

/** The text of a server may be cut within a secret. */
const remove = (message: string, secret: string): string => {
  let text = message.replaceAll(secret, "<redacted>")
  for (let length = secret.length - 1; length >= minLength && text.includes("…"); length--) {
    text = text.replaceAll(`${secret.slice(0, length)}…`, "<redacted>…")
  }
  return text
}
