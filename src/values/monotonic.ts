/** The monotonic clock, which a change of the system's time does not move. */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

export const millisOf = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/** Milliseconds. */
export const now: Effect.Effect<number> = Effect.withFiberSucceed((fiber) => millisOf(fiber.getRef(Clock.Clock)))

/**
 * Runs an effect after a time in milliseconds, or earlier if the time is too long for a timer, and returns how to prevent that.
 * On the system's clock it is a plain timer, which costs less than a fiber.
 */
export const after = (context: Context.Context<never>, millis: number, effect: Effect.Effect<void>): (() => void) => {
  const run = Effect.runForkWith(context)
  const clock = Context.get(context, Clock.Clock)
  if (clock === systemClock) {
    const timer = setTimeout(() => run(effect), Math.min(millis, longestTimer))
    return () => clearTimeout(timer)
  }
  const fiber = run(Effect.andThen(clock.sleep(Duration.millis(millis)), effect))
  return () => fiber.interruptUnsafe()
}

/** It ignores the clock of a test. */
export const systemClock = Clock.Clock.defaultValue()

/** A timer counts in 32 bits. */
const longestTimer = 2 ** 31 - 1
