/** A completion that is observed while it is passed on. */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ProviderError } from "../ProviderError.ts"
import type { Chunks, ChunkPull, Completion } from "./attempt.ts"
import { findFailure } from "./attempt.ts"

/** `stopped`: by its consumer, which may have got the final chunk, or by a defect. */
export type Outcome = "succeeded" | "stopped" | ProviderError

export interface Observer {
  readonly add: (chunks: Chunks) => void
  /** Run once, whatever ends the completion. */
  readonly end: (outcome: Outcome) => Effect.Effect<void>
}

/** `make` is called for each run. */
export const make = (chunks: Completion, make: () => Observer): Completion =>
  Stream.fromChannel(
    Channel.fromTransform((_, scope) =>
      Effect.suspend(() => {
        const observer = make()
        let isOver = false
        const end = (outcome: Outcome) =>
          Effect.suspend(() => {
            if (isOver) return Effect.void
            isOver = true
            return observer.end(outcome)
          })
        return Scope.addFinalizer(scope, end("stopped")).pipe(
          Effect.andThen(Channel.toPullScoped(chunks.channel, scope)),
          Effect.map((pull) =>
            Effect.matchCauseEffect(pull, {
              onSuccess: (chunks) => {
                observer.add(chunks)
                return Effect.succeed(chunks)
              },
              onFailure: (cause): ChunkPull => {
                const failure = findFailure(cause)
                const outcome = failure === undefined ? "stopped" : Cause.isDone(failure) ? "succeeded" : failure
                return Effect.andThen(end(outcome), Effect.failCause(cause))
              }
            })
          )
        )
      })
    )
  )
