/** Sends one prompt to a model. */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type { ChatRequest } from "../CompletionRequest.ts"
import * as Pool from "../Pool.ts"
import * as Answer from "./answer.ts"
import * as Demo from "./demo.ts"
import * as Discovery from "./discovery.ts"
import * as Prompt from "./prompt.ts"
import * as Typed from "./typed.ts"

export interface Input extends Discovery.Selection {
  readonly words: ReadonlyArray<string>
  readonly hosts: ReadonlyArray<string>
  readonly system: string | undefined
  readonly images: ReadonlyArray<string>
  readonly think: "on" | "off" | "low" | "medium" | "high" | "max" | undefined
  readonly contextLength: number | undefined
  readonly temperature: number | undefined
  readonly maxTokens: number | undefined
  readonly stop: ReadonlyArray<string>
  readonly seed: number | undefined
  /** The text of a JSON Schema. */
  readonly schema: string | undefined
  readonly json: boolean
  readonly jsonl: boolean
  readonly quiet: boolean
}

/** Flags that contradict each other, or a file that cannot be used. */
export class WrongFlags extends Data.TaggedError("WrongFlags")<{ readonly message: string }> {}

export const chat = Effect.fnUntraced(function* (input: Input) {
  yield* check(input)
  const format = input.schema === undefined ? undefined : yield* Typed.parseSchema(input.schema)
  const images = yield* Effect.forEach(input.images, readImage)
  const content = yield* Prompt.read(input.words)
  const { model, provider } = yield* select(input)
  const request: ChatRequest = {
    model,
    messages: [
      ...(input.system === undefined ? [] : [{ role: "system", content: input.system } as const]),
      { role: "user", content, ...(images.length === 0 ? {} : { images }) }
    ],
    temperature: input.temperature,
    maxTokens: input.maxTokens,
    contextLength: input.contextLength,
    seed: input.seed,
    ...(input.stop.length === 0 ? {} : { stop: input.stop }),
    ...(input.think === undefined ? {} : { think: toThink(input.think) }),
    ...(format === undefined ? {} : { format: format.jsonSchema })
  }
  if (input.jsonl) return yield* Answer.printChunks(provider, request)
  if (input.json || format !== undefined) return yield* Typed.print(provider, request, format, input)
  yield* Answer.print(provider, request, input)
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

const toThink = (think: NonNullable<Input["think"]>): NonNullable<ChatRequest["think"]> =>
  think === "on" ? true : think === "off" ? false : think

const readImage = (path: string) =>
  Effect.mapError(
    FileSystem.FileSystem.use((files) => files.readFile(path)),
    () => new WrongFlags({ message: `the image ${path} cannot be read` })
  )

/** The server and the model. Several hosts become a pool. */
const select = Effect.fnUntraced(function* (input: Input) {
  const [host, ...others] = input.hosts
  if (host !== undefined) {
    const selected = yield* Effect.forEach([host, ...others], (url) => Discovery.findModel({ ...input, url }), {
      concurrency: "unbounded"
    })
    const hosts = selected.map(({ provider }, i) => ({ provider, name: input.hosts[i] }))
    const model = input.model ?? selected[0]?.model ?? ""
    return { model, provider: hosts.length === 1 && hosts[0] ? hosts[0].provider : yield* Pool.make({ hosts }) }
  }
  return yield* Effect.catchTag(
    Discovery.findModel(input),
    "NoServerRunning",
    Effect.fnUntraced(function* (error) {
      return (yield* Demo.isAllowed) && input.model === undefined ? yield* Demo.start : yield* error
    })
  )
})
