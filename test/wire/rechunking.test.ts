/** However the network cuts an answer, the same chunks come out of it; and wherever it is cut off, it is never taken for whole. */
import { describe, expect, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { NetworkError } from "../../src/ProviderError.ts"
import { summarize, wires } from "../support/answers.ts"
import { cutBy, encode } from "../support/bytes.ts"
import { decode } from "../support/decoding.ts"
import { record } from "../support/transcript.ts"

/** Lengths of pieces, and how many of them come with one pull. */
const cut = Arbitrary.all({
  lengths: Arbitrary.array(Arbitrary.schema(Schema.Literals([1, 2, 3, 5, 7, 31, 64, 257])), {
    minLength: 1,
    maxLength: 6
  }),
  together: Arbitrary.schema(Schema.Literals([1, 3, 1000]))
})

/** A place in the answer, as a share of its length. */
const place = Arbitrary.schema(Schema.Finite.check(Schema.isBetween({ minimum: 0, maximum: 1 })))

const broken = new NetworkError({ description: "socket closed" })

describe.each(wires)("$name", ({ protocol, written }) => {
  it.effect.prop("an answer means what the model said", { written }, ({ written }) =>
    Effect.gen(function* () {
      const chunks = yield* Stream.runCollect(decode(protocol, [encode(written.text)]))
      expect(summarize(chunks)).toEqual(written.summary)
    })
  )

  it.effect.prop("any cut of its bytes gives the same chunks", { written, cut }, ({ cut, written }) =>
    Effect.gen(function* () {
      const bytes = encode(written.text)
      const whole = yield* Stream.runCollect(decode(protocol, [bytes]))
      const cutUp = yield* Stream.runCollect(decode(protocol, cutBy(bytes, cut.lengths), cut))
      expect(cutUp).toEqual(whole)
    })
  )

  it.effect.prop(
    "cut off anywhere, it gives what came before, and fails with what cut it",
    { written, cut, place, isBroken: Schema.Boolean },
    ({ cut, isBroken, place, written }) =>
      Effect.gen(function* () {
        const bytes = encode(written.text)
        const head = bytes.subarray(0, Math.floor(place * bytes.length))
        const whole = yield* record(decode(protocol, [bytes]))
        const seen = yield* record(
          decode(protocol, cutBy(head, cut.lengths), { ...cut, broken: isBroken ? broken : undefined })
        )
        // After the finish reason, only usage can be lost.
        if (seen.failure === undefined) {
          expect({ ...seen, final: { ...seen.final, usage: [] } }).toEqual({
            ...whole,
            final: { ...whole.final, usage: [] }
          })
        } else {
          expect(seen.failure).toEqual(isBroken ? { ...broken } : { _tag: "StreamTruncated" })
          expect(whole.pieces.startsWith(seen.pieces)).toBe(true)
        }
      })
  )
})
