/**
 * How long an answer may take: until its first chunk, between two chunks, and as a whole.
 *
 * A layer sets deadlines with its option `deadlines`, a request with its field of that name (`CompletionRequest.Deadlines`). This
 * module is for providers of your own.
 *
 * @category Core
 * @since 0.1.0
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Deadlines } from "./CompletionRequest.ts"
import * as Monotonic from "./values/monotonic.ts"
import { Timeout } from "./ProviderError.ts"

/**
 * The deadlines where neither the layer nor the request sets others: 5 minutes to the first chunk, which a model of many
 * gigabytes may need to load, 2 minutes between chunks, no limit on the whole.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaults = {
  /** From the request to the first chunk. */
  firstChunk: "5 minutes",
  /** Between two chunks. For requests with tools, `idleWithTools` takes its place. */
  idle: "2 minutes",
  /** The whole answer: no limit. */
  total: "Infinity"
} as const satisfies Deadlines

/**
 * The default of `idle` for requests with tools: 5 minutes. Ollama sends nothing while the model writes a call, which may be long.
 *
 * @category constants
 * @since 0.3.0
 */
export const idleWithTools = "5 minutes"

/**
 * All three deadlines as numbers of milliseconds; `Infinity` for none. Those that are not set have their `defaults`.
 *
 * @category combinators
 * @since 0.2.0
 */
export const resolve = (deadlines: Deadlines = {}): { readonly [K in keyof Deadlines]-?: number } => ({
  firstChunk: toMillis(deadlines.firstChunk ?? defaults.firstChunk),
  idle: toMillis(deadlines.idle ?? defaults.idle),
  total: toMillis(deadlines.total ?? defaults.total)
})

/**
 * The deadlines of a layer, replaced by those that a request sets.
 *
 * @category combinators
 * @since 0.1.0
 */
export const override = (base: Deadlines, over: Deadlines | undefined): Deadlines =>
  over === undefined
    ? base
    : {
        firstChunk: over.firstChunk ?? base.firstChunk,
        idle: over.idle ?? base.idle,
        total: over.total ?? base.total
      }

/**
 * A response that has been requested.
 *
 * @category models
 * @since 0.3.0
 */
export interface Opened<A, E> {
  /** The items, in their order. */
  readonly items: Stream.Stream<A, E>
  /** Closes what the items come from. A pull that waits for an item then fails, with any error. */
  readonly abort: Effect.Effect<void>
  /** Run once, when no more items are pulled: at the end, or because the consumer stopped. */
  readonly release: Effect.Effect<void>
}

/**
 * The items of a response, under deadlines. When a deadline passes, the response is aborted and the stream fails with `Timeout`.
 *
 * **Details**
 *
 * `firstChunk` and `idle` count only while the consumer waits, so a slow consumer does not cause a timeout. They count on through
 * items that carry nothing: those are delivered, but the answer is late as if they had not come. `total` counts from the start, and
 * aborts also while the consumer is busy. Time is measured by the monotonic clock.
 *
 * One fiber for each stream watches the clock. An item costs two readings of it, and no timer, race or fiber of its own.
 * Therefore a waiting pull has to fail when the response is aborted. `open` itself starts nothing: the items do when they are pulled.
 *
 * @category combinators
 * @since 0.1.0
 */
export const apply = <A, E, E2>(
  open: Effect.Effect<Opened<A, E>, E>,
  deadlines: Deadlines,
  toError: (reason: NoInfer<E> | Timeout) => E2,
  /** Called for each run. Returns whether an item carries anything. Default: every item does. */
  makeCarries: () => (item: NoInfer<A>) => boolean = everything
): Stream.Stream<A, E2> => {
  const { firstChunk, idle, total } = resolve(deadlines)
  const limits = { "first-chunk": firstChunk, idle, total }

  return Stream.fromChannel(
    Channel.fromTransform((_, scope) =>
      Effect.gen(function* () {
        const { abort, items, release } = yield* Effect.mapError(open, toError)
        // One finalizer for the items, the response and the watch: a scope with several takes longer to close.
        const itemsScope = Scope.makeUnsafe()
        let watcher: Fiber.Fiber<void> | undefined
        yield* Scope.addFinalizerExit(scope, (exit) => {
          // The end of the stream need not wait until the watch has ended.
          watcher?.interruptUnsafe()
          return Effect.ensuring(Scope.close(itemsScope, exit), release)
        })
        const pull = yield* Channel.toPullScoped(items.channel, itemsScope)
        const clock = yield* Clock.Clock
        const now = (): number => Monotonic.millisOf(clock)
        const startedAt = now()
        let phase: "first-chunk" | "idle" = "first-chunk"
        const carries = makeCarries()
        // Set while the consumer waits. Earlier waits count too if only items that carry nothing came since.
        let waitingSince: number | undefined
        let waitedBefore = 0
        let nextLook = Infinity
        let expired: Timeout["kind"] | undefined

        const watch: Effect.Effect<void> = Effect.suspend(() => {
          const time = now()
          const totalLeft = startedAt + limits.total - time
          const waitLeft = limits[phase] - (waitingSince === undefined ? waitedBefore : time - waitingSince)
          if (totalLeft <= 0 || waitLeft <= 0) {
            expired = totalLeft <= 0 ? "total" : phase
            return abort
          }
          // A wait that begins later cannot be over before a whole limit from now, of this phase or the next. If a part of it is
          // over already, the watch begins anew with it.
          const wait = waitingSince === undefined ? limits[phase] : waitLeft
          const delay = Math.min(totalLeft, wait, limits.idle)
          nextLook = time + delay
          return Effect.delay(watch, delay)
        })
        const startWatch = Effect.suspend(() => {
          watcher?.interruptUnsafe()
          return Effect.map(Effect.forkDetach(watch, { startImmediately: true }), (fiber) => {
            watcher = fiber
          })
        })
        if (Math.min(firstChunk, idle, total) < Infinity) yield* startWatch

        const next: Pull.Pull<Arr.NonEmptyReadonlyArray<A>, E2> = Effect.matchEffect(pull, {
          onSuccess: (items) => {
            if (items.some(carries)) {
              waitedBefore = 0
              phase = "idle"
            } else if (waitingSince !== undefined) {
              waitedBefore = now() - waitingSince
            }
            waitingSince = undefined
            return Effect.succeed(items)
          },
          onFailure: (failure): Pull.Pull<never, E2> => {
            waitingSince = undefined
            if (Cause.isDone(failure)) return Effect.fail(failure)
            if (expired === undefined) return Effect.fail(toError(failure))
            return Effect.fail(toError(new Timeout({ kind: expired, limit: Duration.millis(limits[expired]) })))
          }
        })

        return Effect.suspend(() => {
          waitingSince = now() - waitedBefore
          return waitedBefore > 0 && waitingSince + limits[phase] < nextLook ? Effect.andThen(startWatch, next) : next
        })
      })
    )
  )
}

const everything = () => () => true

const toMillis = (input: Duration.Input): number => Duration.toMillis(Duration.fromInputUnsafe(input))
