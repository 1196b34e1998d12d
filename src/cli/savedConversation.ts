/** Conversations in files. */
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"

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

/** A file cannot be used. */
export class FileFailed extends Data.TaggedError("FileFailed")<{ readonly message: string }> {}

/** A leading `~` is the home of the user, as in a shell. */
export const resolve = Effect.fnUntraced(function* (file: string) {
  const path = yield* Path.Path
  const home = yield* Effect.orElseSucceed(Config.String("HOME"), () => "")
  return home !== "" && /^~(?=[/\\]|$)/.test(file) ? path.join(home, file.slice(1)) : file
})

const codec = Schema.fromJsonString(Conversation)
const encode = Schema.encodeEffect(codec)
const decode = Schema.decodeUnknownEffect(codec)

/** Does not replace a file that is something else. */
export const save = Effect.fnUntraced(function* (name: string, conversation: Conversation) {
  const files = yield* FileSystem.FileSystem
  const file = yield* resolve(name)
  const exists = yield* Effect.orElseSucceed(files.exists(file), () => false)
  if (exists) yield* load(name)
  const text = yield* Effect.orDie(encode(conversation))
  const pretty = JSON.stringify(JSON.parse(text), null, 2)
  yield* Effect.mapError(
    files.writeFileString(file, `${pretty}\n`),
    () => new FileFailed({ message: `${name} cannot be written` })
  )
})

export const load = Effect.fnUntraced(function* (name: string) {
  const files = yield* FileSystem.FileSystem
  const text = yield* Effect.mapError(
    files.readFileString(yield* resolve(name)),
    () => new FileFailed({ message: `${name} cannot be read` })
  )
  return yield* Effect.mapError(
    decode(text),
    () => new FileFailed({ message: `${name} is not a conversation that /save wrote` })
  )
})
