/**
 * How long an answer may take: until its first chunk, between two chunks, and as a whole.
 *
 * @since 0.1.0
 */
import type * as Arr from "effect/Array"
import type * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Pull from "effect/Pull"
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
 * Applies deadlines to a stream of chunks. When one passes, the stream fails with `Timeout` and whatever it has opened is
 * closed at once, also while the consumer is busy.
 *
 * **Details**
 *
 * `firstChunk` and `idle` count only while the consumer waits: a slow consumer does not make the server late. `total` counts
 * from the start, whatever happens. Nothing counts any more once the final chunk is out.
 *
 * There is one fiber that pulls and one that watches the clock, for the whole stream. A chunk costs a look at the clock and
 * one hand-over, no timer, race or fiber of its own.
 *
 * @since 0.1.0
 */
export const apply = <E, R>(
  self: Stream.Stream<StreamingChunk, E, R>,
  deadlines: Deadlines,
  toError: (timeout: Timeout) => E
): Stream.Stream<StreamingChunk, E, R> => {
  const limits = {
    "first-chunk": toMillis(deadlines.firstChunk ?? defaults.firstChunk),
    idle: toMillis(deadlines.idle ?? defaults.idle),
    total: toMillis(deadlines.total ?? defaults.total)
  }
  if (Math.min(limits["first-chunk"], limits.idle, limits.total) === Infinity) return self

  return Stream.fromChannel(
    Channel.fromTransform((_, scope) =>
      Effect.gen(function* () {
        const clock = yield* Clock.Clock
        const startedAt = clock.currentTimeMillisUnsafe()
        let phase: "first-chunk" | "idle" | "over" = "first-chunk"
        // Set while the consumer waits for chunks.
        let waitingSince: number | undefined

        const relay = makeRelay<E>({
          onAsk: () => {
            waitingSince = clock.currentTimeMillisUnsafe()
          },
          onGive: (chunks) => {
            waitingSince = undefined
            phase = chunks[chunks.length - 1]?.isFinal === true ? "over" : "idle"
          }
        })
        // This fiber owns all that the stream opens: to interrupt it is to close that.
        const puller = yield* Effect.scopedWith((own) =>
          Effect.flatMap(Channel.toPullScoped(self.channel, own), relay.serve)
        ).pipe(
          Effect.onExit((exit) => Effect.sync(() => relay.end(exit))),
          Effect.forkIn(scope, { startImmediately: true })
        )

        const expire = (kind: Timeout["kind"]) =>
          Effect.suspend(() => {
            relay.end(Exit.fail(toError(new Timeout({ kind, limit: Duration.millis(limits[kind]) }))))
            return Fiber.interrupt(puller)
          })
        const watch: Effect.Effect<void> = Effect.suspend(() => {
          if (phase === "over") return Effect.void
          const now = clock.currentTimeMillisUnsafe()
          const totalLeft = startedAt + limits.total - now
          if (totalLeft <= 0) return expire("total")
          const waitLeft = waitingSince === undefined ? Infinity : waitingSince + limits[phase] - now
          if (waitLeft <= 0) return expire(phase)
          // A wait that begins later cannot be over before a whole idle time from now.
          return Effect.delay(watch, Math.min(totalLeft, waitLeft, limits.idle))
        })
        yield* Effect.forkIn(watch, scope)

        return relay.pull
      })
    )
  )
}

const toMillis = (input: Duration.Input): number => Duration.toMillis(Duration.fromInputUnsafe(input))

type Chunks = Arr.NonEmptyReadonlyArray<StreamingChunk>

/** Hands what one fiber pulls to another one that asks. Nothing is pulled before it is asked for. */
interface Relay<E> {
  /** Pulls as it is asked to, until the pull ends. */
  readonly serve: <R>(pull: Pull.Pull<Chunks, E, void, R>) => Effect.Effect<never, E | Cause.Done, R>
  /** What `pull` gives from now on. The first end holds. */
  readonly end: (exit: Exit.Exit<never, E | Cause.Done>) => void
  readonly pull: Pull.Pull<Chunks, E>
}

const makeRelay = <E>(hooks: { readonly onAsk: () => void; readonly onGive: (chunks: Chunks) => void }): Relay<E> => {
  type Result = Exit.Exit<Chunks, E | Cause.Done>
  let asking: ((result: Result) => void) | undefined
  let wake: (() => void) | undefined
  // Pulled for an asker who was interrupted meanwhile.
  let ready: Result | undefined
  let ended: Exit.Exit<never, E | Cause.Done> | undefined

  const asked = Effect.callback<void>((resume) => {
    wake = () => resume(Effect.void)
  })

  const give = (chunks: Chunks): void => {
    hooks.onGive(chunks)
    const exit = Exit.succeed(chunks)
    const resume = asking
    asking = undefined
    if (resume === undefined) ready = exit
    else resume(exit)
  }

  return {
    serve: (pull) => {
      const next: Effect.Effect<never, Effect.Error<typeof pull>, Effect.Services<typeof pull>> = Effect.suspend(() =>
        asking === undefined
          ? Effect.flatMap(asked, () => next)
          : Effect.flatMap(pull, (chunks) => {
              give(chunks)
              return next
            })
      )
      return next
    },
    end: (exit) => {
      ended ??= exit
      asking?.(ended)
    },
    pull: Effect.callback((resume) => {
      const result = ready ?? ended
      ready = undefined
      if (result !== undefined) return resume(result)
      asking = resume
      hooks.onAsk()
      // Waking may run the other fiber right here, up to its next sleep.
      const sleeper = wake
      wake = undefined
      sleeper?.()
      return Effect.sync(() => {
        asking = undefined
      })
    })
  }
}
