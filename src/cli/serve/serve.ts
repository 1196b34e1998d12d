/** Serves the models of all hosts at one address. */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Logger from "effect/Logger"
import * as Pool from "../../Pool.ts"
import * as Failure from "../failure.ts"
import * as Fake from "../fake.ts"
import * as Output from "../output.ts"
import * as Accounts from "./accounts.ts"
import * as Hosts from "./hosts.ts"
import * as Keys from "./keys.ts"
import * as Listen from "./listen.ts"
import * as Observer from "./observer.ts"
import type * as Redis from "./redis.ts"
import * as Server from "./server.ts"
import * as Shared from "./shared.ts"
import * as Sources from "./sources.ts"
import * as Status from "./status.ts"

/** Until a signal stops it. */
export const serve = Effect.fnUntraced(
  function* (input: Sources.Input) {
    const startFake = yield* Effect.cached(
      Fake.start("Until then, every tool that you point at this gateway gets these words.")
    )
    let source = yield* Sources.read(input, startFake)
    const { fixed } = source
    const shared = fixed.redis && (yield* Shared.connect(fixed.redis))
    const accounts = yield* findAccounts(input, fixed, shared)
    const observer = yield* Observer.make
    const { hosts, pool } =
      fixed.cluster === undefined
        ? yield* ofOwnHosts(source, observer, shared)
        : yield* (yield* loadCluster).connect(fixed.cluster, fixed, observer)
    const isDemonstration = () => source.isDemonstration
    const server = yield* Server.make({
      accounts,
      hosts,
      pool,
      address: fixed.address,
      reporter: yield* Status.make({ hosts, observer, pool, isDemonstration }),
      settings: () => source.changeable
    })
    const reload = Effect.gen(function* () {
      const before = source
      source = yield* Sources.read(input, startFake)
      if (JSON.stringify(source.fixed) !== JSON.stringify(before.fixed)) {
        yield* Output.note(
          "addresses to listen on, files of keys, timeouts, maxWaiting and redis change at the next start only"
        )
      }
      yield* hosts.set(source.changeable)
      yield* accounts.reload
      yield* Output.note("the settings were read again")
    }).pipe(Effect.catch(({ message }) => Output.note(`${message}; the settings stay as they were`)))
    yield* Server.onHangup(reload)
    yield* Listen.greet({
      accounts,
      hosts,
      json: input.json,
      isDemonstration: isDemonstration(),
      address: server.address
    })
    yield* Effect.onInterrupt(Effect.never, () => Server.end(server.stop(fixed.stopTimeout), server.halt))
  },
  // Standard output has the lines for clients only.
  Effect.provideService(Logger.LogToStderr, true)
)

/** The hosts that are named or found. */
const ofOwnHosts = Effect.fnUntraced(function* (
  { changeable, fixed }: Sources.Source,
  { observe }: Observer.Observer,
  shared: Redis.Shared | undefined
) {
  const hosts = yield* Hosts.make(changeable, fixed.access, observe)
  const pool = yield* Pool.make({
    hosts: hosts.lists,
    health: shared?.health,
    permits: changeable.permits,
    maxWaiting: fixed.maxWaiting,
    defaults: { deadlines: fixed.deadlines }
  })
  return { hosts, pool }
})

/** It is loaded only where it is used. */
const loadCluster = Effect.promise(() => import("./cluster.ts"))

/** Programs on other machines need keys, unless the user says otherwise. */
const findAccounts = Effect.fnUntraced(function* (
  { noKeys }: Sources.Input,
  { address, keysFile }: Sources.Fixed,
  shared: Redis.Shared | undefined
) {
  if (noKeys) {
    return keysFile === undefined
      ? Accounts.open
      : yield* Failure.fail("--no-keys and a file of keys exclude each other")
  }
  const files = yield* FileSystem.FileSystem
  const usual = yield* Effect.orElseSucceed(Keys.defaultFile, () => undefined)
  const hasUsual = usual !== undefined && (yield* Effect.orElseSucceed(files.exists(usual), () => false))
  const file = keysFile ?? (hasUsual ? usual : undefined)
  if (file !== undefined) {
    const accounts = yield* Accounts.make(file, shared)
    if (accounts.count() === 0) {
      return yield* Failure.fail(`${file} has no keys; "local-llm keys add NAME" adds one, and --no-keys needs none`)
    }
    return accounts
  }
  return Listen.isLoopback(address)
    ? Accounts.open
    : yield* Failure.fail(
        `${address.host} is reached by other machines, so clients need keys: "local-llm keys add NAME" makes one. Without keys: --no-keys`
      )
})
