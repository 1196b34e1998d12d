/** One request through the pool: it waits for a host, and moves on to another one if that fails before its answer commits. */
import * as Effect from "effect/Effect"
import type { Deadlines } from "../../CompletionRequest.ts"
import * as Limits from "../../Deadlines.ts"
import type { ProviderErrorReason } from "../../ProviderError.ts"
import { isProviderError, ProviderError, Timeout } from "../../ProviderError.ts"
import type * as Commit from "../commit.ts"
import type * as Conversation from "./conversation.ts"
import * as Failure from "./failure.ts"
import * as Host from "./host.ts"
import type * as Models from "./models.ts"
import type * as Queue from "./queue.ts"
import type { Ticket } from "./waitingList.ts"

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

/** What one request runs. `open` sends it to a host. */
export const plan = Effect.fnUntraced(function* <R extends Request, Out>(
  { models, name, queue, turns }: Parts,
  request: R,
  open: (host: Host.Host) => (request: R) => Out,
  conversation?: Conversation.Conversation
): Effect.fn.Return<Commit.Plan<R, Out>> {
  const turn = conversation === undefined ? undefined : yield* turns.find(conversation)
  const ticket = makeTicket(queue, request, turn)
  const errors: Array<ProviderError> = []
  const limits = Limits.resolve(request.deadlines)
  const kind = limits.total < limits.firstChunk ? "total" : "first-chunk"
  const limit = Math.min(limits.total, limits.firstChunk)
  const timeLeft = () => limit - (queue.now() - ticket.since)

  const toPoolError = (reason: ProviderErrorReason) =>
    Failure.report(errors) ?? new ProviderError({ provider: name, reason })
  const remember = (promptTokens: number | undefined) =>
    conversation === undefined || ticket.host === undefined
      ? Effect.void
      : turns.remember(conversation, { host: ticket.host.name, promptTokens })

  const learn = (error: ProviderError): void => {
    const { host, model } = ticket
    if (host === undefined) return
    const { reason } = error
    errors.push(error)
    ticket.tried.add(host)
    if (reason._tag === "NetworkError") models.forget(host)
    if (reason._tag === "ModelNotAvailable" && model !== undefined) models.setMissing(host, model)
    if (reason._tag === "ContextOverflow") ticket.tokens = Math.max(ticket.tokens, reason.promptTokens ?? 0)
  }

  return {
    shared: ["firstChunk", "total"],
    acquire: Effect.gen(function* () {
      yield* models.prepare(queue.hosts(), ticket.model)
      const host = yield* Effect.mapError(queue.enter(ticket, { kind, limit, left: timeLeft() }), toPoolError)
      ticket.sentAt = queue.now()
      return {
        name: host.name,
        open: open(host),
        toError: (error) => toHostError(host, ticket, error),
        onCommit: Effect.suspend(() => Effect.andThen(queue.begin(ticket), remember(undefined)))
      }
    }),
    onEnd: (end) => {
      if (isProviderError(end.outcome) && end.progress !== "committed") learn(end.outcome)
      const leave = queue.leave(ticket, end)
      return end.final === undefined ? leave : Effect.andThen(remember(end.final.usage?.promptTokens), leave)
    },
    // Chunks that carry nothing may have come for longer than the deadline allows for the first one.
    recover: ({ error }) =>
      Failure.isForAnotherHost(error.reason) && timeLeft() > 0 ? Effect.void : Effect.fail(error)
  }
})

const makeTicket = (queue: Queue.Queue, request: Request, turn: Conversation.Turn | undefined): Ticket => {
  const since = queue.now()
  return {
    request,
    model: request.model,
    tokens: 0,
    lastTokens: turn?.promptTokens ?? 0,
    lastHost: turn?.host,
    failedOn: queue.blame.failedOn(request, since),
    tried: new Set(),
    since,
    host: undefined,
    sentAt: undefined
  }
}

/** The error of a host as the pool reports it. */
const toHostError = (host: Host.Host, { model, sentAt }: Ticket, error: ProviderError): ProviderError => {
  const { provider, reason, server } = error
  const isHang = Failure.isHang(reason) && Host.hasAnsweredOthers(host, model, sentAt ?? Infinity)
  if (!isHang && provider === host.name) return error
  return new ProviderError({ provider: host.name, server, reason: isHang ? withHint(reason) : reason })
}

const withHint = ({ description = hanging, kind, limit }: Timeout): Timeout => new Timeout({ kind, limit, description })

const hanging = "the host answers requests for other models; if this one hangs there, unload it"
