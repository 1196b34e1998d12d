/** One request through the pool: it waits for a host, and moves on to another one if that fails before its answer commits. */
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Deadlines } from "../../CompletionRequest.ts"
import * as Limits from "../../Deadlines.ts"
import type { ProviderErrorReason } from "../../ProviderError.ts"
import { ProviderError, Timeout } from "../../ProviderError.ts"
import type { StreamingChunk } from "../../StreamingChunk.ts"
import * as Commit from "../commit.ts"
import * as Conversation from "./conversation.ts"
import * as Failure from "./failure.ts"
import * as Host from "./host.ts"
import type * as Models from "./models.ts"
import type * as Queue from "./queue.ts"

export interface Parts {
  /** The name of the pool. */
  readonly name: string
  readonly queue: Queue.Queue
  readonly models: Models.Models
  readonly turns: Conversation.Turns
}

/** What completion requests and embedding requests have in common. */
interface Request {
  readonly model?: string | undefined
  readonly deadlines?: Deadlines | undefined
}

interface Attempts<R extends Request> {
  readonly ticket: Queue.Ticket
  /** Waits for a host. The request has what is left of its deadlines. */
  readonly next: Effect.Effect<{ readonly host: Host.Host; readonly request: R }, ProviderError>
  /** The error of a host as the pool reports it. */
  readonly toError: (host: Host.Host, error: ProviderError) => ProviderError
  /** The request failed before its answer committed. Fails if no other host may answer. */
  readonly moveOn: (host: Host.Host, error: ProviderError) => Effect.Effect<void, ProviderError>
}

const makeAttempts = <R extends Request>(
  { models, name, queue }: Parts,
  request: R,
  turn: Conversation.Turn | undefined
): Attempts<R> => {
  const { model } = request
  const limits = Limits.resolve(request.deadlines)
  const errors: Array<ProviderError> = []
  const ticket: Queue.Ticket = {
    request,
    model,
    tokens: 0,
    lastTokens: turn?.promptTokens ?? 0,
    lastHost: turn?.host,
    failedOn: queue.blame.failedOn(request, queue.now()),
    tried: new Set(),
    since: queue.now(),
    host: undefined,
    sentAt: undefined,
    hasFirstChunk: false
  }
  const toPoolError = (reason: ProviderErrorReason) =>
    Failure.report(errors) ?? new ProviderError({ provider: name, reason })

  const kind = limits.total < limits.firstChunk ? "total" : "first-chunk"
  const limit = Math.min(limits.total, limits.firstChunk)
  const timeLeft = () => limit - (queue.now() - ticket.since)

  const next = Effect.gen(function* () {
    yield* models.prepare(queue.hosts(), model)
    const host = yield* Effect.mapError(queue.enter(ticket, { kind, limit, left: timeLeft() }), toPoolError)
    ticket.sentAt = queue.now()
    const deadlines = subtract(request.deadlines, ticket.sentAt - ticket.since)
    return { host, request: deadlines === request.deadlines ? request : { ...request, deadlines } }
  })

  const toTimeout = (host: Host.Host, { description, kind, limit }: Timeout): Timeout => {
    const configured = kind === "idle" ? undefined : deadlineOf(request, kind)
    const answersOthers = kind === "first-chunk" && Host.hasAnsweredOthers(host, model, ticket.sentAt ?? Infinity)
    return new Timeout({
      kind,
      limit: configured === undefined ? limit : Duration.fromInputUnsafe(configured),
      description: description ?? (answersOthers ? hanging : undefined)
    })
  }

  const toError = (host: Host.Host, error: ProviderError): ProviderError => {
    const { provider, reason, server } = error
    if (reason._tag !== "Timeout" && provider === host.name) return error
    return new ProviderError({
      provider: host.name,
      server,
      reason: reason._tag === "Timeout" ? toTimeout(host, reason) : reason
    })
  }

  return {
    ticket,
    next,
    toError,
    moveOn: (host, error) => {
      const { reason } = error
      errors.push(error)
      ticket.tried.add(host)
      if (reason._tag === "NetworkError") models.forget(host)
      if (reason._tag === "ModelNotAvailable" && model !== undefined) models.setMissing(host, model)
      if (reason._tag === "ContextOverflow") ticket.tokens = Math.max(ticket.tokens, reason.promptTokens ?? 0)
      // Chunks that carry nothing may have come for longer than the deadline allows for the first one.
      const isOver = !Failure.isForAnotherHost(reason) || timeLeft() <= 0
      return Effect.andThen(queue.leave(ticket, error), isOver ? Effect.fail(error) : Effect.void)
    }
  }
}

const hanging = "the host answers requests for other models; if this one hangs there, unload it"

const deadlineOf = ({ deadlines }: Request, kind: "first-chunk" | "total"): Duration.Input | undefined =>
  kind === "total" ? deadlines?.total : deadlines?.firstChunk

/** What is left of deadlines that include the time in the pool, 1 ms at least. Those of the host stay as they are. */
const subtract = (deadlines: Deadlines | undefined, millis: number): Deadlines | undefined => {
  if (deadlines === undefined || millis < 1) return deadlines
  const left = (limit: Duration.Input | undefined) =>
    limit === undefined ? undefined : Math.max(1, Duration.toMillis(Duration.fromInputUnsafe(limit)) - millis)
  return { ...deadlines, firstChunk: left(deadlines.firstChunk), total: left(deadlines.total) }
}

/** The answer to a valid request. Nothing happens before it is pulled. */
export const stream = (parts: Parts, request: Parameters<typeof Conversation.of>[0]) =>
  Stream.fromChannel(
    Channel.fromTransform((_, scope) =>
      Effect.gen(function* () {
        const { queue, turns } = parts
        const conversation = Conversation.of(request)
        const turn = conversation === undefined ? undefined : yield* turns.find(conversation)
        const { moveOn, next, ticket, toError } = makeAttempts(parts, request, turn)
        let attempt: Scope.Closeable | undefined
        const close = Effect.suspend(() => (attempt === undefined ? Effect.void : Scope.close(attempt, Exit.void)))
        yield* Scope.addFinalizer(scope, queue.leave(ticket, "stopped"))

        const remember = (host: Host.Host, promptTokens: number | undefined) =>
          conversation === undefined ? Effect.void : turns.remember(conversation, { host: host.name, promptTokens })

        const deliver = (host: Host.Host, chunks: Commit.Chunks): Commit.ChunkPull => {
          const last = chunks[chunks.length - 1]
          if (last?.isFinal !== true) return Effect.succeed(chunks)
          const [first, ...rest] = chunks
          const name = (chunk: StreamingChunk): StreamingChunk =>
            chunk.isFinal ? { ...chunk, provider: chunk.provider ?? host.name } : chunk
          return Effect.as(remember(host, last.usage?.promptTokens), [name(first), ...rest.map(name)])
        }

        const following = (host: Host.Host, pull: Commit.ChunkPull): Commit.ChunkPull =>
          Effect.matchEffect(pull, {
            onSuccess: (chunks) => deliver(host, chunks),
            onFailure: (failure): Commit.ChunkPull => {
              if (Cause.isDone(failure)) return Effect.andThen(queue.leave(ticket, "succeeded"), Effect.fail(failure))
              const error = toError(host, failure)
              return Effect.andThen(queue.leave(ticket, error), Effect.fail(error))
            }
          })

        const beforeCommit = (
          host: Host.Host,
          pull: Commit.ChunkPull,
          annotate: Effect.Effect<void>
        ): Commit.ChunkPull =>
          Effect.matchEffect(pull, {
            onSuccess: (chunks) => {
              ticket.hasFirstChunk = true
              if (!Commit.commits(chunks)) return Effect.succeed(chunks)
              current = following(host, pull)
              return Effect.andThen(
                Effect.all([queue.begin(ticket), remember(host, undefined), annotate], { discard: true }),
                deliver(host, chunks)
              )
            },
            onFailure: (failure): Commit.ChunkPull => {
              if (Cause.isDone(failure)) return Effect.andThen(queue.leave(ticket, "stopped"), Effect.fail(failure))
              return close.pipe(
                Effect.andThen(moveOn(host, toError(host, failure))),
                Effect.andThen(Effect.suspend(() => first))
              )
            }
          })

        const first: Commit.ChunkPull = Effect.flatMap(next, ({ host, request }) => {
          const attemptScope = Scope.forkUnsafe(scope)
          attempt = attemptScope
          ticket.hasFirstChunk = false
          return Effect.gen(function* () {
            const annotate = yield* Commit.annotation(host.name)
            const pull = yield* Channel.toPullScoped(host.provider.stream(request).channel, attemptScope)
            current = beforeCommit(host, pull, annotate)
            return yield* current
          })
        })

        let current: Commit.ChunkPull = first
        return Effect.suspend(() => current)
      })
    )
  )

/** One call that returns one value. */
export const call = <R extends Request, A>(
  parts: Parts,
  request: R,
  run: (host: Host.Host, request: R) => Effect.Effect<A, ProviderError>
): Effect.Effect<A, ProviderError> =>
  Effect.suspend(() => {
    const { moveOn, next, ticket, toError } = makeAttempts(parts, request, undefined)
    const attempt: Effect.Effect<A, ProviderError> = Effect.flatMap(next, ({ host, request }) =>
      Effect.matchEffect(run(host, request), {
        onSuccess: (value) => {
          ticket.hasFirstChunk = true
          return Effect.as(parts.queue.leave(ticket, "succeeded"), value)
        },
        onFailure: (error) => Effect.andThen(moveOn(host, toError(host, error)), attempt)
      })
    )
    return Effect.ensuring(
      attempt,
      Effect.suspend(() => parts.queue.leave(ticket, "stopped"))
    )
  })
