/** A second attempt beside the first one, until one of them commits. The other one is closed. */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type * as Attempt from "./attempt.ts"

/** Chunks, and the attempt that they come from. */
export interface Step {
  readonly attempt: Attempt.Attempt
  readonly chunks: Attempt.Chunks
}

type Steps<A = Step> = Effect.Effect<A, Attempt.PullError>

/**
 * The next chunks of the first attempt, or those with which the second one commits. The second one begins with the first pull, unless
 * `openSecond` returns none. Its other chunks and its failures are ignored. Each pull is in a fiber of its own, so that a chunk need not
 * wait until the other attempt is closed.
 */
export const make = (
  openSecond: Effect.Effect<Attempt.Attempt | undefined, Attempt.PullError>,
  scope: Scope.Scope
): ((first: Attempt.Attempt) => Steps) => {
  let second: Attempt.Attempt | undefined
  let secondFiber: Fiber.Fiber<Step | undefined, Attempt.PullError> | undefined
  const fork = <A, E>(effect: Effect.Effect<A, E>) => Effect.forkIn(effect, scope, { startImmediately: true })

  const runSecond: Steps<Step | undefined> = Effect.gen(function* () {
    const opened = (second = yield* openSecond)
    if (opened === undefined) return undefined
    return yield* Effect.onError(untilCommit(opened), () => opened.close("stopped"))
  })

  return Effect.fnUntraced(function* (first): Effect.fn.Return<Step, Attempt.PullError> {
    const ofSecond = (secondFiber ??= yield* fork(runSecond))
    const ofFirst = yield* fork(Effect.map(first.pull, (chunks): Step => ({ attempt: first, chunks })))
    const exit = yield* either(ofFirst, ofSecond)
    if (Exit.isSuccess(exit)) {
      const { attempt } = exit.value
      if (attempt !== first) yield* giveUp(ofFirst, first)
      else if (first.hasCommitted()) yield* giveUp(ofSecond, second)
      return exit.value
    }
    // No other attempt mends a defect.
    if (second === undefined || Cause.hasDies(exit.cause)) {
      yield* giveUp(ofSecond, second)
      return yield* exit
    }
    const other = yield* Fiber.await(ofSecond)
    return Exit.isSuccess(other) && other.value !== undefined ? other.value : yield* exit
  })
}

const untilCommit = (attempt: Attempt.Attempt): Steps =>
  Effect.flatMap(attempt.pull, (chunks) =>
    attempt.hasCommitted() ? Effect.succeed({ attempt, chunks }) : untilCommit(attempt)
  )

/** The exit of the first fiber, or of the second one if it has a step. */
const either = (
  first: Fiber.Fiber<Step, Attempt.PullError>,
  second: Fiber.Fiber<Step | undefined, Attempt.PullError>
): Effect.Effect<Exit.Exit<Step, Attempt.PullError>> =>
  Effect.callback((resume) => {
    const ignoreFirst = first.addObserver((exit) => resume(Effect.succeed(exit)))
    const ignoreSecond = second.addObserver((exit) => {
      if (Exit.isSuccess(exit) && exit.value !== undefined) resume(Effect.succeed(Exit.succeed(exit.value)))
    })
    return Effect.sync(() => {
      ignoreFirst()
      ignoreSecond()
    })
  })

/** Closes a connection at once. Nothing waits until that is done. */
const giveUp = (fiber: Fiber.Fiber<unknown, unknown>, attempt: Attempt.Attempt | undefined): Effect.Effect<void> =>
  attempt === undefined
    ? Effect.sync(() => fiber.interruptUnsafe())
    : Effect.asVoid(
        Effect.forkDetach(Effect.andThen(Fiber.interrupt(fiber), attempt.close("stopped")), { startImmediately: true })
      )
