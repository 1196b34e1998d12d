/** The HTTP server of a gateway, and the signals that it acts on. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Http from "node:http"
import * as Os from "node:os"
import * as Gateway from "../../Gateway.ts"
import * as Provider from "../../Provider.ts"
import * as GenAi from "../../values/genAi.ts"
import * as Failure from "../failure.ts"
import * as Output from "../output.ts"
import type { Accounts } from "./accounts.ts"
import type { Hosts, Served } from "./hosts.ts"
import type { Address } from "./listen.ts"
import * as Routes from "./routes.ts"
import type { Changeable } from "./sources.ts"
import type { Reporter } from "./status.ts"

interface Parts {
  readonly accounts: Accounts
  readonly address: Address
  readonly hosts: Hosts
  readonly pool: Served
  readonly reporter: Reporter
  readonly settings: () => Changeable
}

/** The names of this machine, and the one by which containers reach it. */
const ownNames = [Os.hostname(), `${Os.hostname()}.local`, "host.docker.internal"]

/** How long the headers of a request may take to arrive, in milliseconds. */
const headersTimeout = 10_000

/** How long the last record of an answer that is ended may take to be sent. */
const lastRecordTimeout = "2 seconds"

/** Listens, until the scope ends. */
export const make = Effect.fnUntraced(function* ({ accounts, address, hosts, pool, reporter, settings }: Parts) {
  const node = Http.createServer({ headersTimeout })
  const server = yield* Effect.mapError(
    NodeHttpServer.make(() => node, { ...address, disablePreemptiveShutdown: true }),
    (error) => new Failure.CommandFailed({ message: describe(error.cause, address) })
  )
  let isOpen = true
  const halt = yield* Deferred.make<void>()
  const names = { hosts: () => [...ownNames, ...settings().hostnames], origins: () => settings().origins }
  const routes = Layer.merge(
    Routes.layer({ accounts, names, reporter, isOpen: () => isOpen }),
    Gateway.layer({
      ...names,
      access: accounts,
      aliases: () => settings().aliases,
      pull: hosts.pull,
      halt: Deferred.await(halt)
    })
  )
  const services = Layer.mergeAll(
    Layer.succeed(HttpServer.HttpServer, server),
    Layer.succeed(Provider.Provider, withKind(pool, hosts)),
    NodeHttpServer.layerHttpServices
  )
  yield* Layer.build(Layer.provide(HttpRouter.serve(routes, { disableLogger: true, disableListenLog: true }), services))
  const bound = node.address()
  return {
    /** The port may have been chosen by the system. */
    address: { ...address, port: typeof bound === "object" && bound !== null ? bound.port : address.port },
    /** Ends the requests that run. */
    halt: () => Deferred.doneUnsafe(halt, Effect.void),
    /** Takes no new requests, and waits until those that run have ended. After this time, they are ended. */
    stop: Effect.fnUntraced(function* (timeout: Duration.Duration) {
      isOpen = false
      const { hosts, waiting } = yield* SubscriptionRef.get(pool.state)
      const running = hosts.reduce((sum, { active }) => sum + active, waiting)
      if (running > 0) yield* Output.note(`stopping: ${running} running; a second Ctrl-C ends them`)
      const closed = yield* Effect.cached(close(node))
      yield* Effect.timeoutOption(Effect.raceFirst(closed, Deferred.await(halt)), timeout)
      yield* Deferred.succeed(halt, undefined)
      yield* Effect.timeoutOption(close(node), lastRecordTimeout)
      node.closeAllConnections()
    })
  }
})

/** The kind that all hosts have now. It decides which fields of a request are passed on. */
const withKind = (pool: Served, hosts: Hosts): Provider.Provider => ({
  ...pool,
  get kind() {
    return GenAi.sharedKind(hosts.members().map(({ service }) => service.provider))
  }
})

/** Stops listening, and waits until no request runs. */
const close = (node: Http.Server) =>
  Effect.raceFirst(
    Effect.callback<void>((resume) => {
      node.close(() => resume(Effect.void))
    }),
    // A client may keep the connection of a response that has ended.
    Effect.forever(
      Effect.delay(
        Effect.sync(() => node.closeIdleConnections()),
        "50 millis"
      )
    )
  )

/** Why a port cannot be listened on. */
export const describe = (cause: unknown, { host, port }: Address): string => {
  const code = cause instanceof Error && "code" in cause ? cause.code : undefined
  if (code === "EADDRINUSE") return `port ${port} of ${host} is in use; name another one with --listen ${host}:PORT`
  if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND") return `this machine has no address ${host}`
  if (code === "EACCES") return `there is no permission to listen on port ${port}`
  return `${host}:${port} cannot be listened on`
}

/** Runs an effect on each SIGHUP. One that still runs is interrupted. */
export const onHangup = Effect.fnUntraced(function* <R>(
  effect: Effect.Effect<void, never, R>
): Effect.fn.Return<void, never, R | Scope.Scope> {
  const run = yield* FiberHandle.makeRuntime<R>()
  const listener = (): void => void run(effect)
  yield* Effect.acquireRelease(
    Effect.sync(() => process.on("SIGHUP", listener)),
    () => Effect.sync(() => process.off("SIGHUP", listener))
  )
})

/** Runs what remains to be done before the program ends with the exit code 0. Another signal in the meantime runs `hurry`. */
export const end = (effect: Effect.Effect<void>, hurry: () => unknown): Effect.Effect<void> =>
  Effect.sync(() => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, hurry)
  }).pipe(
    Effect.andThen(effect),
    Effect.andThen(
      Effect.sync(() => {
        process.exitCode = 0
      })
    )
  )
