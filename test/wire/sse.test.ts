/** The rules of the HTML standard, sections 9.2.5 and 9.2.6, from bytes to events. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Sse from "../../src/http/sse.ts"
import { cutBy, encode } from "../support/bytes.ts"
import type { Protocol } from "../support/decoding.ts"
import { decode } from "../support/decoding.ts"

/** Every event as a chunk. */
const events: Protocol = {
  framing: "sse",
  decoder: () => ({
    record: ({ data, name }, chunks) => {
      chunks.push({ content: JSON.stringify([name, data]), isFinal: false })
      return "open"
    },
    end: (chunks) => {
      chunks.push({ content: "", isFinal: true, model: "m", finishReason: "stop" })
      return "complete"
    }
  })
}

type Event = readonly [name: string, data: string]

interface Row {
  readonly text: string
  readonly events: ReadonlyArray<Event>
  /** The event without an empty line after it. */
  readonly rest?: Event
}

const data = (...values: ReadonlyArray<string>): ReadonlyArray<Event> => values.map((value) => ["", value])

const rules: Readonly<Record<string, Row>> = {
  "a byte order mark at the start is dropped": { text: "\ufeffdata: a\n\n", events: data("a") },
  "a second byte order mark belongs to the name of the field": {
    text: "\ufeff\ufeffdata: a\ndata: b\n\n",
    events: data("b")
  },
  "a byte order mark inside the text stays": { text: "data: a\n\ndata: \ufeffb\n\n", events: data("a", "\ufeffb") },

  "LF ends a line": { text: "data: a\n\ndata: b\n\n", events: data("a", "b") },
  "CR ends a line": { text: "data: a\r\rdata: b\r\r", events: data("a", "b") },
  "CRLF ends a line": { text: "data: a\r\n\r\ndata: b\r\n\r\n", events: data("a", "b") },
  "line ends may be mixed": {
    text: "data: a\n\r\ndata: b\r\ndata: c\r\n\ndata: d\r\r\n",
    events: data("a", "b\nc", "d")
  },
  "LF CR are two line ends": { text: "data: a\n\rdata: b\n\n", events: data("a", "b") },
  "no other character ends a line": {
    text: "data: a\u2028b\u2029c\u0085d\u000be\u000cf\u0000g\n\n",
    events: data("a\u2028b\u2029c\u0085d\u000be\u000cf\u0000g")
  },
  "characters of several bytes": { text: "data: é中😀\n\n", events: data("é中😀") },

  "a line that begins with a colon is a comment": { text: ": a\n:\n:data: b\ndata: c\n\n", events: data("c") },
  "the first colon separates name and value": { text: "data: a: b:c\n\n", events: data("a: b:c") },
  "one space after the colon is dropped": { text: "data: a\n\ndata:b\n\ndata:  c\n\n", events: data("a", "b", " c") },
  "a tab after the colon stays": { text: "data:\ta\n\n", events: data("\ta") },
  "spaces at the end stay": { text: "data: a \n\n", events: data("a ") },
  "a line without a colon is a name with an empty value": { text: "data\n\n", events: data("") },

  "values of data are joined by LF": { text: "data: a\ndata:\ndata: b\n\n", events: data("a\n\nb") },
  "the last event field counts": { text: "event: a\nevent: b\ndata: x\n\n", events: [["b", "x"]] },
  "an event field may follow the data": { text: "data: x\nevent: a\n\n", events: [["a", "x"]] },
  "an empty event field removes the name": { text: "event: a\nevent\ndata: x\n\n", events: data("x") },
  "id and retry are ignored": { text: "id: 1\nretry: 10\nid: a\u0000b\nretry: x\ndata: a\n\n", events: data("a") },
  "unknown fields are ignored": { text: "foo: bar\nfoo\ndata: a\n\n", events: data("a") },
  "names are case-sensitive": { text: "Data: a\nDATA: b\ndata: c\n\n", events: data("c") },
  "names are not trimmed": { text: " data: a\ndata : b\ndata: c\n\n", events: data("c") },

  "an empty line ends the event": { text: "data: a\n\n\n\ndata: b\n\n", events: data("a", "b") },
  "an event without data is dropped with its name": {
    text: "event: a\n\ndata: x\n\n",
    events: data("x")
  },
  "the name does not carry over": {
    text: "event: a\ndata: x\n\ndata: y\n\n",
    events: [
      ["a", "x"],
      ["", "y"]
    ]
  },
  "a lone data line makes an empty event": { text: "data:\n\n", events: data("") },
  "two data lines without values make a line end": { text: "data\ndata\n\n", events: data("\n") },

  "an event without an empty line is kept apart": {
    text: "data: a\n\nevent: e\ndata: b\n",
    events: data("a"),
    rest: ["e", "b"]
  },
  "an event without a line end is kept apart": { text: "data: a\n\ndata: b", events: data("a"), rest: ["", "b"] },
  "fields without data are not an event": { text: "data: a\n\nevent: e\n: c", events: data("a") },

  "the standard's first example": { text: "data: YHOO\ndata: +2\ndata: 10\n\n", events: data("YHOO\n+2\n10") },
  "the standard's second example": {
    text: ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
    events: data("first event", "second event", " third event")
  },
  "the standard's third example": { text: "data\n\ndata\ndata\n\ndata:", events: data("", "\n"), rest: ["", ""] },
  "the standard's fourth example": { text: "data:test\n\ndata: test\n\n", events: data("test", "test") }
}

describe("server-sent events", () => {
  for (const [rule, row] of Object.entries(rules)) {
    it.effect(rule, () =>
      Effect.gen(function* () {
        const expected = [...row.events, ...(row.rest === undefined ? [] : [row.rest])]
        for (const lengths of [[1000], [1], [2, 3]]) {
          const chunks = yield* Stream.runCollect(decode(events, cutBy(encode(row.text), lengths)))
          expect(chunks.slice(0, -1).map((chunk): unknown => JSON.parse(chunk.content))).toEqual(expected)
        }
      })
    )
  }
})

describe("a line that is JSON", () => {
  it("is an error event if it has an error", () => {
    const line = '{"error":{"message":"boom"}}'
    expect(Sse.make(100).line(line)).toEqual({ name: "error", data: line })
  })

  it("is a ParseError otherwise", () => {
    for (const line of ['{"choices":[]}', '{"error":null}', "{oops", '{"err']) {
      expect(Sse.make(100).line(line)).toMatchObject({ _tag: "ParseError" })
    }
  })
})

describe("the bound of an event", () => {
  const feed = (maxBytes: number, lines: ReadonlyArray<string>) => {
    const parser = Sse.make(maxBytes)
    return lines.map((line) => parser.line(line))
  }
  const tooLong = { _tag: "LineTooLong" }

  it("counts the bytes of all data lines and their line ends", () => {
    expect(feed(5, ["data: ab", "data: cd"])).toEqual([undefined, undefined])
    expect(feed(4, ["data: ab", "data: cd"])).toMatchObject([undefined, tooLong])
    expect(feed(7, ["data: é", "data: 中", "data:"])).toEqual([undefined, undefined, undefined])
    expect(feed(6, ["data: é", "data: 中", "data:"])).toMatchObject([undefined, undefined, tooLong])
  })

  it("counts empty data lines too", () => {
    expect(
      feed(
        3,
        Array.from({ length: 5 }, () => "data")
      ).at(-1)
    ).toMatchObject(tooLong)
  })

  it("counts each event anew", () => {
    expect(feed(5, ["data: ab", "data: cd", "", "data: ab", "data: cd", ""]).at(-1)).toEqual({
      name: "",
      data: "ab\ncd"
    })
  })
})

it("an event of a million data lines takes linear time", () => {
  const parser = Sse.make(100_000_000)
  for (let i = 0; i < 1_000_000; i++) parser.line("data: abcdefgh")
  expect(parser.line("")).toMatchObject({ data: expect.stringMatching(/^abcdefgh\nabcdefgh\n/) })
})
