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
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Predicate from "effect/Predicate"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import type { CompletionRequest } from "./CompletionRequest.ts"
import type { EmbeddingRequest } from "./Embedding.ts"
import type * as Attempt from "./policies/attempt.ts"
import * as GenAi from "./values/genAi.ts"
import * as Monotonic from "./values/monotonic.ts"
import * as OptionSchema from "./servers/options.ts"
import * as Provider from "./Provider.ts"
import { isProviderError } from "./ProviderError.ts"
import type { FinalChunk } from "./StreamingChunk.ts"

/**
 * How requests are named. All fields are optional.
 *
 * @category options
 * @since 0.3.0
 */
export interface Options {
  /**
   * The value of `gen_ai.provider.name`. Default: the `kind` of the provider, such as `ollama`, or its name if it has none.
   */
  readonly providerName?: string | undefined
}

const doubling = (start: number, count: number): ReadonlyArray<number> =>
  Metric.boundariesFromIterable(Array.from({ length: count }, (_, i) => start * 2 ** i))

/** 10 ms to 82 s, as the conventions have it. */
const seconds = doubling(0.01, 14)

/** 10 ms to 44 minutes: models of many gigabytes load for minutes. */
const loadSeconds = doubling(0.01, 19)

/** 1 to 67,108,864, as the conventions have it. */
const tokens = Metric.boundariesFromIterable(Array.from({ length: 14 }, (_, i) => 4 ** i))

/**
 * `gen_ai.client.operation.duration`: from the request to the end of the answer, failures included, in seconds.
 *
 * @category metrics
 * @since 0.3.0
 */
export const operationDuration = Metric.histogram("gen_ai.client.operation.duration", {
  description: "Duration of an operation, in seconds",
  boundaries: seconds,
  attributes: { unit: "s" }
})

/**
 * `gen_ai.client.operation.time_to_first_chunk`: from the request to the first chunk, in seconds.
 *
 * @category metrics
 * @since 0.3.0
 */
export const timeToFirstChunk = Metric.histogram("gen_ai.client.operation.time_to_first_chunk", {
  description: "Time to the first chunk of an answer, in seconds",
  boundaries: seconds,
  attributes: { unit: "s" }
})

/**
 * `gen_ai.client.operation.time_per_output_chunk`: from one chunk to the next, in seconds. One value for each answer, the mean of its
 * chunks, so that nothing is recorded for each chunk.
 *
 * @category metrics
 * @since 0.3.0
 */
export const timePerOutputChunk = Metric.histogram("gen_ai.client.operation.time_per_output_chunk", {
  description: "Mean time between the chunks of an answer, in seconds",
  boundaries: seconds,
  attributes: { unit: "s" }
})

/**
 * `gen_ai.client.token.usage`: tokens of a prompt or an answer, by `gen_ai.token.type` (`input` or `output`), if the server reports
 * them.
 *
 * @category metrics
 * @since 0.3.0
 */
export const tokenUsage = Metric.histogram("gen_ai.client.token.usage", {
  description: "Tokens of a prompt or an answer",
  boundaries: tokens,
  attributes: { unit: "{token}" }
})

/**
 * `effect_local_llm.client.load.duration`: how long the server loaded the model for a request, in seconds, if it reports it.
 *
 * @category metrics
 * @since 0.3.0
 */
export const loadDuration = Metric.histogram("effect_local_llm.client.load.duration", {
  description: "Time in which a server loaded a model, in seconds",
  boundaries: loadSeconds,
  attributes: { unit: "s" }
})

/**
 * A provider with one span and the metrics of this module for each `stream`, `complete` and `embed`.
 *
 * **Details**
 *
 * The span is `chat MODEL`, `text_completion MODEL` or `embeddings MODEL`, of the kind `client`. Operation, provider, model, address
 * and the options of the request are set at its start, so samplers see them. Usage, finish reason, time to the first chunk and
 * `error.type` (the tag of the reason) follow at its end. Prompts, answers and credentials are in no attribute.
 *
 * Apply it outside of the other policies for one span per request of the program, or inside of them for one per attempt. `Fallback`,
 * `Hedge` and `Pool` inside add the name of the provider that answered to its span (`effect_local_llm.provider`). Servers add no spans
 * below it: the span of the HTTP client is disabled.
 *
 * If an option is invalid, every operation fails with `InvalidRequest`, which names it.
 *
 * `effect/ai` has spans of its own, so models of `EffectAi` need this policy for the metrics only.
 *
 * @category combinators
 * @since 0.3.0
 */
export const apply = (provider: Provider.Provider, options: Options = {}): Provider.Provider =>
  OptionSchema.providerFrom(definition, options, provider, (options) => makeObserved(provider, options))

const definition = OptionSchema.define<Options>({ providerName: OptionSchema.text })

const makeObserved = (provider: Provider.Provider, options: Options): Provider.Provider => {
  const own = attributesOf(provider, options)
  const boundModels = makeBoundModels()
  return Provider.make({
    ...provider,
    stream: (request) =>
      Stream.fromChannel(
        Channel.fromTransform((_, outer) =>
          Effect.gen(function* () {
            // The span ends with the exit of the answer. That of the outer scope may have an error of the consumer, which may
            // quote the answer.
            const scope = Scope.makeUnsafe()
            yield* Scope.addFinalizerExit(outer, (exit) =>
              Scope.close(scope, Exit.isSuccess(exit) ? exit : Exit.interrupt())
            )
            const operation = yield* Scope.provide(
              begin(nameOf(request), { ...own, ...describe(request) }, boundModels),
              scope
            )
            yield* Scope.addFinalizerExit(scope, (exit) => end(operation, exit))
            const pull = Channel.toPullScoped(provider.stream(request).channel, scope)
            return yield* observe(operation, pull, (exit) => Scope.close(scope, exit))
          })
        )
      ),
    embed: (request) =>
      Effect.scoped(
        Effect.gen(function* () {
          const operation = yield* begin("embeddings", { ...own, ...describe(request) }, boundModels)
          return yield* provider.embed(request).pipe(
            Effect.withParentSpan(operation.span),
            Effect.tap(({ model, promptTokens }) =>
              Effect.sync(() => {
                operation.model = model
                operation.inputTokens = promptTokens
              })
            ),
            Effect.onExit((exit) => end(operation, exit))
          )
        })
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
  Layer.effect(
    Provider.Provider,
    Effect.map(Provider.Provider, (provider) => apply(provider, options))
  )

type Attributes = Readonly<Record<string, unknown>>

/** A request that is being answered. Mutable. */
interface Operation {
  readonly span: Tracer.Span
  readonly attributes: Attributes
  readonly boundModels: BoundModels
  /** Seconds of the monotonic clock. */
  readonly startedAt: number
  firstChunkAt?: number
  lastChunkAt?: number
  chunks: number
  final?: FinalChunk
  model?: string | undefined
  inputTokens?: number | undefined
}

const now: Effect.Effect<number> = Effect.map(Monotonic.now, (millis) => millis / 1000)

const begin = Effect.fnUntraced(function* (name: string, attributes: Attributes, boundModels: BoundModels) {
  const model = attributes["gen_ai.request.model"]
  const span = yield* Effect.makeSpanScoped(model === undefined ? name : `${name} ${String(model)}`, {
    kind: "client",
    attributes: { "gen_ai.operation.name": name, ...attributes }
  })
  const operation: Operation = {
    span,
    attributes: { "gen_ai.operation.name": name, ...metricAttributes(attributes) },
    boundModels,
    startedAt: yield* now,
    chunks: 0
  }
  return operation
})

/** Runs an answer below its span. Counts the chunks, and notes the first and the last. */
const observe = Effect.fnUntraced(function* (
  operation: Operation,
  open: Effect.Effect<Attempt.ChunkPull>,
  close: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void>
) {
  const belowSpan = makeBelowSpan(operation.span)
  const pull = yield* belowSpan(open)
  const clock = yield* Clock.Clock
  const now = (): number => Monotonic.millisOf(clock) / 1000
  // Takes less time for each chunk than `map` and `onExit` do.
  return Effect.matchCauseEffect(belowSpan(pull), {
    onSuccess: (chunks) => {
      const last = Arr.lastNonEmpty(chunks)
      operation.chunks += chunks.length
      operation.firstChunkAt ??= now()
      if (last.isFinal) {
        operation.final = last
        operation.lastChunkAt = now()
      }
      return Effect.succeed(chunks)
    },
    onFailure: (cause) => Effect.andThen(close(Pull.doneExitFromCause(cause)), Effect.failCause(cause))
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

const end = (operation: Operation, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { final, firstChunkAt, inputTokens, lastChunkAt, span, startedAt } = operation
    const errorType = Exit.isFailure(exit) ? typeOf(exit.cause) : undefined
    const wait = firstChunkAt === undefined ? undefined : firstChunkAt - startedAt
    const input = final?.usage?.promptTokens ?? inputTokens
    const output = final?.usage?.completionTokens
    const answering = final?.model ?? operation.model
    const responseModel = answering === undefined ? undefined : GenAi.toText(answering)
    setAttributes(span, {
      "error.type": errorType,
      "gen_ai.response.model": responseModel,
      "gen_ai.response.id": final?.responseId === undefined ? undefined : GenAi.toText(final.responseId),
      "gen_ai.response.finish_reasons": final === undefined ? undefined : [final.finishReason],
      "gen_ai.response.time_to_first_chunk": wait,
      "gen_ai.usage.input_tokens": input,
      "gen_ai.usage.output_tokens": output,
      "gen_ai.usage.cache_read.input_tokens": final?.usage?.cachedTokens,
      "gen_ai.usage.reasoning.output_tokens": final?.usage?.reasoningTokens,
      "effect_local_llm.prompt_truncated": final?.promptTruncated
    })

    const attributes = toTexts({
      ...operation.attributes,
      ...operation.boundModels(operation.attributes["gen_ai.request.model"], responseModel),
      "error.type": errorType
    })
    const record = (metric: Metric.Histogram<number>, value: number | undefined, more: Record<string, string> = {}) =>
      value === undefined
        ? Effect.void
        : Metric.update(Metric.withAttributes(metric, { ...attributes, ...more }), value)
    yield* record(operationDuration, (yield* now) - startedAt)
    yield* record(timeToFirstChunk, wait)
    if (lastChunkAt !== undefined && firstChunkAt !== undefined && operation.chunks > 1) {
      yield* record(timePerOutputChunk, (lastChunkAt - firstChunkAt) / (operation.chunks - 1))
    }
    yield* record(tokenUsage, input, { "gen_ai.token.type": "input" })
    yield* record(tokenUsage, output, { "gen_ai.token.type": "output" })
    yield* record(loadDuration, final?.timings?.load && Duration.toSeconds(final.timings.load))
  })

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

/** The options of a request, which may be invalid: only texts and numbers are taken from it. */
const describe = (request: CompletionRequest | EmbeddingRequest): Attributes => {
  if (!Predicate.isObject(request)) return {}
  const text = (value: unknown) => (typeof value === "string" ? GenAi.toText(value) : undefined)
  const number = (value: unknown) => (typeof value === "number" ? value : undefined)
  const model = text(request.model)
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

/** How many names of models metrics are grouped by: those of requests, and for each of them those of its answers. */
const maxRequestModels = 100
const maxResponseModels = 8

/** The names of models, as metrics have them: so many at most, since callers and servers choose them. */
type BoundModels = (request: unknown, response: string | undefined) => Attributes

const makeBoundModels = (): BoundModels => {
  const boundRequest = GenAi.makeBounded(maxRequestModels)
  const boundResponses = new Map<string | undefined, (value: string) => string>()
  return (request, response) => {
    const model = typeof request === "string" ? boundRequest(request) : undefined
    const boundResponse = boundResponses.get(model) ?? GenAi.makeBounded(maxResponseModels)
    boundResponses.set(model, boundResponse)
    return {
      "gen_ai.request.model": model,
      "gen_ai.response.model": response === undefined ? undefined : boundResponse(response)
    }
  }
}

/** What metrics are grouped by. */
const metricAttributes = (attributes: Attributes): Attributes =>
  Object.fromEntries(
    ["gen_ai.provider.name", "gen_ai.request.model", "server.address", "server.port"].map((key) => [
      key,
      attributes[key]
    ])
  )

const present = (attributes: Attributes): Attributes =>
  Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined))

/** Attributes of metrics are texts. */
const toTexts = (attributes: Attributes): Readonly<Record<string, string>> =>
  Object.fromEntries(Object.entries(present(attributes)).map(([key, value]) => [key, String(value)]))

const setAttributes = (span: Tracer.Span, attributes: Attributes): void => {
  for (const [key, value] of Object.entries(present(attributes))) span.attribute(key, value)
}
