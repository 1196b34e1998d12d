/** Sends a prompt to a model, or holds a conversation. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Stdio from "effect/Stdio"
import * as Struct from "effect/Struct"
import * as Answer from "./answer.ts"
import * as Kept from "./conversation/kept.ts"
import * as Failure from "./failure.ts"
import * as Files from "./files.ts"
import type * as Flags from "./flags.ts"
import * as Json from "./json.ts"
import * as Prompt from "./prompt.ts"
import * as Selection from "./selection.ts"
import * as Settings from "./settings.ts"

type Input = Flags.Input<typeof Flags.chat>

export const chat = Effect.fnUntraced(function* (flags: Input) {
  yield* check(flags)
  const { json, jsonl } = flags
  const format = flags.schema === undefined ? undefined : yield* Json.readSchema(flags.schema)
  const images = yield* Effect.forEach(flags.images, readImage)
  const files = yield* Effect.forEach(flags.files, Files.readText)
  const last = flags.continue ? yield* Kept.last : undefined
  const before = last === undefined ? {} : toSettings(last.conversation)
  const settings = yield* Settings.apply(flags, before)
  const { stderrIsTerminal, stdinIsTerminal, stdoutIsTerminal } = yield* Stdio.Stdio
  const isOnTerminal = yield* stdoutIsTerminal
  const hasPrompt = flags.words.length > 0 || json || jsonl || format !== undefined
  const isConversation = !hasPrompt && isOnTerminal && (yield* stdinIsTerminal)
  const content = isConversation ? "" : yield* Prompt.read(flags.words, { files })
  const selected = yield* Selection.select(settings)
  const { isFake = false, model, provider } = selected
  // What somebody sees on a terminal is kept, and what was asked to go on. A fake answer is not.
  const isKept = flags.continue || isOnTerminal || (yield* stderrIsTerminal)
  const keeper = isKept && settings.private !== true && !isFake ? yield* Kept.make(last?.file) : Kept.none
  const messages = last?.conversation.messages ?? []
  const server = Struct.pick(Settings.merge([flags, before]), Settings.ofServer)
  if (isConversation) {
    const { run } = yield* Effect.promise(() => import("./conversation/conversation.ts"))
    return yield* run({ ...selected, settings, keeper, messages, images, files, server })
  }
  const { quiet = false, raw = false, system = "" } = settings
  const conversation = { model, system, server, messages: [...messages, Kept.toQuestion(content, images)] }
  const request = { ...Kept.toRequest(settings, conversation), format: format?.jsonSchema }
  const answer = jsonl
    ? yield* Json.printChunks(provider, request)
    : json || format !== undefined
      ? yield* Json.print(provider, request, format, json)
      : yield* Answer.print(request, { ...selected, quiet, raw })
  if (answer.content !== "")
    yield* keeper.keep({ ...conversation, messages: [...conversation.messages, toMessage(answer)] })
})

const toMessage = ({ content, finishReason }: Answer.Answer): Kept.Message => ({
  role: "assistant",
  content,
  incomplete: finishReason === "stop" ? undefined : finishReason
})

/** What a conversation goes on with, where no flag says something else. */
const toSettings = ({ model, server, system = "" }: Kept.Conversation): Settings.Said => ({ ...server, model, system })

const check = ({ json, jsonl, schema }: Input) => {
  if (json && jsonl) return Failure.fail("--json and --jsonl exclude each other")
  return jsonl && schema !== undefined
    ? Failure.fail("--jsonl prints the chunks of an answer that is not checked yet, so it excludes --schema")
    : Effect.void
}

const readImage = (path: string) =>
  Effect.catch(
    FileSystem.FileSystem.use((files) => files.readFile(path)),
    Failure.failForFile("--image", path)
  )
