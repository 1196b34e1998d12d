/**
 * How long a completion may take: until its first chunk, between two chunks, and as a whole.
 *
 * A layer sets deadlines with its option `deadlines`, a request with its field of that name. The functions are for providers of your
 * own.
 *
 * @category Core
 * @since 0.1.0
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Timeout } from "./ProviderError.ts"
import * as Monotonic from "./values/monotonic.ts"
import * as Values from "./values/objects.ts"

const Limit = Values.durationInput(Duration.isPositive, "a duration of more than zero")

/**
 * How long one completion may take. `Infinity` disables a deadline.
 *
 * **Details**
 *
 * Only chunks that carry something count for `firstChunk` and `idle`: content, thinking, a tool call, progress that advances, or the
 * end. Empty chunks are delivered, but they extend no deadline.
 *
 * @category models
 */
export class Deadlines extends Schema.Opaque<Deadlines>()(
  Schema.Struct({
    /** From the request to the first chunk, including model loading and prompt processing. Default: 5 minutes. */
    firstChunk: Schema.optional(Limit),
    /** From the moment the consumer requests the next chunk until it arrives. Default: 2 minutes; 5 minutes with `tools`. */
    idle: Schema.optional(Limit),
    /** From the request to the end of the completion, including the consumer's own time. Default: none. */
    total: Schema.optional(Limit)
  })
) {}

/**
 * The deadlines where neither the layer nor the request sets others: 5 minutes to the first chunk, which a model of many
 * gigabytes may need to load, 2 minutes between chunks, no limit on the whole.
 *
 * @category constants
 */
export const defaults = {
  /** From the request to the first chunk. */
  firstChunk: "5 minutes",
  /** Between two chunks. For requests with tools, `idleWithTools` takes its place. */
  idle: "2 minutes",
  /** The whole completion: no limit. */
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
 * items that carry nothing: those are delivered, but the completion is late as if they had not come. `total` counts from the start, and
 * aborts also while the consumer is busy. Time is measured by the monotonic clock.
 *
 * One timer for each stream watches the clock. An item costs two readings of it, and no timer, race or fiber of its own.
 * Therefore a waiting pull has to fail when the response is aborted. `open` itself starts nothing: the items do when they are pulled.
 *
 * @category combinators
 */
export const apply = <A, E, E2>(
  open: Effect.Effect<Opened<A, E>, E>,
  deadlines: Deadlines,
  toError: (reason: NoInfer<E> | Timeout) => E2,
  /** Called for each run. Returns whether an item carries anything. Default: every item does. */
  makeCarries: () => (item: NoInfer<A>) => boolean = everything
): Stream.Stream<A, E2> => {
  const limits = resolve(deadlines)
  return Stream.fromChannel(
    Channel.fromTransform((_, scope) =>
      Effect.gen(function* () {
        const { abort, items, release } = yield* Effect.mapError(open, toError)
        const context = yield* Effect.context<never>()
        const watch = makeWatch(limits, context, abort)
        // One finalizer for the items, the response and the watch: a scope with several takes longer to close.
        const itemsScope = Scope.makeUnsafe()
        yield* Scope.addFinalizerExit(scope, (exit) => {
          watch.stop()
          return Effect.ensuring(Scope.close(itemsScope, exit), release)
        })
        const pull = yield* Channel.toPullScoped(items.channel, itemsScope)
        const carries = makeCarries()
        yield* watch.start

        const next: Pull.Pull<Arr.NonEmptyReadonlyArray<A>, E2> = Effect.matchEffect(pull, {
          onSuccess: (items) => {
            watch.endWait(items.some(carries))
            return Effect.succeed(items)
          },
          onFailure: (failure): Pull.Pull<never, E2> => {
            watch.endWait(false)
            return Effect.fail(Cause.isDone(failure) ? failure : toError(watch.expired() ?? failure))
          }
        })
        return Effect.suspend(() => (watch.beginWait() ? next : Effect.andThen(watch.start, next)))
      })
    )
  )
}

/** Aborts a response when a deadline passes. One timer waits for that, however many items come. */
const makeWatch = (
  { firstChunk, idle, total }: ReturnType<typeof resolve>,
  context: Context.Context<never>,
  abort: Effect.Effect<void>
) => {
  const limits = { "first-chunk": firstChunk, idle, total }
  const clock = Context.get(context, Clock.Clock)
  const now = (): number => Monotonic.millisOf(clock)
  const startedAt = now()
  let phase: "first-chunk" | "idle" = "first-chunk"
  // Set while the consumer waits. Earlier waits count too if only items that carry nothing came since.
  let waitingSince: number | undefined
  let waitedBefore = 0
  let nextLook = Infinity
  let expired: Timeout["kind"] | undefined
  let stop = (): void => undefined

  const look: Effect.Effect<void> = Effect.suspend(() => {
    const time = now()
    const totalLeft = startedAt + total - time
    const waitLeft = limits[phase] - (waitingSince === undefined ? waitedBefore : time - waitingSince)
    if (totalLeft <= 0 || waitLeft <= 0) {
      expired = totalLeft <= 0 ? "total" : phase
      return abort
    }
    // A wait that begins later cannot be over before a whole limit from now, of this phase or the next. If a part of it is over
    // already, the watch begins anew with it.
    const delay = Math.ceil(Math.min(totalLeft, waitingSince === undefined ? limits[phase] : waitLeft, idle))
    nextLook = time + delay
    stop = Monotonic.after(context, delay, look)
    return Effect.void
  })

  return {
    stop: () => stop(),
    start: Effect.suspend(() => {
      stop()
      return Math.min(firstChunk, idle, total) === Infinity ? Effect.void : look
    }),
    /** Returns `false` if the watch has to begin anew, since this wait may be over before it looks. */
    beginWait: (): boolean => {
      waitingSince = now() - waitedBefore
      return waitedBefore === 0 || waitingSince + limits[phase] >= nextLook
    },
    endWait: (carriesAny: boolean): void => {
      if (carriesAny) {
        waitedBefore = 0
        phase = "idle"
      } else if (waitingSince !== undefined) {
        waitedBefore = now() - waitingSince
      }
      waitingSince = undefined
    },
    expired: (): Timeout | undefined =>
      expired && new Timeout({ kind: expired, limit: Duration.millis(limits[expired]) })
  }
}

const everything = () => () => true

const toMillis = (input: Duration.Input): number => Duration.toMillis(Duration.fromInputUnsafe(input))
