/** The conversations that are kept on this machine, so that the last one can go on. Only the user can read them. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Path from "effect/Path"
import { randomUUID } from "node:crypto"
import * as Failure from "../failure.ts"
import * as Output from "../output.ts"
import * as Files from "./files.ts"

/** The most conversations that are kept. */
export const maxConversations = 20

/** A longer one, in UTF-16 units, is not kept. */
export const maxLength = 16 * 1024 * 1024

export interface Keeper {
  /** Keeps a conversation in place of its last state. */
  readonly keep: (conversation: Files.Conversation) => Effect.Effect<void>
  /** What is kept from now on is another conversation. */
  readonly begin: Effect.Effect<void>
}

/** The conversation that was kept last. */
export const last = Effect.gen(function* () {
  const path = yield* Path.Path
  const folder = yield* Files.findState("conversations")
  const names = folder === undefined ? [] : yield* list(folder)
  for (const name of names.filter((name) => name.endsWith(".json"))) {
    const file = path.join(folder ?? "", name)
    const conversation = yield* Effect.option(Files.load(file))
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
  const folder = yield* Files.findState("conversations")
  let last = before
  let isReported = false
  const write = Effect.fnUntraced(function* (folder: string, conversation: Files.Conversation) {
    const text = yield* Files.toText(conversation)
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
