/** The options of the gateways, the scheduler and the hosts of a cluster, validated. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as PoolOptions from "../policies/pool/options.ts"
import type * as Provider from "../Provider.ts"
import { InvalidRequest, ProviderError } from "../ProviderError.ts"
import * as OptionSchema from "../servers/options.ts"
import * as Kinds from "../servers/kinds.ts"
import * as Servers from "../servers/servers.ts"
import * as BaseUrl from "../values/baseUrl.ts"
import type * as Protocol from "./protocol.ts"

/** A server that takes part in a cluster. */
export interface Host {
  /**
   * Its address, such as `http://gpu-1:11434`, by which the gateways and the runners reach it. Without a user name and a password: it is
   * sent through the cluster.
   */
  readonly url: string
  /** What it is. */
  readonly kind: Kinds.Kind
  /** Its name in `state`, in errors and in the final chunk, different from those of other hosts. Default: its `url`. */
  readonly name?: string | undefined
  /** How many requests it answers at the same time, 1 or more, whichever gateways they come from. Default: 4. */
  readonly permits?: number | undefined
  /** Whether a request for another model waits until the answers of the first have ended. Default: `true` for LM Studio, otherwise `false`. */
  readonly oneModelAtATime?: boolean | undefined
}

/** What a gateway and the scheduler of its cluster have in common. All fields are optional. */
export interface Options extends Omit<PoolOptions.Settings, "defaults" | "permits"> {
  /** Which hosts: those that have joined this pool. Default: `default`. */
  readonly pool?: string | undefined
  /**
   * Makes the provider of a host. Default: that of its kind, with the token of its variable, such as `OLLAMA_API_KEY`. Tokens are
   * not sent through the cluster. If it fails, that is logged as a warning, and it runs again after 5 seconds.
   */
  readonly connect?:
    | ((
        host: Host & { readonly name: string }
      ) => Effect.Effect<Provider.Provider, ProviderError, HttpClient.HttpClient>)
    | undefined
}

/** The options of the scheduler. */
export interface SchedulerOptions extends Omit<Options, "pool"> {
  /**
   * How long a scheduler that starts waits before it gives hosts to requests, so that the gateways can tell it what they have if it
   * takes the place of another one. Default: 2 seconds.
   */
  readonly takeoverDelay?: Duration.Input | undefined
}

/** The options of a gateway. */
export interface GatewayOptions extends Options {
  /** Options of every completion request that does not set its own, deadlines included. Default: none. */
  readonly defaults?: PoolOptions.Settings["defaults"]
}

/** The options of a host that joins. */
export interface JoinOptions extends Pick<Options, "pool"> {}

/** The name of a cluster in errors of its options. */
const clusterName = "Cluster"

const { defaults, permits, ...shared } = PoolOptions.poolFields

const schedulerFields: OptionSchema.Fields<SchedulerOptions> = {
  ...shared,
  connect: OptionSchema.fn,
  takeoverDelay: OptionSchema.duration
}
const gatewayFields: OptionSchema.Fields<GatewayOptions> = {
  ...shared,
  connect: OptionSchema.fn,
  pool: OptionSchema.text,
  defaults
}
const hostFields: OptionSchema.Fields<Host> = {
  url: Schema.String,
  kind: Schema.Literals(Kinds.kinds),
  name: OptionSchema.text,
  permits,
  oneModelAtATime: OptionSchema.boolean
}
const joinFields: OptionSchema.Fields<JoinOptions> = { pool: OptionSchema.text }

const schedulerDefinition = OptionSchema.define<SchedulerOptions>(schedulerFields)
const gatewayDefinition = OptionSchema.define<GatewayOptions>(gatewayFields)
const hostDefinition = OptionSchema.define<Host>(hostFields)
const joinDefinition = OptionSchema.define<JoinOptions>(joinFields)

export const readScheduler = (options: SchedulerOptions) =>
  Effect.flatMap(
    OptionSchema.readFor(schedulerDefinition, options, clusterName),
    ({ takeoverDelay = "2 seconds", ...options }) =>
      Effect.map(resolve(options), (resolved) => ({
        ...resolved,
        takeoverMillis: Duration.toMillis(Duration.fromInputUnsafe(takeoverDelay))
      }))
  )

export const readGateway = (options: GatewayOptions) =>
  Effect.flatMap(
    OptionSchema.readFor(gatewayDefinition, options, clusterName),
    ({ defaults, pool = defaultPool, ...options }) =>
      Effect.map(resolve(options), (resolved) => ({ ...resolved, defaults, pool }))
  )

const defaultPool = "default"

const resolve = ({ connect = connectByKind, name = clusterName, ...settings }: Omit<Options, "pool">) =>
  Effect.map(
    Effect.all([PoolOptions.resolve({ ...settings, name, hosts: [] }), Effect.context<HttpClient.HttpClient>()]),
    ([{ abandonedMillis, maxWaiting, unloadHanging }, context]) => ({
      name,
      abandonedMillis,
      maxWaiting,
      unloadHanging,
      connect: (host: Protocol.Host) => Effect.provideContext(connect(host), context)
    })
  )

const connectByKind = ({ kind, name, url }: Pick<Protocol.Host, "kind" | "name" | "url">) =>
  Servers.connect(kind, { url, name }).pipe(
    Effect.map(({ service }) => service.provider),
    Effect.catchTag("ConfigError", ({ message }) => fail(name, "token", message))
  )

/** The host that joins, and the pool. */
export const readJoin = Effect.fnUntraced(function* (
  host: Host,
  options: JoinOptions
): Effect.fn.Return<{ readonly host: Protocol.Host; readonly pool: string }, ProviderError> {
  yield* OptionSchema.readFor(hostDefinition, host, clusterName)
  const { pool = defaultPool } = yield* OptionSchema.readFor(joinDefinition, options, clusterName)
  const { kind, oneModelAtATime, permits = 4 } = host
  const url = BaseUrl.parse(host.url, Servers.definitions[kind].address)
  if (Result.isFailure(url)) return yield* fail(host.name ?? clusterName, "url", url.failure)
  const { name = url.success } = host
  return { host: { name, kind, url: url.success, permits, oneModelAtATime }, pool }
})

export const fail = (provider: string, field: string, description: string) =>
  Effect.fail(new ProviderError({ provider, reason: new InvalidRequest({ field, description }) }))
