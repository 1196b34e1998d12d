/**
 * The service that streams completions, whoever provides it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Deadlines as DeadlineOptions } from "./CompletionRequest.ts"
import * as CompletionRequest from "./CompletionRequest.ts"
import * as Deadlines from "./Deadlines.ts"
import type { ModelInfo } from "./ModelInfo.ts"
import type { ProviderErrorReason } from "./ProviderError.ts"
import { ProviderError, Timeout } from "./ProviderError.ts"
import type { StreamingChunk } from "./StreamingChunk.ts"
import { FinishReason, Timings, ToolCall, Usage } from "./StreamingChunk.ts"

/**
 * A whole answer: the chunks of a stream, put together.
 *
 * @since 0.1.0
 */
export const Completion = Schema.Struct({
  /** The answer's text. */
  content: Schema.String,
  /** What the model thought, if it told. */
  thinking: Schema.optional(Schema.String),
  /** The calls the model asks for; empty if none. */
  toolCalls: Schema.Array(ToolCall),
  /** The model that answered. */
  model: Schema.String,
  finishReason: FinishReason,
  usage: Schema.optional(Usage),
  timings: Schema.optional(Timings)
})

/**
 * @since 0.1.0
 */
export interface Completion extends Schema.Schema.Type<typeof Completion> {}

/**
 * Streams completions from a model server.
 *
 * **Details**
 *
 * `Ollama.layer`, `LmStudio.layer` and `MockProvider.layer` provide it. What `stream` keeps, with any of them:
 *
 * 1. It is lazy: nothing is sent before it is run, and every run is a new request.
 * 2. A chunk is out as soon as its line (of SSE: its event) is complete.
 * 3. It succeeds with exactly one final chunk, the last. Anything else is a `ProviderError`: a stream never just ends.
 * 4. What arrived before a failure is delivered before the failure.
 * 5. Nothing that a server sends is a defect, and nothing is skipped in silence.
 * 6. When the consumer stops, by `Stream.take`, interruption, a failure of its own or the end of its scope, the connection is
 *    closed at once, which makes the server stop generating.
 * 7. Memory is bounded by the longest line allowed, not by the answer.
 * 8. A slow consumer slows the server down.
 *
 * **Example** (an answer as it comes)
 *
 * ```ts
 * import { Console, Effect, Stream } from "effect"
 * import { Provider } from "effect-local-llm"
 *
 * const program = Effect.gen(function*() {
 *   const provider = yield* Provider.Provider
 *   yield* provider.stream({ model: "llama3.2", messages: [{ role: "user", content: "Why is the sky blue?" }] }).pipe(
 *     Stream.runForEach((chunk) => Console.log(chunk.content))
 *   )
 * })
 * ```
 *
 * @since 0.1.0
 */
export class Provider extends Context.Service<
  Provider,
  {
    /** The provider's name, as errors carry it. */
    readonly name: string
    /** Asks for an answer and gives it as it is generated. */
    readonly stream: (request: CompletionRequest.CompletionRequest) => Stream.Stream<StreamingChunk, ProviderError>
    /** Asks for an answer and gives it once it is whole: a fold of `stream`, so all that `stream` keeps holds here too. */
    readonly complete: (request: CompletionRequest.CompletionRequest) => Effect.Effect<Completion, ProviderError>
    /** The models that the server has. */
    readonly listModels: Effect.Effect<ReadonlyArray<ModelInfo>, ProviderError>
    /** Whether the server has a model of that name. */
    readonly supportsModel: (model: string) => Effect.Effect<boolean, ProviderError>
  }
>()("effect-local-llm/Provider") {}

/**
 * Makes a `Provider` of what only the provider itself can say. Adds what all of them share: the check of the request, the
 * deadlines, and what follows from a stream.
 *
 * @since 0.1.0
 */
export const make = (options: {
  readonly name: string
  /** Where the answer to a checked request comes from. Nothing is sent before its chunks are pulled. */
  readonly source: (
    request: CompletionRequest.CompletionRequest
  ) => Effect.Effect<Deadlines.Source<ProviderError>, never, Scope.Scope>
  readonly listModels: Effect.Effect<ReadonlyArray<ModelInfo>, ProviderError>
  /** Whether two names stand for the same model. Default: whether they are equal. */
  readonly isSameModel?: ((a: string, b: string) => boolean) | undefined
  /** Deadlines of every request that does not set its own. Default: `Deadlines.defaults`. */
  readonly deadlines?: DeadlineOptions | undefined
}): Provider["Service"] => {
  const { name } = options
  const toError = (reason: ProviderErrorReason): ProviderError => new ProviderError({ provider: name, reason })
  const isSameModel = options.isSameModel ?? ((a, b) => a === b)

  const waitLimit = Duration.fromInputUnsafe(options.deadlines?.firstChunk ?? Deadlines.defaults.firstChunk)
  const listModels = Effect.timeoutOrElse(options.listModels, {
    duration: waitLimit,
    orElse: () => Effect.fail(toError(new Timeout({ kind: "first-chunk", limit: waitLimit })))
  })

  const stream: Provider["Service"]["stream"] = (request) =>
    Stream.suspend(() => {
      const invalid = CompletionRequest.check(request)
      return invalid === undefined
        ? Deadlines.apply(options.source(request), Deadlines.override(options.deadlines, request.deadlines), toError)
        : Stream.fail(toError(invalid))
    })

  return Provider.of({
    name,
    stream,
    complete: (request) => complete(stream(request), request.model),
    listModels,
    supportsModel: (model) => Effect.map(listModels, (models) => models.some((info) => isSameModel(info.id, model)))
  })
}

/**
 * Puts the chunks of an answer together.
 *
 * @since 0.1.0
 */
export const complete = <E, R>(
  chunks: Stream.Stream<StreamingChunk, E, R>,
  model: string
): Effect.Effect<Completion, E, R> =>
  Effect.suspend(() => {
    let content = ""
    let thinking = ""
    const toolCalls: Array<ToolCall> = []
    let final: StreamingChunk | undefined
    return Effect.map(
      Stream.runForEachArray(chunks, (array) =>
        Effect.sync(() => {
          for (const chunk of array) {
            content += chunk.content
            if (chunk.thinking !== undefined) thinking += chunk.thinking
            if (chunk.toolCalls !== undefined) toolCalls.push(...chunk.toolCalls)
            if (chunk.isFinal) final = chunk
          }
        })
      ),
      () => ({
        content,
        ...(thinking === "" ? {} : { thinking }),
        toolCalls,
        model: final?.model ?? model,
        finishReason: final?.finishReason ?? "other",
        ...(final?.usage === undefined ? {} : { usage: final.usage }),
        ...(final?.timings === undefined ? {} : { timings: final.timings })
      })
    )
  })
