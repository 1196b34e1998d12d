/** Finds the server and the model: those that were named, or else those that run on this machine. */
import * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Net from "node:net"
import * as BaseUrl from "../internal/baseUrl.ts"
import * as LlamaServer from "../LlamaServer.ts"
import * as LmStudio from "../LmStudio.ts"
import type { ModelInfo } from "../ModelInfo.ts"
import type { ModelProgress } from "../ModelProgress.ts"
import * as Ollama from "../Ollama.ts"
import * as OpenAiCompatible from "../OpenAiCompatible.ts"
import type { Provider } from "../Provider.ts"
import type { ProviderError } from "../ProviderError.ts"
import * as Failure from "./failure.ts"
import * as Output from "./output.ts"

/** What the flags name. */
export interface Selection {
  readonly provider?: Kind | undefined
  readonly url?: string | undefined
  readonly model?: string | undefined
}

/** What some servers can do besides answering. */
export interface Management {
  readonly running?: Effect.Effect<ReadonlyArray<ModelInfo>, ProviderError>
  readonly show?: (model: string) => Effect.Effect<ModelInfo, ProviderError>
  readonly pull?: (model: string) => Stream.Stream<ModelProgress, ProviderError>
  readonly deleteModel?: (model: string) => Effect.Effect<void, ProviderError>
  readonly copyModel?: (from: string, to: string) => Effect.Effect<void, ProviderError>
  readonly load?: (model: string) => Effect.Effect<unknown, ProviderError>
  readonly unload?: (model: string) => Effect.Effect<void, ProviderError>
}

/** A server that answered. */
export interface Server {
  readonly provider: Provider & Management
  readonly models: ReadonlyArray<ModelInfo>
}

export interface Selected {
  readonly provider: Provider & Management
  readonly model: string
}

/** Nobody named the server, and it is not at the usual port or the given address. */
export class NotRunning extends Data.TaggedError("NotRunning")<{ readonly message: string }> {}

/** The server has no suitable model. */
export class NoModel extends Data.TaggedError("NoModel")<{ readonly message: string }> {}

/** Nothing was configured, and no server is at its usual port. */
export class NoServerRunning extends Data.TaggedError("NoServerRunning")<{ readonly message: string }> {}

/** No server can be used. */
export class NothingFound extends Data.TaggedError("NothingFound")<{ readonly message: string }> {}

type ServerFailure = ProviderError | Config.ConfigError | NotRunning | NoModel
type Requirements = HttpClient.HttpClient | Scope.Scope

interface ServerType {
  readonly name: string
  /** Where it listens unless it is configured otherwise. Without a usual port it is used only if `--provider` names it. */
  readonly port?: number
  /** The environment variable that holds its address. */
  readonly urlVariable: string
  readonly tokenVariable: string
  /** Whether such a server is at an address, for a server whose usual port other programs use too. */
  readonly identify?: (address: string) => Effect.Effect<boolean, never, HttpClient.HttpClient>
  readonly connect: Effect.Effect<Provider & Management, ProviderError | Config.ConfigError, Requirements>
}

/**
 * llama.cpp's server names itself in a header of every answer, also while it loads its model. Many other programs answer
 * `/health` with the same JSON. A program that is silent must not delay the other servers for long.
 */
const isLlamaServer = (address: string): Effect.Effect<boolean, never, HttpClient.HttpClient> =>
  Effect.fromResult(BaseUrl.parse(address, { port: "8080", root: "/v1" })).pipe(
    Effect.flatMap((url) => HttpClient.HttpClient.use((client) => HttpClient.withScope(client).get(`${url}/health`))),
    Effect.map(({ headers }) => headers["server"] === "llama.cpp"),
    Effect.scoped,
    Effect.timeout("2 seconds"),
    Effect.orElseSucceed(() => false)
  )

/** In the order in which they are preferred. */
const serverTypes = {
  ollama: {
    name: "Ollama",
    port: 11434,
    urlVariable: "OLLAMA_HOST",
    tokenVariable: "OLLAMA_API_KEY",
    connect: Effect.map(Layer.build(Ollama.layerConfig()), (context) => {
      const server = Context.get(context, Ollama.Ollama)
      // Other servers may also list their models on Ollama's path, but they report no version.
      return { ...server, listModels: Effect.andThen(server.version, server.listModels) }
    })
  },
  "llama-server": {
    name: "llama-server",
    port: 8080,
    urlVariable: "LLAMA_SERVER_URL",
    tokenVariable: "LLAMA_API_KEY",
    identify: isLlamaServer,
    connect: Effect.gen(function* () {
      const server = Context.get(yield* Layer.build(LlamaServer.layerConfig()), LlamaServer.LlamaServer)
      // While it loads its model, it answers every request with 503.
      const note = Output.withNoteIfSlow("local-llm: waiting until llama-server has loaded its model", "500 millis")
      yield* note(server.ready)
      return server
    })
  },
  lmstudio: {
    name: "LM Studio",
    port: 1234,
    urlVariable: "LMSTUDIO_BASE_URL",
    tokenVariable: "LM_API_TOKEN",
    connect: Effect.map(Layer.build(LmStudio.layerConfig()), (context) => {
      const server = Context.get(context, LmStudio.LmStudio)
      return { ...server, pull: server.download }
    })
  },
  openai: {
    name: "OpenAI-compatible server",
    urlVariable: "OPENAI_BASE_URL",
    tokenVariable: "OPENAI_API_KEY",
    connect: Effect.map(Layer.build(OpenAiCompatible.layerConfig()), Context.get(OpenAiCompatible.OpenAiCompatible))
  }
} satisfies Readonly<Record<string, ServerType>>

export type Kind = keyof typeof serverTypes

/** The values of `--provider`. */
export const kinds = Record.keys(serverTypes)

/** The servers that answer, in the order of preference, and the failures of the others. */
export const findServers = (
  selection: Selection
): Effect.Effect<[servers: Array<Server>, failures: Array<ServerFailure>], never, Requirements> =>
  Effect.partition(candidates(selection), (type) => ask(type, selection), { concurrency: "unbounded" })

/** The first server that has a suitable model. If both are named, no list of models is requested. */
export const findModel = Effect.fnUntraced(function* (
  selection: Selection
): Effect.fn.Return<Selected, ServerFailure | NoServerRunning | NothingFound, Requirements> {
  if (selection.provider !== undefined && selection.model !== undefined) {
    return { provider: yield* connect(serverTypes[selection.provider], selection), model: selection.model }
  }
  const [found, failures] = yield* Effect.partition(
    candidates(selection),
    (type) => Effect.flatMap(ask(type, selection), (server) => selectModel(server, selection.model)),
    { concurrency: "unbounded" }
  )
  const first = found[0]
  if (first === undefined) return yield* nothingFound(failures)
  // With an address alone, every kind of server is tried there, and it is normal that the others fail.
  if (selection.url === undefined) yield* noteFailures(failures)
  return first
})

/** Reports the servers that failed where others did not. It is normal that a server is not running. */
export const noteFailures = (failures: ReadonlyArray<ServerFailure>): Effect.Effect<void> =>
  Effect.forEach(
    failures.filter(({ _tag }) => _tag !== "NotRunning"),
    (failure) => Output.dimNote(Failure.describe(failure)),
    { discard: true }
  )

export const nothingFound = (failures: ReadonlyArray<ServerFailure>): NoServerRunning | NothingFound => {
  const message = failures.map(Failure.describe).join("; ")
  return failures.every(({ _tag }) => _tag === "NotRunning")
    ? new NoServerRunning({ message: `no model server is running (${message}); start one, or name one with --url` })
    : new NothingFound({ message })
}

/** A server without a usual port may be a cloud service, so a prompt is sent there only if the flag names it. */
const candidates = ({ provider }: Selection): ReadonlyArray<ServerType> =>
  provider === undefined
    ? Object.values<ServerType>(serverTypes).filter(({ port }) => port !== undefined)
    : [serverTypes[provider]]

/**
 * Asks a server for its models. A slow server is waited for, as long as the deadlines of its layer allow. It counts as not
 * running only if nobody named it, and its usual port is closed or another program is there.
 */
const ask = Effect.fnUntraced(function* (
  type: ServerType,
  selection: Selection
): Effect.fn.Return<Server, ServerFailure, Requirements> {
  const { provider: kind, url } = selection
  const isNamed = kind !== undefined || (url === undefined && (yield* isConfigured(type)))
  if (!isNamed && type.port !== undefined) {
    if (url === undefined && !(yield* isListening(type.port))) {
      return yield* new NotRunning({ message: `${type.name}: nothing listens on 127.0.0.1:${type.port}` })
    }
    if (type.identify !== undefined && !(yield* type.identify(url ?? `http://127.0.0.1:${type.port}`))) {
      // The address of the flag may contain a password, so it is not quoted.
      const place = url === undefined ? `on 127.0.0.1:${type.port}` : "at the given address"
      return yield* new NotRunning({ message: `${type.name}: no such server answers ${place}` })
    }
  }
  const provider = yield* connect(type, selection)
  const models = yield* provider.listModels.pipe(
    Output.withNoteIfSlow(`local-llm: waiting for ${type.name} to list its models`)
  )
  return { provider, models }
})

const isConfigured = ({ tokenVariable, urlVariable }: ServerType): Effect.Effect<boolean, Config.ConfigError> =>
  Effect.map(Effect.all([isSet(urlVariable), isSet(tokenVariable)]), (values) => values.includes(true))

const isSet = (variable: string): Effect.Effect<boolean, Config.ConfigError> =>
  Effect.gen(function* () {
    return Option.exists(yield* Config.option(Config.String(variable)), (text) => text.trim() !== "")
  })

/** Whether something accepts connections on a port of this machine, however slow it is to answer. */
const isListening = (port: number): Effect.Effect<boolean> =>
  Effect.callback((resume) => {
    const socket = Net.connect({ host: "127.0.0.1", port })
    const done = (isOpen: boolean): void => {
      socket.destroy()
      resume(Effect.succeed(isOpen))
    }
    socket.once("connect", () => done(true))
    socket.once("error", () => done(false))
    return Effect.sync(() => socket.destroy())
  })

/** The address of the flag replaces that of the environment. The token of the environment stays. */
const connect = ({ connect, urlVariable }: ServerType, { url }: Selection) =>
  url === undefined
    ? connect
    : Effect.provide(
        connect,
        ConfigProvider.layerAdd(ConfigProvider.fromUnknown({ [urlVariable]: url }), { asPrimary: true })
      )

const selectModel = Effect.fnUntraced(function* (
  { models, provider }: Server,
  wanted: string | undefined
): Effect.fn.Return<Selected, ServerFailure> {
  const names = models.filter(canChat).map(({ id }) => id)
  if (wanted !== undefined) {
    if (yield* provider.supportsModel(wanted)) return { provider, model: wanted }
    const others = names.length === 0 ? "" : `; it has ${names.join(", ")}`
    return yield* new NoModel({ message: `${provider.name}: there is no model "${wanted}"${others}` })
  }
  const model = names[0]
  if (model === undefined) {
    return yield* new NoModel({ message: `${provider.name}: there is no model to chat with; get one there first` })
  }
  return { provider, model }
})

/** LM Studio lists embedding models together with chat models, and only their names tell them apart. */
const canChat = ({ capabilities, id }: ModelInfo): boolean =>
  (capabilities === undefined || capabilities.includes("completion")) && !/embed|minilm|\bbge\b/i.test(id)
