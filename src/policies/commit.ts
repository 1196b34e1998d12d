/**
 * The state machine of all policies. An attempt commits with its first chunk that carries anything. Until then another attempt may run;
 * from then on none may, because text would be delivered twice.
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CompletionRequest } from "../CompletionRequest.ts"
import type { ProviderError } from "../ProviderError.ts"
import * as Monotonic from "../values/monotonic.ts"
import * as Attempt from "./attempt.ts"
import * as History from "./history.ts"
import * as Race from "./race.ts"
import * as SharedDeadlines from "./sharedDeadlines.ts"

/** A failure before the commit. */
export interface Failure {
  readonly error: ProviderError
  /** How long the attempt took, in milliseconds. */
  readonly elapsed: number
  /** How much of the shared deadlines is left, in milliseconds. */
  readonly timeLeft: number
}

/** What one request runs. */
export interface Plan<in Request, out Out> {
  /** Run for each attempt. If it fails, so does the request. */
  readonly acquire: Effect.Effect<Attempt.Acquired<Request, Out>, ProviderError>
  /** Run once for each run of `acquire`, whatever ends it, when the connection is closed. */
  readonly onEnd?: (end: Attempt.End) => Effect.Effect<void>
  /** Decides whether another attempt runs: waits until then, or fails. The failed attempt has ended by then. */
  readonly recover: (failure: Failure) => Effect.Effect<void, ProviderError>
  /** The deadlines of the request that all attempts have together. Default: `total`. */
  readonly shared?: ReadonlyArray<SharedDeadlines.Name>
  /** Acquires a second attempt that runs beside the first one until one of them commits, or none. */
  readonly alongside?: (timeLeft: () => number) => Effect.Effect<Attempt.Acquired<Request, Out> | undefined>
}

/** What the attempts of one request have in common. */
interface Run<R, out Out> {
  readonly plan: Plan<R, Out>
  readonly now: () => number
  readonly deadlines: SharedDeadlines.SharedDeadlines<R>
  readonly withHistory: ReturnType<typeof History.provideNew>
}

const begin = <R extends SharedDeadlines.Request, Out>(
  request: R,
  plan: Effect.Effect<Plan<R, Out>>
): Effect.Effect<Run<R, Out>> =>
  Effect.withFiber((fiber) => {
    const clock = fiber.getRef(Clock.Clock)
    const now = () => Monotonic.millisOf(clock)
    const withHistory = History.provideNew(fiber)
    return Effect.map(withHistory(plan), (plan) => {
      const deadlines = SharedDeadlines.make(request, plan.shared ?? ["total"], now)
      return { plan, now, deadlines, withHistory }
    })
  })

/** Runs a request until an attempt commits. After that, chunks and failures are passed on. Nothing is acquired before the first pull. */
export const attempts = (
  request: CompletionRequest,
  plan: Effect.Effect<Plan<CompletionRequest, Attempt.Completion>>
): Attempt.Completion =>
  Stream.fromChannel(Channel.fromTransform((_, scope) => Effect.map(begin(request, plan), (run) => toPull(run, scope))))

const toPull = (
  { deadlines, now, plan, withHistory }: Run<CompletionRequest, Attempt.Completion>,
  scope: Scope.Scope
): Attempt.ChunkPull => {
  const { alongside, onEnd, recover } = plan
  const start = (acquire: typeof plan.acquire) => Attempt.start({ acquire, deadlines, onEnd }, scope)

  const step: (attempt: Attempt.Attempt) => Effect.Effect<Race.Step, Attempt.PullError> =
    alongside === undefined
      ? (attempt) => Effect.map(attempt.pull, (chunks) => ({ attempt, chunks }))
      : Race.make(
          Effect.flatMap(alongside(deadlines.timeLeft), (acquired) =>
            acquired === undefined ? Effect.undefined : start(Effect.succeed(acquired))
          ),
          scope
        )

  const beforeCommit = (attempt: Attempt.Attempt): Attempt.ChunkPull => {
    const startedAt = now()
    return Effect.matchCauseEffect(step(attempt), {
      onSuccess: ({ attempt, chunks }) => {
        if (!attempt.hasCommitted()) return Effect.succeed(chunks)
        current = attempt.rest
        return Effect.as(attempt.onCommit, chunks)
      },
      onFailure: (cause) => {
        const error = Attempt.findFailure(cause)
        if (error === undefined || Cause.isDone(error)) return Effect.failCause(cause)
        return Effect.andThen(recover({ error, elapsed: now() - startedAt, timeLeft: deadlines.timeLeft() }), next)
      }
    })
  }
  const next: Attempt.ChunkPull = Effect.flatMap(start(plan.acquire), (attempt) => {
    const pull = beforeCommit(attempt)
    current = withHistory(pull)
    return pull
  })
  let current = withHistory(next)
  return Effect.suspend(() => current)
}

/** As `attempts`, for a call that returns one value. */
export const call = Effect.fnUntraced(function* <R extends SharedDeadlines.Request, A>(
  request: R,
  plan: Effect.Effect<Plan<R, Effect.Effect<A, ProviderError>>>
): Effect.fn.Return<A, ProviderError> {
  const {
    deadlines,
    now,
    plan: { acquire, onEnd, recover },
    withHistory
  } = yield* begin(request, plan)
  let startedAt = now()
  const attempt = Effect.flatMap(acquire, ({ open, toError = identity }) => {
    startedAt = now()
    return Effect.result(Effect.mapError(open(deadlines.remaining()), (error) => toError(deadlines.toError(error))))
  })
  const ending = withHistory(onEnd === undefined ? attempt : Effect.onExit(attempt, (exit) => onEnd(endOf(exit))))
  for (;;) {
    const result = yield* ending
    if (Result.isSuccess(result)) return result.success
    yield* recover({ error: result.failure, elapsed: now() - startedAt, timeLeft: deadlines.timeLeft() })
  }
})

const endOf = (exit: Exit.Exit<Result.Result<unknown, ProviderError>, ProviderError>): Attempt.End => {
  if (Exit.isFailure(exit)) return { outcome: "stopped", progress: "none" }
  return Result.match(exit.value, {
    onSuccess: () => ({ outcome: "succeeded", progress: "committed" }),
    onFailure: (error) => ({ outcome: error, progress: "none" })
  })
}
