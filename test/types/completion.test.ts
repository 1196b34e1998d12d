/** A completion is a fold of a stream. */
import { describe, expect, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Completion, Provider, ProviderError } from "../../src/index.ts"
import type { FinalChunk, StreamingChunk } from "../../src/StreamingChunk.ts"

const final: FinalChunk = { content: "", isFinal: true, model: "m", finishReason: "stop" }
const call = { id: "call_0", name: "f", arguments: {} }

const complete = (...chunks: ReadonlyArray<StreamingChunk>) => Completion.fromStream(Stream.fromIterable(chunks))

describe("fromStream", () => {
  it.effect("joins all chunks, the final one included", () =>
    Effect.gen(function* () {
      const timings = { total: Duration.seconds(1) }
      const completion = yield* complete(
        { content: "", isFinal: false, thinking: "Hm" },
        { content: "The ", isFinal: false, toolCalls: [call] },
        { content: "sky", isFinal: false, thinking: "!" },
        { ...final, content: ".", toolCalls: [call], usage: { totalTokens: 3 }, timings, responseId: "x" }
      )
      expect(completion).toEqual({
        content: "The sky.",
        thinking: "Hm!",
        toolCalls: [call, call],
        model: "m",
        finishReason: "stop",
        usage: { totalTokens: 3 },
        timings,
        responseId: "x"
      })
      expect(Schema.encodeSync(Completion.Completion)(completion).timings).toEqual({ total: 1000 })
    })
  )

  it.effect("has no fields for what was not reported", () =>
    Effect.map(complete(final), (completion) =>
      expect(completion).toEqual({ content: "", toolCalls: [], model: "m", finishReason: "stop" })
    )
  )

  it.effect("fails if there is no final chunk", () =>
    Effect.gen(function* () {
      expect(yield* Effect.flip(complete())).toBeInstanceOf(ProviderError.StreamTruncated)
      expect(yield* Effect.flip(complete({ content: "a", isFinal: false }))).toBeInstanceOf(
        ProviderError.StreamTruncated
      )
    })
  )

  it.effect("takes many tool calls in one chunk", () =>
    Effect.map(complete({ ...final, toolCalls: Array.from({ length: 300_000 }, () => call) }), ({ toolCalls }) =>
      expect(toolCalls.length).toBe(300_000)
    )
  )

  it.effect("can be run again", () =>
    Effect.gen(function* () {
      const effect = complete({ content: "a", isFinal: false, toolCalls: [call] }, final)
      expect(yield* effect).toEqual(yield* effect)
    })
  )
})

it.effect("a provider whose stream ends without a final chunk fails with its own name", () =>
  Effect.gen(function* () {
    const provider = Provider.make({
      name: "mine",
      stream: () => Stream.make({ content: "a", isFinal: false } as const),
      listModels: Effect.succeed([])
    })
    const error = yield* Effect.flip(provider.complete({ model: "m", prompt: "x" }))
    expect(error).toMatchObject({ provider: "mine", reason: { _tag: "StreamTruncated" } })
  })
)
