/** The files of a batch: lines, of which the last may be cut. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type { PlatformError } from "effect/PlatformError"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { InvalidRequest, ProviderError } from "../ProviderError.ts"
import * as Json from "../values/json.ts"

/** An option of a batch that is a path. */
export type Field = "input" | "output"

export const invalid = (field: Field, description: string): ProviderError =>
  new ProviderError({ provider: "Batch", reason: new InvalidRequest({ field, description }) })

/** A regular file, without symbolic links. Others cannot be read twice, continued or replaced. */
export interface File {
  readonly path: string
  readonly mode: number
}

/** The file at a path; `undefined` if there is none. */
export const find = Effect.fnUntraced(function* (field: Field, path: string) {
  const fs = yield* FileSystem.FileSystem
  if (!(yield* fs.exists(path))) return undefined
  const { mode, type } = yield* fs.stat(path)
  if (type !== "File") return yield* Effect.fail(invalid(field, "it is not a regular file"))
  const file: File = { path: yield* fs.realPath(path), mode }
  return file
})

/** The lines that are not empty. `length`: in bytes, if only the beginning is read. */
export const readLines = (path: string, length?: number) =>
  Stream.unwrap(
    Effect.map(FileSystem.FileSystem, (fs) =>
      length === 0 ? Stream.empty : fs.stream(path, length === undefined ? {} : { bytesToRead: length })
    )
  ).pipe(
    Stream.decodeText,
    Stream.splitLines,
    Stream.zipWithIndex,
    Stream.map(([text, index]) => ({ text: index === 0 ? text.replace(/^\uFEFF/, "") : text, number: index + 1 })),
    Stream.filter(({ text }) => text.trim() !== "")
  )

/**
 * How many bytes of a file are whole lines. What follows is a line that was cut when the process was killed: it begins with `start`, as all
 * lines do. Otherwise the file is something else.
 */
export const wholeLength = Effect.fnUntraced(function* (path: string, start: string) {
  const fs = yield* FileSystem.FileSystem
  let length = 0
  let end = 0
  yield* Stream.runForEach(fs.stream(path), (bytes) =>
    Effect.sync(() => {
      const last = bytes.lastIndexOf(newline)
      if (last !== -1) end = length + last + 1
      length += bytes.length
    })
  )
  if (end === length) return end
  const bytesToRead = Math.min(length - end, start.length)
  const text = yield* Stream.mkString(Stream.decodeText(fs.stream(path, { offset: end, bytesToRead })))
  if (start.startsWith(text)) return end
  return yield* Effect.fail(invalid("output", "its last line is neither a result nor the beginning of one"))
})

const newline = 10

/** Removes the end of a file. */
export const cut = (path: string, length: number): Effect.Effect<void, PlatformError, FileSystem.FileSystem> =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => fs.truncate(path, length))

/** Replaces a file as a whole. Without a mode, it is not there. */
export const replace = <E, R>(
  { mode, path }: { readonly path: string; readonly mode?: number },
  lines: Stream.Stream<string, E, R>
): Effect.Effect<void, E | PlatformError, R | FileSystem.FileSystem> =>
  Effect.flatMap(FileSystem.FileSystem, (fs) => {
    const kept = `${path}.kept`
    const sink = fs.sink(kept, mode === undefined ? {} : { mode: mode & 0o777 })
    return Stream.run(Stream.map(lines, encode), sink).pipe(
      Effect.andThen(fs.rename(kept, path)),
      Effect.onError(() => Effect.ignore(fs.remove(kept)))
    )
  })

/** Writes lines one after the other to the end of a file. */
export const append = Effect.fnUntraced(function* (
  path: string
): Effect.fn.Return<
  (line: string) => Effect.Effect<void, PlatformError>,
  PlatformError,
  FileSystem.FileSystem | Scope.Scope
> {
  const fs = yield* FileSystem.FileSystem
  const file = yield* fs.open(path, { flag: "a" })
  // An interruption does not leave half a line.
  return (line) => Effect.uninterruptible(file.writeAll(encode(line)))
})

const encoder = new TextEncoder()

const encode = (line: string): Uint8Array => encoder.encode(`${line}\n`)

/** The error names the line, and does not quote it. */
export const readLine = <A>(
  read: (value: unknown) => Result.Result<A, InvalidRequest>,
  field: Field,
  number: number,
  text: string
): Effect.Effect<A, ProviderError> => {
  const value = Json.parse(text)
  const result = value === undefined ? Result.fail(new InvalidRequest({ description: "is not JSON" })) : read(value)
  return Effect.fromResult(
    Result.mapError(result, ({ description = "", field: path }) =>
      invalid(field, `line ${number}: ${path === undefined ? "" : `${path}: `}${description}`)
    )
  )
}
