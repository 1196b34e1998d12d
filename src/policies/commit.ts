/**
 * The state machine of all policies. An answer commits with its first chunk that carries anything. Until then another attempt may run;
 * from then on none may, because text would be delivered twice.
 */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
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

/** Runs a request until an answer commits. After the commit, chunks and failures are passed on. Nothing is acquired before the first pull. */
export const attempts = (
  request: CompletionRequest,
  plan: Effect.Effect<Plan<CompletionRequest, Attempt.Answer>>
): Attempt.Answer =>
  Stream.fromChannel(
    Channel.fromTransform(
      Effect.fnUntraced(function* (_, scope) {
        const withHistory = History.provide(yield* History.current)
        return run(request, yield* withHistory(plan), withHistory, yield* Clock.Clock, scope)
      })
    )
  )

const run = (
  request: CompletionRequest,
  { acquire, alongside, onEnd, recover, shared }: Plan<CompletionRequest, Attempt.Answer>,
  withHistory: ReturnType<typeof History.provide>,
  clock: Clock.Clock,
  scope: Scope.Scope
): Attempt.ChunkPull => {
  const now = () => Monotonic.millisOf(clock)
  const deadlines = SharedDeadlines.make(request, shared, now)
  const start = (acquire: Plan<CompletionRequest, Attempt.Answer>["acquire"]) =>
    Attempt.start({ acquire: Effect.map(acquire, deadlines.limit), onEnd }, scope)

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
        const isCommitted = Attempt.commits(chunks)
        if (isCommitted) current = attempt.rest
        return attempt.advance(chunks, isCommitted)
      },
      onFailure: (cause) => {
        const failure = Attempt.findFailure(cause)
        if (failure === undefined || Cause.isDone(failure)) return Effect.failCause(cause)
        const error = attempt.toError(failure)
        return attempt
          .close(error)
          .pipe(
            Effect.andThen(
              Effect.suspend(() => recover({ error, elapsed: now() - startedAt, timeLeft: deadlines.timeLeft() }))
            ),
            Effect.andThen(next)
          )
      }
    })
  }
  const next: Attempt.ChunkPull = Effect.flatMap(
    Effect.suspend(() => start(acquire)),
    (attempt) => {
      const pull = beforeCommit(attempt)
      current = withHistory(pull)
      return pull
    }
  )
  const first = withHistory(next)
  let current = first
  return Effect.suspend(() => current)
}

/** As `attempts`, for a call that returns one value. */
export const call = Effect.fnUntraced(function* <R extends SharedDeadlines.Request, A>(
  request: R,
  plan: Effect.Effect<Plan<R, Effect.Effect<A, ProviderError>>>
): Effect.fn.Return<A, ProviderError> {
  const withHistory = History.provide(yield* History.current)
  const { acquire, onEnd, recover, shared } = yield* withHistory(plan)
  const clock = yield* Clock.Clock
  const now = () => Monotonic.millisOf(clock)
  const deadlines = SharedDeadlines.make(request, shared, now)
  let startedAt = now()
  const attempt = Effect.flatMap(acquire, (acquired) => {
    const { open, toError } = deadlines.limit(acquired)
    startedAt = now()
    return Effect.result(toError === undefined ? open() : Effect.mapError(open(), toError))
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
