/** Conversations in files, and files that only the user can read. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import type { PlatformError } from "effect/PlatformError"
import * as Schema from "effect/Schema"
import { randomUUID } from "node:crypto"
import { variable } from "../access.ts"
import * as Failure from "../failure.ts"

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
  system: Schema.optional(Schema.String),
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
  const json = yield* Effect.orDie(encode(conversation))
  const written = replace(file, `${JSON.stringify(json, null, 2)}\n`)
  yield* Effect.catch(written, () => Failure.fail(`${name} cannot be written`))
})

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
const resolve = Effect.fnUntraced(function* (file: string) {
  const path = yield* Path.Path
  const home = yield* variable("HOME")
  return home !== "" && /^~(?=[/\\]|$)/.test(file) ? path.join(home, file.slice(1)) : file
})

/** Of a file that only the user can read. */
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
