/** One attempt at an answer: what it runs on, how far it comes, and how it ends. */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { Embedding } from "../Embedding.ts"
import type { ProviderError } from "../ProviderError.ts"
import type { FinalChunk, StreamingChunk } from "../StreamingChunk.ts"
import * as Delivered from "../protocol/delivered.ts"
import * as GenAi from "../values/genAi.ts"

export type Answer = Stream.Stream<StreamingChunk, ProviderError>

export type Chunks = Arr.NonEmptyReadonlyArray<StreamingChunk>

export type PullError = ProviderError | Cause.Done<void>

export type ChunkPull = Pull.Pull<Chunks, ProviderError>

/** Whether the answer commits with these chunks. Prompt progress, for example, says nothing of the answer. */
export const commits = (chunks: ReadonlyArray<StreamingChunk>): boolean => chunks.some(Delivered.carries)

/** What an attempt runs on. */
export interface Acquired<in Request, out Out> {
  readonly open: (request: Request) => Out
  /** Who answers: in the final chunk, and as an attribute of the current span. An inner policy knows better. */
  readonly name?: string
  /** How an error of this attempt is reported. */
  readonly toError?: (error: ProviderError) => ProviderError
  /** Run when the answer commits. */
  readonly onCommit?: Effect.Effect<void>
}

/** How an attempt ended, and how far it had come. */
export interface End {
  /** `stopped`: by its consumer. */
  readonly outcome: "succeeded" | "stopped" | ProviderError
  /** `begun`: chunks had come, but none that carries anything. */
  readonly progress: "none" | "begun" | "committed"
  /** The final chunk, if it had come. */
  readonly final?: FinalChunk
}

export interface Attempt {
  /** The chunks before the commit, and those with which the answer commits. */
  readonly pull: ChunkPull
  /** The chunks after the commit. */
  readonly rest: ChunkPull
  readonly toError: (error: ProviderError) => ProviderError
  /** Notes how far the answer has come. To be run for all chunks of `pull` that are delivered. */
  readonly advance: (chunks: Chunks, isCommitted: boolean) => Effect.Effect<Chunks>
  /** Closes the connection. Has no effect the second time. */
  readonly close: (outcome: End["outcome"]) => Effect.Effect<void>
}

export interface Options {
  readonly acquire: Effect.Effect<Acquired<void, Answer>, ProviderError>
  /** Run once when the connection is closed, whatever ends the attempt, and also if `acquire` fails. */
  readonly onEnd?: ((end: End) => Effect.Effect<void>) | undefined
}

/** Starts an attempt in a scope of its own, which ends with the outer one at the latest. */
export const start = Effect.fnUntraced(function* (
  { acquire, onEnd }: Options,
  outer: Scope.Scope
): Effect.fn.Return<Attempt, ProviderError> {
  const end: { -readonly [K in keyof End]: End[K] } = { outcome: "stopped", progress: "none" }
  const scope = Scope.forkUnsafe(outer)
  if (onEnd !== undefined)
    yield* Scope.addFinalizer(
      scope,
      Effect.suspend(() => onEnd(end))
    )
  const { name, onCommit = Effect.void, open, toError } = yield* acquire
  const onCommitted = name === undefined ? onCommit : Effect.andThen(onCommit, yield* annotation(name))
  const pull = yield* Channel.toPullScoped(open().channel, scope)

  const close = (outcome: End["outcome"]) =>
    Effect.suspend(() => {
      end.outcome = outcome
      return Scope.close(scope, Exit.void)
    })
  const deliver = (chunks: Chunks): Chunks => {
    const last = Arr.lastNonEmpty(chunks)
    if (!last.isFinal) return chunks
    end.final = last
    return name === undefined || last.provider !== undefined ? chunks : addName(chunks, name)
  }
  const observed: ChunkPull = Effect.matchCauseEffect(pull, {
    onSuccess: (chunks) => Effect.succeed(deliver(chunks)),
    onFailure: (cause): ChunkPull => {
      const failure = findFailure(cause)
      if (failure === undefined) return Effect.failCause(cause)
      const error = Cause.isDone(failure) || toError === undefined ? failure : toError(failure)
      return Effect.andThen(close(Cause.isDone(error) ? "succeeded" : error), Effect.fail(error))
    }
  })
  return {
    pull,
    rest: name === undefined && onEnd === undefined && toError === undefined ? pull : observed,
    toError: toError ?? ((error) => error),
    advance: (chunks, isCommitted) => {
      end.progress = isCommitted ? "committed" : "begun"
      return isCommitted ? Effect.as(onCommitted, deliver(chunks)) : Effect.succeed(chunks)
    },
    close
  }
})

/** A defect takes precedence over an error. */
export const findFailure = (cause: Cause.Cause<PullError>): PullError | undefined =>
  Cause.hasDies(cause) ? undefined : Result.getOrUndefined(Cause.findError(cause))

/** As `name`, for an embedding. */
export const namedEmbedding = <E, R>(
  embedding: Effect.Effect<Embedding, E, R>,
  name: string
): Effect.Effect<Embedding, E, R> =>
  Effect.flatMap(annotation(name), (annotate) =>
    Effect.flatMap(embedding, (embedding) =>
      Effect.as(annotate, { ...embedding, provider: embedding.provider ?? name })
    )
  )

/** The attribute of a span with the name of the provider that answered. */
const providerAttribute = "effect_local_llm.provider"

/**
 * What to run when the provider has answered. To be made before the answer: if the attribute has changed since, an inner policy has
 * set it.
 */
const annotation = (name: string): Effect.Effect<Effect.Effect<void>> =>
  Effect.withFiberSucceed(({ context }) => {
    const span = Context.getOrUndefined(context, Tracer.ParentSpan)
    if (span?._tag !== "Span") return Effect.void
    const before = span.attributes.get(providerAttribute)
    return Effect.sync(() => {
      const isSame = span.attributes.get(providerAttribute) === before
      if (isSame) span.attribute(providerAttribute, GenAi.toText(name))
    })
  })

const addName = (chunks: Chunks, name: string): Chunks =>
  Arr.map(chunks, (chunk) => (chunk.isFinal ? { ...chunk, provider: name } : chunk))
