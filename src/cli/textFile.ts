/** Files of text that belong to a prompt. */
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Stream from "effect/Stream"
import { createReadStream } from "node:fs"
import * as Files from "./conversation/files.ts"
import * as Failure from "./failure.ts"
import * as Text from "./text.ts"

/** The most bytes of a file. */
export const maxBytes = 1024 * 1024

/** A file as a part of a prompt: its name, and its text between fences. It may be a pipe, as of `<(…)`. */
export const read = Effect.fnUntraced(function* (given: string) {
  const path = yield* Path.Path
  const file = path.resolve(yield* Files.resolve(given))
  // Below the current folder, the rest of the path says nothing about the text.
  const below = path.relative("", file)
  const name = below === "" || below.startsWith("..") || path.isAbsolute(below) ? given : below
  const fail = (reason: string) => Failure.fail(`${name} cannot be read: ${reason}`)
  const { type } = yield* Effect.catch(
    FileSystem.FileSystem.use((files) => files.stat(file)),
    (error) => fail(Failure.describeFile(error))
  )
  if (type === "Directory") return yield* fail("it is a folder")
  // Node.js could not be stopped while it waits for the writer of a named pipe, or for a device.
  if (type !== "File" && !(type === "FIFO" && isFromShell(file))) return yield* fail("it is not a regular file")
  const bytes = yield* Effect.catch(readStart(file), (error) => fail(error.message))
  if (bytes.length > maxBytes) {
    return yield* fail("it is larger than 1 MiB; a part of it can come on standard input")
  }
  const text = yield* Effect.catch(decode(bytes), () =>
    fail("it is no text in UTF-8; an image is sent with --image or /image")
  )
  return toBlock(name, path.extname(name).slice(1), text)
})

/** The pipe of `<(…)` has its writer. */
const isFromShell = (file: string): boolean => /^\/(?:dev|proc\/\w+)\/fd\/\d+$/.test(file)

/** One byte more than a file may have tells that it has too many. */
const readStart = Effect.fnUntraced(function* (file: string) {
  const parts: Array<Uint8Array> = []
  let length = 0
  yield* NodeStream.fromReadable({
    evaluate: () => createReadStream(file),
    onError: (error) => (error instanceof Error ? error : new Error("unknown error"))
  }).pipe(
    Stream.takeUntil((bytes: Uint8Array) => {
      parts.push(bytes)
      length += bytes.length
      return length > maxBytes
    }),
    Stream.runDrain
  )
  return Buffer.concat(parts)
})

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
