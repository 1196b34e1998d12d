/**
 * Which model servers run here.
 *
 * @since 0.3.0
 */
import * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import type { HttpClientError } from "effect/http/HttpClientError"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Redacted from "effect/Redacted"
import type { Defaults } from "./CompletionRequest.ts"
import * as BaseUrl from "./internal/baseUrl.ts"
import * as LlamaServer from "./LlamaServer.ts"
import * as LmStudio from "./LmStudio.ts"
import * as Ollama from "./Ollama.ts"
import * as Provider from "./Provider.ts"
import type { ProviderErrorReason } from "./ProviderError.ts"
import { ProviderError, Timeout } from "./ProviderError.ts"

/**
 * The servers that are looked for, in the order in which they are preferred.
 *
 * @since 0.3.0
 */
export type Kind = "ollama" | "llama-server" | "lmstudio"

/**
 * A server that answers.
 *
 * @since 0.3.0
 */
export interface Found {
  readonly kind: Kind
  readonly provider: Provider.Provider
  /** Whether an environment variable names its address. Otherwise it is at a usual address. */
  readonly isConfigured: boolean
}

/**
 * The servers that answer, and the errors of those that an environment variable names and that do not.
 *
 * @since 0.3.0
 */
export interface Discovered {
  /** Those that are configured first, then in the order of `Kind`. */
  readonly found: ReadonlyArray<Found>
  readonly failures: ReadonlyArray<ProviderError | Config.ConfigError>
}

/**
 * No server was found.
 *
 * @since 0.3.0
 */
export class NoServerFound extends Data.TaggedError("NoServerFound")<{
  readonly message: string
  readonly failures: Discovered["failures"]
}> {}

/**
 * Options of the search. All fields are optional.
 *
 * @since 0.3.0
 */
export interface Options {
  /** Where each server is looked for if no environment variable names it. Default: its usual port on 127.0.0.1. */
  readonly urls?: { readonly [K in Kind]?: string | undefined } | undefined
  /** How long the whole search may take. Default: 500 milliseconds. */
  readonly timeLimit?: Duration.Input | undefined
  /** Options of every completion request that does not set its own, deadlines included. Default: none. */
  readonly defaults?: Defaults | undefined
}

interface ServerKind {
  readonly kind: Kind
  readonly urlVariable: string
  readonly tokenVariable: string
  readonly usualUrl: string
  readonly address: BaseUrl.Defaults
  readonly fromVariable: (value: string) => string
  readonly make: (options: {
    readonly baseUrl: string
    readonly token: Redacted.Redacted<string> | undefined
    readonly defaults: Defaults | undefined
  }) => Effect.Effect<Provider.Provider, ProviderError, HttpClient.HttpClient>
  /** A path whose answer only this server gives, and how it is recognised. */
  readonly path: string
  readonly isIts: (answer: Answer) => boolean
}

interface Answer {
  readonly server: string | undefined
  readonly body: unknown
}

const kinds: ReadonlyArray<ServerKind> = [
  {
    kind: "ollama",
    urlVariable: "OLLAMA_HOST",
    tokenVariable: "OLLAMA_API_KEY",
    usualUrl: "http://127.0.0.1:11434",
    address: { port: "11434", root: "/api" },
    fromVariable: BaseUrl.fromOllamaHost,
    make: Ollama.make,
    path: "/api/version",
    isIts: ({ body }) => Predicate.hasProperty(body, "version") && Predicate.isString(body.version)
  },
  {
    kind: "llama-server",
    urlVariable: "LLAMA_SERVER_URL",
    tokenVariable: "LLAMA_API_KEY",
    usualUrl: "http://127.0.0.1:8080",
    address: { port: "8080", root: "/v1" },
    fromVariable: (value) => value,
    make: LlamaServer.make,
    path: "/health",
    // Many programs answer `/health` with the same JSON. This header is also there while the model is loading.
    isIts: ({ server }) => server === "llama.cpp"
  },
  {
    kind: "lmstudio",
    urlVariable: "LMSTUDIO_BASE_URL",
    tokenVariable: "LM_API_TOKEN",
    usualUrl: "http://127.0.0.1:1234",
    address: { port: "1234", root: "/v1" },
    fromVariable: (value) => value,
    make: LmStudio.make,
    path: "/lmstudio-greeting",
    isIts: ({ body }) => Predicate.hasProperty(body, "lmstudio") && body.lmstudio === true
  }
]

/**
 * Looks for servers, all at once: at the addresses in `OLLAMA_HOST`, `LLAMA_SERVER_URL` and `LMSTUDIO_BASE_URL`, and at the usual
 * ports of those that have none. Each address is asked what it is, so a server on another one's port is recognised. Tokens come
 * from `OLLAMA_API_KEY`, `LLAMA_API_KEY` and `LM_API_TOKEN`.
 *
 * **Example** (the models of every server here)
 *
 * ```ts
 * import { NodeHttpClient } from "@effect/platform-node"
 * import { Effect } from "effect"
 * import { discover } from "effect-local-llm/Discovery"
 *
 * const program = Effect.gen(function*() {
 *   const { found } = yield* discover()
 *   return yield* Effect.forEach(found, ({ provider }) => provider.listModels, { concurrency: "unbounded" })
 * }).pipe(Effect.provide(NodeHttpClient.layerUndici))
 * ```
 *
 * @since 0.3.0
 */
export const discover = (options: Options = {}): Effect.Effect<Discovered, never, HttpClient.HttpClient> =>
  Effect.map(
    Effect.forEach(kinds, (kind) => Effect.result(lookFor(kind, options)), { concurrency: "unbounded" }),
    (results) => {
      const found = results.flatMap((result) => (result._tag === "Success" ? Option.toArray(result.success) : []))
      return {
        found: [
          ...found.filter(({ isConfigured }) => isConfigured),
          ...found.filter(({ isConfigured }) => !isConfigured)
        ],
        failures: results.flatMap((result) => (result._tag === "Failure" ? [result.failure] : []))
      }
    }
  )

/**
 * Provides `Provider` from the first server that is found. Fails with `NoServerFound` if there is none.
 *
 * **Example** (whatever runs here)
 *
 * ```ts
 * import { NodeHttpClient } from "@effect/platform-node"
 * import { Layer } from "effect"
 * import * as Discovery from "effect-local-llm/Discovery"
 *
 * const live = Discovery.layer().pipe(Layer.provide(NodeHttpClient.layerUndici))
 * ```
 *
 * @since 0.3.0
 */
export const layer = (options: Options = {}): Layer.Layer<Provider.Provider, NoServerFound, HttpClient.HttpClient> =>
  Layer.effect(
    Provider.Provider,
    Effect.flatMap(discover(options), ({ failures, found }) => {
      const first = found[0]
      if (first !== undefined) return Effect.succeed(first.provider)
      const variables = kinds.map(({ urlVariable }) => urlVariable).join(", ")
      const reasons = failures.map(({ message }) => `; ${message}`).join("")
      const message = `no model server answers at the usual ports; start one, or set ${variables}${reasons}`
      return Effect.fail(new NoServerFound({ message, failures }))
    })
  )

const lookFor = Effect.fnUntraced(function* (
  kind: ServerKind,
  { defaults, timeLimit = "500 millis", urls }: Options
): Effect.fn.Return<Option.Option<Found>, ProviderError | Config.ConfigError, HttpClient.HttpClient> {
  const configured = Option.filter(yield* Config.option(Config.String(kind.urlVariable)), (text) => text.trim() !== "")
  const isConfigured = Option.isSome(configured)
  const url = isConfigured ? kind.fromVariable(configured.value) : (urls?.[kind.kind] ?? kind.usualUrl)
  // An invalid address fails here.
  const expected = yield* connect(kind, url, defaults)
  const half = Duration.divideUnsafe(Duration.fromInputUnsafe(timeLimit), 2)
  const there = yield* identify(kind, url).pipe(Effect.timeoutOption(half), Effect.map(Option.flatten))
  if (Option.isSome(there)) {
    const provider = there.value === kind ? expected : yield* connect(there.value, url, defaults)
    return Option.some({ kind: there.value.kind, provider, isConfigured })
  }
  if (!isConfigured) return Option.none()
  // A proxy may answer the protocol alone.
  const timeout = new ProviderError({
    provider: expected.name,
    reason: new Timeout({ kind: "first-chunk", limit: half })
  })
  yield* expected.listModels.pipe(Effect.timeoutOrElse({ duration: half, orElse: () => Effect.fail(timeout) }))
  return Option.some({ kind: kind.kind, provider: expected, isConfigured })
})

const connect = (
  { make, tokenVariable }: ServerKind,
  baseUrl: string,
  defaults: Defaults | undefined
): Effect.Effect<Provider.Provider, ProviderError | Config.ConfigError, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const token = yield* Config.option(Config.Redacted(tokenVariable))
    return yield* make({ baseUrl, token: Option.getOrUndefined(token), defaults })
  })

/** Which server is at an address: the expected one, or another. The first that recognises itself. */
const identify = (
  { address }: ServerKind,
  url: string
): Effect.Effect<Option.Option<ServerKind>, never, HttpClient.HttpClient> =>
  Effect.option(
    Effect.raceAll(
      kinds.map((kind) =>
        Effect.as(
          Effect.filterOrFail(ask(url, address, kind.path), kind.isIts, () => new NotThisKind()),
          kind
        )
      )
    )
  )

class NotThisKind extends Data.TaggedError("NotThisKind") {}

const ask = (
  url: string,
  address: BaseUrl.Defaults,
  path: string
): Effect.Effect<Answer, HttpClientError | ProviderErrorReason, HttpClient.HttpClient> =>
  Effect.gen(function* () {
    const client = HttpClient.withScope(yield* HttpClient.HttpClient)
    const baseUrl = yield* Effect.fromResult(BaseUrl.parse(url, address))
    const { headers, json } = yield* client.get(`${baseUrl}${path}`, { headers: { accept: "application/json" } })
    const body = yield* Effect.orElseSucceed(json, () => undefined)
    return { server: headers["server"], body }
  }).pipe(
    Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
    Effect.scoped
  )
