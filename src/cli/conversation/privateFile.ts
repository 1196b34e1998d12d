/** Files that only the user can read. Links are not followed: another user may have put one where a file is expected. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import { randomUUID } from "node:crypto"

export const mode = 0o600

/** Writes or replaces a file as a whole: if that fails, the file is as it was. A link is replaced, and its target stays as it is. */
export const replace = Effect.fnUntraced(function* (file: string, text: string) {
  const files = yield* FileSystem.FileSystem
  // Nobody can foresee the name, and the file must not exist yet.
  const temporary = `${file}.${randomUUID()}.tmp`
  yield* files.writeFileString(temporary, text, { flag: "wx", mode }).pipe(
    Effect.andThen(files.rename(temporary, file)),
    Effect.onError(() => Effect.ignore(files.remove(temporary)))
  )
})

export const isLink = (file: string) => FileSystem.FileSystem.use((files) => Effect.isSuccess(files.readLink(file)))
