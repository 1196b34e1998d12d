/**
 * Finds the model servers that run on this machine.
 *
 * @category Servers
 * @since 0.3.0
 */
import * as Arr from "effect/Array"
import type * as Config from "effect/Config"
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type { Defaults } from "./CompletionRequest.ts"
import type { LlamaServer } from "./LlamaServer.ts"
import type { LmStudio } from "./LmStudio.ts"
import type { Ollama } from "./Ollama.ts"
import * as Probe from "./http/probe.ts"
import * as TimeLimit from "./http/timeLimit.ts"
import * as Provider from "./Provider.ts"
import { ProviderError, Timeout } from "./ProviderError.ts"
import * as Kinds from "./servers/kinds.ts"
import * as OptionSchema from "./servers/options.ts"
import * as Servers from "./servers/servers.ts"
import * as Values from "./values/objects.ts"

/**
 * The servers that are looked for: `ollama`, `llama-server` and `lmstudio`, in the order in which they are preferred.
 */
export type Kind = Kinds.LocalKind

/** All kinds, in the order in which they are preferred. */
export const kinds: ReadonlyArray<Kind> = Kinds.localKinds

/** The service of a server. `kind` says whether `provider` is that of `Ollama`, `LlamaServer` or `LmStudio`. */
export type Service = {
  readonly [K in Kind]: {
    /** Which server it is. */
    readonly kind: K
    /** Its provider, which can do what only this server can. */
    readonly provider: Providers[K]
  }
}[Kind]

interface Providers {
  readonly ollama: Ollama
  readonly "llama-server": LlamaServer
  readonly lmstudio: LmStudio
}

/** A server that answers. */
export type Found = Service & {
  /** Whether an environment variable names its address or holds its token. Otherwise it is at a usual address. */
  readonly isConfigured: boolean
}

/**
 * An address after a probe.
 *
 * **Details**
 *
 * - `recognised`: the server there answered as only servers of its kind do. For the other states, `kind` is the one that was expected.
 * - `unknown`: there was no such answer in time. It may be a server that is slow or behind a proxy, or another program.
 * - `closed`: nothing accepts connections there.
 */
export type Probed = Found & {
  /** What answered the probe. */
  readonly state: "recognised" | "unknown" | "closed"
}

/** The servers that answer, and the errors of those that an environment variable names and that do not. */
export interface Discovered {
  /** Those that are configured first, then in the order of `Kind`. Each server occurs once. */
  readonly found: ReadonlyArray<Found>
  /** Why the other servers that a variable names were not found. */
  readonly failures: ReadonlyArray<ProviderError | Config.ConfigError>
}

/** No server was found. */
export class NoServerFound extends Data.TaggedError("NoServerFound")<{
  /** Which variables name a server, and why those servers do not answer. */
  readonly message: string
  /** The failures of the search. */
  readonly failures: Discovered["failures"]
}> {}

/** Options of the search. All fields are optional. */
export interface Options {
  /** Where each server is looked for if no environment variable names it. Default: its usual port on 127.0.0.1. */
  readonly urls?: { readonly [K in Kind]?: string | undefined } | undefined
  /** How long the whole search may take. Default: 500 milliseconds. */
  readonly timeLimit?: Duration.Input | undefined
  /** Options of every completion request that does not set its own, deadlines included. Default: none. */
  readonly defaults?: Defaults | undefined
}

/** Options of `probe`. All fields are optional. */
export interface ProbeOptions extends Pick<Options, "defaults"> {
  /** The address. It replaces the environment variable. Default: the variable, or else the usual port on 127.0.0.1. */
  readonly url?: string | undefined
  /** How long to wait for the response that identifies a server. Default: 250 milliseconds. */
  readonly timeLimit?: Duration.Input | undefined
  /**
   * Headers of the service, for a proxy in front of the server. The probe itself sends none. With a header `authorization`, the token of
   * the environment variable is not used. Default: none.
   */
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted<string>>> | undefined
}

/**
 * Looks for servers, all at once: at the addresses in `OLLAMA_HOST`, `LLAMA_SERVER_URL` and `LMSTUDIO_BASE_URL`, and at the usual ports of
 * those that have none. Each address is asked what it is, so a server on another one's port is recognised. Options that are invalid are
 * one of the `failures`.
 *
 * **Details**
 *
 * Tokens come from `OLLAMA_API_KEY`, `LLAMA_API_KEY` and `LM_API_TOKEN`. The search itself sends none, except to list the models of a
 * configured server that is not recognised. A token is for the address in the variable of the same server, or for its usual one if that is
 * not set: with `OLLAMA_API_KEY` alone, Ollama on this machine gets that token. A server of another kind at such an address gets the token
 * of the address, never that of another address.
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
 */
export const discover = (options: Options = {}): Effect.Effect<Discovered, never, HttpClient.HttpClient> =>
  Effect.catch(searchAll(options), (failure) => Effect.succeed({ found: [], failures: [failure] }))

/** Fails if an option is invalid. */
const searchAll = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Discovered, ProviderError, HttpClient.HttpClient> {
  yield* OptionSchema.readFor(definition, options, "Discovery")
  const [results, failures] = yield* Effect.partition(kinds, (kind) => search(kind, options), {
    concurrency: "unbounded"
  })
  const found = results.flatMap(Option.toArray)
  const ordered = found.toSorted((a, b) => Number(b.isConfigured) - Number(a.isConfigured))
  return { found: Arr.dedupeWith(ordered, isSameServer), failures }
})

/** Whether two services are of the same kind and at the same address. */
export const isSameServer = (a: Service, b: Service): boolean =>
  a.kind === b.kind && a.provider.server === b.provider.server

/**
 * Provides `Provider` from the first server that is found. Fails with `NoServerFound` if there is none, and with `InvalidRequest` if an
 * option is invalid.
 */
export const layer = (
  options: Options = {}
): Layer.Layer<Provider.Provider, NoServerFound | ProviderError, HttpClient.HttpClient> =>
  Layer.effect(
    Provider.Provider,
    Effect.flatMap(searchAll(options), ({ failures, found }) => {
      const first = found[0]
      if (first !== undefined) return Effect.succeed(first.provider)
      const variables = kinds.map((kind) => Servers.definitions[kind].environment.baseUrl).join(", ")
      const reasons = failures.map(({ message }) => `; ${message}`).join("")
      const message = `no model server answers at the usual ports; start one, or set ${variables}${reasons}`
      return Effect.fail(new NoServerFound({ message, failures }))
    })
  )

/**
 * Makes the service of a kind, without looking whether it is there. Sends nothing. The token comes from the environment variable, and so
 * does the address unless `url` is given.
 */
export const connect = Effect.fnUntraced(function* (
  kind: Kind,
  options: Omit<ProbeOptions, "timeLimit"> = {}
): Effect.fn.Return<Found, ProviderError | Config.ConfigError, HttpClient.HttpClient> {
  yield* validate(kind, options)
  const { isConfigured, service } = yield* Servers.connect(kind, options)
  return { ...service, isConfigured }
})

/**
 * Probes one address, and recognises the server there, which may be of another kind than the one that is expected. Fails if the address or
 * the time limit is invalid.
 *
 * **When to use**
 *
 * When `discover` gives up too early: a server that is configured may be slow, or may be loading its model. This shows whether waiting
 * makes sense.
 *
 * **Details**
 *
 * `probe` sends no token. If `url` is given, the service that is returned has the token of its own kind. Otherwise its token is chosen as
 * by `discover`.
 */
export const probe = (
  kind: Kind,
  options: ProbeOptions = {}
): Effect.Effect<Probed, ProviderError | Config.ConfigError, HttpClient.HttpClient> =>
  Effect.andThen(validate(kind, options), probeWith(kind, options))

const validate = (kind: Kind, options: ProbeOptions) =>
  Effect.andThen(
    OptionSchema.readFor(kindDefinition, { kind }, "Discovery"),
    OptionSchema.readFor(probeDefinition, options, "Discovery")
  )

const probeWith = Effect.fnUntraced(function* (
  kind: Kind,
  options: ProbeOptions & Pick<Options, "urls">
): Effect.fn.Return<Probed, ProviderError | Config.ConfigError, HttpClient.HttpClient> {
  const { isConfigured, location, service: expected } = yield* Servers.connect(kind, options)
  const there = yield* recognise(kind, location.url, Duration.fromInputUnsafe(options.timeLimit ?? "250 millis"))
  if (there === "closed" || there === "unknown") return { ...expected, isConfigured, state: there }
  if (there === kind) return { ...expected, isConfigured, state: "recognised" }
  // The response decides the kind of the server. It must not decide which token is sent.
  const own = Option.filter(
    yield* Effect.option(Servers.connect(there, options)),
    ({ service }) => service.provider.server === expected.provider.server
  )
  const { token } = Option.match(own, { onNone: () => location, onSome: ({ location }) => location })
  const service = yield* Servers.connectTo(there, { url: location.url, token }, options)
  return { ...service, isConfigured, state: "recognised" }
})

/**
 * The kind of the server at an address. The expected kind is asked first, since it is most often there: a server gets no requests that are
 * not meant for it. The others are asked if it does not respond as expected soon.
 */
const recognise = Effect.fnUntraced(function* (
  kind: Kind,
  url: string,
  timeLimit: Duration.Duration
): Effect.fn.Return<Kind | "closed" | "unknown", never, HttpClient.HttpClient> {
  const alone = Duration.min(Duration.divideUnsafe(timeLimit, 2), Duration.millis(500))
  const ask = (candidate: Kind, time: Duration.Duration) =>
    Probe.send(url, Servers.local[kind].address, Servers.local[candidate].identity).pipe(
      Effect.timeoutOrElse({ duration: time, orElse: () => Effect.succeed<Probe.Result>("none") })
    )
  const own = yield* Effect.forkChild(ask(kind, timeLimit))
  const early = yield* TimeLimit.within(Fiber.join(own), alone)
  if (Option.contains(early, "match")) return kind
  if (Option.contains(early, "refused")) return "closed"
  const others = kinds.filter((other) => other !== kind)
  const left = Duration.subtract(timeLimit, alone)
  const results = yield* Effect.forEach(others, (candidate) => ask(candidate, left), { concurrency: "unbounded" })
  const late = yield* Fiber.join(own)
  if (late !== "none") return late === "match" ? kind : "closed"
  return others[results.indexOf("match")] ?? "unknown"
})

/** A configured server that is not recognised is used if it lists its models: a proxy may forward the routes of the protocol only. */
const search = Effect.fnUntraced(function* (
  kind: Kind,
  { defaults, timeLimit = "500 millis", urls }: Options
): Effect.fn.Return<Option.Option<Found>, ProviderError | Config.ConfigError, HttpClient.HttpClient> {
  const half = Duration.divideUnsafe(Duration.fromInputUnsafe(timeLimit), 2)
  const { state, ...found } = yield* probeWith(kind, { defaults, timeLimit: half, urls })
  if (state === "recognised") return Option.some(found)
  if (!found.isConfigured) return Option.none()
  const { listModels, name } = found.provider
  const timeout = new ProviderError({ provider: name, reason: new Timeout({ kind: "first-chunk", limit: half }) })
  yield* listModels.pipe(Effect.timeoutOrElse({ duration: half, orElse: () => Effect.fail(timeout) }))
  return Option.some(found)
})

const url = (u: unknown): u is string => Predicate.isString(u) && u.trim() !== ""

const definition = OptionSchema.define<Options>({
  urls: Schema.optional(
    OptionSchema.is(
      (u): u is NonNullable<Options["urls"]> =>
        Predicate.isObject(u) &&
        Object.entries(u).every(
          ([key, value]) => kinds.some((kind) => kind === key) && (value === undefined || url(value))
        ),
      `an object of addresses by ${kinds.join(", ")}`
    )
  ),
  timeLimit: OptionSchema.duration,
  defaults: OptionSchema.defaults
})

const kindDefinition = OptionSchema.define<{ readonly kind: Kind }>({ kind: Schema.Literals(kinds) })

const probeDefinition = OptionSchema.define<ProbeOptions>({
  url: Schema.optional(OptionSchema.is(url, "an address")),
  timeLimit: OptionSchema.duration,
  defaults: OptionSchema.defaults,
  headers: Schema.optional(OptionSchema.is(Values.isRecord, "an object of texts"))
})
