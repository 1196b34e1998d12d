/** The commands for the models of a server. */
import * as Arr from "effect/Array"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import type { ModelInfo } from "../ModelInfo.ts"
import * as Models from "../servers/models.ts"
import * as Servers from "../servers/servers.ts"
import * as Access from "./access.ts"
import * as Failure from "./failure.ts"
import type * as Flags from "./flags.ts"
import * as Output from "./output.ts"
import * as Selection from "./selection.ts"
import * as Table from "./table.ts"
import * as Text from "./text.ts"

type Able<K extends keyof Selection.Management> = Selection.Server & {
  readonly provider: Required<Pick<Selection.Management, K>>
}

/** The servers that have an operation. */
const findAble = Effect.fnUntraced(function* <K extends keyof Selection.Management>(
  named: Selection.Named,
  operation: K,
  what: string
) {
  const servers = yield* Selection.findServers(named)
  const able = servers.filter((server): server is Able<K> => server.provider[operation] !== undefined)
  if (Arr.isReadonlyArrayNonEmpty(able)) return able
  const names = servers.map(({ provider }) => provider.name).join(", ")
  return yield* Failure.fail(`${names}: cannot ${what}; name another server with --provider or --url`)
})

/** The first server, preferably one that has the model. */
const choose = <A extends Selection.Server>(servers: Arr.NonEmptyReadonlyArray<A>, model: string | undefined): A =>
  servers.find((server) => model !== undefined && has(server, model)) ?? servers[0]

const has = ({ models, provider }: Selection.Server, model: string): boolean =>
  models.some(({ id }) => provider.isSameModel(id, model))

/** The first server that has an operation, preferably one that has the model. */
export const find = <K extends keyof Selection.Management>(
  named: Selection.Named,
  operation: K,
  what: string,
  model?: string
) => Effect.map(findAble(named, operation, what), (servers) => choose(servers, model))

const done = ({ json }: Flags.Input, model: string, status: string) =>
  json ? Output.writeJson({ model, status }) : Output.writeLine(`${status} ${model}`)

const orEmpty = <A>(value: A | undefined, format: (value: A) => string): string =>
  value === undefined ? "" : format(value)

const formatTokens = (count: number): string => `${count} tokens`

export const list = Effect.fnUntraced(function* (input: Flags.Input) {
  const servers = yield* Selection.findServers(input)
  // Several protocols may list the same models at one address.
  const shown = input.url === undefined ? servers : servers.slice(0, 1)
  const listed = shown.flatMap(({ models, provider }) => models.map((model) => ({ provider: provider.name, ...model })))
  if (input.json) return yield* Output.writeJson(listed)
  for (const { models, provider } of shown) if (models.length === 0) yield* Output.note(`${provider.name}: no models`)
  yield* Table.print(
    listed.map(({ contextLength, id, parameterSize = "", provider, quantization = "", sizeBytes }) => [
      provider,
      id,
      parameterSize,
      quantization,
      orEmpty(sizeBytes, Table.formatSize),
      orEmpty(contextLength, formatTokens)
    ])
  )
})

export const show = Effect.fnUntraced(function* (input: Flags.Input<typeof Flags.named>) {
  const { provider } = choose(yield* Selection.findServers(input), input.name)
  const info = { ...(yield* provider.model(input.name)), ...(provider.show && (yield* provider.show(input.name))) }
  if (input.json) return yield* Output.writeJson({ provider: provider.name, ...info })
  const rows = Object.entries({ server: provider.name, ...info }).map(([key, value]) => [key, toText(key, value)])
  yield* Table.print(rows.filter(([, text]) => text !== ""))
})

const toText = (key: string, value: unknown): string => {
  if (Array.isArray(value)) return value.join(", ")
  if (Predicate.isNumber(value) && key.endsWith("Bytes")) return Table.formatSize(value)
  if (DateTime.isDateTime(value)) return DateTime.formatIso(value)
  return Predicate.isString(value) || Predicate.isNumber(value) || Predicate.isBoolean(value) ? String(value) : ""
}

export const ps = Effect.fnUntraced(function* (input: Flags.Input) {
  const servers = yield* Selection.findServers(input)
  const found: Array<ModelInfo & { readonly provider: string }> = []
  for (const { models, provider } of servers) {
    for (const model of yield* Models.findRunning(provider, models)) found.push({ provider: provider.name, ...model })
  }
  if (input.json) return yield* Output.writeJson(found)
  if (found.length === 0) return yield* Output.note("no model is in memory")
  const now = yield* DateTime.now
  yield* Table.print(
    found.map(({ expiresAt, id, loadedContextLength, memoryBytes, provider }) => [
      provider,
      id,
      orEmpty(memoryBytes, Table.formatSize),
      orEmpty(loadedContextLength, formatTokens),
      orEmpty(expiresAt, (time) => describeTime(DateTime.distance(now, time)))
    ])
  )
})

/** Ollama reports a time some 290 years ahead for a model that is kept. */
const always = Duration.weeks(52 * 100)

const describeTime = (left: Duration.Duration): string =>
  Duration.isGreaterThan(left, always)
    ? "always"
    : `for ${Duration.format(Duration.seconds(Math.max(0, Math.round(Duration.toSeconds(left)))))}`

/** The names are looked up first, so that a mistake deletes nothing. */
export const remove = Effect.fnUntraced(function* (input: Flags.Input<typeof Flags.remove>) {
  const servers = yield* findAble(input, "deleteModel", "delete models")
  const found = input.names.map((name) => ({ name, server: choose(servers, name) }))
  const missing = found.filter(({ name, server }) => !has(server, name))
  if (missing.length > 0) {
    const names = missing.map(({ name }) => `"${name}"`).join(", ")
    const nothing = found.length > missing.length ? "; nothing was deleted" : ""
    return yield* Failure.fail(`there is no model ${names}${nothing}; "local-llm models" lists the models`)
  }
  for (const { name, server } of found) {
    yield* server.provider.deleteModel(name)
    yield* done(input, name, "deleted")
  }
})

export const copy = Effect.fnUntraced(function* (input: Flags.Input<typeof Flags.copy>) {
  const server = yield* find(input, "copyModel", "copy models", input.name)
  if (!input.force && has(server, input.to)) {
    return yield* Failure.fail(`there is a model "${input.to}" already; --force replaces it`)
  }
  yield* server.provider.copyModel(input.name, input.to)
  yield* done(input, input.to, "created")
})

export const load = Effect.fnUntraced(function* (input: Flags.Input<typeof Flags.load>) {
  const { context: contextLength, keepAlive } = input
  const options = {
    ...(contextLength === undefined ? {} : { contextLength }),
    ...(keepAlive === undefined ? {} : { keepAlive: yield* Access.parseTime("--keep-alive", keepAlive, "always") })
  }
  const { kind, provider } = yield* find(input, "load", "load models", input.name)
  const accepted = Servers.definitions[kind].management.options
  if (Object.keys(options).some((option) => !accepted.has(option))) {
    const flag = keepAlive === undefined ? "--context" : "--keep-alive"
    return yield* Failure.fail(`${provider.name}: ${flag} has no effect there; leave it out`)
  }
  yield* provider
    .load(input.name, options)
    .pipe(Output.withNoteIfSlow(`local-llm: ${provider.name} is loading ${Text.toSingleLine(input.name)}`))
  yield* done(input, input.name, "loaded")
})

export const unload = Effect.fnUntraced(function* (input: Flags.Input<typeof Flags.named>) {
  const { provider } = yield* find(input, "unload", "unload models", input.name)
  yield* provider.unload(input.name)
  yield* done(input, input.name, "unloaded")
})
