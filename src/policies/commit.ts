/**
 * When an answer commits, and how requests are run until one does. An answer commits with the first chunk that carries anything.
 * From then on, no policy may run the request again, because text would be delivered twice.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CompletionRequest } from "../CompletionRequest.ts"
import type { Embedding } from "../Embedding.ts"
import { ProviderError, Timeout } from "../ProviderError.ts"
import type { StreamingChunk } from "../StreamingChunk.ts"
import * as Carries from "../protocol/carries.ts"
import * as GenAi from "../values/genAi.ts"
import * as Monotonic from "../values/monotonic.ts"
import * as Values from "../values/objects.ts"

export type Open = (request: CompletionRequest) => Stream.Stream<StreamingChunk, ProviderError>

export type Chunks = Arr.NonEmptyReadonlyArray<StreamingChunk>

export type ChunkPull = Pull.Pull<Chunks, ProviderError>

/** Whether the answer commits with these chunks. Prompt progress, for example, says nothing of the answer. */
export const commits = (chunks: ReadonlyArray<StreamingChunk>): boolean => chunks.some(Carries.carries)

/** One run of a request. */
export interface Attempt {
  readonly pull: ChunkPull
  /** Closes its connection. */
  readonly close: Effect.Effect<void>
}

/** Starts a run in a scope of its own, which ends with the outer one at the latest. */
export const start = (chunks: ReturnType<Open>, outer: Scope.Scope): Effect.Effect<Attempt> =>
  Effect.suspend(() => {
    const scope = Scope.forkUnsafe(outer)
    const close = Effect.uninterruptible(Scope.close(scope, Exit.void))
    return Effect.map(Channel.toPullScoped(chunks.channel, scope), (pull) => ({ pull, close }))
  })

/** A failure before the commit. */
export interface Failure {
  readonly error: ProviderError
  /** How long the attempt took, in milliseconds. */
  readonly elapsed: number
  /** How much of the request's `total` deadline is left, in milliseconds. */
  readonly timeLeft: number
}

/** What one request runs: first, and after a failure before the commit. */
export interface Plan {
  readonly first: Open
  /** Decides what runs next, or fails. The failed attempt is closed by then. */
  readonly recover: (failure: Failure) => Effect.Effect<Open, ProviderError>
}

/** Runs a request until an answer commits. After the commit, chunks and failures are passed on. */
export const attempts = (
  request: CompletionRequest,
  plan: Effect.Effect<Plan>
): Stream.Stream<StreamingChunk, ProviderError> =>
  Stream.fromChannel(
    Channel.fromTransform((_, scope) =>
      Effect.gen(function* () {
        const { first, recover } = yield* plan
        const begin = yield* Monotonic.now
        const endsAt = begin + totalOf(request)
        let attempt = yield* start(first(request), scope)
        let startedAt = begin

        const next = Effect.fnUntraced(function* (error: ProviderError): Effect.fn.Return<void, ProviderError> {
          yield* attempt.close
          const failedAt = yield* Monotonic.now
          const open = yield* recover({ error, elapsed: failedAt - startedAt, timeLeft: endsAt - failedAt })
          startedAt = yield* Monotonic.now
          attempt = yield* start(within(open, request, endsAt - startedAt), scope)
        })

        const beforeCommit: ChunkPull = Effect.suspend(() =>
          Effect.matchCauseEffect(attempt.pull, {
            onSuccess: (chunks): ChunkPull => {
              if (commits(chunks)) current = attempt.pull
              return Effect.succeed(chunks)
            },
            onFailure: (cause) => {
              const error = findError(cause)
              return error === undefined ? Effect.failCause(cause) : Effect.andThen(next(error), beforeCommit)
            }
          })
        )
        let current = beforeCommit
        return Effect.suspend(() => current)
      })
    )
  )

/** A defect takes precedence over an error, and the end of a stream is none. */
const findError = (cause: Cause.Cause<ProviderError | Cause.Done<void>>): ProviderError | undefined => {
  if (Cause.hasDies(cause)) return undefined
  const failure = Cause.findError(cause)
  return Result.isFailure(failure) || Cause.isDone(failure.success) ? undefined : failure.success
}

/** The `total` deadline of a request, in milliseconds. The request may be invalid. */
export const totalOf = (request: CompletionRequest): number =>
  Values.isRecord(request) && Values.isRecord(request.deadlines)
    ? Option.match(Values.toDuration(request.deadlines.total), { onNone: () => Infinity, onSome: Duration.toMillis })
    : Infinity

/** Runs a request with what is left of its `total` deadline, if it has one. The error has the deadline of the request. */
export const within = (open: Open, request: CompletionRequest, millisLeft: number): ReturnType<Open> => {
  if (millisLeft === Infinity) return open(request)
  const limit = Duration.millis(totalOf(request))
  const shortened = { ...request, deadlines: { ...request.deadlines, total: Math.max(1, millisLeft) } }
  return Stream.mapError(open(shortened), (error) => {
    const { provider, reason, server } = error
    if (reason._tag !== "Timeout" || reason.kind !== "total") return error
    return new ProviderError({ provider, server, reason: new Timeout({ kind: "total", limit }) })
  })
}

/** Reports who answered: in the final chunk, and as an attribute of the current span. An inner policy knows better. */
export const named = (chunks: ReturnType<Open>, name: string): ReturnType<Open> =>
  Stream.transformPull(chunks, (pull) =>
    Effect.map(annotation(name), (annotate) => {
      let hasCommitted = false
      return Effect.flatMap(pull, (chunks) => {
        const named = addName(chunks, name)
        if (hasCommitted || !commits(chunks)) return Effect.succeed(named)
        hasCommitted = true
        return Effect.as(annotate, named)
      })
    })
  )

/** As `named`, for an embedding. */
export const namedEmbedding = <E, R>(
  embedding: Effect.Effect<Embedding, E, R>,
  name: string
): Effect.Effect<Embedding, E, R> =>
  Effect.flatMap(annotation(name), (annotate) =>
    Effect.tap(
      Effect.map(embedding, (embedding) => ({ ...embedding, provider: embedding.provider ?? name })),
      () => annotate
    )
  )

/** The attribute of a span with the name of the provider that answered. */
const providerAttribute = "effect_local_llm.provider"

/**
 * What to run when the provider has answered. To be made before the answer: if the attribute has changed since, an inner policy has
 * set it.
 */
export const annotation = (name: string): Effect.Effect<Effect.Effect<void>> =>
  Effect.map(Effect.option(Effect.currentSpan), (span) => {
    if (Option.isNone(span)) return Effect.void
    const { value } = span
    const before = value.attributes.get(providerAttribute)
    return Effect.suspend(() =>
      value.attributes.get(providerAttribute) === before
        ? Effect.annotateCurrentSpan(providerAttribute, GenAi.toText(name))
        : Effect.void
    )
  })

const addName = (chunks: Chunks, name: string): Chunks => {
  const last = Arr.lastNonEmpty(chunks)
  if (!last.isFinal || last.provider !== undefined) return chunks
  return Arr.map(chunks, (chunk) => (chunk.isFinal ? { ...chunk, provider: name } : chunk))
}
