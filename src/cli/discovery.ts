/** Finds whom to ask: the server that was named, or else those that people run on their machines. */
import type * as Config from "effect/Config"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as LmStudio from "../LmStudio.ts"
import type { ModelInfo } from "../ModelInfo.ts"
import * as Ollama from "../Ollama.ts"
import type { Provider } from "../Provider.ts"
import { ProviderError, Timeout } from "../ProviderError.ts"

/** What the user said; whatever is left open is found out. */
export interface Wish {
  readonly provider?: Kind | undefined
  readonly url?: string | undefined
  readonly model?: string | undefined
}

export type Kind = "ollama" | "lmstudio"

export interface Server {
  readonly provider: Provider
  readonly models: ReadonlyArray<ModelInfo>
}

/** Whom to ask, and which of its models. */
export interface Choice {
  readonly provider: Provider
  readonly model: string
}

/** No server answers, or none that does has a model to ask. */
export class NothingFound extends Data.TaggedError("NothingFound")<{ readonly message: string }> {}

type Failure = ProviderError | Config.ConfigError | NothingFound
type Needs = HttpClient.HttpClient | Scope.Scope

/** The servers that answer, Ollama first, and why the others do not. */
export const findServers = (
  wish: Wish
): Effect.Effect<[servers: Array<Server>, failures: Array<Failure>], never, Needs> =>
  Effect.partition(kindsOf(wish), (kind) => ask(kind, wish), { concurrency: "unbounded" })

/** The first server that has a model to ask. If both are named, the answer itself will tell whether they are there. */
export const findModel = Effect.fnUntraced(function* (wish: Wish): Effect.fn.Return<Choice, Failure, Needs> {
  if (wish.provider !== undefined && wish.model !== undefined) {
    return { provider: yield* connections[wish.provider](wish.url), model: wish.model }
  }
  const [choices, failures] = yield* Effect.partition(
    kindsOf(wish),
    (kind) => Effect.flatMap(ask(kind, wish), (server) => choose(server, wish.model)),
    { concurrency: "unbounded" }
  )
  return choices[0] ?? (yield* nothingFound(failures))
})

export const nothingFound = (failures: ReadonlyArray<Failure>): NothingFound =>
  new NothingFound({ message: failures.map(({ message }) => message).join("; ") })

const kindsOf = ({ provider }: Wish): ReadonlyArray<Kind> =>
  provider === undefined ? ["ollama", "lmstudio"] : [provider]

/** A server on this machine answers at once; one that was named may be far away. */
const patience = ({ provider, url }: Wish): Duration.Duration =>
  Duration.seconds(provider === undefined && url === undefined ? 2 : 10)

const ask = Effect.fnUntraced(function* (kind: Kind, wish: Wish): Effect.fn.Return<Server, Failure, Needs> {
  const provider = yield* connections[kind](wish.url)
  const limit = patience(wish)
  return yield* Effect.timeoutOrElse(
    Effect.map(provider.listModels, (models) => ({ provider, models })),
    {
      duration: limit,
      orElse: () =>
        Effect.fail(new ProviderError({ provider: provider.name, reason: new Timeout({ kind: "first-chunk", limit }) }))
    }
  )
})

const connections = {
  ollama: Effect.fnUntraced(function* (url: string | undefined) {
    const context = yield* Layer.build(withVariable(Ollama.layerConfig(), "OLLAMA_HOST", url))
    const server = Context.get(context, Ollama.Ollama)
    // Others may list their models on Ollama's path as well, but they have no version there.
    return { ...server, listModels: Effect.andThen(server.version, server.listModels) }
  }),
  lmstudio: Effect.fnUntraced(function* (url: string | undefined) {
    const context = yield* Layer.build(withVariable(LmStudio.layerConfig(), "LMSTUDIO_BASE_URL", url))
    return Context.get(context, LmStudio.LmStudio)
  })
}

/** An address from the command line stands in for the one of the environment; the token of the environment stays. */
const withVariable = <A, E, R>(layer: Layer.Layer<A, E, R>, name: string, value: string | undefined) =>
  value === undefined
    ? layer
    : Layer.provide(layer, ConfigProvider.layerAdd(ConfigProvider.fromUnknown({ [name]: value }), { asPrimary: true }))

const choose = Effect.fnUntraced(function* (
  { models, provider }: Server,
  wanted: string | undefined
): Effect.fn.Return<Choice, Failure> {
  const names = models.filter(canChat).map(({ id }) => id)
  if (wanted !== undefined) {
    if (yield* provider.supportsModel(wanted)) return { provider, model: wanted }
    const others = names.length === 0 ? "" : `; it has ${names.join(", ")}`
    return yield* new NothingFound({ message: `${provider.name}: no model "${wanted}" there${others}` })
  }
  const model = names[0]
  if (model === undefined) return yield* new NothingFound({ message: `${provider.name}: it has no model to chat with` })
  return { provider, model }
})

/** LM Studio lists models that embed beside those that chat, and tells them apart by their names alone. */
const canChat = ({ capabilities, id }: ModelInfo): boolean =>
  (capabilities === undefined || capabilities.includes("completion")) && !/embed|minilm|\bbge\b/i.test(id)
