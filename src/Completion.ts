/**
 * A whole completion: all chunks of a stream in one value, as `Provider.complete` returns it.
 *
 * @category Core
 * @since 0.2.0
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Struct from "effect/Struct"
import { InvalidAnswer, StreamTruncated } from "./ProviderError.ts"
import type { Completion, FinalChunk, StreamingChunk, ToolCall } from "./StreamingChunk.ts"
import * as Json from "./values/json.ts"
import { makeToFault } from "./values/objects.ts"

export { Completion } from "./StreamingChunk.ts"

/**
 * Puts chunks together that are also used as they arrive.
 *
 * @category models
 * @since 0.3.0
 */
export interface Collector {
  /** Adds the next chunk. */
  readonly add: (chunk: StreamingChunk) => void
  /** The completion, once the final chunk was added. Fails with `StreamTruncated` before. */
  readonly completion: () => Result.Result<Completion, StreamTruncated>
}

/**
 * Makes a collector for the chunks of one completion. Mutable.
 *
 * @category constructors
 * @since 0.3.0
 */
export const makeCollector = (): Collector => {
  let content = ""
  let thinking = ""
  const toolCalls: Array<ToolCall> = []
  let final: FinalChunk | undefined
  return {
    add: (chunk) => {
      content += chunk.content
      if (chunk.thinking !== undefined) thinking += chunk.thinking
      for (const call of chunk.toolCalls ?? []) toolCalls.push(call)
      if (chunk.isFinal) final = chunk
    },
    completion: () =>
      final === undefined
        ? Result.fail(new StreamTruncated())
        : Result.succeed({
            content,
            ...(thinking === "" ? {} : { thinking }),
            toolCalls,
            ...Struct.omit(final, ["content", "isFinal", "thinking", "toolCallDeltas", "toolCalls"])
          })
  }
}

/**
 * Folds chunks into one value, for a stream that you have changed or recorded. Fails with `StreamTruncated` if there is
 * no final chunk. A failure of the stream is passed on, and the text before it is lost.
 *
 * @category constructors
 */
export const fromStream = <E, R>(
  chunks: Stream.Stream<StreamingChunk, E, R>
): Effect.Effect<Completion, E | StreamTruncated, R> =>
  Effect.suspend(() => {
    const { add, completion } = makeCollector()
    return Effect.flatMap(
      Stream.runForEachArray(chunks, (array) => Effect.sync(() => array.forEach(add))),
      () => Effect.fromResult(completion())
    )
  })

/**
 * The JSON text of a completion: its content without a Markdown code block around it, or its thinking if there is no
 * content. LM Studio puts the text of some models that think into their thinking.
 *
 * @category accessors
 * @since 0.3.0
 */
export const jsonText = ({ content, thinking = "" }: Completion): string =>
  Json.withoutFence((content.trim() === "" ? thinking : content).trim())

/**
 * The value of a completion whose text is JSON. Fails with `InvalidAnswer` if it is not JSON or does not match the
 * schema.
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
