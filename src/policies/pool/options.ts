/** The options of a pool, validated. */
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Defaults } from "../../CompletionRequest.ts"
import * as Provider from "../../Provider.ts"
import { InvalidRequest, ProviderError } from "../../ProviderError.ts"
import * as OptionSchema from "../../servers/options.ts"
import * as Values from "../../values/objects.ts"
import type * as Host from "./host.ts"

/** A server of a pool. */
export interface HostOptions<E = never, R = never> {
  /**
   * A provider, an Effect that makes one, such as `Ollama.make({ baseUrl: "http://gpu-1:11434" })`, or a layer of one. An Effect and a layer
   * live until the host has left the pool.
   */
  readonly provider: Provider.Source<E, R>
  /** Its name in `state`, in errors and in the final chunk. Default: that of the provider, with a number if it is taken. */
  readonly name?: string | undefined
  /** How many requests it answers at the same time, 1 or more. Default: that of the pool. */
  readonly permits?: number | undefined
  /**
   * Whether a request for another model waits until the answers of the first have ended, since loading a second model may end
   * them. Default: `true` for LM Studio, otherwise `false`.
   */
  readonly oneModelAtATime?: boolean | undefined
}

/** The options of a pool besides its hosts. All fields are optional. */
export interface Settings {
  /** The name of the pool in its own errors, such as `RateLimited`. Default: `Pool`. */
  readonly name?: string | undefined
  /** How many requests each host answers at the same time, 1 or more. Default: 4. */
  readonly permits?: number | undefined
  /** How many requests may wait for a host, 0 or more. Further ones fail with `RateLimited` at once. Default: 100. */
  readonly maxWaiting?: number | undefined
  /**
   * How long a request that was given up before its first chunk still counts against its host, at most: most servers read a prompt to
   * its end. Default: 0 for Ollama, which stops reading when the connection is closed; 30 seconds for others.
   */
  readonly abandonedFor?: Duration.Input | undefined
  /**
   * Whether the pool unloads a model whose requests hang on a host that answers others. That ends its answers there. It needs a
   * provider with `unload`, such as Ollama. Default: `false`.
   *
   * @since 0.3.0
   */
  readonly unloadHanging?: boolean | undefined
  /** Options of every completion request that does not set its own, deadlines included. Default: none. */
  readonly defaults?: Defaults | undefined
}

/** The options of a pool. */
export interface PoolOptions<E = never, R = never> extends Settings {
  /**
   * The hosts, or a stream of lists of them. May be empty: `add` adds further hosts.
   *
   * Of a stream, the first list is waited for. Each list replaces the one before it: new names are added, hosts that are missing are
   * drained, and a host with a known name stays as it is, with its new `permits`. A host of a list needs a `name` if its provider is an
   * Effect. If a later list or host fails, that is logged as a warning, and the other hosts stay.
   */
  readonly hosts: ReadonlyArray<HostOptions<E, R>> | Stream.Stream<ReadonlyArray<HostOptions<E, R>>, E, R>
  /**
   * Where pools of several processes report which hosts are off: what `CircuitBreaker.CircuitBreakerStore` provides, such as on Redis.
   * A host that one of them turns off gets no requests of the others either, until they have probed it. The name of a host has to mean
   * the same one in all of them. Default: none.
   */
  readonly health?: CircuitBreaker.CircuitBreakerStore["Service"] | undefined
}

export const poolFields: OptionSchema.Fields<Settings> = {
  name: OptionSchema.text,
  permits: OptionSchema.count(1),
  maxWaiting: OptionSchema.count(0),
  abandonedFor: OptionSchema.duration,
  unloadHanging: OptionSchema.boolean,
  defaults: OptionSchema.defaults
}

const hostFields: OptionSchema.Fields<HostOptions<unknown, unknown>> = {
  provider: OptionSchema.source,
  name: OptionSchema.text,
  permits: OptionSchema.count(1),
  oneModelAtATime: OptionSchema.boolean
}

const hostDefinition = OptionSchema.define<HostOptions<unknown, unknown>>(hostFields)

type AllOptions = PoolOptions<unknown, unknown>

const health = Schema.optional(
  OptionSchema.is(
    (u): u is Record<string, unknown> => Values.isRecord(u) && "admit" in u,
    "a store, such as CircuitBreaker.CircuitBreakerStore provides it"
  )
)

const definition = OptionSchema.define<AllOptions>(
  { ...poolFields, health, hosts: Schema.Array(Schema.Struct(hostFields)) },
  { hosts: hostFields }
)

const streamDefinition = OptionSchema.define<AllOptions>({
  ...poolFields,
  health,
  hosts: OptionSchema.is(Stream.isStream, "hosts, or a stream of lists of hosts")
})

/** The options of a pool whose hosts are addresses. */
export interface ConfigOptions extends Settings {
  /** The addresses of the Ollama servers, in the form of `OLLAMA_HOST`. */
  readonly urls?: ReadonlyArray<string> | undefined
  /** The token of all servers. */
  readonly token?: Redacted.Redacted<string> | undefined
}

const configFields: OptionSchema.Fields<ConfigOptions> = {
  ...poolFields,
  urls: Schema.optional(Schema.Array(Schema.String)),
  token: Schema.optional(OptionSchema.is(Redacted.isRedacted, "a Redacted text: Redacted.make(…)"))
}

const configDefinition = OptionSchema.define<ConfigOptions>(configFields)

/** Without the values. A misspelled key is reported before a variable that is not set. */
const configKeys = OptionSchema.define<ConfigOptions>(Record.map(configFields, () => Schema.optional(Schema.Unknown)))

/** The name of a pool in errors of its options. */
const poolName = "Pool"

/** For errors of options. */
export const invalid = (field: string, description: string | undefined): ProviderError =>
  new ProviderError({ provider: poolName, reason: new InvalidRequest({ field, description }) })

export const readWrapped = (config: Config.Wrap<ConfigOptions>) =>
  Effect.tap(OptionSchema.readWrapped(config, poolName), (config) =>
    Config.isConfig(config) ? Effect.void : OptionSchema.readFor(configKeys, config, poolName)
  )

export const readConfig = (options: ConfigOptions) => OptionSchema.readFor(configDefinition, options, poolName)

export const resolve = (options: AllOptions) =>
  Effect.map(
    OptionSchema.readFor(hasStream(options) ? streamDefinition : definition, options, poolName),
    ({ abandonedFor, defaults, maxWaiting = 100, name = poolName, permits = 4, unloadHanging = false }) => ({
      unloadHanging,
      name,
      permits,
      maxWaiting,
      abandonedMillis:
        abandonedFor === undefined ? undefined : Duration.toMillis(Duration.fromInputUnsafe(abandonedFor)),
      defaults
    })
  )

/** The options may be of a wrong type. */
const hasStream = (options: AllOptions): boolean => Values.isRecord(options) && Stream.isStream(options.hosts)

export const checkHost = <E, R>(host: HostOptions<E, R>) => OptionSchema.readFor(hostDefinition, host, poolName)

/** Makes the provider of a host if it is not there yet, in this scope. `taken` returns the names of the other hosts. */
export const resolveHost = Effect.fnUntraced(function* <E, R>(
  host: HostOptions<E, R>,
  { abandonedMillis, permits }: { readonly abandonedMillis: number | undefined; readonly permits: number },
  taken: () => ReadonlyArray<string>,
  scope: Scope.Closeable
): Effect.fn.Return<Host.Settings, ProviderError | E, Exclude<R, Scope.Scope>> {
  yield* checkHost(host)
  const provider = yield* Scope.provide(Provider.fromSource(host.provider), scope)
  return {
    release: Scope.close(scope, Exit.void),
    name: host.name ?? findName(provider.name, taken()),
    provider,
    permits: host.permits ?? permits,
    // Measured with Ollama 0.34. The others read on, and nothing shows when they are done.
    abandonedMillis: abandonedMillis ?? (provider.kind === "ollama" ? 0 : 30_000),
    oneModelAtATime: host.oneModelAtATime ?? provider.oneModelAtATime
  }
})

const findName = (name: string, taken: ReadonlyArray<string>): string => {
  let found = name
  for (let i = 2; taken.includes(found); i++) found = `${name} ${i}`
  return found
}
