/** What a gateway writes for Ollama's clients, read by our own. */
import { describe, expect, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Completion from "../../src/Completion.ts"
import * as Endpoints from "../../src/protocol/ollama/endpoints.ts"
import * as Response from "../../src/protocol/ollama/servedResponse.ts"
import type { StreamingChunk } from "../../src/StreamingChunk.ts"
import { summarize } from "../support/answers.ts"
import { cutBy, encode } from "../support/bytes.ts"
import * as Chunks from "../support/chunks.ts"
import { decode } from "../support/decoding.ts"
import { record } from "../support/transcript.ts"

const context = { model: "m", id: "x", createdAt: 1_767_323_045_678 }

const cut = Arbitrary.array(Arbitrary.schema(Schema.Literals([1, 2, 3, 7, 31, 257])), { minLength: 1, maxLength: 6 })

/** What no record of Ollama can say: fragments of calls, which follow as whole ones. */
const meaning = (chunks: ReadonlyArray<StreamingChunk>) => {
  const last = chunks.at(-1)
  const final = last?.isFinal === true ? last : undefined
  const { load, prompt, total, completion } = final?.timings ?? {}
  return {
    ...summarize(chunks),
    spelled: [],
    cached: final?.usage?.cachedTokens,
    timings: [total, load, prompt, completion].map((time) => Option.getOrUndefined(Duration.toNanos(time ?? Infinity)))
  }
}

describe.each([
  { name: "chat", form: Response.message, protocol: Endpoints.chat },
  { name: "generate", form: Response.response, protocol: Endpoints.generate }
])("$name", ({ form, protocol }) => {
  const write = (chunks: ReadonlyArray<StreamingChunk>): ReadonlyArray<string> => {
    const writer = Response.makeWriter(form, context)
    return chunks.map(writer.chunk)
  }

  it.effect.prop("what was written is read again, however it is cut", { chunks: Chunks.completion, cut }, (input) =>
    Effect.gen(function* () {
      const bytes = encode(write(input.chunks).join(""))
      const read = yield* Stream.runCollect(decode(protocol, cutBy(bytes, input.cut)))
      expect(meaning(read)).toEqual(meaning(input.chunks))
    })
  )

  it.effect.prop(
    "each record arrives with its chunk, and each is a line of its own",
    { chunks: Chunks.completion },
    (input) =>
      Effect.sync(() => {
        for (const [i, text] of write(input.chunks).entries()) {
          const { content, isFinal, thinking, toolCalls } = input.chunks[i] ?? { content: "", isFinal: false }
          const hasParts = content !== "" || thinking !== undefined || toolCalls !== undefined
          const lines = text.split("\n")
          expect(lines.pop()).toBe("")
          expect(lines).toHaveLength((hasParts ? 1 : 0) + (isFinal ? 1 : 0))
          expect(lines.map((line) => JSON.parse(line).done)).toEqual([
            ...(hasParts ? [false] : []),
            ...(isFinal ? [true] : [])
          ])
        }
      })
  )

  it.effect.prop("the whole response is read as the same completion", { chunks: Chunks.completion }, ({ chunks }) =>
    Effect.gen(function* () {
      const completion = yield* Completion.fromStream(Stream.fromIterable(chunks))
      const body = JSON.stringify(Response.encode(form, completion, context))
      const read = yield* Stream.runCollect(decode(protocol, [encode(body)]))
      expect(meaning(read)).toEqual(meaning(chunks))
    })
  )

  it.effect.prop("without its end it is incomplete", { chunks: Chunks.completion }, ({ chunks }) =>
    Effect.gen(function* () {
      const body = write(chunks.slice(0, -1)).join("")
      const read = yield* record(decode(protocol, [encode(body)]))
      expect(read.failure).toEqual({ _tag: "StreamTruncated" })
    })
  )
})
