/**
 * How long an answer may take: until its first chunk, between two chunks, and as a whole.
 *
 * @since 0.1.0
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Deadlines } from "./CompletionRequest.ts"
import { Timeout } from "./ProviderError.ts"
import type { StreamingChunk } from "./StreamingChunk.ts"

/**
 * The deadlines where neither the layer nor the request sets others: 5 minutes to the first chunk, which a model of many
 * gigabytes may need to load, 2 minutes between chunks, no limit on the whole.
 *
 * @since 0.1.0
 */
export const defaults = {
  firstChunk: "5 minutes",
  idle: "2 minutes",
  total: "Infinity"
} as const satisfies Deadlines

/**
 * One set of deadlines over another: each that `over` does not set is that of `base`.
 *
 * @since 0.1.0
 */
export const override = (base: Deadlines | undefined, over: Deadlines | undefined): Deadlines => ({
  firstChunk: over?.firstChunk ?? base?.firstChunk,
  idle: over?.idle ?? base?.idle,
  total: over?.total ?? base?.total
})

/**
 * Chunks that can be called off.
 *
 * @since 0.1.0
 */
export interface Source<E> {
  readonly chunks: Stream.Stream<StreamingChunk, E>
  /** Closes at once what the chunks come from. A pull that waits for a chunk then fails, with whatever error. */
  readonly abort: Effect.Effect<void>
}

/**
 * The chunks of a source, under deadlines. When one passes, the source is aborted and the stream fails with `Timeout`.
 *
 * **Details**
 *
 * `firstChunk` and `idle` count only while the consumer waits: a slow consumer does not make the server late. `total` counts
 * from the start, whatever happens, and aborts also while the consumer is busy. Nothing counts any more once the final chunk
 * is out.
 *
 * One fiber for the whole stream watches the clock. A chunk costs two looks at it: no timer, race or fiber of its own. That is
 * why the source has to fail a waiting pull by itself.
 *
 * @since 0.1.0
 */
export const apply = <E>(
  source: Effect.Effect<Source<E>, never, Scope.Scope>,
  deadlines: Deadlines,
  toError: (timeout: Timeout) => E
): Stream.Stream<StreamingChunk, E> => {
  const limits = {
    "first-chunk": toMillis(deadlines.firstChunk ?? defaults.firstChunk),
    idle: toMillis(deadlines.idle ?? defaults.idle),
    total: toMillis(deadlines.total ?? defaults.total)
  }
  const isOff = Math.min(limits["first-chunk"], limits.idle, limits.total) === Infinity

  return Stream.fromChannel(
    Channel.fromTransform((_, scope) =>
      Effect.gen(function* () {
        const { abort, chunks } = yield* Scope.provide(source, scope)
        const pull = yield* Channel.toPullScoped(chunks.channel, scope)
        if (isOff) return pull

        const clock = yield* Clock.Clock
        const startedAt = clock.currentTimeMillisUnsafe()
        let phase: "first-chunk" | "idle" | "over" = "first-chunk"
        // Set while the consumer waits for chunks.
        let waitingSince: number | undefined
        let expired: Timeout["kind"] | undefined

        const watch: Effect.Effect<void> = Effect.suspend(() => {
          if (phase === "over") return Effect.void
          const now = clock.currentTimeMillisUnsafe()
          const totalLeft = startedAt + limits.total - now
          const waitLeft = waitingSince === undefined ? Infinity : waitingSince + limits[phase] - now
          if (totalLeft <= 0 || waitLeft <= 0) {
            expired = totalLeft <= 0 ? "total" : phase
            return abort
          }
          // A wait that begins later cannot be over before a whole limit from now, be it that of this phase or the next.
          return Effect.delay(watch, Math.min(totalLeft, waitLeft, limits[phase], limits.idle))
        })
        yield* Effect.forkIn(watch, scope)

        const next: Pull.Pull<Arr.NonEmptyReadonlyArray<StreamingChunk>, E> = Effect.matchEffect(pull, {
          onSuccess: (chunks) => {
            waitingSince = undefined
            phase = chunks[chunks.length - 1]?.isFinal === true ? "over" : "idle"
            return Effect.succeed(chunks)
          },
          onFailure: (failure) => {
            phase = "over"
            if (expired === undefined || Cause.isDone(failure)) return Effect.fail(failure)
            return Effect.fail(toError(new Timeout({ kind: expired, limit: Duration.millis(limits[expired]) })))
          }
        })

        return Effect.suspend(() => {
          waitingSince = clock.currentTimeMillisUnsafe()
          return next
        })
      })
    )
  )
}

const toMillis = (input: Duration.Input): number => Duration.toMillis(Duration.fromInputUnsafe(input))
