/** One request through the pool: it waits for a host, and moves on to another one if that fails before its completion commits. */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"
import type { Deadlines } from "../../CompletionRequest.ts"
import type * as Embedding from "../../Embedding.ts"
import * as Limits from "../../Deadlines.ts"
import type { ProviderErrorReason } from "../../ProviderError.ts"
import { isProviderError, ProviderError, Timeout } from "../../ProviderError.ts"
import * as Embeddings from "../../servers/embeddings.ts"
import * as Attempt from "../attempt.ts"
import * as Commit from "../commit.ts"
import * as History from "../history.ts"
import type * as Choose from "./choose.ts"
import * as Failures from "./failures.ts"
import * as Host from "./host.ts"
import type { Knowledge } from "./knowledge.ts"
import type { Models } from "./models.ts"
import * as Prompt from "./prompt.ts"
import type { Ticket } from "./line.ts"
import type { Queue } from "./queue.ts"
import * as WaitingList from "./waitingList.ts"

export interface Parts {
  /** The name of the pool. */
  readonly name: string
  readonly queue: Queue
  readonly models: Models
  readonly knowledge: Knowledge
}

/** What completion requests and embedding requests have in common. */
interface Request {
  readonly model?: string | undefined
  readonly deadlines?: Deadlines | undefined
}

const defaultLimits = Limits.resolve(undefined)

/** What one request runs. `open` sends it to a host. */
export const plan = Effect.fnUntraced(function* <R extends Request, Out>(
  parts: Parts,
  request: R,
  prompt: Prompt.Prompt,
  open: (host: Host.Host) => (request: R) => Out
): Effect.fn.Return<Commit.Plan<R, Out>> {
  const { models, name, queue } = parts
  const ticket = makeTicket(parts, request, prompt, yield* WaitingList.Caller, yield* History.current)
  const errors: Array<ProviderError> = []
  const limits = request.deadlines === undefined ? defaultLimits : Limits.resolve(request.deadlines)
  const kind = limits.total < limits.firstChunk ? "total" : "first-chunk"
  const limit = Math.min(limits.total, limits.firstChunk)
  const timeLeft = () => limit - (queue.now() - ticket.since)
  /** How many hosts the request had taken down when it was sent. */
  let crashes = 0
  const toPoolError = (failure: Choose.Failure) =>
    Failures.report(errors) ??
    (isProviderError(failure) ? failure : new ProviderError({ provider: name, reason: failure }))

  return {
    shared: ["firstChunk", "total"],
    acquire: Effect.suspend(() => models.prepare(queue.hosts(), ticket.model)).pipe(
      Effect.andThen(
        Effect.suspend(() => {
          ticket.suits = suitsOf(ticket, queue.hosts())
          return Effect.mapError(queue.enter(ticket, { kind, limit, left: timeLeft() }), toPoolError)
        })
      ),
      Effect.flatMap((host) =>
        Effect.withFiberSucceed(({ context }) => {
          ticket.sentAt = queue.now()
          crashes = ticket.history.crashed.size
          annotate(ticket, Context.getOrUndefined(context, Tracer.ParentSpan))
          return {
            name: host.name,
            ownName: host.provider.name,
            open: open(host),
            toError: (error: ProviderError) => toHostError(host, ticket, error),
            onCommit: Effect.sync(() => queue.begin(ticket))
          }
        })
      )
    ),
    onEnd: (end) =>
      Effect.sync(() => {
        if (isProviderError(end.outcome) && end.progress !== "committed" && ticket.host !== undefined) {
          errors.push(end.outcome)
          learn(models, ticket, ticket.host, end.outcome, crashes)
        }
        queue.leave(ticket, end)
      }),
    // Chunks that carry nothing may have come for longer than the deadline allows for the first one.
    recover: ({ error }) =>
      Failures.isForAnotherHost(error.reason) && timeLeft() > 0 ? Effect.void : Effect.fail(error)
  }
})

/** A large input is split into batches, each with a permit of its own, so that the hosts share them. */
export const embed = Effect.fnUntraced(function* (
  parts: Parts,
  request: Embedding.EmbeddingRequest
): Effect.fn.Return<Embedding.Embedding, ProviderError> {
  const { input, model = "" } = request
  if (input.length === 0) return yield* embedBatch(parts, request)
  const history = yield* History.current
  let provider: string | undefined
  const send = (batch: { readonly input: ReadonlyArray<string> }) =>
    embedBatch(parts, { ...request, input: batch.input }).pipe(
      // Several batches may be on one host, although not two attempts of one.
      History.provide({ ...history, inUse: new Set() }),
      Effect.tap((embedding) => Effect.sync(() => void (provider ??= embedding.provider)))
    )
  const toError = (reason: ProviderErrorReason) => new ProviderError({ provider: parts.name, reason })
  const concurrency = Math.max(1, Host.countFree(parts.queue.hosts()))
  const embedding = yield* Embeddings.embed({ ...request, model }, send, toError, concurrency)
  return provider === undefined ? embedding : { ...embedding, provider }
})

const embedBatch = (parts: Parts, request: Embedding.EmbeddingRequest) =>
  Commit.call(
    request,
    plan(
      parts,
      request,
      Prompt.ofTexts(request),
      ({ name, provider }) =>
        (request) =>
          Attempt.namedEmbedding(provider.embed(request), name, provider.name)
    )
  )

const makeTicket = (
  { knowledge, queue }: Parts,
  request: Request,
  prompt: Prompt.Prompt,
  caller: WaitingList.Caller,
  history: History.RequestHistory
): Ticket => {
  const since = queue.now()
  const { model } = request
  const { learned, promptTokens } = knowledge.about(model ?? "", prompt)
  const failedOn = queue.blame.failedOn(request, prompt.characters, since)
  return {
    request,
    model,
    prompt,
    promptTokens,
    learned,
    history,
    failedOn,
    hasFailedOn: (host) =>
      failedOn.hosts.size + history.failed.size > 0 && (failedOn.hosts.has(host) || history.failed.has(host)),
    tried: new Set(),
    minTokens: 0,
    patientUntil: undefined,
    caller,
    suits: "",
    cost: completionCost + promptTokens * tokenCost,
    since,
    waitingSince: since,
    host: undefined,
    running: undefined,
    sentAt: undefined,
    lastWait: undefined
  }
}

/** What a request costs for the turns of its caller: tokens that are generated, of which a token that is read is a small part. */
const completionCost = 200
const tokenCost = 0.1

/** What decides which hosts suit the request. */
const suitsOf = (
  { failedOn, history, minTokens, model = "", tried }: Ticket,
  hosts: ReadonlyArray<Host.Host>
): string => {
  if (tried.size + history.inUse.size + failedOn.hosts.size === 0) return `${model}\n${minTokens}`
  const excluded = hosts.filter((host) => tried.has(host) || history.inUse.has(host) || failedOn.hosts.has(host))
  return [model, minTokens, ...excluded.map(({ name }) => name)].join("\n")
}

/** What the failure of an attempt shows about the request and the host. */
const learn = (models: Models, ticket: Ticket, host: Host.Host, { reason }: ProviderError, crashes: number): void => {
  const { history, minTokens, model, tried } = ticket
  tried.add(host)
  history.failed.add(host)
  // A pool in this one may have counted it.
  if (Failures.isCrash(reason) && history.crashed.size === crashes) history.crashed.add(host)
  if (reason._tag === "NetworkError") for (const each of host.models.values()) Host.forgetModel(host, each)
  if (reason._tag === "ModelNotAvailable" && model !== undefined) models.setMissing(host, model)
  if (reason._tag === "ContextOverflow") ticket.minTokens = Math.max(minTokens, reason.promptTokens ?? 0)
}

/** Why the host was chosen. */
const annotate = ({ running }: Ticket, span: Tracer.AnySpan | undefined): void => {
  if (running === undefined || span?._tag !== "Span" || span.status._tag === "Ended") return
  const { prediction } = running
  for (const [name, value] of attributes) span.attribute(name, value(prediction))
}

const attribute = "effect_local_llm.pool"

const attributes: ReadonlyArray<readonly [name: string, value: (prediction: Host.Prediction) => number]> = [
  [`${attribute}.permit_seconds`, ({ permit }) => permit / 1000],
  [`${attribute}.queue_seconds`, ({ queue }) => queue / 1000],
  [`${attribute}.load_seconds`, ({ load }) => load / 1000],
  [`${attribute}.read_seconds`, ({ read }) => read / 1000],
  [`${attribute}.others_seconds`, ({ others }) => others / 1000],
  [`${attribute}.failed_seconds`, ({ failed }) => failed / 1000],
  [`${attribute}.prompt_tokens`, ({ promptTokens }) => Math.round(promptTokens)],
  [`${attribute}.cached_tokens`, ({ cachedTokens }) => Math.round(cachedTokens)]
]

/** The error of a host as the pool reports it. */
const toHostError = (host: Host.Host, { model, sentAt }: Ticket, error: ProviderError): ProviderError => {
  const { provider, reason, server } = error
  const isHang = Failures.isHang(reason) && Host.hasAnsweredOthers(host, model, sentAt ?? Infinity)
  if (!isHang && provider === host.name) return error
  return new ProviderError({ provider: host.name, server, reason: isHang ? withHint(reason) : reason })
}

const withHint = ({ description = hanging, kind, limit }: Timeout): Timeout => new Timeout({ kind, limit, description })

const hanging = "the host answers requests for other models; if this one hangs there, unload it"
