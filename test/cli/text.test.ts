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

  it.each([
    ["C0 controls", 0x00, 0x08],
    ["other C0 controls", 0x0e, 0x1f],
    ["DEL and C1 controls", 0x7f, 0x9f],
    ["a soft hyphen", 0xad, 0xad],
    ["a grapheme joiner", 0x34f, 0x34f],
    ["an Arabic letter mark", 0x61c, 0x61c],
    ["fillers of Hangul", 0x115f, 0x1160],
    ["a Mongolian vowel separator", 0x180e, 0x180e],
    ["a space without width", 0x200b, 0x200b],
    ["marks of the direction", 0x200e, 0x200f],
    ["embeddings and overrides of the direction", 0x202a, 0x202e],
    ["a word joiner, invisible operators, isolates and deprecated controls", 0x2060, 0x206f],
    ["more fillers of Hangul", 0x3164, 0x3164],
    ["narrow fillers of Hangul", 0xffa0, 0xffa0],
    ["a byte order mark", 0xfeff, 0xfeff],
    ["interlinear annotations", 0xfff9, 0xfffb],
    ["controls of shorthand", 0x1bca0, 0x1bca3],
    ["controls of musical notation", 0x1d173, 0x1d17a],
    ["tags", 0xe0000, 0xe007f],
    ["supplementary variation selectors that are not after an ideograph", 0xe0100, 0xe01ef]
  ])("on a terminal, has no %s", (_, first, last) => {
    for (let code = first; code <= last; code++) {
      const character = String.fromCodePoint(code)
      const text = `a${character}b😀${character}`
      const cleaned = clean(true, [text])
      expect(cleaned).not.toContain(character)
      expect(cleaned).toMatch(/^a[\u2400-\u2421\uFFFD]b😀[\u2400-\u2421\uFFFD]$/u)
      expect(clean(true, text.split(""))).toBe(cleaned)
      const json = JSON.stringify(text)
      expect(Text.escapeControls(json)).not.toContain(character)
      expect(JSON.parse(Text.escapeControls(json))).toBe(text)
    }
  })

  it("on a terminal, shows that the tags of a flag are there", () => {
    expect(clean(true, ["🏴󠁧󠁢󠁥󠁮󠁧󠁿"])).toBe(`🏴${"\uFFFD".repeat(6)}`)
  })

  it("elsewhere, is unchanged", () => {
    expect(clean(false, [...hostile])).toBe(hostile)
  })

  it("on a terminal, keeps tabs, line ends, combined characters and text that runs from right to left", () => {
    const text =
      "a\tb\nc 👩‍👩‍👧 é e\u0301 שלום مرحبا \u0600 می\u200Cخواهم क्\u200Dष ❤\uFE0F 🏳️‍🌈 🇩🇪 👍🏽 葛\u{E0100} 𠮷\u{E0101}"
    expect(clean(true, [text])).toBe(text)
    expect(clean(true, ["a\r\nb"])).toBe("a\nb")
    expect(clean(true, ["a\r", "\nb\r"])).toBe("a\nb␍")
  })

  it.each([true, false])("joins characters wherever they are split (terminal: %s)", (isTerminal) => {
    const text = "x👩‍👩‍👧y😀葛\u{E0100}z\r\n𠮷\u{E0101}𝕏"
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
