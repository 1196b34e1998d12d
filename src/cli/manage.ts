/** The commands for the models of a server. */
import * as Arr from "effect/Array"
import * as Data from "effect/Data"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { ModelInfo } from "../ModelInfo.ts"
import * as Servers from "../servers/servers.ts"
import * as Discovery from "./discovery.ts"
import * as Output from "./output.ts"
import * as Table from "./table.ts"
import * as Text from "./text.ts"
import * as Time from "./time.ts"

export interface Input extends Discovery.Selection {
  readonly json: boolean
}

export interface ModelInput extends Input {
  readonly name: string
}

/** No server that answers can do that. */
export class NotPossible extends Data.TaggedError("NotPossible")<{ readonly message: string }> {}

/** The name of a model is unknown, or it is taken. */
export class WrongModel extends Data.TaggedError("WrongModel")<{ readonly message: string }> {}

type Able<K extends keyof Discovery.Management> = Discovery.Server & {
  readonly provider: Required<Pick<Discovery.Management, K>>
}

const isAble =
  <K extends keyof Discovery.Management>(ability: K) =>
  (server: Discovery.Server): server is Able<K> =>
    server.provider[ability] !== undefined

/** The servers that can do something. */
const findAble = Effect.fnUntraced(function* <K extends keyof Discovery.Management>(
  selection: Discovery.Selection,
  ability: K,
  what: string
) {
  const servers = yield* Discovery.findServers(selection)
  const able = servers.filter(isAble(ability))
  if (Arr.isReadonlyArrayNonEmpty(able)) return able
  const names = servers.map(({ provider }) => provider.name).join(", ")
  return yield* new NotPossible({ message: `${names}: cannot ${what}; name another server with --provider or --url` })
})

/** The first server, preferably one that has the model. */
const choose = <A extends Discovery.Server>(servers: Arr.NonEmptyReadonlyArray<A>, model: string | undefined): A =>
  servers.find((server) => model !== undefined && has(server, model)) ?? servers[0]

/** The first server that can do something, preferably one that has the model. */
export const find = <K extends keyof Discovery.Management>(
  selection: Discovery.Selection,
  ability: K,
  what: string,
  model?: string
) => Effect.map(findAble(selection, ability, what), (servers) => choose(servers, model))

const has = ({ models, provider }: Discovery.Server, model: string): boolean =>
  models.some(({ id }) => provider.isSameModel(id, model))

export const writeJson = (value: unknown) => Output.writeJsonLine(JSON.stringify(value))

export const clean = (text: string): string => (process.stdout.isTTY ? Text.toSingleLine(text) : text)

const done = ({ json }: Input, name: string, word: string) =>
  json ? writeJson({ model: name, status: word }) : Output.write(`${word} ${clean(name)}\n`)

export const show = Effect.fnUntraced(function* (input: ModelInput) {
  const { provider } = choose(yield* Discovery.findServers(input), input.name)
  const info = { ...(yield* provider.model(input.name)), ...(provider.show && (yield* provider.show(input.name))) }
  if (input.json) return yield* writeJson({ provider: provider.name, ...info })
  const rows = Object.entries({ server: provider.name, ...info }).map(([key, value]) => [key, toText(key, value)])
  yield* Table.print(rows.filter(([, text]) => text !== ""))
})

const toText = (key: string, value: unknown): string => {
  if (Array.isArray(value)) return value.join(", ")
  if (Predicate.isNumber(value) && key.endsWith("Bytes")) return Table.formatSize(value)
  if (DateTime.isDateTime(value)) return DateTime.formatIso(value)
  return Predicate.isString(value) || Predicate.isNumber(value) || Predicate.isBoolean(value) ? String(value) : ""
}

/** Servers without a list of the models in memory mark them in the list of all models. */
export const ps = Effect.fnUntraced(function* (input: Input) {
  const servers = yield* Discovery.findServers(input)
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
    expiresAt === undefined ? "" : describeTime(DateTime.distance(now, expiresAt))
  ])
  yield* Table.print(rows)
})

/** Ollama reports a time some 290 years ahead for a model that is kept. */
const always = Duration.weeks(52 * 100)

const describeTime = (left: Duration.Duration): string =>
  Duration.isGreaterThan(left, always)
    ? "always"
    : `for ${Duration.format(Duration.seconds(Math.max(0, Math.round(Duration.toSeconds(left)))))}`

/** The names are looked up first, so that a mistake deletes nothing. */
export const remove = Effect.fnUntraced(function* (input: Input & { readonly names: ReadonlyArray<string> }) {
  const servers = yield* findAble(input, "deleteModel", "delete models")
  const found = input.names.map((name) => ({ name, server: choose(servers, name) }))
  const missing = found.filter(({ name, server }) => !has(server, name))
  if (missing.length > 0) {
    const names = missing.map(({ name }) => `"${name}"`).join(", ")
    const nothing = found.length > missing.length ? "; nothing was deleted" : ""
    return yield* new WrongModel({
      message: `there is no model ${names}${nothing}; "local-llm models" lists the models`
    })
  }
  for (const { name, server } of found) {
    yield* server.provider.deleteModel(name)
    yield* done(input, name, "deleted")
  }
})

export const copy = Effect.fnUntraced(function* (input: ModelInput & { readonly to: string; readonly force: boolean }) {
  const server = yield* find(input, "copyModel", "copy models", input.name)
  if (!input.force && has(server, input.to)) {
    return yield* new WrongModel({ message: `there is a model "${input.to}" already; --force replaces it` })
  }
  yield* server.provider.copyModel(input.name, input.to)
  yield* done(input, input.to, "created")
})

export const load = Effect.fnUntraced(function* (
  input: ModelInput & { readonly contextLength: number | undefined; readonly keepAlive: string | undefined }
) {
  const { contextLength, keepAlive } = input
  const options = {
    ...(contextLength === undefined ? {} : { contextLength }),
    ...(keepAlive === undefined ? {} : { keepAlive: yield* Time.parse("--keep-alive", keepAlive, "always") })
  }
  const { kind, provider } = yield* find(input, "load", "load models", input.name)
  const accepted = Servers.definitions[kind].management.options
  if (Object.keys(options).some((option) => !accepted.has(option))) {
    const flag = keepAlive === undefined ? "--context" : "--keep-alive"
    return yield* new NotPossible({ message: `${provider.name}: ${flag} has no effect there; leave it out` })
  }
  yield* provider
    .load(input.name, options)
    .pipe(Output.withNoteIfSlow(`local-llm: ${provider.name} is loading ${Text.toSingleLine(input.name)}`))
  yield* done(input, input.name, "loaded")
})

export const unload = Effect.fnUntraced(function* (input: ModelInput) {
  const { provider } = yield* find(input, "unload", "unload models", input.name)
  yield* provider.unload(input.name)
  yield* done(input, input.name, "unloaded")
})
