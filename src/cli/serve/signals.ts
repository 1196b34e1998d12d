/** The signals that a server acts on. */
import * as Effect from "effect/Effect"
import * as FiberHandle from "effect/FiberHandle"
import type * as Scope from "effect/Scope"

/** Runs an effect on each SIGHUP. One that still runs is interrupted. */
export const onHangup = Effect.fnUntraced(function* <R>(
  effect: Effect.Effect<void, never, R>
): Effect.fn.Return<void, never, R | Scope.Scope> {
  const run = yield* FiberHandle.makeRuntime<R>()
  const listener = (): void => void run(effect)
  yield* Effect.acquireRelease(
    Effect.sync(() => process.on("SIGHUP", listener)),
    () => Effect.sync(() => process.off("SIGHUP", listener))
  )
})

/** Runs what remains to be done before the program ends with the exit code 0. Another signal in the meantime runs `hurry`. */
export const end = (effect: Effect.Effect<void>, hurry: () => unknown): Effect.Effect<void> =>
  Effect.sync(() => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, hurry)
  }).pipe(
    Effect.andThen(effect),
    Effect.andThen(
      Effect.sync(() => {
        process.exitCode = 0
      })
    )
  )
