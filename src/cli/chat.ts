/** Sends one prompt to a model. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type { ChatRequest } from "../CompletionRequest.ts"
import * as Answer from "./answer.ts"
import * as ChatServer from "./chatServer.ts"
import * as Conversation from "./conversation/conversation.ts"
import * as Failure from "./failure.ts"
import type * as Flags from "./flags.ts"
import * as Json from "./json.ts"
import * as Prompt from "./prompt.ts"

type Input = Flags.Input<typeof Flags.chat>

export const chat = Effect.fnUntraced(function* (input: Input) {
  yield* check(input)
  const format = input.schema === undefined ? undefined : yield* Json.readSchema(input.schema)
  const images = yield* Effect.forEach(input.images, readImage)
  const hasPrompt = input.words.length > 0 || input.json || input.jsonl || format !== undefined
  if (!hasPrompt && (yield* Conversation.isPossible)) {
    const { quiet, raw, system } = input
    return yield* Conversation.run({
      ...(yield* ChatServer.select(input)),
      system,
      images,
      quiet,
      raw,
      options: toOptions(input)
    })
  }
  const content = yield* Prompt.read(input.words)
  const { isQueued, model, provider } = yield* ChatServer.select(input)
  const request: ChatRequest = {
    ...toOptions(input),
    model,
    messages: [
      ...(input.system === undefined ? [] : [{ role: "system", content: input.system } as const]),
      { role: "user", content, ...(images.length === 0 ? {} : { images }) }
    ],
    ...(format === undefined ? {} : { format: format.jsonSchema })
  }
  if (input.jsonl) return yield* Json.printChunks(provider, request)
  if (input.json || format !== undefined) return yield* Json.print(provider, request, format, input)
  yield* Answer.print(request, { provider, isQueued, quiet: input.quiet, raw: input.raw })
})

const check = ({ hosts, json, jsonl, schema, url }: Input) => {
  if (json && jsonl) return Failure.fail("--json and --jsonl exclude each other")
  if (jsonl && schema !== undefined) {
    return Failure.fail("--jsonl prints the chunks of an answer that is not checked yet, so it excludes --schema")
  }
  return hosts.length > 0 && url !== undefined ? Failure.fail("--host and --url exclude each other") : Effect.void
}

const toOptions = (input: Input): Omit<ChatRequest, "messages"> => ({
  temperature: input.temperature,
  maxTokens: input.maxTokens,
  contextLength: input.contextLength,
  seed: input.seed,
  stop: input.stop.length === 0 ? undefined : input.stop,
  think: input.think === "on" ? true : input.think === "off" ? false : input.think
})

const readImage = (path: string) =>
  Effect.catch(
    FileSystem.FileSystem.use((files) => files.readFile(path)),
    (error) => Failure.fail(`the file of --image cannot be read: ${Failure.describeFile(error)}: ${path}`)
  )
