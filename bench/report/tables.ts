import type { Summary } from "../harness/statistics.ts"
import type { Column, Measure, Row } from "../measures/Measure.ts"
import type { Result } from "./Report.ts"

/** A heading and rows of cells, for any medium. */
export type Table = ReadonlyArray<ReadonlyArray<string>>

/** The tables of a measure, each under its title, as the medium writes them. */
export function figuresTables(
  measure: Measure,
  rows: ReadonlyArray<Row>,
  write: (table: Table) => string
): ReadonlyArray<string> {
  return measure.tables.map(({ title, columns }) => {
    const table = write(figuresTable(columns, rows))
    return title === undefined ? table : `${title}:\n\n${table}`
  })
}

function figuresTable(wanted: ReadonlyArray<Column>, rows: ReadonlyArray<Row>): Table {
  const columns = wanted.filter(({ figure }) => rows.some(({ figures }) => figure in figures))
  const shown = rows.filter(({ figures }) => columns.length === 0 || columns.some(({ figure }) => figure in figures))
  return [
    ["subject", ...columns.map(({ title }) => title)],
    ...shown.map(({ subject, figures }) =>
      [subject].concat(columns.map(({ figure, digits }) => formatSummary(figures[figure], digits)))
    )
  ]
}

export function verdictsTable(results: ReadonlyArray<Result>): Table {
  const lines = results.flatMap(({ measure, verdicts }) =>
    verdicts.map(({ level, says, value, outcome }) => {
      const measured = value === null ? "–" : value.toLocaleString("en-US", { maximumSignificantDigits: 3 })
      return [measure, level, says, measured, outcome]
    })
  )
  return [["measure", "", "claim", "measured", "outcome"], ...lines]
}

export function failureLines(rows: ReadonlyArray<Row>): ReadonlyArray<string> {
  return rows.flatMap(({ subject, failures }) => failures.map((failure) => `${subject} failed: ${failure}`))
}

export function formatNumber(value: number, digits: number): string {
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

export function asText(table: Table): string {
  const [heading = "", ...lines] = padded(table).map((cells) => cells.join("  ").trimEnd())
  return [heading, "-".repeat(heading.length), ...lines].join("\n")
}

/** Padded, as the formatter of this repository wants it. */
export function asMarkdown(table: Table): string {
  const [heading = [], ...lines] = padded(table)
  const rule = heading.map((cell) => "-".repeat(cell.length))
  return [heading, rule, ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n")
}

function padded(table: Table): Table {
  const columns = table[0] ?? []
  const widths = columns.map((_, column) => Math.max(3, ...table.map((cells) => cells[column]?.length ?? 0)))
  return table.map((cells) => cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)))
}

function formatSummary(summary: Summary | undefined, digits: number): string {
  if (summary === undefined) return "–"
  const median = formatNumber(summary.median, digits)
  if (summary.rounds.length === 1) return median
  return `${median} (${formatNumber(summary.low, digits)} to ${formatNumber(summary.high, digits)})`
}
