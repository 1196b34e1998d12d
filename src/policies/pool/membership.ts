/** The hosts of a pool as a stream of lists has them. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Provider from "../../Provider.ts"
import { InvalidRequest, isProviderError, ProviderError } from "../../ProviderError.ts"
import * as Text from "../../values/text.ts"
import { checkHost, type HostOptions, invalid, resolveHost } from "./options.ts"
import type { Queue } from "./queue.ts"

export interface Members {
  readonly add: <E, R>(host: HostOptions<E, R>) => Effect.Effect<void, ProviderError | E, Exclude<R, Scope.Scope>>
  /** Adds a host, or gives the one of this name its permits, which is no longer drained then. */
  readonly keep: <E, R>(
    host: HostOptions<E, R> & { readonly name: string }
  ) => Effect.Effect<void, ProviderError | E, Exclude<R, Scope.Scope>>
  /** Removes a host when its answers have ended. */
  readonly drain: (host: string) => Effect.Effect<void, ProviderError>
}

export interface MembersOptions {
  /** The name of the pool. */
  readonly name: string
  readonly queue: Queue
  /** The default of the pool. */
  readonly permits: number
  readonly abandonedMillis: number | undefined
  readonly scope: Scope.Scope
}

export interface Options extends Pick<Members, "keep"> {
  readonly queue: Queue
  /** The name of the pool. */
  readonly name: string
}

/** Adds hosts, whose providers live until they have left the pool, and at most as long as `scope`, and removes them. */
export const make = ({ abandonedMillis, name, permits, queue, scope }: MembersOptions): Members => {
  const names = () => queue.hosts().map(({ name }) => name)
  const fail = (field: string, description: string) =>
    Effect.fail(new ProviderError({ provider: name, reason: new InvalidRequest({ field, description }) }))
  const add: Members["add"] = (host) =>
    Effect.flatMap(Scope.fork(scope), (own) =>
      resolveHost(host, { abandonedMillis, permits }, names, own).pipe(
        // Another host may have been added while the provider was made.
        Effect.flatMap(queue.add),
        Effect.flatMap((isAdded) => (isAdded ? Effect.void : fail("hosts", "Expected a different name for each host"))),
        Effect.onError(() => Scope.close(own, Exit.void))
      )
    )
  return {
    add,
    keep: (host) =>
      Effect.flatMap(queue.keep(host.name, host.permits ?? permits), (isKnown) => (isKnown ? Effect.void : add(host))),
    drain: (host) =>
      Effect.flatMap(queue.drain(host), (isKnown) =>
        isKnown ? Effect.void : fail("host", "the pool has no such host")
      )
  }
}

/** Waits for the first list, and follows the further ones in the background. */
export const follow = Effect.fnUntraced(function* <E, R>(
  lists: Stream.Stream<ReadonlyArray<HostOptions<E, R>>, E, R>,
  { keep, name, queue }: Options
): Effect.fn.Return<void, ProviderError | E, R | Scope.Scope> {
  /** The names of the list before. */
  let listed = new Set<string>()

  const join = Effect.fnUntraced(function* (
    host: HostOptions<E, R>
  ): Effect.fn.Return<void, ProviderError | E, Exclude<R, Scope.Scope>> {
    const own = nameOf(host)
    if (own !== undefined) listed.add(own)
    yield* checkHost(host)
    if (own === undefined) {
      return yield* Effect.fail(invalid("hosts", "Expected a name for each host of a stream of lists"))
    }
    yield* keep({ ...host, name: own })
  })
  const leave = (host: string) => Effect.forkScoped(queue.drain(host))

  const apply = (
    hosts: ReadonlyArray<HostOptions<E, R>>,
    join: (host: HostOptions<E, R>) => Effect.Effect<void, ProviderError | E, Exclude<R, Scope.Scope>>
  ) =>
    Effect.suspend(() => {
      const before = listed
      listed = new Set()
      return Effect.andThen(
        Effect.forEach(hosts, join, { discard: true }),
        Effect.suspend(() =>
          Effect.forEach(
            [...before].filter((each) => !listed.has(each)),
            leave,
            { discard: true }
          )
        )
      )
    })

  const warn = Effect.catchCause((cause) => Effect.logWarning(`${name}: a list of hosts is not followed`, toLog(cause)))
  const pull = yield* Stream.toPull(lists)
  const next = Effect.map(pull, (all) => all.at(-1) ?? [])
  const first = yield* Pull.catchDone(next, () => Effect.succeed([]))
  yield* apply(first, join)
  const further = Effect.forever(Effect.flatMap(next, (hosts) => apply(hosts, (host) => warn(join(host)))))
  yield* Effect.forkScoped(warn(Pull.catchDone(further, () => Effect.void)))
})

/** Messages of this library are safe to log. Those of a list, from a file or a service, may have credentials. */
export const toLog = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  return isProviderError(error) ? error.message : Text.placeOf(cause)
}

const nameOf = ({ name, provider }: HostOptions<unknown, unknown>): string | undefined =>
  name ?? (Provider.isProvider(provider) ? provider.name : undefined)
