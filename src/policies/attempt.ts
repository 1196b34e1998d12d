/** One attempt at a completion: what it runs on, how far it comes, and how it ends. */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { identity } from "effect/Function"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { CompletionRequest } from "../CompletionRequest.ts"
import type { Embedding } from "../Embedding.ts"
import type { ProviderError } from "../ProviderError.ts"
import type { FinalChunk, StreamingChunk } from "../StreamingChunk.ts"
import * as Delivered from "../protocol/delivered.ts"
import * as GenAi from "../values/genAi.ts"
import type { SharedDeadlines } from "./sharedDeadlines.ts"

export type Completion = Stream.Stream<StreamingChunk, ProviderError>

export type Chunks = Arr.NonEmptyReadonlyArray<StreamingChunk>

export type PullError = ProviderError | Cause.Done<void>

export type ChunkPull = Pull.Pull<Chunks, ProviderError>

/** Whether an attempt commits with these chunks: one of them carries anything. Prompt progress, for example, does not. */
export const commits = (chunks: ReadonlyArray<StreamingChunk>): boolean => chunks.some(Delivered.carries)

/** What an attempt runs on. */
export interface Acquired<in Request, out Out> {
  readonly open: (request: Request) => Out
  /** Who answers: in the final chunk, and as an attribute of the current span. That of an inner policy takes precedence. */
  readonly name?: string
  /** The name that the provider itself has, which is replaced by the other. Default: `name`. */
  readonly ownName?: string
  /** How an error of this attempt is reported. */
  readonly toError?: (error: ProviderError) => ProviderError
  /** Run when the attempt commits. */
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
  /** The chunks before the commit, and those with which the attempt commits. Closes the connection when it fails or ends. */
  readonly pull: ChunkPull
  /** The chunks after the commit. */
  readonly rest: ChunkPull
  /** Whether chunks have come with which it commits. */
  readonly hasCommitted: () => boolean
  /** To be run when the first chunks that carry anything are delivered. */
  readonly onCommit: Effect.Effect<void>
  /** Closes the connection. Has no effect the second time. */
  readonly close: (outcome: End["outcome"]) => Effect.Effect<void>
}

export interface Options {
  readonly acquire: Effect.Effect<Acquired<CompletionRequest, Completion>, ProviderError>
  /** Run once when the connection is closed, whatever ends the attempt, and also if `acquire` fails. */
  readonly onEnd?: ((end: End) => Effect.Effect<void>) | undefined
  readonly deadlines: SharedDeadlines<CompletionRequest>
}

/** Starts an attempt in a scope of its own, which ends with the outer one at the latest. */
export const start = Effect.fnUntraced(function* (
  { acquire, deadlines, onEnd }: Options,
  outer: Scope.Scope
): Effect.fn.Return<Attempt, ProviderError> {
  const end: { -readonly [K in keyof End]: End[K] } = { outcome: "stopped", progress: "none" }
  const scope = Scope.forkUnsafe(outer)
  if (onEnd !== undefined) yield* Scope.addFinalizerExit(scope, () => onEnd(end))
  const { name, onCommit = Effect.void, open, ownName = name, toError = identity } = yield* acquire
  const onCommitted = name === undefined ? onCommit : Effect.andThen(onCommit, yield* annotation(name))
  const pull = yield* Channel.toPullScoped(open(deadlines.remaining()).channel, scope)

  const close = (outcome: End["outcome"]) =>
    Effect.suspend(() => {
      end.outcome = outcome
      return Scope.close(scope, Exit.void)
    })
  const observed: ChunkPull = Effect.matchCauseEffect(pull, {
    onSuccess: (chunks) => {
      if (end.progress !== "committed") end.progress = commits(chunks) ? "committed" : "begun"
      const last = Arr.lastNonEmpty(chunks)
      if (!last.isFinal) return Effect.succeed(chunks)
      end.final = last
      const { provider = ownName } = last
      return Effect.succeed(name === undefined || provider !== ownName ? chunks : addName(chunks, name))
    },
    onFailure: (cause): ChunkPull => {
      const failure = findFailure(cause)
      if (failure === undefined) return Effect.failCause(cause)
      const error = Cause.isDone(failure) ? failure : toError(deadlines.toError(failure))
      return Effect.andThen(close(Cause.isDone(error) ? "succeeded" : error), Effect.fail(error))
    }
  })
  const isObserved = name !== undefined || onEnd !== undefined || toError !== identity || deadlines.exist
  return {
    pull: observed,
    rest: isObserved ? observed : pull,
    hasCommitted: () => end.progress === "committed",
    onCommit: onCommitted,
    close
  }
})

/** A defect takes precedence over an error. */
export const findFailure = (cause: Cause.Cause<PullError>): PullError | undefined =>
  Cause.hasDies(cause) ? undefined : Result.getOrUndefined(Cause.findError(cause))

/** As `name`, for an embedding. */
export const namedEmbedding = <E, R>(
  embedding: Effect.Effect<Embedding, E, R>,
  name: string,
  ownName = name
): Effect.Effect<Embedding, E, R> =>
  Effect.flatMap(annotation(name), (annotate) =>
    Effect.flatMap(embedding, (embedding) => {
      const { provider = ownName } = embedding
      return Effect.as(annotate, { ...embedding, provider: provider === ownName ? name : provider })
    })
  )

/** The attribute of a span with the name of the provider that answered. */
const providerAttribute = "effect_local_llm.provider"

/** What to run when the provider has answered. To be made before: an attribute that has changed since is that of an inner policy. */
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
