/** Sends one prompt to a model. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type { ChatRequest } from "../CompletionRequest.ts"
import * as Answer from "./answer.ts"
import * as Conversation from "./conversation/conversation.ts"
import * as Failure from "./failure.ts"
import * as Prompt from "./prompt.ts"
import * as Select from "./select.ts"
import * as Typed from "./typed.ts"

export interface Input extends Select.Input {
  readonly words: ReadonlyArray<string>
  readonly system: string | undefined
  readonly images: ReadonlyArray<string>
  readonly think: "on" | "off" | "low" | "medium" | "high" | "max" | undefined
  readonly contextLength: number | undefined
  readonly temperature: number | undefined
  readonly maxTokens: number | undefined
  readonly stop: ReadonlyArray<string>
  readonly seed: number | undefined
  /** The file of a JSON Schema. */
  readonly schema: string | undefined
  readonly json: boolean
  readonly jsonl: boolean
  readonly quiet: boolean
}

/** Flags that contradict each other, or a file that cannot be used. */
export class WrongFlags extends Data.TaggedError("WrongFlags")<{ readonly message: string }> {}

export const chat = Effect.fnUntraced(function* (input: Input) {
  yield* check(input)
  const format = input.schema === undefined ? undefined : yield* Typed.readSchema(input.schema)
  const images = yield* Effect.forEach(input.images, readImage)
  const isConversation = yield* Conversation.isPossible
  if (isConversation && input.words.length === 0 && !input.json && !input.jsonl && !format) {
    const { quiet, system } = input
    const selected = yield* Select.select(input)
    return yield* Conversation.run({ ...selected, system, images, quiet, options: toOptions(input) })
  }
  const content = yield* Prompt.read(input.words)
  const { isQueued, model, provider } = yield* Select.select(input)
  const request: ChatRequest = {
    ...toOptions(input),
    model,
    messages: [
      ...(input.system === undefined ? [] : [{ role: "system", content: input.system } as const]),
      { role: "user", content, ...(images.length === 0 ? {} : { images }) }
    ],
    ...(format === undefined ? {} : { format: format.jsonSchema })
  }
  if (input.jsonl) return yield* Answer.printChunks(provider, request)
  if (input.json || format !== undefined) return yield* Typed.print(provider, request, format, input)
  yield* Answer.print(request, { provider, isQueued, quiet: input.quiet })
})

const check = ({ hosts, json, jsonl, schema, url }: Input) => {
  const message =
    json && jsonl
      ? "--json and --jsonl exclude each other"
      : jsonl && schema !== undefined
        ? "--jsonl prints the chunks of an answer that is not checked yet, so it excludes --schema"
        : hosts.length > 0 && url !== undefined
          ? "--host and --url exclude each other"
          : undefined
  return message === undefined ? Effect.void : Effect.fail(new WrongFlags({ message }))
}

const toOptions = (input: Input): Omit<ChatRequest, "messages"> => ({
  temperature: input.temperature,
  maxTokens: input.maxTokens,
  contextLength: input.contextLength,
  seed: input.seed,
  ...(input.stop.length === 0 ? {} : { stop: input.stop }),
  ...(input.think === undefined ? {} : { think: toThink(input.think) })
})

const toThink = (think: NonNullable<Input["think"]>): NonNullable<ChatRequest["think"]> =>
  think === "on" ? true : think === "off" ? false : think

const readImage = (path: string) =>
  Effect.mapError(
    FileSystem.FileSystem.use((files) => files.readFile(path)),
    (error) =>
      new WrongFlags({ message: `the file of --image cannot be read: ${Failure.describeFile(error)}: ${path}` })
  )
