/** The history of prompts, in a file that only the user can read. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Files from "../files.ts"
import * as Folders from "../folders.ts"

export interface History {
  /** The prompts of earlier conversations and of this one, the newest first. */
  readonly entries: ReadonlyArray<string>
  readonly add: (text: string) => Effect.Effect<void>
}

/** The most prompts that are kept. */
export const maxEntries = 1000

/** The most bytes of the file that are read: its end. */
export const maxBytes = 1024 * 1024

/** A longer prompt, in UTF-16 units, is kept for this conversation only. */
const maxLength = 32 * 1024

/**
 * The history in a file that only the user can read, with a JSON string per line. A prompt is appended by one write, so programs that
 * run at the same time keep the prompts of each other. When a conversation begins and the file is too long, it is replaced by its
 * newest prompts. Lines that cannot be decoded are skipped. If the file cannot be used, the history lasts as long as the conversation.
 */
export const open = Effect.fnUntraced(function* (
  isPrivate: boolean
): Effect.fn.Return<History, never, FileSystem.FileSystem | Path.Path> {
  const files = yield* FileSystem.FileSystem
  const found = isPrivate ? undefined : yield* Folders.state("history")
  const file = found !== undefined && (yield* isUsable(found)) ? found : undefined
  const saved = file === undefined ? [] : yield* Effect.orElseSucceed(loadPrompts(file), () => [])
  const entries = saved.toReversed()
  return {
    entries,
    add: (text) =>
      Effect.suspend(() => {
        if (text.trim() === "" || text === entries[0]) return Effect.void
        entries.unshift(text)
        entries.splice(maxEntries)
        if (file === undefined || text.length > maxLength) return Effect.void
        return Effect.ignore(files.writeFileString(file, encodeLine(text), { flag: "a", mode: Files.mode }))
      })
  }
})

/** Another user may have put a link there. A pipe would block, and a device is not meant for it. */
const isUsable = Effect.fnUntraced(function* (file: string) {
  const files = yield* FileSystem.FileSystem
  if (yield* Effect.isSuccess(files.readLink(file))) return false
  return yield* files.stat(file).pipe(
    Effect.map(({ type }) => type === "File"),
    Effect.catchReason("PlatformError", "NotFound", () => Effect.succeed(true)),
    Effect.orElseSucceed(() => false)
  )
})

/** The prompts in the file, the oldest first. */
const loadPrompts = Effect.fnUntraced(function* (file: string) {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  yield* Files.makeFolder(path.dirname(file))
  yield* files.chmod(file, Files.mode)
  const { isWhole, text } = yield* Effect.scoped(readEnd(file))
  const prompts = text.split("\n").flatMap(decodeLine)
  const kept = prompts.slice(-maxEntries)
  // What follows a line that was cut would be lost with it.
  const isCut = text !== "" && !text.endsWith("\n")
  if (!isWhole || isCut || prompts.length > 2 * maxEntries) {
    yield* Effect.ignore(Files.replace(file, kept.map(encodeLine).join("")))
  }
  return kept
})

const readEnd = Effect.fnUntraced(function* (path: string) {
  const files = yield* FileSystem.FileSystem
  const file = yield* files.open(path)
  const size = Number((yield* file.stat).size)
  const start = Math.max(0, size - maxBytes)
  const bytes = yield* file.readAlloc(size - start, { position: BigInt(start) })
  return { isWhole: start === 0, text: new TextDecoder().decode(Option.getOrUndefined(bytes)) }
})

const encodeLine = (text: string): string => `${JSON.stringify(text)}\n`

const decodePrompt = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.String))

/** A terminal would interpret other control characters when the prompt is recalled. */
const isHarmless = (text: string): boolean => /^[\P{Cc}\t\n]*$/u.test(text)

const decodeLine = (line: string): ReadonlyArray<string> => {
  const text = Result.getOrUndefined(decodePrompt(line))
  return text !== undefined && isHarmless(text) ? [text] : []
}
