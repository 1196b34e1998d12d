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
import { filter as filterRecord, map as mapRecord } from "effect/Record"
import { TracerTimingEnabled } from "effect/References"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { CompletionRequest, Defaults } from "./CompletionRequest.ts"
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
 */
export interface Options {
  /** The value of `gen_ai.provider.name`. Default: the `kind` of the provider, such as `ollama`, or its name if it has none. */
  readonly providerName?: string | undefined
}

type Attributes = Readonly<Record<string, unknown>>

/** Bounds of 10 ms to 82 s, as the conventions have it. */
const seconds = { unit: "s", start: 0.01, factor: 2, count: 14 }

/** 10 ms to 44 minutes: models of many gigabytes load for minutes. */
const loadSeconds = { ...seconds, count: 19 }

/** 1 to 67,108,864, as the conventions have it. */
const tokens = { unit: "{token}", start: 1, factor: 4, count: 14 }

/** A series has its attributes from the start: to add them to each value takes longer than to record it. */
const histogram =
  (name: string, description: string, { count, factor, start, unit }: typeof seconds) =>
  (attributes: Readonly<Record<string, string>> = {}): Metric.Histogram<number> =>
    Metric.histogram(name, {
      description,
      boundaries: Metric.boundariesFromIterable(Array.from({ length: count }, (_, i) => start * factor ** i)),
      attributes: { unit, ...attributes }
    })

const series = {
  duration: histogram("gen_ai.client.operation.duration", "Duration of an operation, in seconds", seconds),
  firstChunk: histogram(
    "gen_ai.client.operation.time_to_first_chunk",
    "Time to the first chunk of an answer, in seconds",
    seconds
  ),
  perChunk: histogram(
    "gen_ai.client.operation.time_per_output_chunk",
    "Mean time between the chunks of an answer, in seconds",
    seconds
  ),
  tokens: histogram("gen_ai.client.token.usage", "Tokens of a prompt or an answer", tokens),
  load: histogram(
    "effect_local_llm.client.load.duration",
    "Time in which a server loaded a model, in seconds",
    loadSeconds
  )
}

/**
 * `gen_ai.client.operation.duration`: from the request to the end of the completion, failures included, in seconds.
 *
 * @category metrics
 */
export const operationDuration = series.duration()

/**
 * `gen_ai.client.operation.time_to_first_chunk`: from the request to the first chunk, in seconds.
 *
 * @category metrics
 */
export const timeToFirstChunk = series.firstChunk()

/**
 * `gen_ai.client.operation.time_per_output_chunk`: from one chunk to the next, in seconds. One value for each completion, the mean
 * of its chunks.
 *
 * @category metrics
 */
export const timePerOutputChunk = series.perChunk()

/**
 * `gen_ai.client.token.usage`: tokens by `gen_ai.token.type` (`input` or `output`), if the server reports them.
 *
 * @category metrics
 */
export const tokenUsage = series.tokens()

/**
 * `effect_local_llm.client.load.duration`: how long the server loaded the model for a request, in seconds, if it reports it.
 *
 * @category metrics
 */
export const loadDuration = series.load()

/**
 * A provider with one span and the metrics of this module for each `stream`, `complete` and `embed`.
 *
 * **Details**
 *
 * The span is `chat MODEL`, `text_completion MODEL` or `embeddings MODEL`, of the kind `client`. Operation, provider, model, address
 * and the options of the request are set at its start, so samplers see them. They are those with which the request is sent: the `defaults`
 * of the layer are among them. Usage, finish reason, time to the first chunk and
 * `error.type` (the tag of the reason) follow at its end. Prompts, completions and credentials are in no attribute.
 *
 * Outside of the other policies there is one span per request of the program, inside of them one per attempt. `Fallback`, `Hedge` and
 * `Pool` inside add the name of the provider that answered (`effect_local_llm.provider`). The span of the HTTP client is disabled.
 *
 * If an option is invalid, every operation fails with `InvalidRequest`, which names it.
 *
 * @category combinators
 */
export const apply = (provider: Provider.Provider, options: Options = {}): Provider.Provider =>
  OptionSchema.providerFrom(definition, options, provider, (options) => makeObserved(provider, options))

const definition = OptionSchema.define<Options>({ providerName: OptionSchema.text })

/**
 * Provides a `Provider` with spans and metrics, from another one.
 *
 * @see {@link apply}
 * @category layers
 */
export const layer = (options: Options = {}): Layer.Layer<Provider.Provider, never, Provider.Provider> =>
  Layers.from((provider) => apply(provider, options))

const makeObserved = (provider: Provider.Provider, options: Options): Provider.Provider => {
  const begin = makeBegin(provider, attributesOf(provider, options))
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

/** A request that is being answered. Mutable. Times are seconds of the monotonic clock. */
interface Operation {
  readonly span: Tracer.Span
  readonly now: () => number
  readonly startedAt: number
  readonly findSeries: ReturnType<ReturnType<typeof makeFindSeries>>
  firstChunkAt?: number
  lastChunkAt?: number
  chunks: number
  /** The final chunk, or what an embedding has of it. */
  response?: Partial<Omit<FinalChunk, "usage">> & { readonly usage?: Partial<Usage> | undefined }
}

/** Begins the operations of a provider with these attributes. */
const makeBegin = ({ optionsOf }: Provider.Provider, own: Attributes) => {
  const findSeries = makeFindSeries(own)
  return Effect.fnUntraced(function* (name: string, request: CompletionRequest | EmbeddingRequest) {
    // The provider rejects what is not a request.
    const options = Predicate.isObject(request) ? optionsOf(request) : {}
    const model = toText(options.model)
    const span = yield* Effect.makeSpan(model === undefined ? name : `${name} ${model}`, {
      kind: "client",
      attributes: present({
        "gen_ai.operation.name": name,
        ...own,
        "gen_ai.request.model": model,
        ...(name === "embeddings" ? {} : describe(options))
      })
    })
    const clock = yield* Clock.Clock
    const now = (): number => Monotonic.millisOf(clock) / 1000
    const operation: Operation = { span, now, startedAt: now(), findSeries: findSeries(name, model), chunks: 0 }
    return operation
  })
}

/** Runs a completion below its span, which ends with the exit of the completion. */
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
  Effect.contextWith((context: Context.Context<never>) => {
    const { chunks, findSeries, firstChunkAt, lastChunkAt, now, response = {}, span, startedAt } = operation
    if (span.status._tag === "Ended") return Effect.void
    const { finishReason, timings, usage } = response
    const errorType = Exit.isFailure(exit) ? typeOf(exit.cause) : undefined
    const wait = firstChunkAt === undefined ? undefined : firstChunkAt - startedAt
    const model = toText(response.model)
    const attributes = present({
      "error.type": errorType,
      "gen_ai.response.model": model,
      "gen_ai.response.id": toText(response.responseId),
      "gen_ai.response.finish_reasons": finishReason === undefined ? undefined : [finishReason],
      "gen_ai.response.time_to_first_chunk": wait,
      "gen_ai.usage.input_tokens": usage?.promptTokens,
      "gen_ai.usage.output_tokens": usage?.completionTokens,
      "gen_ai.usage.cache_read.input_tokens": usage?.cachedTokens,
      "gen_ai.usage.reasoning.output_tokens": usage?.reasoningTokens,
      "effect_local_llm.prompt_truncated": response.promptTruncated
    })
    for (const key in attributes) span.attribute(key, attributes[key])

    const series = findSeries(model, errorType)
    const record = (metric: Metric.Histogram<number>, value: number | undefined): void => {
      if (value !== undefined) metric.updateUnsafe(value, context)
    }
    record(series.duration, now() - startedAt)
    record(series.firstChunk, wait)
    if (lastChunkAt !== undefined && firstChunkAt !== undefined && chunks > 1)
      record(series.perChunk, (lastChunkAt - firstChunkAt) / (chunks - 1))
    record(series.input, usage?.promptTokens)
    record(series.output, usage?.completionTokens)
    record(series.load, timings?.load && Duration.toSeconds(timings.load))
    const isTimed = Context.get(context, TracerTimingEnabled)
    span.end(isTimed ? Context.get(context, Clock.Clock).currentTimeNanosUnsafe() : 0n, exit)
    return Effect.void
  })

/** The tag of the reason; `interrupted` and `defect` are not reasons. */
const typeOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  if (isProviderError(error)) return error.reason._tag
  return Cause.hasInterruptsOnly(cause) ? "interrupted" : "defect"
}

const attributesOf = ({ kind, name, server }: Provider.Provider, { providerName }: Options): Attributes => {
  const own = { "gen_ai.provider.name": GenAi.providerName({ name, kind: providerName ?? kind }) }
  // A provider of a program may have any text there.
  if (server === undefined || !URL.canParse(server)) return own
  const { hostname, port, protocol } = new URL(server)
  const defaultPort = protocol === "https:" ? 443 : 80
  return { ...own, "server.address": hostname, "server.port": port === "" ? defaultPort : Number(port) }
}

const nameOf = (request: CompletionRequest): string =>
  Predicate.isObject(request) && request.prompt !== undefined ? "text_completion" : "chat"

/** How many stop sequences the span has. */
const maxStopSequences = 16

/** The options of a request, which may be invalid: only texts and numbers are taken from it. */
const describe = (request: Defaults): Attributes => {
  const number = (value: unknown) => (typeof value === "number" ? value : undefined)
  return {
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
  }
}

/** How many names of models metrics are grouped by: those of requests, and for each of them those of its responses. */
const maxRequestModels = 100
const maxResponseModels = 8

/** Finds the series of a request. Each is made once. Callers and servers choose the names of models, so these are bounded. */
const makeFindSeries = (own: Attributes) => {
  const boundRequest = GenAi.makeBounded(maxRequestModels)
  const boundResponses = new Map<string | undefined, (value: string) => string>()
  const all = new Map<string, ReturnType<typeof makeSeries>>()
  return (name: string, requestModel?: string) => (responseModel?: string, errorType?: string) => {
    const request = requestModel === undefined ? undefined : boundRequest(requestModel)
    const boundResponse = boundResponses.get(request) ?? GenAi.makeBounded(maxResponseModels)
    boundResponses.set(request, boundResponse)
    const attributes = {
      ...own,
      "gen_ai.operation.name": name,
      "gen_ai.request.model": request,
      "gen_ai.response.model": responseModel === undefined ? undefined : boundResponse(responseModel),
      "error.type": errorType
    }
    const key = JSON.stringify(attributes)
    const found = all.get(key) ?? makeSeries(mapRecord(present(attributes), String))
    all.set(key, found)
    return found
  }
}

const makeSeries = (attributes: Readonly<Record<string, string>>) => ({
  duration: series.duration(attributes),
  firstChunk: series.firstChunk(attributes),
  perChunk: series.perChunk(attributes),
  input: series.tokens({ ...attributes, "gen_ai.token.type": "input" }),
  output: series.tokens({ ...attributes, "gen_ai.token.type": "output" }),
  load: series.load(attributes)
})

const toText = (value: unknown): string | undefined => (typeof value === "string" ? GenAi.toText(value) : undefined)

const present = (attributes: Attributes): Attributes => filterRecord(attributes, Predicate.isNotUndefined)
