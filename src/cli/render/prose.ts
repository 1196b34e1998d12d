/** A line of text whose words wrap into rows that are not wider than a terminal. What is certain leaves the state, so that its size has a bound. */
import { type Cell, emptyRow, type Row, type Size, type Style, toRow, widthOf } from "./cells.ts"
import type * as Inline from "./inline.ts"
import type { Text } from "./lines.ts"

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

/** Where a row may end: before the cell with the index in a row. */
interface Break {
  /** In the source. */
  readonly at: number
  readonly row: number
  readonly index: number
  /** The source up to here decides that there is a break. */
  readonly end: number
}

interface Layout {
  readonly rows: ReadonlyArray<Row>
  /** The places outside of everything that has to be parsed as a whole. */
  readonly breaks: ReadonlyArray<Break>
}

interface Word {
  readonly spaces: ReadonlyArray<Cell>
  readonly cells: ReadonlyArray<Cell>
}

const isSpace = ({ text }: Cell): boolean => /^[\t \u2000-\u2006\u2008-\u200A\u205F\u3000]$/.test(text)

/** Text of these scripts has no spaces, and a row may end after each character. Emoji are alike. */
const isIdeograph = (text: string): boolean =>
  /^[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{Emoji_Presentation}\u3000-\u303F\uFF01-\uFF60]/u.test(text)

/** A row does not begin with a closing mark or a small letter, and does not end with an opening mark. */
const mayEnd = (before: string, after: string): boolean =>
  (isIdeograph(before) || isIdeograph(after)) &&
  !/^[\p{Pe}\p{Pf}\p{Po}\p{Pd}\p{M}ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮーゝゞヽヾ々〻]/u.test(after) &&
  !/^[\p{Ps}\p{Pi}]/u.test(before)

/** A mark that is not shown belongs to the word after it if it opens something, and to the word before it if it closes. */
const toWords = (cells: ReadonlyArray<Cell>): ReadonlyArray<Word> => {
  const words: Array<Word> = []
  let spaces: Array<Cell> = []
  let word: Array<Cell> = []
  let before = ""
  const end = (): void => {
    if (word.length > 0) words.push({ spaces, cells: word })
    spaces = []
    word = []
    before = ""
  }
  for (const [index, cell] of cells.entries()) {
    if (isSpace(cell)) {
      if (word.length > 0) end()
      spaces.push(cell)
      continue
    }
    const next = cell.text === "" && !cell.isInside ? (cells[index + 1]?.text ?? "") : cell.text
    if (before !== "" && next !== "" && mayEnd(before, next)) end()
    word.push(cell)
    if (cell.text !== "") before = cell.text
  }
  end()
  return words
}

/**
 * Continues the row `start`. The next ones begin with the cells of `continuation`. Spaces at the ends of rows are left out. A word that is
 * wider than a row begins a row of its own and is divided.
 */
export const wrap = (start: Row, continuation: Row, text: ReadonlyArray<Cell>, columns: number): Layout => {
  const rows: Array<{ cells: Array<Cell>; width: number; margin: number; continues: boolean }> = []
  const breaks: Array<Break> = []
  const begin = (row: Row) => {
    const begun = { ...row, cells: [...row.cells] }
    rows.push(begun)
    return begun
  }
  let row = begin(start)
  const isFresh = (): boolean => row.cells.length === row.margin
  const mark = ({ at, isInside }: Cell, end = at): void => {
    if (!isInside) breaks.push({ at, row: rows.length - 1, index: row.cells.length, end })
  }
  const put = (cell: Cell): void => {
    if (cell.text !== "") row.cells.push(cell)
    row.width += cell.width
  }
  for (const { cells, spaces } of toWords(text)) {
    const width = widthOf(cells)
    const first = cells[0]
    if (first === undefined) continue
    const isFirst = isFresh()
    if (isFirst || row.width + widthOf(spaces) + width <= columns) {
      mark(isFirst ? first : (spaces[0] ?? first))
      if (!isFirst) spaces.forEach(put)
    } else {
      row = begin(continuation)
      mark(first, (cells.at(-1)?.at ?? 0) + 1)
    }
    for (const cell of cells) {
      if (row.width + cell.width > columns && !isFresh()) {
        row = begin(continuation)
        mark(cell)
      }
      put(cell)
    }
  }
  return { rows, breaks }
}
