/** The prompt, from the arguments and from standard input. */
import * as Effect from "effect/Effect"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Failure from "./failure.ts"
import * as Output from "./output.ts"

/**
 * The files, the words and the text on standard input, with blank lines between them; any may be missing. Standard input is read to
 * its end unless it is a terminal.
 */
export const read = Effect.fnUntraced(function* (
  words: ReadonlyArray<string>,
  { files = [], program = "local-llm" }: { readonly files?: ReadonlyArray<string>; readonly program?: string } = {}
): Effect.fn.Return<string, Failure.CommandFailed, Stdio.Stdio> {
  const stdio = yield* Stdio.Stdio
  const argument = words.join(" ")
  const input = (yield* stdio.stdinIsTerminal) ? "" : yield* readInput
  const parts = [...files, argument, input].filter((part) => part.trim() !== "")
  if (parts.length === 0) {
    const example = `${program} "Why is the sky blue?"`
    return yield* Failure.fail(`the prompt is empty; give one as an argument, for example: ${example}`)
  }
  return parts.join("\n\n")
})

/** The text on standard input. What is not UTF-8 is an error, since replaced characters would go unnoticed. */
export const input: Stream.Stream<string, Failure.CommandFailed, Stdio.Stdio> = Stream.unwrap(
  Effect.map(Stdio.Stdio, ({ stdin }) => {
    const decoder = new TextDecoder("utf-8", { fatal: true })
    const decode = (bytes?: Uint8Array) =>
      Effect.try({
        try: () => decoder.decode(bytes, { stream: bytes !== undefined }),
        catch: () =>
          new Failure.CommandFailed({ message: "standard input is no text in UTF-8; an image belongs to --image" })
      })
    return stdin.pipe(
      Stream.mapError(({ cause, message }) => {
        const description = cause instanceof Error ? cause.message : message
        return new Failure.CommandFailed({ message: `standard input cannot be read: ${description}` })
      }),
      Stream.mapEffect(decode),
      Stream.concat(Stream.fromEffect(Effect.suspend(() => decode())))
    )
  })
)

const readInput = Stream.mkString(input).pipe(
  // The writer may never close it. A prompt that was piped in is not dropped, so there is no limit.
  Output.withNoteIfSlow(
    "local-llm: waiting for the end of standard input; add </dev/null if it is not meant as a prompt"
  )
)
