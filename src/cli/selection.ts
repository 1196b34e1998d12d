/** Selects the server and the model: those that were named, or else those that run on this machine. */
import * as Arr from "effect/Array"
import type * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import type * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Discovery from "../Discovery.ts"
import * as LmStudio from "../LmStudio.ts"
import type { ModelInfo } from "../ModelInfo.ts"
import type { LoadOptions, Ollama } from "../Ollama.ts"
import type { Provider } from "../Provider.ts"
import type { ProviderError } from "../ProviderError.ts"
import type * as Kinds from "../servers/kinds.ts"
import * as Servers from "../servers/servers.ts"
import * as Access from "./access.ts"
import * as Failure from "./failure.ts"
import * as Fake from "./fake.ts"
import type * as Flags from "./flags.ts"
import * as Output from "./output.ts"

/** What the flags name. */
export type Named = Access.Flags & Partial<Pick<Flags.Input<typeof Flags.chat>, "provider" | "url" | "hosts" | "model">>

/** What some servers can do besides completions. */
export type Management = Partial<Pick<Ollama, "running" | "show" | "pull" | "deleteModel" | "copyModel" | "unload">> & {
  readonly load?: (model: string, options: LoadOptions) => Effect.Effect<unknown, ProviderError>
}

interface Connected {
  readonly kind: Kinds.Kind
  readonly provider: Provider & Management
}

/** A server that listed its models. */
export interface Server extends Connected {
  readonly models: ReadonlyArray<ModelInfo>
}

export interface Selected {
  readonly provider: Provider & Management
  readonly model: string
  /** Whether the request waits for a host of a pool. Servers do not report that a request waits. Default: never. */
  readonly isQueued?: Effect.Effect<boolean>
  /** Whether it is the built-in fake server. */
  readonly isFake?: boolean
}

type ServerFailure = ProviderError | Config.ConfigError | Failure.NotRunning | Failure.CommandFailed
type Requirements = HttpClient.HttpClient | Scope.Scope

/** The servers that can be used, in the order of preference. */
export const findServers = (named: Named) => find(named, withModels)

/** The first server that has a suitable model. If server and model are named, no list of models is requested. */
export const findModel = (named: Named, purpose: Purpose = "chat") => {
  const { model, provider: kind } = named
  const found = find(named, (server) =>
    kind !== undefined && model !== undefined
      ? Effect.succeed<Selected>({ provider: server.provider, model })
      : Effect.flatMap(withModels(server), (server) => selectModel(server, model, purpose))
  )
  return Effect.map(found, ([first]) => first)
}

/** As `findModel`. Several hosts are a pool. If no server runs, the built-in fake server answers where it may. */
export const select = Effect.fnUntraced(function* (input: Named) {
  const { hosts } = input
  if (hosts !== undefined) return yield* selectHosts(input, hosts)
  const found: Selected = yield* Effect.catchTag(
    findModel(input),
    "NotRunning",
    Effect.fnUntraced(function* (error) {
      return input.model === undefined && (yield* Fake.isAllowed) ? yield* startFake : yield* error
    })
  )
  return found
})

/** Several hosts become a pool. */
const selectHosts = Effect.fnUntraced(function* (input: Named, addresses: ReadonlyArray<string>) {
  const hosts = yield* forEachHost(addresses, (url) =>
    Effect.map(findModel({ ...input, hosts: undefined, url }), (selected) => ({ ...selected, name: url }))
  )
  const [first, ...others] = hosts
  if (others.length === 0) return { model: first.model, provider: first.provider }
  const Pool = yield* Effect.promise(() => import("../Pool.ts"))
  const provider = yield* Pool.make({ hosts: hosts.map(({ name, provider }) => ({ name, provider })) })
  const isQueued = Effect.map(SubscriptionRef.get(provider.state), ({ waiting }) => waiting > 0)
  const pool: Selected = { model: input.model ?? first.model, provider, isQueued }
  return pool
})

const startFake = Effect.gen(function* () {
  yield* Output.note("No model server is running. The answer comes from the built-in FAKE server, not from a model.")
  const url = yield* Fake.start("Its answer will stream like these words.")
  // With this protocol the program measures the speed itself. With Ollama's, the server would report an invented one.
  return {
    provider: { ...(yield* LmStudio.make({ baseUrl: url })), name: "the fake server" },
    model: Fake.model,
    isFake: true
  }
})

const find = <A, E extends ServerFailure>(
  { hosts, ...named }: Named,
  use: (server: Connected) => Effect.Effect<A, E, Requirements>
) => {
  if (hosts === undefined) return findHere(named, use)
  const useAs = (name: string) => (server: Connected) => use({ ...server, provider: { ...server.provider, name } })
  return forEachHost(hosts, (url) => Effect.map(findHere({ ...named, url }, useAs(url)), ([first]) => first))
}

/** What is found at several hosts. One that does not answer is reported, and the others are used. */
const forEachHost = Effect.fnUntraced(function* <A, E extends Error, R>(
  hosts: ReadonlyArray<string>,
  findAt: (url: string) => Effect.Effect<A, E, R>
) {
  const [found, failures] = yield* Effect.partition(hosts, findAt, { concurrency: "unbounded" })
  const messages = failures.map((failure) => Failure.describe(failure))
  if (!Arr.isReadonlyArrayNonEmpty(found)) return yield* Failure.fail(messages.join("; "))
  yield* Effect.forEach(messages, Output.dimNote, { discard: true })
  return found
})

/** The servers that can be used. The failures of the others are reported. */
const findHere = Effect.fnUntraced(function* <A, E extends ServerFailure>(
  named: Named,
  use: (server: Connected) => Effect.Effect<A, E, Requirements>
) {
  const { provider: kind, url } = named
  const address = { url, ...(yield* Access.read(named)) }
  const [candidates, unusable] = yield* findCandidates(kind, address)
  const [found, failures] = yield* Effect.partition(
    Arr.dedupeWith(candidates, isSame),
    (candidate) => Effect.flatMap(check(candidate), use),
    { concurrency: "unbounded" }
  )
  const all = [...unusable, ...failures]
  if (!Arr.isReadonlyArrayNonEmpty(found)) return yield* nothingFound(all, url)
  // With an address alone, several protocols are tried there, and it is normal that the others fail.
  if (url === undefined) {
    yield* Effect.forEach(all.filter(isUnexpected), (failure) => Output.dimNote(Failure.describe(failure)))
  }
  return found
})

/** It is normal that a server is not running. */
const isUnexpected = ({ _tag }: ServerFailure): boolean => _tag !== "NotRunning"

/** At an address, several protocols were tried. If the reason is the same, it is told once, with what was tried. */
const joinAttempts = (shown: ReadonlyArray<string>, all: ReadonlyArray<string>): ReadonlyArray<string> => {
  const nameOf = (text: string): string => /^[^(:]*/.exec(text)?.[0].trim() ?? ""
  const reasons = Object.entries(Arr.groupBy(shown, (text) => text.replace(/^[^(:]*/, "")))
  return reasons.map(([reason, texts]) => {
    const names = Arr.dedupe((reasons.length === 1 ? all : texts).map(nameOf))
    const tried = names.length === 1 ? names.join() : `tried ${names.slice(0, -1).join(", ")} and ${names.at(-1)}`
    return `${tried}${reason.startsWith("(") ? " " : ""}${reason}`
  })
}

const nothingFound = (failures: ReadonlyArray<ServerFailure>, url: string | undefined) => {
  const unexpected = failures.filter(isUnexpected)
  const describe = (failure: ServerFailure) => Failure.describe(failure)
  const descriptions = (unexpected.length > 0 ? unexpected : failures).map(describe)
  const message = (
    url === undefined ? Arr.dedupe(descriptions) : joinAttempts(descriptions, failures.map(describe))
  ).join("; ")
  if (unexpected.length > 0) return new Failure.CommandFailed({ message })
  if (url !== undefined) return new Failure.CommandFailed({ message: `${message}; is the server running?` })
  const advice = "start one, or name one with --url"
  return new Failure.NotRunning({ message: `no model server is running (${message}); ${advice}` })
}

type Service = Discovery.Service | Servers.Service<"openai">

/** A server that may be used. */
type Candidate = Service & { readonly state: Discovery.Probed["state"]; readonly isNamed: boolean }

type Candidates = readonly [ReadonlyArray<Candidate>, ReadonlyArray<ProviderError | Config.ConfigError>]

/** One probe recognises a server of any kind. Where it recognises none at an address, each protocol is tried there. */
const findCandidates = Effect.fnUntraced(function* (
  kind: Kinds.Kind | undefined,
  address: Access.Access & { readonly url: string | undefined }
): Effect.fn.Return<Candidates, never, Requirements> {
  // A program that does not respond must not delay the others for long.
  const probe = (kind: Discovery.Kind) =>
    Effect.map(Discovery.probe(kind, { ...address, timeLimit: "1 second" }), ({ isConfigured, ...probed }) => ({
      ...probed,
      isNamed: isConfigured && address.url === undefined
    }))
  const connectAs = (known: Pick<Candidate, "state" | "isNamed">) => (kind: Kinds.Kind) =>
    Effect.map(Servers.connect(kind, address), ({ service }) => ({ ...service, ...known }))

  if (kind !== undefined) return yield* Effect.partition([kind], connectAs({ state: "unknown", isNamed: true }))
  if (address.url === undefined) return yield* Effect.partition(Discovery.kinds, probe, { concurrency: "unbounded" })
  const [[first], failures] = yield* Effect.partition(Discovery.kinds.slice(0, 1), probe)
  if (first === undefined) return [[], failures]
  if (first.state === "recognised") return [[first], []]
  const [others, unusable] = yield* Effect.partition(
    Discovery.kinds.slice(1),
    connectAs({ state: first.state, isNamed: false })
  )
  return [[first, ...others], unusable]
})

const isSame = (a: Candidate, b: Candidate): boolean =>
  a.state === "recognised" && b.state === "recognised" && a.kind === b.kind && a.provider.server === b.provider.server

/**
 * A server that is not recognised may be slow, and is used as the kind that was expected. It counts as not running only if it was
 * not named, and its usual port is closed or shared with many other programs.
 */
const check = (candidate: Candidate): Effect.Effect<Connected, ProviderError | Failure.NotRunning> => {
  const { isNamed, kind, provider, state } = candidate
  const notRunning = (what: string) =>
    new Failure.NotRunning({ message: `${provider.name}: ${what} on ${provider.server?.replace("http://", "")}` })
  if (!isNamed && state === "closed") return Effect.fail(notRunning("nothing listens"))
  if (!isNamed && state === "unknown" && Servers.definitions[kind].address.isPortShared) {
    return Effect.fail(notRunning("no such server answers"))
  }
  return prepare(candidate, state === "recognised")
}

/** Each operation that only some servers have is used where it is present. */
const prepare = ({ kind, provider }: Service, isRecognised: boolean): Effect.Effect<Connected, ProviderError> => {
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
  // While it loads its model, it rejects every request with 503.
  const note = Output.withNoteIfSlow(`local-llm: waiting until ${provider.name} has loaded its model`, "500 millis")
  return Effect.as(note(provider.ready), server)
}

/** A slow server is waited for, as long as the deadlines of its layer allow. */
const withModels = (server: Connected): Effect.Effect<Server, ProviderError> =>
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
  const [first] = names
  const server = provider.server === undefined ? provider.name : `${provider.name} (${provider.server})`
  if (wanted === undefined) {
    return first === undefined ? yield* Failure.fail(`${server}: ${missing}`) : { provider, model: first }
  }
  const isListed = models.some(({ id }) => provider.isSameModel(id, wanted))
  if (isListed || (yield* provider.supportsModel(wanted))) return { provider, model: wanted }
  const more = names.length > maxNames ? ` and ${names.length - maxNames} more` : ""
  const others = names.length === 0 ? "" : `; it has ${names.slice(0, maxNames).join(", ")}${more}`
  return yield* Failure.fail(`${server}: there is no model "${wanted}"${others}`)
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
