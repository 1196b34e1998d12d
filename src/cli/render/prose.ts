/** A line of text whose words wrap. What is certain leaves the state, so that its size has a bound. */
import { emptyRow, type Row, type Size, type Style, toRow } from "./cells.ts"
import type * as Inline from "./inline.ts"
import type { Text } from "./lines.ts"
import { type Break, wrap } from "./wrap.ts"

export type Parse = (text: string, options: Inline.Options) => Inline.Parsed

export interface Prose {
  /** The row that the text continues. */
  readonly head: Row
  /** What rows below begin with. */
  readonly continuation: Row
  readonly style: Style
  /** The text that may still move or change. */
  readonly text: string
  /** The character before it. */
  readonly before: string
}

export const begin = ({ continuation, margin, style }: Text, text: string): Prose => ({
  head: toRow(margin, margin.length),
  continuation: toRow(continuation, continuation.length),
  style,
  text,
  before: ""
})

/** The largest distance of marks that belong together: the text between them can be drawn again on any screen. */
const limitOf = ({ columns, rows }: Size): number => Math.max(16, Math.min(600, Math.floor(((rows - 2) * columns) / 6)))

export interface Shown {
  readonly rows: ReadonlyArray<Row>
  /** What may still change, and how many of the rows cannot change any more. */
  readonly next: Prose
  readonly settled: number
}

export const show = (prose: Prose, parse: Parse, size: Size, isEnd: boolean): Shown => {
  const { before, continuation, head, style, text } = prose
  const limit = limitOf(size)
  const { cells, pending } = parse(text.replaceAll("\t", " "), { before, isEnd, limit, style })
  const { breaks, rows } = wrap(head, continuation, cells, size.columns)
  const found = breaks.findLast(({ at, end }) => end <= pending && at < pending && at > 0)
  if (found !== undefined) return { rows, next: cut(prose, rows, found), settled: found.row }
  // Spaces that are wider than a row end it, however many they are.
  if (text.trim() === "") return { rows, next: { ...prose, text: text.slice(0, size.columns) }, settled: 0 }
  if (text.length <= limit + 4 * size.columns) return { rows, next: prose, settled: 0 }
  return {
    rows,
    next: { ...prose, head: rows.at(-1) ?? emptyRow, text: "", before: text.slice(-1) },
    settled: rows.length - 1
  }
}

const cut = (prose: Prose, rows: ReadonlyArray<Row>, { at, index, row }: Break): Prose => {
  const { cells, margin } = rows[row] ?? emptyRow
  return {
    ...prose,
    head: toRow(cells.slice(0, index), margin),
    text: prose.text.slice(at),
    before: prose.text.slice(at - 1, at)
  }
}

/**
 * Continues where the rows cannot be drawn again, in the last row or below it. Marks that are not closed yet lose their effect. What was
 * not shown yet still is.
 */
export const resume = (prose: Prose, rows: ReadonlyArray<Row>, isInRow: boolean, parse: Parse, size: Size): Prose => {
  const { before, style, text } = prose
  const { held } = parse(text, { before, isEnd: false, limit: limitOf(size), style })
  const end = Math.min(held, text.trimEnd().length)
  return {
    ...prose,
    head: isInRow ? (rows.at(-1) ?? emptyRow) : prose.continuation,
    text: text.slice(end),
    before: end > 0 ? text.slice(end - 1, end) : before
  }
}
