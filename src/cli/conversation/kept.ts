/** Conversations in files: those that `/save` writes, and those that are kept on this machine, so that the last one can go on. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import { randomUUID } from "node:crypto"
import type { ChatRequest } from "../../CompletionRequest.ts"
import * as Kinds from "../../servers/kinds.ts"
import * as Failure from "../failure.ts"
import * as Files from "../files.ts"
import * as Folders from "../folders.ts"
import * as Output from "../output.ts"
import * as Settings from "../settings.ts"

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
      provider: Schema.optional(Schema.Literals(Kinds.kinds)),
      url: Schema.optional(Schema.String),
      hosts: Schema.optional(Schema.Array(Schema.String))
    })
  ),
  messages: Schema.Array(Message)
})

export interface Conversation extends Schema.Schema.Type<typeof Conversation> {}

export const toQuestion = (content: string, images: ReadonlyArray<Uint8Array>): Message => ({
  role: "user",
  content,
  images: images.length === 0 ? undefined : images
})

/** The request that continues a conversation. An empty system message is none. */
export const toRequest = (settings: Settings.Said, { messages, model, system = "" }: Conversation): ChatRequest => ({
  ...Settings.toOptions(settings),
  model,
  messages: [
    ...(system === "" ? [] : [{ role: "system", content: system } as const]),
    ...messages.map(Struct.omit(["incomplete"]))
  ]
})

const encode = Schema.encodeEffect(Conversation)
const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Conversation))

/** Replaces an existing file only if it is a conversation. */
export const save = Effect.fnUntraced(function* (name: string, conversation: Conversation) {
  const files = yield* FileSystem.FileSystem
  const file = yield* Files.resolve(name)
  if (yield* Effect.orElseSucceed(files.exists(file), () => false)) yield* load(name)
  const written = Files.replace(file, yield* toText(conversation))
  yield* Effect.catch(written, () => Failure.fail(`${name} cannot be written`))
})

/** A conversation as the text of a file. */
export const toText = (conversation: Conversation): Effect.Effect<string> =>
  Effect.map(Effect.orDie(encode(conversation)), (json) => `${JSON.stringify(json, null, 2)}\n`)

export const load = Effect.fnUntraced(function* (name: string) {
  const text = new TextDecoder().decode(yield* Files.read(name))
  return yield* Effect.catch(decode(text), () => Failure.fail(`${name} is not a conversation that /save wrote`))
})

/** The most conversations that are kept. */
export const maxConversations = 20

/** A longer one, in UTF-16 units, is not kept. */
export const maxLength = 16 * 1024 * 1024

export interface Keeper {
  /** Keeps a conversation in place of its last state. */
  readonly keep: (conversation: Conversation) => Effect.Effect<void>
  /** What is kept from now on is another conversation. */
  readonly begin: Effect.Effect<void>
}

/** The conversation that was kept last. */
export const last = Effect.gen(function* () {
  const path = yield* Path.Path
  const folder = yield* Folders.state("conversations")
  const names = folder === undefined ? [] : yield* list(folder)
  for (const name of names.filter((name) => name.endsWith(".json"))) {
    const file = path.join(folder ?? "", name)
    const conversation = yield* Effect.option(load(file))
    if (conversation._tag === "Some") return { file, conversation: conversation.value }
  }
  return yield* Failure.fail(
    "there is no conversation to continue; those on a terminal are kept, unless they are private"
  )
})

/** The files of conversations, the newest first, and what programs that were killed have left. */
const list = Effect.fnUntraced(function* (folder: string) {
  const files = yield* FileSystem.FileSystem
  const names = yield* Effect.orElseSucceed(files.readDirectory(folder), () => [])
  return names
    .filter((name) => /^\d{15}-/.test(name))
    .toSorted()
    .toReversed()
})

/**
 * Each state of a conversation is a new file, which is complete when it appears, and its last state is removed then. So programs that
 * continue the same conversation at the same time get one each, and none loses what the other has added. What cannot be kept is reported once.
 */
export const make = Effect.fnUntraced(function* (before: string | undefined) {
  const files = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const context = yield* Effect.context<FileSystem.FileSystem | Path.Path>()
  const folder = yield* Folders.state("conversations")
  let last = before
  let isReported = false
  const write = Effect.fnUntraced(function* (folder: string, conversation: Conversation) {
    const text = yield* toText(conversation)
    if (text.length > maxLength) return yield* Failure.fail("it is longer than 16 MiB")
    const file = path.join(folder, `${String(yield* Clock.currentTimeMillis).padStart(15, "0")}-${randomUUID()}.json`)
    yield* Files.makeFolder(folder)
    yield* Files.replace(file, text)
    const outdated = (yield* list(folder)).slice(maxConversations).map((name) => path.join(folder, name))
    const remove = (file: string) => Effect.ignore(files.remove(file))
    yield* Effect.forEach(last === undefined ? outdated : [last, ...outdated], remove, { discard: true })
    last = file
  }, Effect.provideContext(context))
  const keeper: Keeper = {
    keep: (conversation) =>
      folder === undefined
        ? Effect.void
        : Effect.catch(Effect.uninterruptible(write(folder, conversation)), (error) => {
            if (isReported) return Effect.void
            isReported = true
            const reason = error._tag === "PlatformError" ? Failure.describeFile(error) : error.message
            return Output.dimNote(`the conversation is not kept: ${reason}`)
          }),
    begin: Effect.sync(() => {
      last = undefined
    })
  }
  return keeper
})

/** Keeps nothing. */
export const none: Keeper = { keep: () => Effect.void, begin: Effect.void }
