/** Tables: their columns are aligned, and not wider than the terminal together. */
import { width as widthOf } from "../table.ts"
import { type Cell, type Row, type Style, textOf, toCells, toRow } from "./cells.ts"
import { type Parse, wrap } from "./prose.ts"

type Side = "left" | "right" | "center"

export interface Table {
  readonly sides: ReadonlyArray<Side>
  readonly widths: ReadonlyArray<number>
  /** Each has cells, which have lines. */
  readonly rows: ReadonlyArray<ReadonlyArray<ReadonlyArray<ReadonlyArray<Cell>>>>
}

/** The cells of a row. A pipe after a backslash does not divide. */
const split = (line: string): ReadonlyArray<string> => {
  const text = line.trim().replace(/^\|/, "")
  const cells = text.split(/(?<!\\)\|/)
  return (cells.at(-1)?.trim() === "" ? cells.slice(0, -1) : cells).map((cell) => cell.trim())
}

/** Whether a line is the one below the head of a table. */
export const isDelimiter = (line: string): boolean => {
  const cells = split(line)
  return cells.length > 0 && cells.every((cell) => /^:?-+:?$/.test(cell))
}

const readSide = (cell: string): Side => (/^:-*:$/.test(cell) ? "center" : /^-*:$/.test(cell) ? "right" : "left")

const separator = 3
const smallest = 3

/** Reads the lines of a table: the head, the delimiter, and the others. */
export const read = (
  lines: ReadonlyArray<string>,
  columns: number,
  parse: Parse,
  hasStyles: boolean
): Table | undefined => {
  const [head = "", delimiter = "", ...others] = lines
  const sides = split(delimiter).map(readSide)
  const readRow = (line: string, style: Style) => readCells(line, sides.length, parse, style)
  const rows = [readRow(head, hasStyles ? "1" : ""), ...others.map((line) => readRow(line, ""))]
  const natural = sides.map((_, column) =>
    Math.max(smallest, ...rows.flatMap((row) => (row[column] ?? []).map((line) => widthOf(textOf(line)))))
  )
  const widths = fit(natural, columns - separator * (sides.length - 1))
  return widths === undefined ? undefined : { sides, widths, rows }
}

/** The rows on the terminal of a line that is added to a table whose widths do not change. */
export const layoutLine = (line: string, table: Table, parse: Parse, hasStyles: boolean): ReadonlyArray<Row> =>
  layout({ ...table, rows: [[], readCells(line, table.sides.length, parse, "")] }, hasStyles, 1)

/** More cells than the head has are a part of the last one, so that they are not lost. */
const readCells = (line: string, count: number, parse: Parse, style: Style) => {
  const cells = split(line)
  const rest = cells.slice(count - 1).join(" | ")
  return [...cells.slice(0, count - 1), rest].map((cell) =>
    cell
      .replaceAll("\\|", "|")
      .split(/<br ?\/?>/)
      .map((text) => parse(text.trim(), { before: "", isEnd: true, limit: text.length, style }).cells)
  )
}

/** Takes room from the widest columns. */
const fit = (natural: ReadonlyArray<number>, room: number): ReadonlyArray<number> | undefined => {
  if (room < natural.length * smallest) return undefined
  const total = (limit: number): number => natural.reduce((sum, width) => sum + Math.min(width, limit), 0)
  let limit = Math.max(...natural)
  while (total(limit) > room) limit--
  let spare = room - total(limit)
  return natural.map((width) => {
    const more = width > limit && spare > 0 ? 1 : 0
    spare -= more
    return Math.min(width, limit + more)
  })
}

/** The rows on the terminal of the rows from an index on. The line below the head belongs to the head. */
export const layout = ({ rows, sides, widths }: Table, hasStyles: boolean, from = 0): ReadonlyArray<Row> =>
  rows.slice(from).flatMap((row, index) => {
    const lines = row.map((cell, column) => wrapCell(cell, widths[column] ?? smallest))
    const height = Math.max(1, ...lines.map((each) => each.length))
    const shown = Array.from({ length: height }, (_, line) =>
      toLine(
        widths.map((width, column) => pad(lines[column]?.[line] ?? [], width, sides[column])),
        hasStyles
      )
    )
    return index + from === 0 ? shown.concat(underline(widths, hasStyles)) : shown
  })

const wrapCell = (lines: ReadonlyArray<ReadonlyArray<Cell>>, width: number): ReadonlyArray<ReadonlyArray<Cell>> =>
  lines.flatMap((line) => wrap(toRow([]), toRow([]), line, width).rows.map(({ cells }) => cells))

const pad = (cells: ReadonlyArray<Cell>, width: number, side: Side = "left"): ReadonlyArray<Cell> => {
  const room = Math.max(0, width - widthOf(textOf(cells)))
  const before = side === "left" ? 0 : side === "right" ? room : Math.floor(room / 2)
  return [...toCells(" ".repeat(before)), ...cells, ...toCells(" ".repeat(room - before))]
}

const bar = (text: string, hasStyles: boolean) => toCells(text, hasStyles ? "2" : "")

const toLine = (cells: ReadonlyArray<ReadonlyArray<Cell>>, hasStyles: boolean): Row => {
  const line = cells.flatMap((cell, column) => (column === 0 ? cell : [...bar(" │ ", hasStyles), ...cell]))
  const end = line.findLastIndex(({ text }) => text !== " ")
  return toRow(line.slice(0, end + 1))
}

const underline = (widths: ReadonlyArray<number>, hasStyles: boolean): Row =>
  toRow(bar(widths.map((width) => "─".repeat(width)).join("─┼─"), hasStyles))
