/** Limits on waits that no caller asked for. They use the system's clock, so a test's clock cannot make them hang. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Monotonic from "../values/monotonic.ts"

/**
 * Runs `self`, and `abort` if that takes longer than `time`. It is `abort` that makes `self` end.
 */
export const abortAfter = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  time: Duration.Duration,
  abort: Effect.Effect<void>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const stop = Monotonic.after(Context.empty(), Duration.toMillis(time), abort)
    return Effect.ensuring(self, Effect.sync(stop))
  })

/** The result of `self`, if it has one within `time`. */
export const within = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  time: Duration.Duration
): Effect.Effect<Option.Option<A>, E, R> =>
  Effect.provideService(Effect.timeoutOption(self, time), Clock.Clock, Monotonic.systemClock)

/** As `within`, for several effects that may take `time` together. Only waiting for them counts. */
export const withinTotal = (time: Duration.Duration): typeof once => {
  let left = Duration.toMillis(time)
  const once = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<Option.Option<A>, E, R> =>
    Effect.suspend(() => {
      const since = Monotonic.millisOf(Monotonic.systemClock)
      return Effect.onExit(within(self, Duration.millis(left)), () =>
        Effect.sync(() => {
          left = Math.max(0, left - (Monotonic.millisOf(Monotonic.systemClock) - since))
        })
      )
    })
  return once
}
