/** The renderer on an emulated terminal: however a text is divided, the same is shown, and all of it. */
import { describe, expect, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Renderer from "../../../src/cli/render/renderer.ts"
import * as Screen from "../../support/screen.ts"

const between = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

const textOf = (fragments: ReadonlyArray<string>) =>
  Arbitrary.map(
    Arbitrary.array(
      Arbitrary.map(between(0, fragments.length - 1), (index) => fragments[index] ?? ""),
      { maxLength: 80 }
    ),
    (parts) => parts.join("")
  )

const words = ["sky", "blue ", " light", " ", " a", "2*3", "snake_case", " __init__ ", "\n", "\n\n", "é", "e\u0301"]
const others = [
  "中文",
  "字。",
  "「ひらがな」",
  "カタカナ",
  "한국어 ",
  "😀",
  "👩‍👩‍👧",
  "👍🏽",
  "❤️",
  "क्षत्रिय",
  "\t",
  "https://example.com/".repeat(3)
]
const marks = [
  "**",
  "*",
  " **",
  " *",
  "_",
  "`",
  " `",
  "``",
  "~~",
  "[",
  "](http://x.y)",
  " [a](b)",
  "!",
  "\\",
  "\\*",
  "$",
  "(",
  ")",
  ","
]
const lines = [
  "\n# ",
  "\n- ",
  "\n  * ",
  "\n1. ",
  "\n12",
  "\n> ",
  "\n---\n",
  "\n    ",
  "\n```js\n",
  "\n```\n",
  "\n~~~\n",
  "const x = 'a' // b",
  "   "
]
const tables = ["\n| a | b |\n|---|--:|\n", "| x | yy |\n", "|", "| sky **blue** | a |\n"]

const prose = textOf([...words, ...others])
/** Without code: the emulator does not always find the cursor again in a line that it has divided itself. */
const withoutCode = textOf([
  ...words,
  ...words,
  ...others.filter((text) => text !== "\t"),
  ...marks,
  "\n# ",
  "\n- ",
  "\n> "
])
const markdown = textOf([...words, ...words, ...others, ...marks, ...lines])
const everything = textOf([...words, ...others, ...marks, ...lines, ...tables, ...tables])

/** The lengths of pieces. */
const cuts = Arbitrary.array(between(1, 24), { minLength: 1, maxLength: 30 })

/** Divides no surrogate pair, since those are joined before. */
const split = (text: string, lengths: ReadonlyArray<number>): ReadonlyArray<string> => {
  const characters = Array.from(text)
  const pieces: Array<string> = []
  for (let start = 0, index = 0; start < characters.length; index++) {
    const end = start + (lengths[index % lengths.length] ?? 1)
    pieces.push(characters.slice(start, end).join(""))
    start = end
  }
  return pieces
}

interface Options extends Screen.Options {
  readonly isMarkdown?: boolean
  readonly hasStyles?: boolean
}

const start = ({ columns, hasStyles = true, isMarkdown = true, rows = 24, ...options }: Options) => {
  const screen = Screen.make({ columns, rows, ...options })
  const size = { columns, rows }
  const renderer = Renderer.make({ isMarkdown, hasStyles, style: "", size: () => ({ ...size }) })
  return {
    screen,
    add: (text: string) => Effect.suspend(() => screen.write(renderer.add(text))),
    pause: Effect.suspend(() => screen.write(renderer.pause())),
    end: Effect.suspend(() => screen.write(renderer.end())),
    resize: (columns: number) => {
      size.columns = columns
      return screen.resize(columns)
    }
  }
}

const show = Effect.fnUntraced(function* (pieces: ReadonlyArray<string>, options: Options) {
  const { add, end, screen } = start(options)
  yield* Effect.forEach(pieces, add)
  yield* end
  return { rows: yield* screen.rows, lines: yield* screen.lines, styles: yield* screen.styles }
})

/** The letters and digits, which are no marks. */
const lettersOf = (text: string): string => text.replaceAll(/[^\p{L}\p{N}]/gu, "")

const sizes: ReadonlyArray<Options> = [
  { columns: 40 },
  { columns: 80, hasWideEmoji: true },
  { columns: 200 },
  { columns: 11, rows: 8, hasWideEmoji: true },
  { columns: 40, hasStyles: false },
  { columns: 23, isMarkdown: false }
]

/** Many rows are read after each. */
const runs = { arbitrary: { runs: 12 }, timeout: 60_000 }

describe.each(sizes)("on a terminal: %j", (options) => {
  it.effect.prop(
    "shows the same, however the text is divided",
    { text: everything, cuts },
    ({ cuts, text }) =>
      Effect.gen(function* () {
        const whole = yield* show([text], options)
        expect(yield* show(split(text, cuts), options)).toEqual(whole)
        expect(yield* show(split(text, [1]), options)).toEqual(whole)
      }),
    runs
  )

  it.effect.prop(
    "shows all letters in their order",
    { text: markdown, cuts },
    ({ cuts, text }) =>
      Effect.gen(function* () {
        const { rows } = yield* show(split(text, cuts), options)
        expect(lettersOf(rows.join(""))).toBe(lettersOf(text))
      }),
    runs
  )

  it.effect.prop(
    "shows all letters of tables",
    { text: everything },
    ({ text }) =>
      Effect.gen(function* () {
        const { rows } = yield* show([text], options)
        const sort = (text: string) => Array.from(lettersOf(text)).toSorted().join("")
        expect(sort(rows.join(""))).toBe(sort(text))
      }),
    runs
  )

  it.effect.prop(
    "shows text as soon as it arrives",
    { text: prose, cuts },
    ({ cuts, text }) =>
      Effect.gen(function* () {
        const { add, screen } = start(options)
        let soFar = ""
        for (const piece of split(text, cuts)) {
          yield* add(piece)
          soFar += piece
          expect(lettersOf((yield* screen.rows).join(""))).toBe(lettersOf(soFar))
        }
      }),
    runs
  )
})

describe("a resize", () => {
  it.effect.prop(
    "in the middle of a text loses nothing, and the words after it wrap at the new width",
    { text: withoutCode, cuts, first: between(10, 60), second: between(10, 60) },
    ({ cuts, first, second, text }) =>
      Effect.gen(function* () {
        const { add, end, resize, screen } = start({ columns: first, hasWideEmoji: true })
        const pieces = split(text, cuts)
        const middle = Math.floor(pieces.length / 2)
        yield* Effect.forEach(pieces.slice(0, middle), add)
        yield* resize(second)
        yield* Effect.forEach(pieces.slice(middle), add)
        yield* end
        expect(lettersOf((yield* screen.rows).join(""))).toBe(lettersOf(text))
      }),
    runs
  )

  it.effect.each([
    { columns: 20, expected: ["The sky is blue because air", "scatters blue light", "far more than red."] },
    { columns: 60, expected: ["The sky is blue because air", "scatters blue light far more than red."] }
  ])("to $columns columns", ({ columns, expected }) =>
    Effect.gen(function* () {
      const { add, end, resize, screen } = start({ columns: 30 })
      yield* Effect.forEach(split("The sky is blue because air scatters blue", [4]), add)
      yield* resize(columns)
      yield* Effect.forEach(split(" light far more than red.", [4]), add)
      yield* end
      expect((yield* screen.lines).slice(0, expected.length)).toEqual(expected)
    })
  )
})

describe("a pause, in which something else is written", () => {
  it.effect.prop(
    "loses nothing, and the other text has lines of its own",
    { text: markdown, cuts },
    ({ cuts, text }) =>
      Effect.gen(function* () {
        const { add, end, pause, screen } = start({ columns: 30 })
        const pieces = split(text, cuts)
        const middle = Math.floor(pieces.length / 2)
        yield* Effect.forEach(pieces.slice(0, middle), add)
        yield* pause
        yield* screen.write("###\n")
        yield* Effect.forEach(pieces.slice(middle), add)
        yield* end
        const rows = yield* screen.rows
        expect(rows).toContain("###")
        expect(lettersOf(rows.join(""))).toBe(lettersOf(text))
      }),
    runs
  )
})

describe("a table", () => {
  const table = ["| Name | Size |", "|:--|--:|", "| `sky` | 1 |", "| **clouds** over the sea | 22 |", ""].join("\n")

  it.effect("is drawn again when a column grows, but not what is above it", () =>
    Effect.gen(function* () {
      const { rows } = yield* show(split(`Sizes:\n\n${table}\nDone.`, [3]), { columns: 40 })
      expect(rows).toEqual([
        "Sizes:",
        "",
        "Name                │ Size",
        "────────────────────┼─────",
        "sky                 │    1",
        "clouds over the sea │   22",
        "",
        "Done."
      ])
    })
  )

  it.effect("that is higher than the screen keeps its widths from there on", () =>
    Effect.gen(function* () {
      const many = "| a | 1 |\n".repeat(10)
      const { rows } = yield* show(split(`| Name | Size |\n|---|---|\n${many}| longer | 2 |`, [5]), {
        columns: 40,
        rows: 8
      })
      expect(rows.slice(0, 3)).toEqual(["Name │ Size", "─────┼─────", "a    │ 1"])
      expect(rows.slice(-2)).toEqual(["long │ 2", "er   │"])
      expect(rows).toHaveLength(14)
    })
  )
})

describe("code", () => {
  it.effect("is copied as it is, also from a list", () =>
    Effect.gen(function* () {
      const code = `if x:\n    print("${"y".repeat(60)}")  \n\nend`
      const indented = code.replaceAll(/^(?=.)/gm, "   ")
      const text = `1. Run:\n\n   \`\`\`python\n${indented}\n   \`\`\`\n2. Done`
      const { lines } = yield* show(split(text, [4]), { columns: 30 })
      expect(lines.join("\n")).toBe(`1. Run:\n\n\`\`\`python\n${code}\n\`\`\`\n2. Done`)
    })
  )

  it.effect("has colours, which do not depend on how it is divided", () =>
    Effect.gen(function* () {
      const { styles } = yield* show(split("```js\nconst x = 'a' // b\n```", [3]), { columns: 30 })
      expect(styles[1]).toBe("55555 4 . 222 dd d")
    })
  )
})
