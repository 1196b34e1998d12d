/** What conversations leave in files: those that were saved, and the history of the prompts. Only the user can read them. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import * as Servers from "../../servers/servers.ts"
import { variable } from "../access.ts"
import * as Failure from "../failure.ts"
import * as Folders from "../folders.ts"

/** A message, and why an answer is not complete: it was stopped, or the reason for which the server ended it. */
const Message = Schema.Struct({
  role: Schema.Literals(["user", "assistant"]),
  content: Schema.String,
  images: Schema.optional(Schema.Array(Schema.Uint8ArrayFromBase64)),
  incomplete: Schema.optional(Schema.Literals(["stopped", "length", "content-filter", "tool-calls", "other"]))
})

export interface Message extends Schema.Schema.Type<typeof Message> {}

const Conversation = Schema.Struct({
  model: Schema.String,
  /** None if it is empty. */
  system: Schema.optional(Schema.String),
  /** The server, if a flag named it. */
  server: Schema.optional(
    Schema.Struct({
      provider: Schema.optionalKey(Schema.Literals(Servers.kinds)),
      url: Schema.optionalKey(Schema.String),
      hosts: Schema.optionalKey(Schema.Array(Schema.String))
    })
  ),
  messages: Schema.Array(Message)
})

export interface Conversation extends Schema.Schema.Type<typeof Conversation> {}

const encode = Schema.encodeEffect(Conversation)
const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Conversation))

/** Replaces an existing file only if it is a conversation. */
export const save = Effect.fnUntraced(function* (name: string, conversation: Conversation) {
  const files = yield* FileSystem.FileSystem
  const file = yield* resolve(name)
  if (yield* Effect.orElseSucceed(files.exists(file), () => false)) yield* load(name)
  const written = replace(file, yield* toText(conversation))
  yield* Effect.catch(written, () => Failure.fail(`${name} cannot be written`))
})

/** A conversation as the text of a file. */
export const toText = (conversation: Conversation): Effect.Effect<string> =>
  Effect.map(Effect.orDie(encode(conversation)), (json) => `${JSON.stringify(json, null, 2)}\n`)

export const load = Effect.fnUntraced(function* (name: string) {
  const text = new TextDecoder().decode(yield* read(name))
  return yield* Effect.catch(decode(text), () => Failure.fail(`${name} is not a conversation that /save wrote`))
})

/** The bytes of a file. A pipe or a device might never end, so it is not read. */
export const read = Effect.fnUntraced(function* (name: string) {
  const files = yield* FileSystem.FileSystem
  const fail = (reason: string) => Failure.fail(`${name} cannot be read: ${reason}`)
  const failWith = (error: PlatformError) => fail(Failure.describeFile(error))
  const file = yield* resolve(name)
  const { type } = yield* Effect.catch(files.stat(file), failWith)
  if (type !== "File") return yield* fail("it is not a regular file")
  return yield* Effect.catch(files.readFile(file), failWith)
})

/** A leading `~` is the home of the user, as in a shell. */
export const resolve = Effect.fnUntraced(function* (file: string) {
  const path = yield* Path.Path
  const home = yield* variable("HOME")
  return home !== "" && /^~(?=[/\\]|$)/.test(file) ? path.join(home, file.slice(1)) : file
})

const mode = 0o600

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
export const openHistory = Effect.fnUntraced(function* (
  isPrivate: boolean
): Effect.fn.Return<History, never, FileSystem.FileSystem | Path.Path> {
  const files = yield* FileSystem.FileSystem
  const found = isPrivate ? undefined : yield* findState("history")
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
        return Effect.ignore(files.writeFileString(file, encodeLine(text), { flag: "a", mode }))
      })
  }
})

/** Where something is kept. `undefined` if that is switched off, or no folder for it is known. */
export const findState = Effect.fnUntraced(function* (name: string) {
  return (yield* variable("LOCAL_LLM_NOHISTORY")).trim() === "" ? yield* Folders.state(name) : undefined
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

/** The prompts in the file, the oldest first. */
const loadPrompts = Effect.fnUntraced(function* (file: string) {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  yield* makeFolder(path.dirname(file))
  yield* files.chmod(file, mode)
  const { isWhole, text } = yield* Effect.scoped(readEnd(file))
  const prompts = text.split("\n").flatMap(decodeLine)
  const kept = prompts.slice(-maxEntries)
  // What follows a line that was cut would be lost with it.
  const isCut = text !== "" && !text.endsWith("\n")
  if (!isWhole || isCut || prompts.length > 2 * maxEntries) {
    yield* Effect.ignore(replace(file, kept.map(encodeLine).join("")))
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
