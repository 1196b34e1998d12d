import { describe, expect, it } from "@effect/vitest"
import * as Text from "../../src/cli/text.ts"

const clean = (isTerminal: boolean, pieces: ReadonlyArray<string>): string => {
  const cleaner = Text.makeCleaner(isTerminal)
  return pieces.map(cleaner.add).join("") + cleaner.end()
}

/** What a sink of bytes gets: every piece is encoded on its own. */
const encode = (isTerminal: boolean, pieces: ReadonlyArray<string>): string => {
  const cleaner = Text.makeCleaner(isTerminal)
  return Buffer.concat([...pieces.map(cleaner.add), cleaner.end()].map((text) => Buffer.from(text))).toString()
}

const hostile = "a\u001B[2Jb\u001B]0;title\u0007c\u009B31md\u0008e\rf\0g\u007Fh\u202Ei\u2066j\u0085k"
const harmless = "a␛[2Jb␛]0;title␇c\uFFFD31md␈e␍f␀g␡h\uFFFDi\uFFFDj\uFFFDk"

describe("text for output", () => {
  it("on a terminal, has no control characters", () => {
    expect(clean(true, [hostile])).toBe(harmless)
    expect(clean(true, [...hostile])).toBe(harmless)
  })

  it("elsewhere, is unchanged", () => {
    expect(clean(false, [...hostile])).toBe(hostile)
  })

  it("on a terminal, keeps tabs, line ends, combined characters and text that runs from right to left", () => {
    const text = "a\tb\nc 👩‍👩‍👧 é e\u0301 שלום مرحبا\u200F"
    expect(clean(true, [text])).toBe(text)
    expect(clean(true, ["a\r\nb"])).toBe("a\nb")
    expect(clean(true, ["a\r", "\nb\r"])).toBe("a\nb␍")
  })

  it.each([true, false])("joins characters wherever they are split (terminal: %s)", (isTerminal) => {
    const text = "x👩‍👩‍👧y😀😀z\r\n𝕏"
    const expected = isTerminal ? text.replace("\r\n", "\n") : text
    for (let first = 0; first <= text.length; first++) {
      for (let second = first; second <= text.length; second++) {
        const pieces = [text.slice(0, first), text.slice(first, second), text.slice(second)]
        expect(encode(isTerminal, pieces)).toBe(expected)
      }
    }
    expect(encode(isTerminal, text.split(""))).toBe(expected)
  })

  it("loses nothing around half a character", () => {
    expect(encode(false, ["a\uD83D", "b", "\uDE00c\uD83D"])).toBe("a\uFFFDb\uFFFDc\uFFFD")
  })

  it("keeps its value as JSON, where controls are escaped", () => {
    const value = { "a\u009B31m": "b\u202Ec\u2066\x7F\u001B[2J\u0085 é😀\u2028" }
    const escaped = Text.escapeControls(JSON.stringify(value))
    expect(JSON.parse(escaped)).toEqual(value)
    expect(escaped).toBe(Text.replaceControls(escaped))
  })

  it("is put on a single line", () => {
    expect(Text.toSingleLine("a\r\n  b\n\nc\u2028d\u001B[0m")).toBe("a b c d␛[0m")
  })
})
