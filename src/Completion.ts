/**
 * A complete answer: all chunks of a stream in one value, as `Provider.complete` returns it.
 *
 * @category Core
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { StreamTruncated } from "./ProviderError.ts"
import type { FinalChunk, StreamingChunk } from "./StreamingChunk.ts"
import { FinishReason, Timings, ToolCall, Usage } from "./StreamingChunk.ts"

/**
 * A complete answer.
 *
 * **Gotchas**
 *
 * An answer with the `finishReason` `length` is complete as the server sees it, but its text is cut: `maxTokens` or the context was
 * used up.
 *
 * **Example** (an answer as JSON, for a file or a database)
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Completion, Provider } from "effect-local-llm"
 *
 * const program = Effect.gen(function*() {
 *   const { complete } = yield* Provider.Provider
 *   const completion = yield* complete({ model: "llama3.2", prompt: "Once upon a time" })
 *   return yield* Schema.encodeEffect(Schema.fromJsonString(Completion.Completion))(completion)
 * })
 * ```
 *
 * @category models
 * @since 0.2.0
 */
export const Completion = Schema.Struct({
  /** The answer's text. */
  content: Schema.String,
  /** The model's thinking, if there is any. */
  thinking: Schema.optional(Schema.String),
  /** The tool calls that the model requests; may be empty. */
  toolCalls: Schema.Array(ToolCall),
  /** The model that answered. */
  model: Schema.String,
  /** Why the model stopped. See `FinishReason` of `StreamingChunk`. */
  finishReason: FinishReason,
  /** The number of tokens, if the server reported it. See `Usage` of `StreamingChunk`. */
  usage: Schema.optional(Usage),
  /** How long the server took, if it reported it. See `Timings` of `StreamingChunk`. */
  timings: Schema.optional(Timings),
  /** The server's name for this answer, if it has one. */
  responseId: Schema.optional(Schema.String),
  /** Whether the server dropped a part of the prompt to fit it into the context, where that can be known. */
  promptTruncated: Schema.optional(Schema.Boolean),
  /** The name of the provider that answered, if a policy chose among several. */
  provider: Schema.optional(Schema.String)
})

/**
 * @category models
 * @since 0.2.0
 */
export interface Completion extends Schema.Schema.Type<typeof Completion> {}

/**
 * Folds the chunks of an answer into one value. Chunks that end without a final one are not a complete answer: the effect then
 * fails with `StreamTruncated`. Failures of the stream are passed on, and the text before them is lost.
 *
 * **When to use**
 *
 * For a stream that you have changed or recorded. For a request, `Provider.complete` does it.
 *
 * @category constructors
 * @since 0.2.0
 */
export const fromStream = <E, R>(
  chunks: Stream.Stream<StreamingChunk, E, R>
): Effect.Effect<Completion, E | StreamTruncated, R> =>
  Effect.suspend(() => {
    let content = ""
    let thinking = ""
    const toolCalls: Array<ToolCall> = []
    let final: FinalChunk | undefined

    const add = (chunk: StreamingChunk): void => {
      content += chunk.content
      if (chunk.thinking !== undefined) thinking += chunk.thinking
      for (const call of chunk.toolCalls ?? []) toolCalls.push(call)
      if (chunk.isFinal) final = chunk
    }

    const toCompletion = (final: FinalChunk): Completion => {
      const { finishReason, model, promptTruncated, provider, responseId, timings, usage } = final
      return {
        content,
        ...(thinking === "" ? {} : { thinking }),
        toolCalls,
        model,
        finishReason,
        ...(usage === undefined ? {} : { usage }),
        ...(timings === undefined ? {} : { timings }),
        ...(responseId === undefined ? {} : { responseId }),
        ...(promptTruncated === undefined ? {} : { promptTruncated }),
        ...(provider === undefined ? {} : { provider })
      }
    }

    return Effect.flatMap(
      Stream.runForEachArray(chunks, (array) => Effect.sync(() => array.forEach(add))),
      () => (final === undefined ? Effect.fail(new StreamTruncated()) : Effect.succeed(toCompletion(final)))
    )
  })
