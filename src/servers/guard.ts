/** What every outgoing call has in common: deadlines, and the context of its errors. Below it, failures are bare reasons. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import * as CompletionRequest from "../CompletionRequest.ts"
import * as Deadlines from "../Deadlines.ts"
import * as Embedding from "../Embedding.ts"
import * as Delivered from "../protocol/delivered.ts"
import * as PromptTruncation from "../protocol/promptTruncation.ts"
import type { Provider } from "../Provider.ts"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { ProviderError, StreamTruncated, Timeout } from "../ProviderError.ts"
import type { StreamingChunk } from "../StreamingChunk.ts"

type Open<A> = Effect.Effect<Deadlines.Opened<A, ProviderErrorReason>, ProviderErrorReason>

type Completions = (request: CompletionRequest.CompletionRequest) => Stream.Stream<StreamingChunk, ProviderError>

export interface Guard {
  readonly toError: (reason: ProviderErrorReason) => ProviderError
  /** The options with which a request is sent. */
  readonly optionsOf: Provider["optionsOf"]
  /** The items of a source, under the deadlines of the call and those of the layer. */
  readonly stream: <A>(open: Open<A>, deadlines?: CompletionRequest.Deadlines) => Stream.Stream<A, ProviderError>
  /** Adds the defaults to a request, validates it, and opens its completion. */
  readonly completions: (open: (request: CompletionRequest.ValidRequest) => Open<StreamingChunk>) => Completions
  /** Adds the defaults to a request and validates it. */
  readonly requests: <A>(
    use: (request: CompletionRequest.ValidRequest) => Effect.Effect<A, ProviderError>
  ) => (request: CompletionRequest.CompletionRequest) => Effect.Effect<A, ProviderError>
  /** Adds the defaults to a request and validates it. */
  readonly embeddings: (
    embed: (request: Embedding.ValidRequest) => Effect.Effect<Embedding.Embedding, ProviderError>
  ) => (request: Embedding.EmbeddingRequest) => Effect.Effect<Embedding.Embedding, ProviderError>
  /** The last item of a source. */
  readonly one: <A>(open: Open<A>, deadlines?: CompletionRequest.Deadlines) => Effect.Effect<A, ProviderError>
}

export interface Options {
  /** The provider's name, as errors carry it. */
  readonly name: string
  /** The server's origin, as errors carry it. */
  readonly server?: string | undefined
  /** What to do if there is no first chunk of a model in time. */
  readonly lateModelHint?: ((model: string) => string) | undefined
  readonly deadlines?: CompletionRequest.Deadlines | undefined
  /** Options of every completion request that does not set its own. */
  readonly defaults?: CompletionRequest.Defaults | undefined
}

const reportTruncation =
  (request: CompletionRequest.CompletionRequest) =>
  (chunk: StreamingChunk): StreamingChunk => {
    if (!chunk.isFinal) return chunk
    const promptTruncated = PromptTruncation.find(request, chunk.usage)
    return promptTruncated === undefined ? chunk : { ...chunk, promptTruncated }
  }

type Request = CompletionRequest.CompletionRequest | Embedding.EmbeddingRequest

/** Adds the defaults of a layer to a request of either kind. */
export const withDefaults = (defaults: CompletionRequest.Defaults | undefined, request: Request): Request =>
  "input" in request ? Embedding.withDefaults(defaults, request) : CompletionRequest.withDefaults(defaults, request)

export const make = ({
  deadlines,
  defaults,
  lateModelHint,
  name,
  server
}: Options): Result.Result<Guard, ProviderError> => {
  const toError = (reason: ProviderErrorReason): ProviderError => new ProviderError({ provider: name, server, reason })
  const invalid = CompletionRequest.checkOptions({ deadlines, defaults })
  if (invalid !== undefined) return Result.fail(toError(invalid))
  const own = Deadlines.resolve(deadlines)
  const ownWithTools = Deadlines.resolve({ ...deadlines, idle: deadlines?.idle ?? Deadlines.idleWithTools })
  const stream = <A>(open: Open<A>, override?: CompletionRequest.Deadlines): Stream.Stream<A, ProviderError> =>
    Deadlines.apply(open, Deadlines.override(own, override), toError)

  const addHint =
    (model: string) =>
    (reason: ProviderErrorReason): ProviderError =>
      lateModelHint !== undefined && reason._tag === "Timeout" && reason.kind === "first-chunk"
        ? toError(new Timeout({ kind: reason.kind, limit: reason.limit, description: lateModelHint(model) }))
        : toError(reason)
  const validate = (request: CompletionRequest.CompletionRequest) =>
    CompletionRequest.validate(CompletionRequest.withDefaults(defaults, request))
  return Result.succeed({
    toError,
    optionsOf: (request) => withDefaults(defaults, request),
    stream,
    requests: (use) => (request) =>
      Effect.suspend(() =>
        Result.match(validate(request), { onSuccess: use, onFailure: (reason) => Effect.fail(toError(reason)) })
      ),
    completions: (open) => (request) =>
      Stream.suspend(() => {
        const valid = validate(request)
        if (Result.isFailure(valid)) return Stream.fail(toError(valid.failure))
        const { deadlines, model, overflow, tools = [] } = valid.success
        const limits = Deadlines.override(tools.length > 0 ? ownWithTools : own, deadlines)
        const chunks = Deadlines.apply(open(valid.success), limits, addHint(model), Delivered.makeAdvances)
        return overflow === "truncate" ? Stream.map(chunks, reportTruncation(valid.success)) : chunks
      }),
    embeddings: (embed) => (request) =>
      Effect.suspend(() => {
        const valid = Embedding.validate(Embedding.withDefaults(defaults, request))
        if (Result.isFailure(valid)) return Effect.fail(toError(valid.failure))
        const { input, model } = valid.success
        const embedding = input.length === 0 ? Effect.succeed({ model, vectors: [] }) : embed(valid.success)
        return Effect.map(embedding, (embedding) => ({ ...embedding, provider: name }))
      }),
    one: (open, override) =>
      Effect.flatMap(
        Stream.runLast(stream(open, override)),
        Option.match({
          onNone: () => Effect.fail(toError(new StreamTruncated())),
          onSome: Effect.succeed
        })
      )
  })
}
