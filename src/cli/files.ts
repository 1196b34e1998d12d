/** Files that the user names, and those that the program keeps. Only the user can read what it writes. */
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Stream from "effect/Stream"
import { randomUUID } from "node:crypto"
import { createReadStream } from "node:fs"
import { variable } from "./access.ts"
import * as Failure from "./failure.ts"
import * as Text from "./text.ts"

/** A leading `~` is the home of the user, as in a shell. */
export const resolve = Effect.fnUntraced(function* (file: string) {
  const path = yield* Path.Path
  const home = yield* variable("HOME")
  return home !== "" && /^~(?=[/\\]|$)/.test(file) ? path.join(home, file.slice(1)) : file
})

const failToRead = (name: string) => (reason: string | PlatformError) =>
  Failure.fail(`${name} cannot be read: ${typeof reason === "string" ? reason : Failure.describeFile(reason)}`)

/** Fails if a file might never end. Node.js could not be stopped while it waits for the writer of a named pipe, or for a device. */
const checkType = Effect.fnUntraced(function* (file: string, fail: ReturnType<typeof failToRead>, mayBePipe = false) {
  const files = yield* FileSystem.FileSystem
  const { type } = yield* Effect.catch(files.stat(file), fail)
  if (type === "Directory") return yield* fail("it is a folder")
  if (type !== "File" && !(type === "FIFO" && mayBePipe)) return yield* fail("it is not a regular file")
})

/** The bytes of a file. */
export const read = Effect.fnUntraced(function* (name: string) {
  const files = yield* FileSystem.FileSystem
  const fail = failToRead(name)
  const file = yield* resolve(name)
  yield* checkType(file, fail)
  return yield* Effect.catch(files.readFile(file), fail)
})

/** The most bytes of a file of text. */
export const maxTextBytes = 1024 * 1024

/** A file of text as a part of a prompt: its name, and its text between fences. It may be a pipe, as of `<(…)`. */
export const readText = Effect.fnUntraced(function* (given: string) {
  const path = yield* Path.Path
  const file = path.resolve(yield* resolve(given))
  // Below the current folder, the rest of the path says nothing about the text.
  const below = path.relative("", file)
  const name = below === "" || below.startsWith("..") || path.isAbsolute(below) ? given : below
  const fail = failToRead(name)
  yield* checkType(file, fail, isOfShell(file))
  const bytes = yield* Effect.catch(readStart(file), ({ message }) => fail(message))
  if (bytes.length > maxTextBytes) {
    return yield* fail("it is larger than 1 MiB; a part of it can come on standard input")
  }
  const text = yield* Effect.catch(decode(bytes), () =>
    fail("it is no text in UTF-8; an image is sent with --image or /image")
  )
  return toBlock(name, path.extname(name).slice(1), text)
})

/** The pipe of `<(…)` has its writer. */
const isOfShell = (file: string): boolean => /^\/(?:dev|proc\/\w+)\/fd\/\d+$/.test(file)

/** One byte more than a file may have tells that it has too many. Effect's streams of files need positions, which pipes do not have. */
const readStart = (file: string) =>
  NodeStream.fromReadable<Uint8Array, Error>({
    evaluate: () => createReadStream(file, { end: maxTextBytes }),
    onError: (error) => (error instanceof Error ? error : new Error("unknown error"))
  }).pipe(Stream.runCollect, Effect.map(Buffer.concat))

/** No text has a NUL, and what is not UTF-8 would be replaced without notice. */
const decode = (bytes: Uint8Array) =>
  Effect.try(() => {
    if (bytes.includes(0)) throw new Error("a NUL")
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  })

/** The fence is longer than any in the text. */
const toBlock = (name: string, extension: string, text: string): string => {
  const longest = Math.max(2, ...Array.from(text.matchAll(/`+/g), ([ticks]) => ticks.length))
  const fence = "`".repeat(longest + 1)
  const language = /^[\w+#-]{1,16}$/.test(extension) ? extension : ""
  return `${Text.toSingleLine(name)}:\n${fence}${language}\n${text}${text === "" || text.endsWith("\n") ? "" : "\n"}${fence}`
}

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

/** Makes a folder and its parents. Node's own recursion never ends for some paths, such as those below `/proc`. */
export const makeFolder = (folder: string): Effect.Effect<void, PlatformError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const files = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const parent = path.dirname(folder)
    const make = files
      .makeDirectory(folder, { mode: 0o700 })
      .pipe(Effect.catchReason("PlatformError", "AlreadyExists", () => Effect.void))
    if (parent === folder) return yield* make
    yield* Effect.catchReason(make, "PlatformError", "NotFound", () => Effect.andThen(makeFolder(parent), make))
  })
