/** The commands for the models of a server. */
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type { ModelInfo } from "../ModelInfo.ts"
import * as Discovery from "./discovery.ts"
import * as Output from "./output.ts"
import * as Progress from "./progress.ts"
import * as Prompt from "./prompt.ts"
import * as Table from "./table.ts"
import * as Text from "./text.ts"

export interface Input extends Discovery.Selection {
  readonly json: boolean
}

export interface ModelInput extends Input {
  readonly name: string
}

/** No server that answers can do that. */
export class NotPossible extends Data.TaggedError("NotPossible")<{ readonly message: string }> {}

type Able<K extends keyof Discovery.Management> = Discovery.Server["provider"] & Required<Pick<Discovery.Management, K>>

const isAble =
  <K extends keyof Discovery.Management>(ability: K) =>
  (provider: Discovery.Server["provider"]): provider is Able<K> =>
    provider[ability] !== undefined

/** The first server that can do something, preferably one that has the model. */
const find = Effect.fnUntraced(function* <K extends keyof Discovery.Management>(
  selection: Discovery.Selection,
  ability: K,
  what: string,
  model?: string
) {
  const servers = yield* findAll(selection)
  const able = servers.map(({ provider }) => provider).filter(isAble(ability))
  const [first] = able
  if (first === undefined) {
    const names = servers.map(({ provider }) => provider.name).join(", ")
    return yield* new NotPossible({ message: `${names}: cannot ${what}; name another server with --provider or --url` })
  }
  if (model === undefined) return first
  for (const provider of able) {
    if (yield* Effect.orElseSucceed(provider.supportsModel(model), () => false)) return provider
  }
  return first
})

const findAll = Effect.fnUntraced(function* (selection: Discovery.Selection) {
  const [servers, failures] = yield* Discovery.findServers(selection)
  return servers.length === 0 ? yield* Discovery.nothingFound(failures) : servers
})

const writeJson = (value: unknown) => Output.writeJsonLine(JSON.stringify(value))

const clean = (text: string): string => (process.stdout.isTTY ? Text.toSingleLine(text) : text)

const done = ({ json, name }: ModelInput, word: string) =>
  json ? writeJson({ model: name, status: word }) : Output.write(`${word} ${clean(name)}\n`)

export const show = Effect.fnUntraced(function* (input: ModelInput) {
  const servers = yield* findAll(input)
  let provider = servers[0]?.provider
  for (const server of servers) {
    if (yield* Effect.orElseSucceed(server.provider.supportsModel(input.name), () => false)) {
      provider = server.provider
      break
    }
  }
  if (provider === undefined) return
  const info = { ...(yield* provider.model(input.name)), ...(provider.show && (yield* provider.show(input.name))) }
  if (input.json) return yield* writeJson({ provider: provider.name, ...info })
  const rows = Object.entries({ server: provider.name, ...info }).flatMap(([key, value]) => {
    const text = toText(key, value)
    return text === "" ? [] : [[key, clean(text)]]
  })
  for (const line of Table.align(rows)) yield* Output.write(`${line}\n`)
})

const toText = (key: string, value: unknown): string => {
  if (Array.isArray(value)) return value.join(", ")
  if (Predicate.isNumber(value) && key.endsWith("Bytes")) return Table.formatSize(value)
  if (DateTime.isDateTime(value)) return DateTime.formatIso(value)
  return Predicate.isString(value) || Predicate.isNumber(value) || Predicate.isBoolean(value) ? String(value) : ""
}

/** Servers without a list of the models in memory mark them in the list of all models. */
export const ps = Effect.fnUntraced(function* (input: Input) {
  const servers = yield* findAll(input)
  const found: Array<ModelInfo & { readonly provider: string }> = []
  for (const { models, provider } of servers) {
    const running = provider.running === undefined ? models.filter(({ isLoaded }) => isLoaded) : yield* provider.running
    for (const model of running) found.push({ provider: provider.name, ...model })
  }
  if (input.json) return yield* writeJson(found)
  if (found.length === 0) return yield* Output.note("no model is in memory")
  const now = yield* DateTime.now
  const rows = found.map(({ expiresAt, id, loadedContextLength, memoryBytes, provider }) => [
    provider,
    id,
    memoryBytes === undefined ? "" : Table.formatSize(memoryBytes),
    loadedContextLength === undefined ? "" : `${loadedContextLength} tokens`,
    expiresAt === undefined ? "" : `for ${Duration.format(roundToSeconds(DateTime.distance(now, expiresAt)))}`
  ])
  for (const line of Table.align(rows.map((row) => row.map(clean)))) yield* Output.write(`${line}\n`)
})

const roundToSeconds = (duration: Duration.Duration): Duration.Duration =>
  Duration.seconds(Math.max(0, Math.round(Duration.toSeconds(duration))))

export const pull = Effect.fnUntraced(function* (input: ModelInput) {
  const provider = yield* find(input, "pull", "download models")
  const report = input.json ? writeJson : Progress.make(process.stdout.isTTY)
  yield* Stream.runForEach(provider.pull(input.name), report)
})

export const remove = Effect.fnUntraced(function* (input: ModelInput) {
  const provider = yield* find(input, "deleteModel", "delete models", input.name)
  yield* provider.deleteModel(input.name)
  yield* done(input, "deleted")
})

export const copy = Effect.fnUntraced(function* (input: ModelInput & { readonly to: string }) {
  const provider = yield* find(input, "copyModel", "copy models", input.name)
  yield* provider.copyModel(input.name, input.to)
  yield* done({ ...input, name: input.to }, "created")
})

export const load = Effect.fnUntraced(function* (input: ModelInput) {
  const provider = yield* find(input, "load", "load models", input.name)
  yield* provider
    .load(input.name)
    .pipe(Output.withNoteIfSlow(`local-llm: ${provider.name} is loading ${Text.toSingleLine(input.name)}`))
  yield* done(input, "loaded")
})

export const unload = Effect.fnUntraced(function* (input: ModelInput) {
  const provider = yield* find(input, "unload", "unload models", input.name)
  yield* provider.unload(input.name)
  yield* done(input, "unloaded")
})

/** Prints the vector of the words, or the whole answer of the server. */
export const embed = Effect.fnUntraced(function* (
  input: Input & { readonly words: ReadonlyArray<string>; readonly dimensions: number | undefined }
) {
  const text = yield* Prompt.read(input.words)
  const { model, provider } = yield* Discovery.findModel(input)
  const { dimensions } = input
  const embedding = yield* provider.embed({ model, input: text, ...(dimensions === undefined ? {} : { dimensions }) })
  yield* writeJson(input.json ? embedding : embedding.vectors[0])
})
