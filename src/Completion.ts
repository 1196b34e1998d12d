/**
 * A complete answer: all chunks of a stream in one value, as `Provider.complete` returns it.
 *
 * @category Core
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { InvalidAnswer, StreamTruncated } from "./ProviderError.ts"
import type { FinalChunk, StreamingChunk } from "./StreamingChunk.ts"
import { FinishReason, Timings, ToolCall, Usage } from "./StreamingChunk.ts"
import * as Json from "./values/json.ts"
import { makeToFault } from "./values/objects.ts"

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

/**
 * Where the JSON of a completion is: its content without a code block of Markdown around it, or its thinking if there is no content.
 * LM Studio puts the answer of some models that think into their thinking.
 *
 * @category accessors
 * @since 0.3.0
 */
export const jsonText = ({ content, thinking = "" }: Completion): string =>
  Json.withoutFence((content.trim() === "" ? thinking : content).trim())

/**
 * The value of a completion whose text is JSON, as `Provider.object` returns it. Fails with `InvalidAnswer` if the text is not JSON
 * or does not match the schema.
 *
 * @category accessors
 * @since 0.3.0
 */
export const decode = <A, RD>(
  completion: Completion,
  schema: Schema.ConstraintDecoder<A, RD>
): Effect.Effect<A, InvalidAnswer, RD> => {
  const { content, finishReason, thinking = "" } = completion
  const text = content.trim() === "" ? thinking : content
  const fail = (description: string) =>
    Effect.fail(new InvalidAnswer({ text: Redacted.make(text), isTruncated: finishReason === "length", description }))
  const value = Json.parse(jsonText(completion))
  if (value === undefined) return fail(text.trim() === "" ? "it is empty" : "it is not JSON")
  const fault = Json.findFault(value)
  if (fault !== undefined) return fail(`it is ${fault}`)
  return Effect.catch(Schema.decodeUnknownEffect(Schema.toCodecJson(schema))(value), (error) => {
    const { description = "", field } = makeToFault({}, isKeyOf(schema))(error)
    return fail(field === undefined ? description : `${field}: ${description}`)
  })
}

/** Whether the schema has a key. Others, as of a record, are text of the model. */
const isKeyOf = (schema: Schema.Constraint): ((key: string) => boolean) => {
  const jsonSchema = Json.toSchema(Schema.toCodecJson(schema))
  const text = Result.isSuccess(jsonSchema) ? JSON.stringify(jsonSchema.success) : ""
  return (key) => text.includes(JSON.stringify(key))
}
