/** Bytes to text: the same for any cut of the bytes, as soon as a line is complete, and never more of it than a block. */
import { describe, expect, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as BoundedText from "../../src/http/boundedText.ts"
import type { ProviderErrorReason } from "../../src/ProviderError.ts"
import { NetworkError } from "../../src/ProviderError.ts"
import { cutBy, encode } from "../support/bytes.ts"

const broken = new NetworkError({ description: "socket closed" })
const toReason = (reason: ProviderErrorReason) => reason

const part = Arbitrary.schema(
  Schema.Literals(["", "a", "é", "中😀", "\n", "\r", "\r\n", "\n\n", "x".repeat(5000), "y\r".repeat(3000)])
)
const cut = Arbitrary.all({
  lengths: Arbitrary.array(Arbitrary.schema(Schema.Literals([1, 2, 3, 7, 255, 4096, 4097, 70_000])), { minLength: 1 }),
  together: Arbitrary.schema(Schema.Literals([1, 2, 1000]))
})

/** The lines of a text, by the rule of `Stream.splitLines`. */
const linesOf = (text: string): Array<string> => {
  const lines = text.split(/\r\n|\n|\r/)
  return lines.at(-1) === "" ? lines.slice(0, -1) : lines
}

describe("any cut of the bytes", () => {
  it.effect.prop(
    "gives the same lines and the same whole",
    { parts: Arbitrary.array(part), cut },
    ({ cut, parts }) =>
      Effect.gen(function* () {
        const text = parts.join("")
        const pieces = cutBy(encode(text), cut.lengths)
        const body = Stream.fromIterable(pieces, { chunkSize: cut.together })
        const options = { maxBytes: 100_000_000, toReason }
        const lines = Stream.splitLines(BoundedText.make(body, { ...options, unit: "line" }))
        expect(yield* Stream.runCollect(lines)).toEqual(linesOf(text))
        expect(yield* BoundedText.whole(body, options)).toBe(text)
      }),
    { arbitrary: { runs: 200 } }
  )

  it.effect.prop(
    "gives all that came before a failure, or before the bound",
    { parts: Arbitrary.array(part), cut, maxBytes: Arbitrary.schema(Schema.Literals([1, 10, 5000, 70_000])) },
    ({ cut, maxBytes, parts }) =>
      Effect.gen(function* () {
        const bytes = encode(parts.join(""))
        const pieces = Stream.fromIterable(cutBy(bytes, cut.lengths), { chunkSize: cut.together })
        const body = Stream.concat(pieces, Stream.fail(broken))
        let text = ""
        const failure = yield* BoundedText.make(body, { maxBytes, unit: "body", toReason }).pipe(
          Stream.runForEach((part) => Effect.sync(() => (text += part))),
          Effect.flip
        )
        const isTooLong = bytes.length > maxBytes
        expect(text).toBe(new TextDecoder().decode(bytes.subarray(0, maxBytes), { stream: isTooLong }))
        expect(failure._tag).toBe(isTooLong ? "LineTooLong" : "NetworkError")
      }),
    { arbitrary: { runs: 200 } }
  )
})

it.effect("a line is given as soon as it is complete, however its bytes come", () =>
  Effect.gen(function* () {
    for (const lineEnd of ["\n", "\r", "\r\n"]) {
      for (const length of [1, 2, 1000]) {
        const first = `${"a".repeat(length)}${lineEnd}`
        for (const pieces of [[first], [...first], ["a", first.slice(1)], [`${first}b`], ["b\n", first, "c"]]) {
          const body = Stream.concat(Stream.fromIterable(pieces.map(encode), { chunkSize: 1 }), Stream.never)
          const lines = Stream.splitLines(
            BoundedText.make<ProviderErrorReason>(body, { maxBytes: 10_000, unit: "line", toReason })
          )
          const expected = linesOf(pieces.join("")).filter((line) => line === "b" || line.length === length)
          const seen = yield* Stream.runCollect(Stream.take(lines, pieces[0] === "b\n" ? 2 : 1))
          expect(seen).toEqual(expected.slice(0, seen.length))
        }
      }
    }
  })
)

it.effect("a large piece is given in blocks, and small ones are collected", () =>
  Effect.gen(function* () {
    const block = 64 * 1024
    for (const pieces of [[encode("ab\n".repeat(200_000))], cutBy(encode("x".repeat(600_000)), [1])]) {
      const body = Stream.fromIterable(pieces)
      let count = 0
      yield* BoundedText.make<ProviderErrorReason>(body, { maxBytes: 10_000_000, unit: "line", toReason }).pipe(
        Stream.runForEachArray((texts) =>
          Effect.sync(() => {
            expect(texts.join("").length).toBeLessThanOrEqual(2 * block)
            count += texts.length
          })
        )
      )
      expect(count).toBeLessThanOrEqual(2 + Math.ceil((2 * 600_000) / block))
    }
  })
)
