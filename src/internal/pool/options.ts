/** The options of a pool, validated. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import type { Defaults } from "../../CompletionRequest.ts"
import * as CompletionRequest from "../../CompletionRequest.ts"
import type * as Provider from "../../Provider.ts"
import { InvalidRequest, ProviderError } from "../../ProviderError.ts"
import * as Values from "../values.ts"
import type * as Host from "./host.ts"

/** A server of a pool. */
export interface HostOptions<E = never, R = never> {
  /** A provider, or an Effect that makes one, such as `Ollama.make({ baseUrl: "http://gpu-1:11434" })`. */
  readonly provider: Provider.Provider | Effect.Effect<Provider.Provider, E, R>
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
export interface PoolOptions {
  /** The name of the pool in its own errors, such as `RateLimited`. Default: `Pool`. */
  readonly name?: string | undefined
  /** How many requests each host answers at the same time, 1 or more. Default: 4. */
  readonly permits?: number | undefined
  /** How many requests may wait for a host, 0 or more. Further ones fail with `RateLimited` at once. Default: 100. */
  readonly maxWaiting?: number | undefined
  /**
   * How long a request that was given up before its first chunk still counts against the permits of its host: servers cannot
   * stop reading a prompt. Default: 30 seconds.
   */
  readonly abandonedFor?: Duration.Input | undefined
  /** Options of every completion request that does not set its own, deadlines included. Default: none. */
  readonly defaults?: Defaults | undefined
}

export interface Resolved {
  readonly name: string
  readonly permits: number
  readonly maxWaiting: number
  readonly abandonedMillis: number
  readonly defaults: Defaults | undefined
}

const invalid = (field: string, description: string) =>
  Effect.fail(new ProviderError({ provider: "Pool", reason: new InvalidRequest({ field, description }) }))

const isCount = (value: unknown, minimum: number): boolean =>
  Predicate.isNumber(value) && Number.isSafeInteger(value) && value >= minimum

const isName = (value: unknown): boolean => Predicate.isString(value) && value.trim() !== ""

export const resolve = (options: PoolOptions): Effect.Effect<Resolved, ProviderError> => {
  const { abandonedFor = "30 seconds", defaults, maxWaiting = 100, name = "Pool", permits = 4 } = options
  if (!isName(name)) return invalid("name", "Expected a text that is not empty")
  if (!isCount(permits, 1)) return invalid("permits", "Expected a whole number, 1 or more")
  if (!isCount(maxWaiting, 0)) return invalid("maxWaiting", "Expected a whole number, 0 or more")
  const abandoned = Values.toDuration(abandonedFor)
  if (Option.isNone(abandoned)) return invalid("abandonedFor", "Expected a duration")
  const reason = CompletionRequest.checkOptions({ defaults })
  if (reason !== undefined) return Effect.fail(new ProviderError({ provider: name, reason }))
  return Effect.succeed({ name, permits, maxWaiting, abandonedMillis: Duration.toMillis(abandoned.value), defaults })
}

/** Makes the provider of a host if it is not there yet. `taken` returns the names of the other hosts. */
export const resolveHost = Effect.fnUntraced(function* <E, R>(
  host: HostOptions<E, R>,
  permits: number,
  taken: () => ReadonlyArray<string>
): Effect.fn.Return<Host.Settings, ProviderError | E, R> {
  if (!Predicate.isObject(host) || !Predicate.isObject(host.provider)) {
    return yield* invalid("hosts", "Expected hosts with a provider, or an Effect that makes one")
  }
  const provider = Effect.isEffect(host.provider) ? yield* host.provider : host.provider
  const settings = {
    name: host.name ?? findName(provider.name, taken()),
    provider,
    permits: host.permits ?? permits,
    oneModelAtATime: host.oneModelAtATime ?? provider.oneModelAtATime
  }
  if (!isName(settings.name)) return yield* invalid("hosts", "Expected names that are not empty")
  if (!isCount(settings.permits, 1)) return yield* invalid("hosts", "Expected permits as a whole number, 1 or more")
  return settings
})

const findName = (name: string, taken: ReadonlyArray<string>): string => {
  let found = name
  for (let i = 2; taken.includes(found); i++) found = `${name} ${i}`
  return found
}
