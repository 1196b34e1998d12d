/** What goes to standard error: all that is not the answer itself. */
import * as Effect from "effect/Effect"

/** A whole line. */
export const note = (text: string): Effect.Effect<void> => write(`${text}\n`)

/** Text as it is. It is lost if nobody reads it. */
export const write = (text: string): Effect.Effect<void> =>
  Effect.sync(() => {
    process.stderr.write(text)
  })

/** Less bright, where there are colours. */
export const dim = (text: string): string =>
  process.stderr.isTTY && !process.env["NO_COLOR"] ? `\u001B[2m${text}\u001B[22m` : text
