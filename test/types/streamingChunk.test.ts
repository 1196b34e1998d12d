/** A chunk narrows by `isFinal`, and its JSON text stands for the same chunk. */
import { describe, expect, expectTypeOf, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { ContentChunk, FinalChunk, FinishReason } from "../../src/StreamingChunk.ts"
import { FromJsonString, StreamingChunk } from "../../src/StreamingChunk.ts"

const encode = Schema.encodeSync(FromJsonString)
const decode = Schema.decodeSync(FromJsonString)
const isEqual = Schema.toEquivalence(StreamingChunk)

const content: ContentChunk = { content: "a", isFinal: false }
const final: FinalChunk = { content: "", isFinal: true, model: "m", finishReason: "stop" }

/** Up to 11 days, with the precision of Ollama's timings. */
const duration = Arbitrary.map(
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1e15 }))),
  (nanoseconds) => Duration.nanos(BigInt(nanoseconds))
)
/** JSON leaves out fields without a value. */
const withoutUndefined = <A extends object>(value: A): A => {
  const copy = { ...value }
  for (const key in copy) if (copy[key] === undefined) Reflect.deleteProperty(copy, key)
  return copy
}

const chunk = Arbitrary.map(
  Arbitrary.all({ chunk: Arbitrary.schema(StreamingChunk), total: duration, load: duration }),
  ({ chunk, load, total }): StreamingChunk => {
    const toolCallDeltas = chunk.toolCallDeltas?.map(withoutUndefined)
    if (chunk.isFinal) {
      const usage = chunk.usage && withoutUndefined(chunk.usage)
      return withoutUndefined({ ...chunk, toolCallDeltas, usage, timings: { total, load } })
    }
    const promptProgress = chunk.promptProgress && withoutUndefined(chunk.promptProgress)
    return withoutUndefined({ ...chunk, toolCallDeltas, promptProgress })
  }
)

describe("the JSON text of a chunk", () => {
  it.prop("stands for the same chunk", { chunk }, ({ chunk }) => {
    const text = encode(chunk)
    expect(isEqual(decode(text), chunk)).toBe(true)
    expect(encode(decode(text))).toBe(text)
  })

  it("has durations as milliseconds, and leaves out fields without a value", () => {
    const timings = { total: Duration.seconds(2), load: Duration.nanos(1_500_000n), prompt: undefined }
    expect(JSON.parse(encode({ ...final, thinking: undefined, timings }))).toEqual({
      ...final,
      timings: { total: 2000, load: 1.5 }
    })
    expect(Schema.encodeSync(StreamingChunk)({ ...final, timings })).toMatchObject({
      timings: { total: 2000, load: 1.5 }
    })
  })

  it("is not written for a number that JSON does not have", () => {
    const encodeResult = Schema.encodeResult(FromJsonString)
    expect(Result.isFailure(encodeResult({ ...final, timings: { total: Duration.infinity } }))).toBe(true)
    expect(Result.isFailure(encodeResult({ ...final, usage: { totalTokens: Number.NaN } }))).toBe(true)
  })

  it("is rejected if it is not a chunk", () => {
    const isChunk = (value: object): boolean =>
      Result.isSuccess(Schema.decodeResult(FromJsonString)(JSON.stringify(value)))
    expect(isChunk(content)).toBe(true)
    expect(isChunk(final)).toBe(true)
    expect(isChunk({ ...final, finishReason: undefined })).toBe(false)
    expect(isChunk({ ...final, model: undefined })).toBe(false)
    expect(isChunk({ content: "a" })).toBe(false)
  })
})

it("isFinal narrows a chunk", () => {
  const describeChunk = (chunk: StreamingChunk): string => {
    if (!chunk.isFinal) {
      expectTypeOf(chunk).toEqualTypeOf<ContentChunk>()
      // @ts-expect-error only the final chunk has it
      expect(chunk.finishReason).toBeUndefined()
      return chunk.content
    }
    expectTypeOf(chunk.model).toEqualTypeOf<string>()
    expectTypeOf(chunk.finishReason).toEqualTypeOf<FinishReason>()
    return `${chunk.content} (${chunk.finishReason})`
  }
  expect([content, final].map(describeChunk)).toEqual(["a", " (stop)"])
  // @ts-expect-error a final chunk has a model and a finish reason
  const incomplete: StreamingChunk = { content: "", isFinal: true }
  expect(Schema.is(StreamingChunk)(incomplete)).toBe(false)
})
