/** Rows on standard output, and how much room text takes on a terminal. */
import type * as Effect from "effect/Effect"
import * as Output from "./output.ts"
import * as Text from "./text.ts"

type Rows = ReadonlyArray<ReadonlyArray<string>>

export const formatSize = (bytes: number): string =>
  bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`

/** For a person, aligned and not wider than the terminal. For a program, complete and with a tab between two cells. */
export const print = (rows: Rows): Effect.Effect<void, Output.WriteFailed> => {
  const cells = rows.map((row) => row.map((text) => Text.toSingleLine(text).replaceAll("\t", " ")))
  const lines = process.stdout.isTTY
    ? align(cells).map((line) => cut(line, sizeOf(process.stdout).columns))
    : cells.map((row) => row.join("\t"))
  return Output.write(lines.map((line) => `${line}\n`).join(""))
}

/** A column without any text is left out. */
export const align = (rows: Rows): ReadonlyArray<string> => {
  const widths = rows.reduce<ReadonlyArray<number>>(
    (widths, row) => row.map((text, column) => Math.max(width(text), widths[column] ?? 0)),
    []
  )
  const pad = (text: string, columns = 0): string => text + " ".repeat(Math.max(0, columns - width(text)))
  return rows.map((row) =>
    row
      .map((text, column) => pad(text, widths[column]))
      .filter((text) => text !== "")
      .join("  ")
      .trimEnd()
  )
}

const segmenter = new Intl.Segmenter()

/** The East Asian wide characters, and emoji. */
const wide =
  /^[\p{Emoji_Presentation}\u1100-\u115F\u2E80-\u303E\u3041-\uA4CF\uAC00-\uD7A3\uF900-\uFAFF\uFE30-\uFE6F\uFF00-\uFF60\uFFE0-\uFFE6\u{20000}-\u{3FFFD}]|\uFE0F/u

const widthOf = (character: string): number => (/^[\p{M}\p{Cf}]+$/u.test(character) ? 0 : wide.test(character) ? 2 : 1)

/** The columns that text takes. */
export const width = (text: string): number =>
  /^[ -~]*$/.test(text)
    ? text.length
    : Array.from(segmenter.segment(text)).reduce((columns, { segment }) => columns + widthOf(segment), 0)

/** The characters as a person sees them: a letter with its marks, or an emoji of several parts, is one. */
export const graphemes = (text: string): ReadonlyArray<string> =>
  /^[ -~]*$/.test(text) ? text.split("") : Array.from(segmenter.segment(text), ({ segment }) => segment)

/** The columns that text takes at most. Terminals differ: some join the parts of an emoji, others do not. */
export const largestWidth = (text: string): number =>
  /^[ -~]*$/.test(text) ? text.length : Array.from(text).reduce((columns, part) => columns + largestWidthOf(part), 0)

const largestWidthOf = (part: string): number => {
  // It makes an emoji of a character that has one column.
  if (part === "\uFE0F") return 1
  return /^[\p{Mn}\p{Me}\p{Join_Control}]$/u.test(part) ? 0 : wide.test(part) ? 2 : 1
}

/** Cuts text that is too wide, and marks that. Divides no character. */
export const cut = (text: string, columns: number): string => {
  if (width(text) <= columns) return text
  let kept = ""
  let room = columns - 1
  for (const { segment } of segmenter.segment(text)) {
    room -= widthOf(segment)
    if (room < 0) break
    kept += segment
  }
  return columns < 1 ? "" : `${kept}…`
}

/** The size of a terminal. Some report none. */
export const sizeOf = (stream: NodeJS.WriteStream): { readonly columns: number; readonly rows: number } => ({
  columns: stream.columns || 80,
  rows: stream.rows || 24
})
