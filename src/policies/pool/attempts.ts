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
import * as Prompt from "./prompt.ts"
import type { Scheduler } from "./scheduler.ts"
import * as WaitingList from "./waitingList.ts"

export interface Parts {
  /** The name of the pool. */
  readonly name: string
  readonly scheduler: Scheduler
}

/** What completion requests and embedding requests have in common. */
interface Request {
  readonly model?: string | undefined
  readonly deadlines?: Deadlines | undefined
}

const defaultLimits = Limits.resolve(undefined)

/** What one request runs. `open` sends it to a host. */
export const plan = Effect.fnUntraced(function* <R extends Request, Out>(
  { name, scheduler }: Parts,
  request: R,
  prompt: Prompt.Prompt,
  open: (host: Host.Host) => (request: R) => Out
): Effect.fn.Return<Commit.Plan<R, Out>> {
  const { model } = request
  const entry = scheduler.admit({
    request,
    model,
    prompt,
    caller: yield* WaitingList.Caller,
    history: yield* History.current
  })
  const errors: Array<ProviderError> = []
  const limits = request.deadlines === undefined ? defaultLimits : Limits.resolve(request.deadlines)
  const limit = Math.min(limits.total, limits.firstChunk)
  const kind = limits.total < limits.firstChunk ? "total" : "first-chunk"
  const until = scheduler.now() + limit
  const toPoolError = (failure: Choose.Failure) =>
    Failures.report(errors) ??
    (isProviderError(failure) ? failure : new ProviderError({ provider: name, reason: failure }))

  return {
    shared: ["firstChunk", "total"],
    acquire: Effect.flatMap(
      Effect.mapError(entry.acquire({ kind, limit, until }), toPoolError),
      ({ host, prediction }) =>
        Effect.withFiberSucceed(({ context }) => {
          const sentAt = scheduler.now()
          annotate(prediction, Context.getOrUndefined(context, Tracer.ParentSpan))
          return {
            name: host.name,
            ownName: host.provider.name,
            open: open(host),
            toError: (error: ProviderError) => toHostError(host, model, sentAt, error),
            onCommit: Effect.sync(entry.begin)
          }
        })
    ),
    onEnd: (end) =>
      Effect.sync(() => {
        if (isProviderError(end.outcome) && end.progress !== "committed") errors.push(end.outcome)
        entry.end(end)
      }),
    // Chunks that carry nothing may have come for longer than the deadline allows for the first one.
    recover: ({ error }) =>
      Failures.isForAnotherHost(error.reason) && scheduler.now() < until ? Effect.void : Effect.fail(error)
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
  const concurrency = Math.max(1, Host.countFree(parts.scheduler.hosts()))
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

/** Why the host was chosen. */
const annotate = (prediction: Host.Prediction, span: Tracer.AnySpan | undefined): void => {
  if (span?._tag !== "Span" || span.status._tag === "Ended") return
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
const toHostError = (
  host: Host.Host,
  model: string | undefined,
  sentAt: number,
  error: ProviderError
): ProviderError => {
  const { provider, reason, server } = error
  const isHang = Failures.isHang(reason) && Host.hasAnsweredOthers(host, model, sentAt)
  if (!isHang && provider === host.name) return error
  return new ProviderError({ provider: host.name, server, reason: isHang ? withHint(reason) : reason })
}

const withHint = ({ description = hanging, kind, limit }: Timeout): Timeout => new Timeout({ kind, limit, description })

const hanging = "the host answers requests for other models; if this one hangs there, unload it"
