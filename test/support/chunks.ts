/** Scripts of chunks as any provider may emit them, for laws of the protocols. */
import * as Arbitrary from "effect/Arbitrary"
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import type { ContentChunk, FinalChunk, StreamingChunk, ToolCall } from "../../src/StreamingChunk.ts"

const oneOf = <const A extends ReadonlyArray<unknown>>(...values: A): Arbitrary.Arbitrary<A[number]> =>
  Arbitrary.map(
    Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: values.length - 1 }))),
    (index): A[number] => values[index]
  )

/** Texts with whatever means something to a parser on the way. */
const text = oneOf(
  "a",
  " sky",
  "é中😀",
  "\ud83d",
  "\u2028\u0085\ufeff",
  "\r\n\r\n",
  '"\\{}',
  "data: [DONE]",
  "event: error\n",
  '{"error":"no"}',
  '"done":true',
  "<think>"
)
const maybe = oneOf("", "", "a", "Hm")

const call = Arbitrary.all({
  name: oneOf("get_weather", "f"),
  value: oneOf({}, { city: "Åre 😀\ud83d" }, { deep: { list: [1, null, { x: false }] } }, { a: "}" }),
  isFragmented: oneOf(true, false)
})
type Call = typeof call extends Arbitrary.Arbitrary<infer A> ? A : never

const count = Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 100_000 })))

const usage = Arbitrary.map(Arbitrary.all([count, count, oneOf("none", "both", "all")]), ([prompt, completion, what]) =>
  what === "none"
    ? undefined
    : {
        promptTokens: prompt,
        completionTokens: completion,
        totalTokens: prompt + completion,
        ...(what === "all" ? { cachedTokens: Math.floor(prompt / 2) } : {})
      }
)

const timings = oneOf(undefined, {
  total: Duration.nanos(900_000_001n),
  load: Duration.zero,
  prompt: Duration.millis(30),
  completion: Duration.seconds(3600)
})

const parts = Arbitrary.array(
  Arbitrary.all({ content: Arbitrary.map(Arbitrary.array(text), (texts) => texts.join("")), thinking: maybe })
)

/** Fragments of a call, as the OpenAI-compatible servers send them. The whole call follows. */
const toFragments = ({ isFragmented, value }: Call, { id, name }: ToolCall, index: number): Array<ContentChunk> =>
  isFragmented
    ? [
        { content: "", isFinal: false, toolCallDeltas: [{ index, id, name, argumentsDelta: "" }] },
        { content: "", isFinal: false, toolCallDeltas: [{ index, argumentsDelta: JSON.stringify(value) }] }
      ]
    : []

/** Chunks of a completion, the last of them final. */
export const completion: Arbitrary.Arbitrary<ReadonlyArray<StreamingChunk>> = Arbitrary.map(
  Arbitrary.all({
    parts,
    calls: Arbitrary.array(call, { maxLength: 3 }),
    /** Whether the final chunk has the last calls and a text. */
    isLate: oneOf(true, false),
    lastText: maybe,
    reason: oneOf("stop", "length", "content-filter", "other"),
    usage,
    timings
  }),
  ({ calls, isLate, lastText, parts, reason, timings, usage }) => {
    const toolCalls = calls.map(({ name, value }, i): ToolCall => ({ id: `call_x${i}`, name, arguments: value }))
    const isOther = reason === "stop" || reason === "other"
    const final: FinalChunk = {
      content: isLate ? lastText : "",
      isFinal: true,
      model: "m",
      finishReason: toolCalls.length > 0 && isOther ? "tool-calls" : reason,
      ...(isLate && toolCalls.length > 0 ? { toolCalls } : {}),
      ...(usage === undefined ? {} : { usage }),
      ...(timings === undefined ? {} : { timings })
    }
    return [
      ...parts.map(({ content, thinking }): ContentChunk =>
        thinking === "" ? { content, isFinal: false } : { content, isFinal: false, thinking }
      ),
      ...toolCalls.flatMap((whole, i) => {
        const [each] = calls.slice(i)
        const fragments = each === undefined ? [] : toFragments(each, whole, i)
        return isLate ? fragments : fragments.concat({ content: "", isFinal: false, toolCalls: [whole] })
      }),
      final
    ]
  }
)
