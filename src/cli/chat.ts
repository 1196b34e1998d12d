/** Sends one prompt to a model. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import type { ChatRequest } from "../CompletionRequest.ts"
import type { Provider } from "../Provider.ts"
import type { FinishReason } from "../StreamingChunk.ts"
import * as Answer from "./answer.ts"
import * as ChatServer from "./chatServer.ts"
import * as Conversation from "./conversation/conversation.ts"
import type * as Files from "./conversation/files.ts"
import * as Kept from "./conversation/kept.ts"
import * as Failure from "./failure.ts"
import type * as Flags from "./flags.ts"
import * as Json from "./json.ts"
import * as Prompt from "./prompt.ts"
import * as Settings from "./settings.ts"
import * as TextFile from "./textFile.ts"

type Input = Flags.Input<typeof Flags.chat>

export const chat = Effect.fnUntraced(function* (flags: Input) {
  yield* check(flags)
  const format = flags.schema === undefined ? undefined : yield* Json.readSchema(flags.schema)
  const images = yield* Effect.forEach(flags.images, readImage)
  const files = yield* Effect.forEach(flags.files, TextFile.read)
  const last = flags.continue ? yield* Kept.last : undefined
  const input = yield* Settings.apply(flags, last === undefined ? {} : toSettings(last.conversation))
  const hasPrompt = flags.words.length > 0 || flags.json || flags.jsonl || format !== undefined
  const isConversation = !hasPrompt && (yield* Conversation.isPossible)
  const content = isConversation ? "" : yield* Prompt.read(flags.words, { files })
  const selected = yield* ChatServer.select(input)
  const keeper = (yield* isKept(flags, input, selected)) ? yield* Kept.make(last?.file) : Kept.none
  const messages = last?.conversation.messages ?? []
  const server = serverOf(Settings.merge([flags, last === undefined ? {} : toSettings(last.conversation)]))
  if (isConversation) {
    return yield* Conversation.run({ ...selected, settings: input, keeper, messages, images, files, server })
  }
  const { model } = selected
  const question: Files.Message = { role: "user", content, ...(images.length === 0 ? {} : { images }) }
  const conversation = { model, system: input.system ?? "", server, messages: [...messages, question] }
  const request = Conversation.toRequest(input, conversation)
  const answer = yield* print(
    input,
    format === undefined ? request : { ...request, format: format.jsonSchema },
    selected,
    format
  )
  if (answer !== undefined) yield* keeper.keep({ ...conversation, messages: [...conversation.messages, answer] })
})

/** Prints an answer in the form that the flags ask for. Returns it, unless it is empty. */
const print = Effect.fnUntraced(function* (
  { json, jsonl, quiet = false, raw = false }: Pick<Input, "json" | "jsonl" | "quiet" | "raw">,
  request: ChatRequest,
  { isQueued, provider }: ChatServer.Selected,
  format: Json.Format | undefined
) {
  let answer: Files.Message | undefined
  const observed = observe(provider, (content, reason) => {
    const incomplete = reason === "stop" ? {} : { incomplete: reason }
    answer = content === "" ? undefined : { role: "assistant", content, ...incomplete }
  })
  if (jsonl) yield* Json.printChunks(observed, request)
  else if (json || format !== undefined) yield* Json.print(observed, request, format, { json })
  else yield* Answer.print(request, { provider: observed, isQueued, quiet, raw })
  return answer
})

/** Passes on what a provider answers. */
const observe = <A extends Provider>(provider: A, onEnd: (content: string, reason: FinishReason) => void): A => ({
  ...provider,
  complete: (request) =>
    Effect.tap(provider.complete(request), ({ content, finishReason }) =>
      Effect.sync(() => onEnd(content, finishReason))
    ),
  stream: (request) => {
    let content = ""
    return Stream.tap(provider.stream(request), (chunk) =>
      Effect.sync(() => {
        content += chunk.content
        if (chunk.isFinal) onEnd(content, chunk.finishReason)
      })
    )
  }
})

/** What somebody sees on a terminal is kept, and what was asked to go on. A fake answer is not. */
const isKept = Effect.fnUntraced(function* (
  flags: Input,
  input: Settings.Said,
  { isFake = false }: ChatServer.Selected
) {
  const stdio = yield* Stdio.Stdio
  const isSeen = (yield* stdio.stdoutIsTerminal) || (yield* stdio.stderrIsTerminal)
  return input.private !== true && !isFake && (flags.continue || isSeen)
})

/** What a conversation goes on with, where no flag says something else. */
const toSettings = ({ model, server, system = "" }: Files.Conversation): Settings.Said => ({ ...server, model, system })

const serverOf = ({ hosts, provider, url }: Settings.Said): Files.Conversation["server"] => ({
  ...(provider === undefined ? {} : { provider }),
  ...(url === undefined ? {} : { url }),
  ...(hosts === undefined ? {} : { hosts })
})

const check = ({ json, jsonl, schema }: Input) => {
  if (json && jsonl) return Failure.fail("--json and --jsonl exclude each other")
  return jsonl && schema !== undefined
    ? Failure.fail("--jsonl prints the chunks of an answer that is not checked yet, so it excludes --schema")
    : Effect.void
}

const readImage = (path: string) =>
  Effect.catch(
    FileSystem.FileSystem.use((files) => files.readFile(path)),
    (error) => Failure.fail(`the file of --image cannot be read: ${Failure.describeFile(error)}: ${path}`)
  )
