/** Rows of text on a terminal, and the writes that turn what it shows into other rows. */
import * as Table from "../table.ts"

/** SGR codes, such as `1;36`. Empty: none. */
export type Style = string

/** A character as a person sees it. */
export interface Cell {
  /** Empty for a mark that is not shown. */
  readonly text: string
  readonly width: number
  readonly style: Style
  /** Where it is in the source. */
  readonly at: number
  /** Whether it is inside of something that has to be parsed as a whole, such as `**bold text**`. */
  readonly isInside: boolean
}

export interface Row {
  readonly cells: ReadonlyArray<Cell>
  readonly width: number
  /** How many of the cells are no text: indentation, the mark of a list, the bars of a quote. */
  readonly margin: number
  /** Whether the terminal itself goes on in the next row, so that copied text has no line end here. */
  readonly continues: boolean
}

export interface Size {
  readonly columns: number
  readonly rows: number
}

export const emptyRow: Row = { cells: [], width: 0, margin: 0, continues: false }

/** Longer ones are cut, so that a flood of combining marks is no single cell. */
const maxLength = 32

/** The cells of a text. Terminals differ in the width of joined characters, so the largest one counts. */
export const toCells = (text: string, style: Style = "", at = 0, isInside = false): ReadonlyArray<Cell> => {
  let start = at
  return Table.graphemes(text).flatMap((grapheme) => {
    const parts = grapheme.length > maxLength ? Array.from(grapheme) : [grapheme]
    return parts.map((text) => {
      const cell = { text, width: Table.largestWidth(text), style, at: start, isInside }
      start += text.length
      return cell
    })
  })
}

export const widthOf = (cells: ReadonlyArray<Cell>): number => cells.reduce((width, cell) => width + cell.width, 0)

export const textOf = (cells: ReadonlyArray<Cell>): string => cells.map(({ text }) => text).join("")

export const toRow = (cells: ReadonlyArray<Cell>, margin = 0, continues = false): Row => ({
  cells: cells.filter(({ text }) => text !== ""),
  width: widthOf(cells),
  margin,
  continues
})

/** Rows that the terminal itself breaks. */
export const flow = (cells: ReadonlyArray<Cell>, columns: number): ReadonlyArray<Row> => {
  const rows: Array<Array<Cell>> = [[]]
  let width = 0
  for (const cell of cells) {
    const advance = cell.text === "\t" ? Math.min(8 - (width % 8), columns - 1 - width) : cell.width
    if (width + advance > columns) {
      rows.push([])
      width = 0
    }
    rows.at(-1)?.push({ ...cell, width: advance })
    width += advance
  }
  return rows.map((row, index) => toRow(row, 0, index < rows.length - 1))
}

export const join = (...styles: ReadonlyArray<Style>): Style =>
  [...new Set(styles.flatMap((style) => (style === "" ? [] : style.split(";"))))].join(";")

const closings: Readonly<Record<string, string>> = { 1: "22", 2: "22", 3: "23", 4: "24", 9: "29" }

/** The text of cells with the control sequences of their styles. */
export const paint = (cells: ReadonlyArray<Cell>): string => {
  let painted = ""
  for (let start = 0; start < cells.length;) {
    const style = cells[start]?.style ?? ""
    let end = start
    while (end < cells.length && cells[end]?.style === style) end++
    painted += paintText(textOf(cells.slice(start, end)), style)
    start = end
  }
  return painted
}

export const paintText = (text: string, style: Style): string => {
  if (style === "" || text === "") return text
  const closing = new Set(style.split(";").map((code) => closings[code] ?? "39"))
  return `\u001B[${style}m${text}\u001B[${[...closing].join(";")}m`
}

const isSame = (a: Cell | undefined, b: Cell | undefined): boolean => a?.text === b?.text && a?.style === b?.style

/** The row and the cell from which on two lists of rows differ, or the end of the shorter list. */
const findDifference = (drawn: ReadonlyArray<Row>, rows: ReadonlyArray<Row>) => {
  for (const [row, { cells, continues }] of drawn.entries()) {
    const next = rows[row]
    if (next === undefined) return { row: row - 1, index: rows[row - 1]?.cells.length ?? 0 }
    let index = 0
    while (index < cells.length && isSame(cells[index], next.cells[index])) index++
    const isLast = row === drawn.length - 1
    if (index < cells.length || isLast || next.cells.length > index || next.continues !== continues) {
      return { row, index }
    }
  }
  return { row: 0, index: 0 }
}

/** All terminals agree on the width of these characters. */
const hasKnownWidth = (text: string): boolean => /^[ -~\u3041-\u30FF\u4E00-\u9FFF\uAC00-\uD7A3]*$/.test(text)

/**
 * The writes after which the terminal shows `rows` where it shows `drawn` now, with the cursor at their ends. In the usual case text is
 * added. Otherwise the cursor goes back to the first difference, within the last word as a rule. It goes up only within the
 * screen. Where the width of the text is not known for certain, it goes to the begin of the row, which is written again.
 */
export const redraw = (drawn: ReadonlyArray<Row>, rows: ReadonlyArray<Row>, size: Size): string => {
  const { index, row } = findDifference(drawn, rows)
  const last = drawn[drawn.length - 1] ?? emptyRow
  const up = drawn.length - 1 - row
  if (up >= size.rows) return redraw(drawn.slice(-1), [last, ...rows.slice(drawn.length)], size)
  const kept = drawn[row]?.cells.slice(0, index) ?? []
  const removed = (up === 0 ? last : (drawn[row] ?? emptyRow)).cells.slice(index)
  const added = write(rows.slice(row), index)
  if (up === 0 && removed.length === 0) return added
  const extension = up === 0 && removed.length === 1 ? extend(removed[0], rows[row]?.cells[index]) : undefined
  if (extension !== undefined) return extension + write(rows.slice(row), index + 1)
  const isRestyled = isPrefix(drawn.slice(row), rows.slice(row))
  const isFull = widthOf(kept) >= size.columns
  const erase = isRestyled || isFull ? "" : "\u001B[J"
  if (up === 0 && last.width < size.columns && hasKnownWidth(textOf(removed))) {
    return `\u001B[${widthOf(removed)}D${erase}${added}`
  }
  const changed = `${up > 0 ? `\u001B[${up}A` : ""}\r${paint(kept)}${erase}${added}`
  // Terminals that know this mode show the result only.
  return up > 0 ? `\u001B[?2026h${changed}\u001B[?2026l` : changed
}

/** What makes a character out of its first part, such as a combining mark. A terminal may not join it across control sequences. */
const extend = (before: Cell | undefined, after: Cell | undefined): string | undefined =>
  before?.style === "" && after?.style === "" && after.text.startsWith(before.text)
    ? after.text.slice(before.text.length)
    : undefined

/** Whether the text is the same so far, so that nothing has to be erased. */
const isPrefix = (drawn: ReadonlyArray<Row>, rows: ReadonlyArray<Row>): boolean =>
  drawn.every(({ cells }, row) => {
    const text = textOf(rows[row]?.cells ?? [])
    return row === drawn.length - 1 ? text.startsWith(textOf(cells)) : text === textOf(cells)
  })

const write = (rows: ReadonlyArray<Row>, index: number): string =>
  rows
    .map(({ cells, continues }, row) => {
      const isLast = row === rows.length - 1
      return paint(row === 0 ? cells.slice(index) : cells) + (isLast || continues ? "" : "\n")
    })
    .join("")
