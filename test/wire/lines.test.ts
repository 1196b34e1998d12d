/** The bound on a line, and how a body ends, independent of the protocol. */
import { describe, expect, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Lines from "../../src/http/lines.ts"
import type { ProviderErrorReason } from "../../src/ProviderError.ts"
import { NetworkError, ParseError, ProviderError, StreamError } from "../../src/ProviderError.ts"
import { cutBy, encode } from "../support/bytes.ts"
import type { Protocol } from "../support/decoding.ts"
import { decode, read } from "../support/decoding.ts"
import { record } from "../support/transcript.ts"

/** One chunk for each line. `end` is the last one, `bad` violates the protocol, `fail` is a failure that the server reports. */
const echo: Protocol = {
  framing: "ndjson",
  decoder: () => ({
    record: ({ data: content }, chunks) => {
      if (content === "bad" || content === "ba") return new ParseError({ excerpt: Redacted.make(content) })
      if (content === "fail") return new StreamError({})
      if (content === "end") {
        chunks.push({ content, isFinal: true, model: "m", finishReason: "stop" })
        return "complete"
      }
      chunks.push({ content, isFinal: false })
      return "open"
    }
  })
}

const broken = new NetworkError({ description: "socket closed" })

const cut = Arbitrary.all({
  lengths: Arbitrary.array(Arbitrary.schema(Schema.Literals([1, 2, 3, 7, 20, 100])), { minLength: 1 }),
  together: Arbitrary.schema(Schema.Literals([1, 2, 1000]))
})

describe("the bound", () => {
  const maxLineBytes = 16
  const line = Arbitrary.schema(
    Schema.Literals([
      "",
      "a",
      "é",
      "bad",
      "a".repeat(15),
      "é".repeat(8),
      "😀".repeat(4),
      "a".repeat(17),
      "é中😀".repeat(30)
    ])
  )
  const isTooLong = (text: string): boolean => encode(text).length > maxLineBytes

  it.effect.prop(
    "lets exactly so many bytes pass, however they are cut; the first line at fault ends the stream, after those before it",
    { lines: Arbitrary.array(line), lineEnd: Schema.Literals(["\n", "\r\n", "\r"]), cut },
    ({ cut, lineEnd, lines }) =>
      Effect.gen(function* () {
        const firstWrong = lines.findIndex((text) => text === "bad" || isTooLong(text))
        const wrong = lines[firstWrong]
        const pieces = lines.slice(0, firstWrong === -1 ? undefined : firstWrong).filter((text) => text !== "")
        const bytes = encode(lines.map((text) => text + lineEnd).join(""))
        const seen = yield* record(decode(echo, cutBy(bytes, cut.lengths), { ...cut, maxLineBytes }))
        expect(seen.pieces).toBe(pieces.map((text) => `${text}|`).join(""))
        expect(seen.failure).toMatchObject(
          // A last line that is not JSON may be the beginning of one.
          wrong === undefined || (wrong === "bad" && firstWrong === lines.length - 1)
            ? { _tag: "StreamTruncated" }
            : wrong === "bad"
              ? { _tag: "ParseError" }
              : { _tag: "LineTooLong", limit: maxLineBytes }
        )
      }),
    { arbitrary: { runs: 300 } }
  )

  it.effect("is not passed by a record that more bytes follow", () =>
    Effect.gen(function* () {
      for (const lengths of [[100], [3], [4], [1]]) {
        const seen = yield* record(decode(echo, cutBy(encode("a\nend \n"), lengths), { maxLineBytes: 3 }))
        expect(seen).toEqual({ pieces: "a|", failure: { _tag: "LineTooLong", limit: 3 } })
      }
    })
  )

  it.effect("stops an endless line, and reads no more of it than one piece", () =>
    Effect.gen(function* () {
      let pulled = 0
      const endless = Stream.fromIterable(
        (function* () {
          for (;;) {
            pulled++
            yield new Uint8Array(1024).fill(0x61)
          }
        })(),
        { chunkSize: 1 }
      )
      const seen = yield* record(decodeBody(endless, 10 * 1024))
      expect(seen.failure).toEqual({ _tag: "LineTooLong", limit: 10 * 1024 })
      expect(pulled).toBeLessThanOrEqual(12)
    })
  )
})

describe("the end of the body", () => {
  const table: ReadonlyArray<
    readonly [what: string, body: string, broken: ProviderErrorReason | undefined, pieces: string, failure?: string]
  > = [
    ["a whole answer", "a\nend\n", undefined, "a|end"],
    ["an unterminated last line that is whole", "a\nend", undefined, "a|end"],
    ["an unterminated last line that is whole, then a cut", "a\nend", broken, "a|", "NetworkError"],
    ["an end without an end marker", "a\nb\n", undefined, "a|b|", "StreamTruncated"],
    ["an empty body", "", undefined, "", "StreamTruncated"],
    ["half a line", "a\nba", undefined, "a|", "StreamTruncated"],
    ["half a line, then a cut", "a\nba", broken, "a|", "NetworkError"],
    ["a cut between lines", "a\nb\n", broken, "a|b|", "NetworkError"],
    ["a cut at once", "", broken, "", "NetworkError"],
    ["an unterminated failure of the server", "a\nfail", undefined, "a|", "StreamError"],
    ["an unterminated failure of the server, then a cut", "a\nfail", broken, "a|", "NetworkError"],
    ["a last line that is not JSON", "a\nbad\n", undefined, "a|", "StreamTruncated"],
    ["a line of white space", "a\n \t \nend\n", undefined, "a|end"],
    ["a bad line that is ended, then a cut", "a\nbad\n", broken, "a|", "ParseError"],
    ["a bad line, then others", "a\nbad\nb\nend\n", undefined, "a|", "ParseError"],
    ["something after the end", "a\nend\nb\nbad\n", undefined, "a|end"],
    ["a cut after the end", "a\nend\n", broken, "a|end"],
    ["no line feed but carriage returns", "a\rb\rend\r", undefined, "a|b|end"]
  ]
  for (const [what, body, broken, pieces, failure] of table) {
    it.effect(what, () =>
      Effect.gen(function* () {
        for (const lengths of [[1000], [1], [2, 3]]) {
          const seen = yield* record(decode(echo, cutBy(encode(body), lengths), { broken }))
          expect([seen.pieces, seen.failure?._tag]).toEqual([pieces, failure])
        }
      })
    )
  }

  it.effect("a broken body drops an unterminated last line", () =>
    Effect.gen(function* () {
      const seen = yield* record(decode(echo, [encode("a\nb😀").subarray(0, -2)], { broken }))
      expect(seen).toEqual({ pieces: "a|", failure: { ...broken } })
    })
  )
})

it.effect("a chunk is emitted before the next line arrives", () =>
  Effect.gen(function* () {
    const seen = yield* decodeBody(Stream.concat(Stream.make(encode("a\nb\nc")), Stream.never)).pipe(
      Stream.take(2),
      Stream.runCollect
    )
    expect(seen.map((chunk) => chunk.content)).toEqual(["a", "b"])
  })
)

it.effect("every run decodes anew", () =>
  Effect.gen(function* () {
    const stream = decode(echo, [encode("a\nend\n")])
    expect(yield* record(stream)).toEqual(yield* record(stream))
    expect(yield* read(echo, "a\nend\n")).toEqual(yield* record(stream))
  })
)

function decodeBody(body: Stream.Stream<Uint8Array>, maxLineBytes = 1024) {
  return Lines.decode(body, {
    framing: echo.framing,
    decoder: echo.decoder({ model: "m", endpoint: "POST /test", maxLineBytes }),
    maxLineBytes,
    toReason: (reason) => reason,
    isAborted: () => false,
    onComplete: () => undefined
  }).pipe(Stream.mapError((reason) => new ProviderError({ provider: "test", reason })))
}
