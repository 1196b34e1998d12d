/** Lets servers take part in a cluster, and runs its schedulers. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeSocket from "@effect/platform-node/NodeSocket"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Http from "node:http"
import * as Cluster from "../../Cluster.ts"
import * as Kinds from "../../servers/kinds.ts"
import * as Access from "../access.ts"
import * as Database from "../database.ts"
import * as Failure from "../failure.ts"
import type * as Flags from "../flags.ts"
import * as Output from "../output.ts"
import * as ClusterHosts from "./cluster.ts"
import * as GatewayConfig from "./config.ts"
import * as Hosts from "./hosts.ts"
import * as Listen from "./listen.ts"
import * as Server from "./server.ts"
import * as Sources from "./sources.ts"

type Input = Flags.Input<typeof Flags.join>

/** The port after that of gateways. */
const defaultPort = 11436

/** How often a server is looked for whose kind is not known yet. */
const retry = "5 seconds"

/** Until a signal stops it, and the answers of its servers have ended. */
export const join = Effect.fnUntraced(
  function* (input: Input) {
    const { cluster, listen, permits, pool } = input
    if (permits !== undefined && permits < 1) return yield* Failure.fail("--permits is a whole number, 1 or more")
    const access = yield* Access.read(input)
    const address = yield* readAddress(listen)
    const hosts = yield* findHosts(input)
    const joined = Effect.andThen(
      Listen.isLoopback(address)
        ? Output.note("only processes of this machine reach it; --listen NAME:PORT is for those of others")
        : Effect.void,
      Effect.forEach(
        hosts.map((host) => announce(host, address)),
        (host) => joinOne(host, access, { permits, pool }),
        { concurrency: "unbounded", discard: true }
      )
    )
    const runner = Layer.provide(Cluster.layerRunner(address), [
      NodeHttpServer.layer(Http.createServer, address),
      NodeSocket.layerWebSocketConstructor,
      Database.layer(cluster)
    ])
    const live = Layer.provideMerge(
      Cluster.layerScheduler({ connect: ClusterHosts.connectTo(access, ({ service }) => service.provider) }),
      runner
    )
    yield* Effect.onInterrupt(Effect.provide(joined, live), () => Output.note("left the cluster")).pipe(
      Effect.catchTag("SqlError", (error) => Failure.fail(Database.describe(error))),
      Effect.catchTag("ServeError", ({ cause }) => Failure.fail(Server.describe(cause, address))),
      Effect.catchTag("ProviderError", (error) => Failure.fail(Failure.describe(error)))
    )
  },
  Effect.provideService(Logger.LogToStderr, true)
)

/** The others of the cluster use it too. */
export const readAddress = (listen: string | undefined) =>
  Effect.flatMap(Listen.parse(listen ?? `127.0.0.1:${defaultPort}`, "--listen", defaultPort), (address) =>
    Listen.isWildcard(address)
      ? Failure.fail(`others do not reach this machine by ${address.host}; --listen is its name or address for them`)
      : Effect.succeed(address)
  )

const findHosts = (input: Input) =>
  Effect.map(Sources.findHosts(input, undefined, Sources.noServer), ({ hosts }) => hosts)

/** An address of this machine means another one elsewhere, so others get the name by which they reach it. */
export const announce = (host: GatewayConfig.Host, address: Listen.Address): GatewayConfig.Host => {
  const url = URL.parse(host.url.includes("://") ? host.url : `http://${host.url}`)
  if (url === null || Listen.isLoopback(address)) return host
  if (!Listen.isLoopback({ ...address, host: url.hostname.replace(/^\[|\]$/g, "") })) return host
  url.hostname = address.host.includes(":") ? `[${address.host}]` : address.host
  return { ...host, url: url.href }
}

/** Takes part as soon as its kind is known. */
const joinOne = Effect.fnUntraced(function* (
  host: GatewayConfig.Host,
  access: Access.Access,
  { permits, pool }: Pick<Input, "permits" | "pool">
) {
  const name = GatewayConfig.nameOf(host)
  const look = Effect.map(Hosts.recognise(host, access), Option.getOrUndefined)
  const first = yield* look
  if (first === undefined) {
    yield* Output.note(`${name}: no server is recognised there yet; it joins as soon as one is`)
  }
  const service =
    first ?? (yield* Effect.repeat(Effect.delay(look, retry), { until: (service) => service !== undefined }))
  if (service === undefined) return
  const { kind } = service
  yield* Output.note(`${name} (${Kinds.identify(kind).name}) joins the cluster`)
  yield* Cluster.join({ url: host.url, kind, name, permits }, { pool })
})
