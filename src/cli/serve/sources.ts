/** What a gateway is started with: flags, variables, and a file. Read again on SIGHUP. */
import * as Arr from "effect/Array"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import * as Result from "effect/Result"
import * as Discovery from "../../Discovery.ts"
import type { Deadlines } from "../../CompletionRequest.ts"
import * as Servers from "../../servers/servers.ts"
import * as BaseUrl from "../../values/baseUrl.ts"
import * as Access from "../access.ts"
import * as Database from "../database.ts"
import * as Failure from "../failure.ts"
import * as Fake from "../fake.ts"
import type * as Flags from "../flags.ts"
import * as Output from "../output.ts"
import * as GatewayConfig from "./config.ts"
import * as Listen from "./listen.ts"
import type { Address } from "./redis.ts"
import * as Shared from "./shared.ts"
import * as JsonFile from "../jsonFile.ts"

export type Input = Flags.Input<typeof Flags.serve>

/** What may change while a gateway runs. */
export interface Changeable {
  readonly hosts: ReadonlyArray<GatewayConfig.Host>
  /** Of each host that has none of its own. */
  readonly permits: number | undefined
  readonly aliases: Readonly<Record<string, string>>
  readonly hostnames: ReadonlyArray<string>
  readonly origins: ReadonlyArray<string>
}

/** What it is started with. */
export interface Fixed {
  readonly address: Listen.Address
  readonly access: Access.Access
  readonly deadlines: Deadlines
  readonly maxWaiting: number | undefined
  /** `undefined`: the gateway has hosts of its own. */
  readonly cluster: Cluster | undefined
  readonly stopTimeout: Duration.Duration
  /** `undefined`: none was named. */
  readonly keysFile: string | undefined
  /** `undefined`: it shares nothing with other gateways. */
  readonly redis: Address | undefined
}

/** Whose hosts the gateway has. */
export interface Cluster {
  /** `undefined`: the variable has it. */
  readonly url: string | undefined
  readonly pool: string | undefined
}

export interface Source {
  readonly fixed: Fixed
  readonly changeable: Changeable
  readonly isDemonstration: boolean
}

/** Fails with a message that names the flag or the place in the file. `startFake` returns the address of the fake server. */
export const read = Effect.fnUntraced(function* <R>(input: Input, startFake: Effect.Effect<string, never, R>) {
  const config =
    input.config === undefined ? undefined : yield* JsonFile.read(input.config, GatewayConfig.Config, "--config")
  const fixed = yield* readFixed(input, config)
  if (input.permits !== undefined && input.permits < 1)
    return yield* Failure.fail("--permits is a whole number, 1 or more")
  const gateways = input.gateways ?? config?.gateways ?? 1
  if (gateways < 1) return yield* Failure.fail("--gateways is a whole number, 1 or more")
  const { hosts, isDemonstration } =
    fixed.cluster === undefined ? yield* findHosts(input, config, startFake) : { hosts: [], isDemonstration: false }
  const source: Source = {
    fixed,
    isDemonstration,
    changeable: {
      ...(yield* divide({ hosts, permits: input.permits ?? config?.permits }, gateways)),
      aliases: { ...config?.aliases, ...(yield* readAliases(input.aliases)) },
      hostnames: config?.hostnames ?? [],
      origins: config?.origins ?? []
    }
  }
  return source
})

type Permits = Pick<Changeable, "hosts" | "permits">

/** As the pool has it. */
const defaultPermits = 4

/** The permits of one gateway. It has one at least, so there may be more in all than the host has. */
export const share = (permits: number, gateways: number): number => Math.max(1, Math.floor(permits / gateways))

const withPermits = (host: GatewayConfig.Host, permits: number): GatewayConfig.Host => ({ ...host, permits })

const divide = Effect.fnUntraced(function* (all: Permits, gateways: number): Effect.fn.Return<Permits> {
  if (gateways === 1) return all
  const { hosts, permits: byDefault = defaultPermits } = all
  for (const host of hosts) {
    const { permits = byDefault } = host
    if (permits >= gateways) continue
    yield* Output.note(
      `${GatewayConfig.nameOf(host)}: ${permits} permits for ${gateways} gateways; each takes 1, so it may get ${gateways} requests at the same time`
    )
  }
  return {
    permits: share(byDefault, gateways),
    hosts: hosts.map((host) => withPermits(host, share(host.permits ?? byDefault, gateways)))
  }
})

const readFixed = Effect.fnUntraced(function* (input: Input, config: GatewayConfig.Config | undefined) {
  const path = yield* Path.Path
  const access = yield* Access.read(input)
  const time = (name: string, text: string | undefined) =>
    text === undefined ? Effect.succeed(undefined) : Access.parseTime(name, text, "never")
  const { deadlines } = access.defaults
  const redis = input.redis ?? config?.redis
  const cluster = yield* readCluster(input)
  const fixed: Fixed = {
    access,
    address: yield* Listen.parse(
      input.listen ?? config?.listen ?? String(Listen.defaultPort),
      input.listen === undefined ? `${input.config}: listen` : "--listen"
    ),
    deadlines: {
      ...deadlines,
      firstChunk: deadlines.firstChunk ?? (yield* time("firstChunkTimeout", config?.firstChunkTimeout)),
      idle: deadlines.idle ?? (yield* time("idleTimeout", config?.idleTimeout))
    },
    maxWaiting: config?.maxWaiting,
    cluster,
    stopTimeout: (yield* time("--stop-timeout", input.stopTimeout ?? config?.stopTimeout)) ?? Duration.seconds(60),
    // A path in the file is relative to the file.
    keysFile:
      input.file ??
      (config?.keys === undefined || input.config === undefined
        ? undefined
        : path.resolve(path.dirname(input.config), config.keys)),
    redis:
      redis === undefined
        ? undefined
        : yield* Shared.readAddress(redis, input.redis === undefined ? `${input.config}: redis` : "--redis")
  }
  return fixed
})

/** The variable is for all processes of the cluster, so a gateway with hosts of its own ignores it. */
export const readCluster = Effect.fnUntraced(function* ({
  cluster,
  config,
  gateways,
  hosts = [],
  permits,
  pool,
  provider,
  url
}: Pick<Input, "cluster" | "config" | "gateways" | "hosts" | "permits" | "pool" | "provider" | "url">) {
  const hasHosts = config !== undefined || hosts.length > 0 || url !== undefined
  if (cluster !== undefined && hasHosts) {
    return yield* Failure.fail("the hosts of a cluster join it, so --cluster excludes --host, --url and --config")
  }
  const isNamed = cluster !== undefined || (!hasHosts && (yield* Access.variable(Database.urlVariable)).trim() !== "")
  if (!isNamed && pool !== undefined) return yield* Failure.fail("--pool needs --cluster")
  if (!isNamed) return undefined
  if (permits !== undefined || gateways !== undefined || provider !== undefined) {
    return yield* Failure.fail(
      "the hosts of a cluster have their permits and kinds from join, so --cluster excludes --permits, --gateways and --provider"
    )
  }
  const named: Cluster = { url: cluster, pool }
  return named
})

const readAliases = Effect.fnUntraced(function* (aliases: ReadonlyArray<string>) {
  const pairs = yield* Effect.forEach(aliases, (alias) => {
    const [, name, model] = /^([^=]+)=(.+)$/.exec(alias) ?? []
    return name === undefined || model === undefined
      ? Failure.fail(`--alias is NAME=MODEL, such as gpt-4o-mini=llama3.2, not "${alias}"`)
      : Effect.succeed([name, model] as const)
  })
  return Object.fromEntries(pairs)
})

interface Found {
  readonly hosts: ReadonlyArray<GatewayConfig.Host>
  readonly isDemonstration: boolean
}

/** The flags, or else the file, the variable, what runs on this machine, a demonstration. */
export const findHosts = Effect.fnUntraced(function* <E, R>(
  input: Pick<Input, "hosts" | "provider" | "url">,
  config: GatewayConfig.Config | undefined,
  startFake: Effect.Effect<string, E, R>
) {
  const { hosts = [], provider: kind, url } = input
  const named = [...(url === undefined ? [] : [url]), ...hosts]
  if (named.length > 0) {
    yield* Effect.forEach(named, checkAddress, { discard: true })
    const all = named.map((url): GatewayConfig.Host => (kind === undefined ? { url } : { url, kind }))
    return yield* toFound(Arr.dedupeWith(all, (a, b) => GatewayConfig.nameOf(a) === GatewayConfig.nameOf(b)))
  }
  if (config !== undefined) return yield* toFound(config.hosts)
  const listed = (yield* Access.variable("OLLAMA_HOSTS")).split(",").filter((text) => text.trim() !== "")
  if (listed.length > 0) {
    const urls = [...new Set(listed.map(BaseUrl.fromOllamaHost))]
    return yield* toFound(urls.map((url) => ({ url, kind: "ollama" })))
  }
  if (kind !== undefined) {
    const { location } = yield* Effect.mapError(
      Servers.connect(kind, {}),
      (error) => new Failure.CommandFailed({ message: Failure.describe(error) })
    )
    return yield* toFound([{ url: location.url, kind }])
  }
  return yield* discover(startFake)
})

/** The kind is not known yet, so its usual port and path are not either. An address with a password is not quoted. */
const checkAddress = (address: string) =>
  Result.match(BaseUrl.parse(address, { port: "", root: "" }), {
    onFailure: (fault) => Failure.fail(`--host${address.includes("@") ? "" : ` "${address}"`}: ${fault}`),
    onSuccess: () => Effect.void
  })

const toFound = (hosts: ReadonlyArray<GatewayConfig.Host>): Effect.Effect<Found> =>
  Effect.succeed({ hosts, isDemonstration: false })

export const noServer = Failure.fail(
  "no model server is running; start one, or name those of other machines with --host, OLLAMA_HOSTS or --config"
)

const discover = Effect.fnUntraced(function* <E, R>(startFake: Effect.Effect<string, E, R>) {
  const { failures, found } = yield* Discovery.discover({ timeLimit: "2 seconds" })
  yield* Effect.forEach(failures, (failure) => Output.dimNote(Failure.describe(failure)), { discard: true })
  if (found.length > 0) return yield* toFound(yield* Effect.forEach(found, toHost))
  if (!(yield* Fake.isAllowed) || failures.length > 0) {
    return yield* noServer
  }
  const url = yield* startFake
  const demonstration: Found = { hosts: [{ url, kind: "lmstudio", name: "the fake server" }], isDemonstration: true }
  return demonstration
})

/** The variable of a server may have a path, which its origin lacks. */
const toHost = Effect.fnUntraced(function* ({ kind, provider: { server = "" } }: Discovery.Found) {
  const { parse = (value: string) => value, baseUrl } = Servers.definitions[kind].environment
  const variable = yield* Effect.orElseSucceed(Config.option(Config.String(baseUrl)), () => Option.none<string>())
  const configured = Option.getOrElse(Option.map(variable, parse), () => server)
  const url = URL.parse(configured)?.origin === server ? configured : server
  const host: GatewayConfig.Host = {
    url,
    kind,
    name: `${Servers.definitions[kind].name} (${server.replace("http://", "")})`
  }
  return host
})
