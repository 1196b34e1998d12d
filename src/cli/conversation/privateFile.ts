/** Files that only the user can read. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"

export const mode = 0o600

/** Writes or replaces a file as a whole: if that fails, the file is as it was. */
export const replace = Effect.fnUntraced(function* (file: string, text: string) {
  const files = yield* FileSystem.FileSystem
  // The target of a link, if it is one.
  const target = yield* Effect.orElseSucceed(files.realPath(file), () => file)
  const temporary = `${target}.${process.pid}.tmp`
  yield* files.writeFileString(temporary, text, { mode }).pipe(
    Effect.andThen(files.rename(temporary, target)),
    Effect.onError(() => Effect.ignore(files.remove(temporary)))
  )
})
