/** Thinking between tags inside the answer. */
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Completion from "../../src/Completion.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import { NetworkError } from "../../src/ProviderError.ts"
import type { StreamingChunk } from "../../src/StreamingChunk.ts"
import * as Thinking from "../../src/Thinking.ts"

const final: StreamingChunk = { content: "", isFinal: true, model: "m", finishReason: "stop" }
const chunk = (content: string): StreamingChunk => ({ content, isFinal: false })

const read = (pieces: ReadonlyArray<string>, options?: Thinking.Options) =>
  Effect.map(
    Completion.fromStream(Thinking.split(Stream.fromIterable([...pieces.map(chunk), final]), options)),
    ({ content, thinking = "" }) => ({ content, thinking })
  )

const answers: ReadonlyArray<[text: string, content: string, thinking: string]> = [
  ["<think>why</think>because", "because", "why"],
  ["\n <think>\nwhy\n</think>\n\nbecause\n", "because\n", "\nwhy\n"],
  ["<think></think>because", "because", ""],
  ["<think>why", "", "why"],
  ["<think>why</thin", "", "why</thin"],
  ["<think>a < b </ c</think>d", "d", "a < b </ c"],
  ["<think>a</think><think>b</think>", "<think>b</think>", "a"],
  ["because", "because", ""],
  ["the tag <think>is</think> text", "the tag <think>is</think> text", ""],
  ["<thin", "<thin", ""],
  ["  <thin air", "  <thin air", ""],
  ["<<think>x", "<<think>x", ""],
  [" ".repeat(3000), " ".repeat(3000), ""],
  ["", "", ""]
]

for (const [text, content, thinking] of answers) {
  it.effect(`${JSON.stringify(text.slice(0, 40))}, however it is cut`, () =>
    Effect.gen(function* () {
      expect(yield* read([text])).toEqual({ content, thinking })
      expect(yield* read([...text])).toEqual({ content, thinking })
      for (let at = 0; at <= Math.min(text.length, 60); at++) {
        expect(yield* read([text.slice(0, at), "", text.slice(at)])).toEqual({ content, thinking })
      }
    })
  )
}

const part = Schema.Literals(["<think>", "</think>", "<", "think>", "</", " ", "\n", "a", "é😀"])
const parts = Schema.Array(part).check(Schema.isMaxLength(12))

it.effect.prop(
  "any text, cut anywhere, loses nothing but its tags and the white space around them",
  { parts },
  ({ parts }) =>
    Effect.gen(function* () {
      const cut = yield* read(parts)
      expect(cut).toEqual(yield* read([parts.join("")]))
      const squeeze = (text: string) => text.replaceAll(/\s|<think>|<\/think>/g, "")
      expect(squeeze(cut.thinking) + squeeze(cut.content)).toBe(squeeze(parts.join("")))
    })
)

it.effect("an answer that begins inside the thinking, and other tags", () =>
  Effect.gen(function* () {
    expect(yield* read(["why</think>", "because"], { startsInside: true })).toEqual({
      content: "because",
      thinking: "why"
    })
    const options = { open: "[THINK]", close: "[/THINK]" }
    expect(yield* read(["[THI", "NK]why[/TH", "INK]because"], options)).toEqual({ content: "because", thinking: "why" })
  })
)

it.effect("text that cannot be a tag is not held back, and later chunks are passed on unchanged", () =>
  Effect.gen(function* () {
    const chunks = [chunk("<think>a"), chunk("b<"), chunk("c"), chunk("</think>"), chunk(" d"), chunk("e"), final]
    const split = yield* Stream.runCollect(Thinking.split(Stream.fromIterable(chunks).pipe(Stream.rechunk(1))))
    expect(split.map(({ content, thinking }) => [content, thinking])).toEqual([
      ["", "a"],
      ["", "b"],
      ["", "<c"],
      ["", undefined],
      ["d", undefined],
      ["e", undefined],
      ["", undefined]
    ])
    expect(split[5]).toBe(chunks[5])
    expect(split[6]).toBe(final)
  })
)

it.effect("white space at the beginning is held back up to a bound", () =>
  Effect.gen(function* () {
    const spaces = Array.from({ length: 100 }, () => chunk(" ".repeat(100)))
    const split = yield* Stream.runCollect(Thinking.split(Stream.rechunk(Stream.fromIterable(spaces), 1)))
    expect(split.map(({ content }) => content).join("").length).toBe(10_000)
    expect(Math.max(...split.map(({ content }) => content.length))).toBeLessThanOrEqual(1100)
  })
)

it.effect("thinking of the server comes before what is split from the same chunk", () =>
  Effect.gen(function* () {
    const both = { content: "<think>second</think>text", thinking: "first ", isFinal: false } as const
    const [split] = yield* Stream.runCollect(Thinking.split(Stream.succeed(both)))
    expect(split).toEqual({ content: "text", thinking: "first second", isFinal: false })
  })
)

it.effect("what is held back is delivered before a failure", () =>
  Effect.gen(function* () {
    const failure = new NetworkError({})
    for (const [text, expected] of [
      ["<thi", { content: "<thi", isFinal: false }],
      ["<think>a</thi", { content: "", thinking: "</thi", isFinal: false }]
    ] as const) {
      const received: Array<StreamingChunk> = []
      const broken = Stream.concat(Stream.succeed(chunk(text)), Stream.fail(failure))
      const error = yield* Effect.flip(
        Stream.runForEach(Thinking.split(broken), (each) => Effect.sync(() => received.push(each)))
      )
      expect(error).toBe(failure)
      expect(received.at(-1)).toEqual(expected)
    }
  })
)

it.effect("as a policy: thinking of the server stays, and an answer of thinking only has no content", () =>
  Effect.gen(function* () {
    const mock = yield* MockProvider.make([
      { thinking: "first " },
      "<think>then",
      { isFinal: true, finishReason: "length" }
    ])
    const completion = yield* Thinking.apply(mock).complete({ model: "m", prompt: "x" })
    expect(completion).toMatchObject({ content: "", thinking: "first then", finishReason: "length" })
  })
)
