/** Limits on waits that no caller asked for. They use the system's clock, so a test's clock cannot make them hang. */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Option from "effect/Option"

/** Runs `self`, and `abort` if that takes longer than `time`. It is `abort` that makes `self` end. */
export const abortAfter = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  time: Duration.Input,
  abort: Effect.Effect<void>
): Effect.Effect<A, E, R> =>
  Effect.flatMap(
    Effect.forkChild(Effect.provideService(Effect.delay(abort, time), Clock.Clock, systemClock)),
    (timer) => Effect.ensuring(self, Fiber.interrupt(timer))
  )

const systemClock = Clock.Clock.defaultValue()

/** The result of `self`, if it has one within `time`. */
export const within = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  time: Duration.Input
): Effect.Effect<Option.Option<A>, E, R> =>
  Effect.provideService(Effect.timeoutOption(self, time), Clock.Clock, systemClock)
