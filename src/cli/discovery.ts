/** Selects the server and the model: those that were named, or else those that run on this machine. */
import * as Arr from "effect/Array"
import type * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as Scope from "effect/Scope"
import * as Discovery from "../Discovery.ts"
import type { ModelInfo } from "../ModelInfo.ts"
import type { LoadOptions, Ollama } from "../Ollama.ts"
import type { Provider } from "../Provider.ts"
import type { ProviderError } from "../ProviderError.ts"
import * as Servers from "../servers/servers.ts"
import * as Access from "./access.ts"
import * as Failure from "./failure.ts"
import * as Output from "./output.ts"
import type * as Time from "./time.ts"

/** What the flags name. */
export interface Selection extends Access.Flags {
  readonly provider?: Servers.Kind | undefined
  readonly url?: string | undefined
  readonly model?: string | undefined
}

/** What some servers can do besides answering. */
export type Management = Partial<Pick<Ollama, "running" | "show" | "pull" | "deleteModel" | "copyModel" | "unload">> & {
  readonly load?: (model: string, options: LoadOptions) => Effect.Effect<unknown, ProviderError>
}

/** A server that answered. */
export interface Server {
  readonly kind: Servers.Kind
  readonly provider: Provider & Management
  readonly models: ReadonlyArray<ModelInfo>
}

export interface Selected {
  readonly provider: Provider & Management
  readonly model: string
}

/** The server was not named, and it is not at the usual port or the given address. */
export class NotRunning extends Data.TaggedError("NotRunning")<{ readonly message: string }> {}

/** The server has no suitable model. */
export class NoModel extends Data.TaggedError("NoModel")<{ readonly message: string }> {}

/** Nothing was configured, and no server is at its usual port. */
export class NoServerRunning extends Data.TaggedError("NoServerRunning")<{ readonly message: string }> {}

/** No server can be used. */
export class NothingFound extends Data.TaggedError("NothingFound")<{ readonly message: string }> {}

type ServerFailure = ProviderError | Config.ConfigError | NotRunning | NoModel

/** An address and how to access it. */
interface ServerAddress extends Access.Access {
  readonly url: string | undefined
}

type Requirements = HttpClient.HttpClient | Scope.Scope
type Connected = Omit<Server, "models">

/** The servers that answer, in the order of preference. */
export const findServers = (selection: Selection) => find(selection, listed)

/** The first server that has a suitable model. If both are named, no list of models is requested. */
export const findModel = Effect.fnUntraced(function* (
  selection: Selection,
  purpose: Purpose = "chat"
): Effect.fn.Return<Selected, ServerFailure | NoServerRunning | NothingFound | Time.WrongValue, Requirements> {
  if (selection.provider !== undefined && selection.model !== undefined) {
    const address = { url: selection.url, ...(yield* Access.read(selection)) }
    return { provider: (yield* connect(selection.provider, address)).provider, model: selection.model }
  }
  const [first] = yield* find(selection, (server) =>
    Effect.flatMap(listed(server), (server) => selectModel(server, selection.model, purpose))
  )
  return first
})

/** The servers that can be used. The failures of the others are reported. */
const find = Effect.fnUntraced(function* <A, E extends ServerFailure>(
  selection: Selection,
  use: (server: Connected) => Effect.Effect<A, E, Requirements>
) {
  const address = { url: selection.url, ...(yield* Access.read(selection)) }
  const [found, failures] = yield* search(selection.provider, address, use)
  if (!Arr.isReadonlyArrayNonEmpty(found)) return yield* nothingFound(failures, selection)
  // With an address alone, several protocols are tried there, and it is normal that the others fail.
  if (selection.url === undefined) yield* noteFailures(failures)
  return found
})

/** Reports the servers that failed where others did not. It is normal that a server is not running. */
const noteFailures = (failures: ReadonlyArray<ServerFailure>): Effect.Effect<void> =>
  Effect.forEach(
    failures.filter(({ _tag }) => _tag !== "NotRunning"),
    (failure) => Output.dimNote(Failure.describe(failure)),
    { discard: true }
  )

const nothingFound = (failures: ReadonlyArray<ServerFailure>, { url }: Selection): NoServerRunning | NothingFound => {
  const others = failures.filter(({ _tag }) => _tag !== "NotRunning")
  const descriptions = (others.length > 0 ? others : failures).map((failure) => Failure.describe(failure))
  // At an address, several protocols were tried, and the reason may be the same.
  const withoutName = (text: string): string => text.replace(/^[^(:]*/, "")
  const messages =
    url === undefined ? descriptions : Arr.dedupeWith(descriptions, (a, b) => withoutName(a) === withoutName(b))
  const message = messages.join("; ")
  if (others.length > 0) return new NothingFound({ message })
  return url === undefined
    ? new NoServerRunning({ message: `no model server is running (${message}); start one, or name one with --url` })
    : new NothingFound({ message: `${message}; is the server running?` })
}

/** Uses the server that is named, or each that can be used, all at once. */
const search = <A, E extends ServerFailure>(
  kind: Servers.Kind | undefined,
  address: ServerAddress,
  use: (server: Connected) => Effect.Effect<A, E, Requirements>
): Effect.Effect<[ReadonlyArray<A>, ReadonlyArray<ServerFailure>], never, Requirements> =>
  Effect.gen(function* () {
    const each = { concurrency: "unbounded" } as const
    if (kind !== undefined)
      return yield* Effect.partition([kind], (kind) => Effect.flatMap(connect(kind, address), use))
    const [probed, unusable] = yield* address.url === undefined
      ? Effect.partition(Discovery.kinds, (kind) => probe(kind, address), each)
      : probeOne(address)
    const isSame = (a: Discovery.Probed, b: Discovery.Probed) =>
      a.state === "recognised" && b.state === "recognised" && Discovery.isSameServer(a, b)
    const [found, failures] = yield* Effect.partition(
      Arr.dedupeWith(probed, isSame),
      (server) => Effect.flatMap(check(server, address.url), use),
      each
    )
    return [found, [...unusable, ...failures]]
  })

/** A program that does not respond must not delay the others for long. */
const probe = (kind: Discovery.Kind, address: ServerAddress) =>
  Discovery.probe(kind, { ...address, timeLimit: "1 second" })

/** One probe recognises a server of any kind. Where it recognises none, each protocol is tried. */
const probeOne = Effect.fnUntraced(function* (address: ServerAddress) {
  const [[first], failures] = yield* Effect.partition(Discovery.kinds.slice(0, 1), (kind) => probe(kind, address))
  if (first === undefined || first.state === "recognised")
    return [first === undefined ? [] : [first], failures] as const
  const { state } = first
  const [others, unusable] = yield* Effect.partition(Discovery.kinds.slice(1), (kind) =>
    Effect.map(Discovery.connect(kind, address), (found): Discovery.Probed => ({ ...found, state }))
  )
  return [
    [first, ...others],
    [...failures, ...unusable]
  ] as const
})

/**
 * A server that is not recognised may be slow, and is used as the kind that was expected. It counts as not running only if it was
 * not named, and its usual port is closed or shared with many other programs.
 */
const check = Effect.fnUntraced(function* (
  probed: Discovery.Probed,
  url: string | undefined
): Effect.fn.Return<Connected, ProviderError | NotRunning> {
  const { isConfigured, kind, provider, state } = probed
  const isNamed = isConfigured && url === undefined
  if (state === "recognised" || isNamed) return yield* prepare(probed, state === "recognised")
  const host = provider.server?.replace("http://", "")
  if (state === "closed") {
    return yield* new NotRunning({ message: `${provider.name}: nothing listens on ${host}` })
  }
  if (Servers.definitions[kind].address.isPortShared) {
    return yield* new NotRunning({ message: `${provider.name}: no such server answers on ${host}` })
  }
  return yield* prepare(probed)
})

const connect = (
  kind: Servers.Kind,
  address: ServerAddress
): Effect.Effect<Connected, ProviderError | Config.ConfigError, Requirements> =>
  Effect.flatMap(Servers.connect(kind, address), ({ service }) => prepare(service))

/** Each operation that only some servers have is used where it is present. */
const prepare = (
  { kind, provider }: Servers.Service,
  isRecognised = false
): Effect.Effect<Connected, ProviderError> => {
  const server = {
    kind,
    provider: {
      ...provider,
      ...("download" in provider ? { pull: (model: string) => provider.download(model) } : {}),
      // Other servers may also list their models on Ollama's path, but they report no version.
      ...("version" in provider && !isRecognised
        ? { listModels: Effect.andThen(provider.version, provider.listModels) }
        : {})
    }
  }
  if (!("ready" in provider)) return Effect.succeed(server)
  // While it loads its model, it answers every request with 503.
  const note = Output.withNoteIfSlow(`local-llm: waiting until ${provider.name} has loaded its model`, "500 millis")
  return Effect.as(note(provider.ready), server)
}

/** A slow server is waited for, as long as the deadlines of its layer allow. */
const listed = (server: Connected): Effect.Effect<Server, ProviderError> =>
  server.provider.listModels.pipe(
    Output.withNoteIfSlow(`local-llm: waiting for ${server.provider.name} to list its models`),
    Effect.map((models) => ({ ...server, models }))
  )

/** The most models that an error names. */
const maxNames = 10

const selectModel = Effect.fnUntraced(function* (
  { models, provider }: Server,
  wanted: string | undefined,
  purpose: Purpose
): Effect.fn.Return<Selected, ServerFailure> {
  const { isSuitable, missing } = purposes[purpose]
  const names = models.filter(isSuitable).map(({ id }) => id)
  const server = provider.server === undefined ? provider.name : `${provider.name} (${provider.server})`
  if (wanted !== undefined) {
    const isListed = models.some(({ id }) => provider.isSameModel(id, wanted))
    if (isListed || (yield* provider.supportsModel(wanted))) return { provider, model: wanted }
    const more = names.length > maxNames ? ` and ${names.length - maxNames} more` : ""
    const others = names.length === 0 ? "" : `; it has ${names.slice(0, maxNames).join(", ")}${more}`
    return yield* new NoModel({ message: `${server}: there is no model "${wanted}"${others}` })
  }
  const model = names[0]
  if (model === undefined) {
    return yield* new NoModel({ message: `${server}: ${missing}` })
  }
  return { provider, model }
})

/** LM Studio lists embedding models together with chat models, and only their names tell them apart. */
const isNamedAsEmbedding = ({ id }: ModelInfo): boolean => /embed|minilm|\bbge\b/i.test(id)

const purposes = {
  chat: {
    isSuitable: (model: ModelInfo) =>
      (model.capabilities === undefined || model.capabilities.includes("completion")) && !isNamedAsEmbedding(model),
    missing: "there is no model to chat with; get one there first"
  },
  embed: {
    isSuitable: (model: ModelInfo) => model.capabilities?.includes("embedding") === true || isNamedAsEmbedding(model),
    missing: "there is no embedding model; get one there first, or name a model with --model"
  }
}

/** What a model is for. */
export type Purpose = keyof typeof purposes
