/**
 * Spans and metrics of requests, with the names of OpenTelemetry's conventions for generative AI.
 *
 * @category Policies
 * @since 0.3.0
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Predicate from "effect/Predicate"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { CompletionRequest } from "./CompletionRequest.ts"
import type { EmbeddingRequest } from "./Embedding.ts"
import type * as Attempt from "./policies/attempt.ts"
import * as Layers from "./policies/layers.ts"
import * as GenAi from "./values/genAi.ts"
import * as Monotonic from "./values/monotonic.ts"
import * as OptionSchema from "./servers/options.ts"
import * as Provider from "./Provider.ts"
import { isProviderError } from "./ProviderError.ts"
import type { FinalChunk, Usage } from "./StreamingChunk.ts"

/**
 * How requests are named. All fields are optional.
 *
 * @category options
 * @since 0.3.0
 */
export interface Options {
  /** The value of `gen_ai.provider.name`. Default: the `kind` of the provider, such as `ollama`, or its name if it has none. */
  readonly providerName?: string | undefined
}

type Texts = Readonly<Record<string, string>>

/** Returns a histogram for the attributes of a series. Each of its bounds is `factor` times the one before. */
const histogram =
  (name: string, description: string, unit: string, { count, factor, start }: typeof seconds) =>
  (attributes: Texts = {}): Metric.Histogram<number> =>
    Metric.histogram(name, {
      description,
      boundaries: Metric.boundariesFromIterable(Array.from({ length: count }, (_, i) => start * factor ** i)),
      attributes: { unit, ...attributes }
    })

/** 10 ms to 82 s, as the conventions have it. */
const seconds = { start: 0.01, factor: 2, count: 14 }

/** 10 ms to 44 minutes: models of many gigabytes load for minutes. */
const loadSeconds = { start: 0.01, factor: 2, count: 19 }

/** 1 to 67,108,864, as the conventions have it. */
const tokens = { start: 1, factor: 4, count: 14 }

/** All series have their attributes from the start: to add them with each value takes longer than to record it. */
const histograms = {
  duration: histogram("gen_ai.client.operation.duration", "Duration of an operation, in seconds", "s", seconds),
  firstChunk: histogram(
    "gen_ai.client.operation.time_to_first_chunk",
    "Time to the first chunk of an answer, in seconds",
    "s",
    seconds
  ),
  perChunk: histogram(
    "gen_ai.client.operation.time_per_output_chunk",
    "Mean time between the chunks of an answer, in seconds",
    "s",
    seconds
  ),
  tokens: histogram("gen_ai.client.token.usage", "Tokens of a prompt or an answer", "{token}", tokens),
  load: histogram(
    "effect_local_llm.client.load.duration",
    "Time in which a server loaded a model, in seconds",
    "s",
    loadSeconds
  )
}

/**
 * `gen_ai.client.operation.duration`: from the request to the end of the completion, failures included, in seconds.
 *
 * @category metrics
 * @since 0.3.0
 */
export const operationDuration = histograms.duration()

/**
 * `gen_ai.client.operation.time_to_first_chunk`: from the request to the first chunk, in seconds.
 *
 * @category metrics
 * @since 0.3.0
 */
export const timeToFirstChunk = histograms.firstChunk()

/**
 * `gen_ai.client.operation.time_per_output_chunk`: from one chunk to the next, in seconds. One value for each completion, the mean
 * of its chunks.
 *
 * @category metrics
 * @since 0.3.0
 */
export const timePerOutputChunk = histograms.perChunk()

/**
 * `gen_ai.client.token.usage`: tokens by `gen_ai.token.type` (`input` or `output`), if the server reports them.
 *
 * @category metrics
 * @since 0.3.0
 */
export const tokenUsage = histograms.tokens()

/**
 * `effect_local_llm.client.load.duration`: how long the server loaded the model for a request, in seconds, if it reports it.
 *
 * @category metrics
 * @since 0.3.0
 */
export const loadDuration = histograms.load()

/**
 * A provider with one span and the metrics of this module for each `stream`, `complete` and `embed`.
 *
 * **Details**
 *
 * The span is `chat MODEL`, `text_completion MODEL` or `embeddings MODEL`, of the kind `client`. Operation, provider, model, address
 * and the options of the request are set at its start, so samplers see them. Usage, finish reason, time to the first chunk and
 * `error.type` (the tag of the reason) follow at its end. Prompts, completions and credentials are in no attribute.
 *
 * Apply it outside of the other policies for one span per request of the program, or inside of them for one per attempt. `Fallback`,
 * `Hedge` and `Pool` inside add the name of the provider that answered (`effect_local_llm.provider`). Servers add no spans below it:
 * the span of the HTTP client is disabled. `effect/ai` has spans of its own, so models of `EffectAi` need this policy for the metrics
 * only.
 *
 * If an option is invalid, every operation fails with `InvalidRequest`, which names it.
 *
 * @category combinators
 * @since 0.3.0
 */
export const apply = (provider: Provider.Provider, options: Options = {}): Provider.Provider =>
  OptionSchema.providerFrom(definition, options, provider, (options) => makeObserved(provider, options))

const definition = OptionSchema.define<Options>({ providerName: OptionSchema.text })

const makeObserved = (provider: Provider.Provider, options: Options): Provider.Provider => {
  const begin = makeBegin(provider, options)
  return Provider.make({
    ...provider,
    stream: (request) =>
      Stream.fromChannel(
        Channel.fromTransform((_, scope) => observe(begin(nameOf(request), request), provider.stream(request), scope))
      ),
    embed: (request) =>
      Effect.flatMap(begin("embeddings", request), (operation) =>
        provider.embed(request).pipe(
          Effect.withParentSpan(operation.span),
          Effect.tap(({ model, promptTokens }) =>
            Effect.sync(() => {
              operation.response = { model, usage: { promptTokens } }
            })
          ),
          Effect.onExit((exit) => end(operation, exit))
        )
      )
  })
}

/**
 * Provides a `Provider` with spans and metrics, from another one.
 *
 * **Example** (a traced server)
 *
 * ```ts
 * import { Layer } from "effect"
 * import { Ollama, Telemetry } from "effect-local-llm"
 *
 * const live = Telemetry.layer().pipe(Layer.provide(Ollama.layer()))
 * ```
 *
 * @category layers
 * @since 0.3.0
 */
export const layer = (options: Options = {}): Layer.Layer<Provider.Provider, never, Provider.Provider> =>
  Layers.from((provider) => apply(provider, options))

type Attributes = Readonly<Record<string, unknown>>

/** A request that is being answered. Mutable. Times are seconds of the monotonic clock. */
interface Operation {
  readonly span: Tracer.Span
  readonly now: () => number
  readonly startedAt: number
  readonly seriesOf: (responseModel: string | undefined, errorType: string | undefined) => Series
  firstChunkAt?: number
  lastChunkAt?: number
  chunks: number
  /** The final chunk, or what an embedding has of it. */
  response?: Partial<Omit<FinalChunk, "usage">> & { readonly usage?: Partial<Usage> | undefined }
}

/** Begins the operations of a provider. */
const makeBegin = (provider: Provider.Provider, options: Options) => {
  const own = attributesOf(provider, options)
  const findSeries = makeFindSeries(own)
  return Effect.fnUntraced(function* (name: string, request: CompletionRequest | EmbeddingRequest) {
    const model = modelOf(request)
    const span = yield* Effect.makeSpan(model === undefined ? name : `${name} ${model}`, {
      kind: "client",
      attributes: { "gen_ai.operation.name": name, ...own, ...describe(request, model) }
    })
    const clock = yield* Clock.Clock
    const now = (): number => Monotonic.millisOf(clock) / 1000
    const operation: Operation = {
      span,
      now,
      startedAt: now(),
      seriesOf: (responseModel, errorType) =>
        findSeries({ operation: name, requestModel: model, responseModel, errorType }),
      chunks: 0
    }
    return operation
  })
}

/** Runs a completion below its span, which ends with the exit of the completion. Counts the chunks, and notes the first and the last. */
const observe = Effect.fnUntraced(function* (
  begin: Effect.Effect<Operation>,
  chunks: Attempt.Completion,
  outer: Scope.Scope
): Effect.fn.Return<Attempt.ChunkPull> {
  const operation = yield* begin
  const scope = Scope.makeUnsafe()
  const finish = (exit: Exit.Exit<unknown, unknown>) => Effect.ensuring(Scope.close(scope, exit), end(operation, exit))
  // The exit of the outer scope may have an error of the consumer, which may quote the completion.
  yield* Scope.addFinalizerExit(outer, (exit) => finish(Exit.isSuccess(exit) ? exit : Exit.interrupt()))
  const belowSpan = makeBelowSpan(operation.span)
  const pull = yield* belowSpan(Channel.toPullScoped(chunks.channel, scope))
  // Takes less time for each chunk than `map` and `onExit` do.
  return Effect.matchCauseEffect(belowSpan(pull), {
    onSuccess: (chunks) => {
      const last = Arr.lastNonEmpty(chunks)
      operation.chunks += chunks.length
      operation.firstChunkAt ??= operation.now()
      if (last.isFinal) {
        operation.response = last
        operation.lastChunkAt = operation.now()
      }
      return Effect.succeed(chunks)
    },
    onFailure: (cause) => Effect.andThen(finish(Pull.doneExitFromCause(cause)), Effect.failCause(cause))
  })
})

/** Makes the context once, not for each chunk. That would take longer than all policies together. */
const makeBelowSpan = (span: Tracer.Span) => {
  let outer: Context.Context<never> | undefined
  let inner: Context.Context<never> = Context.empty()
  return <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.updateContext(effect, (context: Context.Context<never>) => {
      if (context !== outer) inner = Context.add(context, Tracer.ParentSpan, span)
      outer = context
      return inner
    })
}

/** Has no effect the second time. */
const end = (operation: Operation, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.sync(() => {
      const { chunks, firstChunkAt, lastChunkAt, response = {}, span, startedAt } = operation
      if (span.status._tag === "Ended") return
      const { finishReason, promptTruncated, responseId, timings, usage } = response
      const errorType = Exit.isFailure(exit) ? typeOf(exit.cause) : undefined
      const wait = firstChunkAt === undefined ? undefined : firstChunkAt - startedAt
      const model = response.model === undefined ? undefined : GenAi.toText(response.model)
      const attributes = present({
        "error.type": errorType,
        "gen_ai.response.model": model,
        "gen_ai.response.id": responseId === undefined ? undefined : GenAi.toText(responseId),
        "gen_ai.response.finish_reasons": finishReason === undefined ? undefined : [finishReason],
        "gen_ai.response.time_to_first_chunk": wait,
        "gen_ai.usage.input_tokens": usage?.promptTokens,
        "gen_ai.usage.output_tokens": usage?.completionTokens,
        "gen_ai.usage.cache_read.input_tokens": usage?.cachedTokens,
        "gen_ai.usage.reasoning.output_tokens": usage?.reasoningTokens,
        "effect_local_llm.prompt_truncated": promptTruncated
      })
      for (const [key, value] of Object.entries(attributes)) span.attribute(key, value)

      const series = operation.seriesOf(model, errorType)
      const record = (metric: Metric.Histogram<number>, value: number | undefined): void => {
        if (value !== undefined) metric.updateUnsafe(value, context)
      }
      record(series.duration, operation.now() - startedAt)
      record(series.firstChunk, wait)
      if (lastChunkAt !== undefined && firstChunkAt !== undefined && chunks > 1)
        record(series.perChunk, (lastChunkAt - firstChunkAt) / (chunks - 1))
      record(series.input, usage?.promptTokens)
      record(series.output, usage?.completionTokens)
      record(series.load, timings?.load && Duration.toSeconds(timings.load))
      span.end(Context.get(context, Clock.Clock).currentTimeNanosUnsafe(), exit)
    })
  )

/** The tag of the reason; `interrupted` and `defect` are not reasons. */
const typeOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  if (isProviderError(error)) return error.reason._tag
  return Cause.hasInterruptsOnly(cause) ? "interrupted" : "defect"
}

const attributesOf = ({ kind, name, server }: Provider.Provider, { providerName }: Options): Attributes => {
  const own = {
    "gen_ai.provider.name": providerName === undefined ? GenAi.providerName({ kind, name }) : GenAi.toText(providerName)
  }
  // A provider of a program may have any text there.
  if (server === undefined || !URL.canParse(server)) return own
  const { hostname, port, protocol } = new URL(server)
  return {
    ...own,
    "server.address": hostname,
    "server.port": port === "" ? (protocol === "https:" ? 443 : 80) : Number(port)
  }
}

const nameOf = (request: CompletionRequest): string =>
  Predicate.isObject(request) && request.prompt !== undefined ? "text_completion" : "chat"

const modelOf = (request: CompletionRequest | EmbeddingRequest): string | undefined =>
  Predicate.isObject(request) && typeof request.model === "string" ? GenAi.toText(request.model) : undefined

/** The options of a request, which may be invalid: only texts and numbers are taken from it. */
const describe = (request: CompletionRequest | EmbeddingRequest, model: string | undefined): Attributes => {
  if (!Predicate.isObject(request)) return {}
  const number = (value: unknown) => (typeof value === "number" ? value : undefined)
  if (Predicate.hasProperty(request, "input")) return present({ "gen_ai.request.model": model })
  return present({
    "gen_ai.request.model": model,
    "gen_ai.request.stream": true,
    "gen_ai.output.type": request.format === undefined ? "text" : "json",
    "gen_ai.request.temperature": number(request.temperature),
    "gen_ai.request.top_p": number(request.topP),
    "gen_ai.request.top_k": number(request.topK),
    "gen_ai.request.seed": number(request.seed),
    "gen_ai.request.max_tokens": number(request.maxTokens),
    "gen_ai.request.presence_penalty": number(request.presencePenalty),
    "gen_ai.request.frequency_penalty": number(request.frequencyPenalty),
    "gen_ai.request.stop_sequences": Array.isArray(request.stop)
      ? request.stop.filter(Predicate.isString).slice(0, maxStopSequences).map(GenAi.toText)
      : undefined
  })
}

/** How many of them the span has. */
const maxStopSequences = 16

/** How many names of models metrics are grouped by: those of requests, and for each of them those of its responses. */
const maxRequestModels = 100
const maxResponseModels = 8

interface Series extends Readonly<
  Record<"duration" | "firstChunk" | "perChunk" | "input" | "output" | "load", Metric.Histogram<number>>
> {}

const makeSeries = (attributes: Texts): Series => ({
  duration: histograms.duration(attributes),
  firstChunk: histograms.firstChunk(attributes),
  perChunk: histograms.perChunk(attributes),
  input: histograms.tokens({ ...attributes, "gen_ai.token.type": "input" }),
  output: histograms.tokens({ ...attributes, "gen_ai.token.type": "output" }),
  load: histograms.load(attributes)
})

interface Group {
  readonly operation: string
  readonly requestModel: string | undefined
  readonly responseModel: string | undefined
  readonly errorType: string | undefined
}

/** The series of metrics, each made once. They are bounded, although callers and servers choose the names of models. */
const makeFindSeries = (own: Attributes) => {
  const boundRequest = GenAi.makeBounded(maxRequestModels)
  const boundResponses = new Map<string | undefined, (value: string) => string>()
  const all = new Map<string, Series>()

  const bound = ({ requestModel, responseModel, ...group }: Group): Group => {
    const request = requestModel === undefined ? undefined : boundRequest(requestModel)
    const boundResponse = boundResponses.get(request) ?? GenAi.makeBounded(maxResponseModels)
    boundResponses.set(request, boundResponse)
    return {
      ...group,
      requestModel: request,
      responseModel: responseModel === undefined ? undefined : boundResponse(responseModel)
    }
  }

  return (unbound: Group): Series => {
    const group = bound(unbound)
    const key = JSON.stringify([group.operation, group.requestModel, group.responseModel, group.errorType])
    const found = all.get(key)
    if (found !== undefined) return found
    const attributes = present({
      ...own,
      "gen_ai.operation.name": group.operation,
      "gen_ai.request.model": group.requestModel,
      "gen_ai.response.model": group.responseModel,
      "error.type": group.errorType
    })
    const series = makeSeries(
      Object.fromEntries(Object.entries(attributes).map(([key, value]) => [key, String(value)]))
    )
    all.set(key, series)
    return series
  }
}

const present = (attributes: Attributes): Attributes =>
  Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined))
