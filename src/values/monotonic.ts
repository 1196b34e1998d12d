/** The monotonic clock, which a change of the system's time does not move. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

export const millisOf = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe()) / 1e6

/** Milliseconds. */
export const now: Effect.Effect<number> = Effect.map(Clock.Clock, millisOf)
