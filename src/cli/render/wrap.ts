/** Words in rows that are not wider than a terminal. */
import type { Cell, Row } from "./cells.ts"

/** Where a row may end: before the cell with the index in a row. */
export interface Break {
  /** In the source. */
  readonly at: number
  readonly row: number
  readonly index: number
  /** The source up to here decides that there is a break. */
  readonly end: number
}

export interface Layout {
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
    const width = sum(cells)
    const first = cells[0]
    if (first === undefined) continue
    const isFirst = isFresh()
    if (isFirst || row.width + sum(spaces) + width <= columns) {
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

const sum = (cells: ReadonlyArray<Cell>): number => cells.reduce((width, cell) => width + cell.width, 0)
