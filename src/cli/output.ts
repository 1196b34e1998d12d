/** Writing to standard output and standard error. Effect's `Stdio` does not report which of the two failed, nor that a reader has gone. */
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Runtime from "effect/Runtime"
import * as Secrets from "./secrets.ts"
import * as Text from "./text.ts"

/** Standard output does not take the text, for example because the disk is full. */
export class OutputFailed extends Data.TaggedError("OutputFailed")<{ readonly message: string }> {}

/** The reader of standard output has gone, as in `local-llm … | head -1`. The program ends quietly. */
export class ReaderGone extends Data.TaggedError("ReaderGone") {
  /** 128 + SIGPIPE, as a shell reports it of programs that end by this signal. */
  override readonly [Runtime.errorExitCode] = 141
}

/** Prevents that an error event ends the process. The callback of each write reports the error as well. */
export const ignoreErrorEvents: Effect.Effect<void> = Effect.sync(() => {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined)
})

/** Writes to standard output, and waits until the text is written. */
export const write = (text: string): Effect.Effect<void, OutputFailed | ReaderGone> =>
  Effect.mapError(writeTo(process.stdout, text), (error) =>
    "code" in error && error.code === "EPIPE"
      ? new ReaderGone()
      : new OutputFailed({ message: `standard output cannot be written: ${error.message}` })
  )

/** Writes a line of JSON to standard output. */
export const writeJsonLine = (json: string): Effect.Effect<void, OutputFailed | ReaderGone> =>
  write(`${process.stdout.isTTY ? Text.escapeControls(json) : json}\n`)

/** Writes to standard error. It never holds the answer, so a failure is ignored. */
export const writeError = (text: string): Effect.Effect<void> => Effect.ignore(writeTo(process.stderr, text))

/** Writes a line to standard error. */
export const note = (line: string): Effect.Effect<void> =>
  Effect.flatMap(Secrets.conceal(line), (line) => writeError(`${Text.toSingleLine(line)}\n`))

/** Writes a line of less importance to standard error. */
export const dimNote = (line: string): Effect.Effect<void> =>
  Effect.flatMap(Effect.all([dim, Secrets.conceal(line)]), ([dim, line]) =>
    writeError(`${dim(Text.toSingleLine(line))}\n`)
  )

const variable = (name: string): Effect.Effect<string> => Effect.orElseSucceed(Config.String(name), () => "")

/** Whether standard error is a terminal that interprets control sequences. */
export const canErase: Effect.Effect<boolean> = Effect.map(
  variable("TERM"),
  (terminal) => process.stderr.isTTY && terminal !== "dumb"
)

/** Dims text for standard error where colors are shown: by default on a terminal. `NO_COLOR` takes precedence over `FORCE_COLOR`. */
export const dim: Effect.Effect<(text: string) => string> = Effect.gen(function* () {
  const forced = yield* variable("FORCE_COLOR")
  const hasColors = forced === "" ? yield* canErase : forced !== "0" && forced !== "false"
  const isDimmed = hasColors && (yield* variable("NO_COLOR")) === ""
  return (text) => (isDimmed && text !== "" ? `\u001B[2m${text}\u001B[22m` : text)
})

/** Runs an effect, and writes a line to standard error if it takes more than a time. Default: three seconds. */
export const withNoteIfSlow =
  (line: string, after: Duration.Input = "3 seconds") =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.raceFirst(effect, Effect.andThen(Effect.delay(dimNote(line), after), Effect.never))

const writeTo = (stream: NodeJS.WriteStream, text: string): Effect.Effect<void, Error> =>
  Effect.callback((resume) => {
    stream.write(text, (error) => resume(error ? Effect.fail(error) : Effect.void))
  })
