import { quantile } from "../statistics.ts"
import type { Column, Row, Target } from "../measures/Measure.ts"
import { measureNamed, medianIn, verdictsOf, type Result } from "./results.ts"

/** A heading and rows of cells, for any medium. */
export type Table = ReadonlyArray<ReadonlyArray<string>>

/** The tables and failures of a result, as paragraphs. */
export function paragraphsOf({ measure, rows }: Result, write: (table: Table) => string): ReadonlyArray<string> {
  const tables = measureNamed(measure).tables.map(({ title, columns }) => {
    const table = write(figuresTable(columns, rows))
    return title === undefined ? table : `${title}:\n\n${table}`
  })
  const failures = rows.flatMap(({ subject, failures }) => failures.map((each) => `${subject} failed: ${each}.`))
  return [...tables, ...failures]
}

function figuresTable(wanted: ReadonlyArray<Column>, rows: ReadonlyArray<Row>): Table {
  const columns = wanted.filter(({ figure }) => rows.some(({ figures }) => figure in figures))
  const shown = rows.filter(({ figures }) => columns.length === 0 || columns.some(({ figure }) => figure in figures))
  return [
    ["subject", ...columns.map(({ title }) => title)],
    ...shown.map(({ subject, figures }) =>
      [subject].concat(columns.map(({ figure, digits }) => formatRounds(figures[figure] ?? [], digits)))
    )
  ]
}

export function targetsTable(results: ReadonlyArray<Result>): Table {
  const lines = results.flatMap((result) =>
    verdictsOf(result).map(({ target, value, outcome }) => {
      const measured = Number.isNaN(value) ? "–" : value.toLocaleString("en-US", { maximumSignificantDigits: 3 })
      return [result.measure, target.level, describe(target), measured, outcome]
    })
  )
  return [["measure", "level", "target", "measured", "outcome"], ...lines]
}

function describe({ subject, what, atMost, atLeast, times, above }: Target): string {
  const limit = atMost === undefined ? `at least ${atLeast?.toLocaleString("en-US")}` : `at most ${atMost}`
  const base = times === undefined ? "" : ` × ${times}`
  return `${what === undefined ? subject : `${subject}, ${what}`}: ${limit}${base}${above === undefined ? "" : ` above ${above}`}`
}

const comparisons = [
  { what: "first text of an answer of 10 s", measure: "first-chunk", figure: "firstChunk", unit: "ms", digits: 1 },
  { what: "memory added by an answer of 10 MB", measure: "memory", figure: "added10", unit: "MB", digits: 0 },
  { what: "memory added by an answer of 100 MB", measure: "memory", figure: "added100", unit: "MB", digits: 0 },
  { what: "memory added by an answer of 1,000 MB", measure: "memory", figure: "added1000", unit: "MB", digits: 0 },
  { what: "CPU per line of a long answer", measure: "bulk", figure: "cpuPerLine", unit: "µs", digits: 2 }
]

/** What changes for a program that has read whole bodies so far. */
export function beforeAndAfter(results: ReadonlyArray<Result>): Table {
  const lines = comparisons.flatMap(({ what, measure, figure, unit, digits }) => {
    const median = medianIn(results.find((result) => result.measure === measure)?.rows ?? [])
    const format = (value: number) => `${formatNumber(value, digits)} ${unit}`
    return ["NDJSON", "SSE"].map((protocol) => {
      const [before, after] = [median(`buffered, ${protocol}`, figure), median(`ours, ${protocol}`, figure)]
      if (Number.isNaN(after)) return [what, protocol, "not measured", "not measured", ""]
      if (Number.isNaN(before)) return [what, protocol, "fails", format(after), "works"]
      const change = `${after > before ? "+" : "−"}${formatNumber(Math.abs(after / before - 1) * 100, 1)} %`
      return [what, protocol, format(before), format(after), change]
    })
  })
  return [["", "protocol", "before: buffered", "after: ours", "change"], ...lines]
}

export function formatNumber(value: number, digits: number): string {
  return value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })
}

/** The median of the rounds, with the lowest and the highest value. */
function formatRounds(rounds: ReadonlyArray<number>, digits: number): string {
  if (rounds.length === 0) return "–"
  const [low = "", median = "", high = ""] = [0, 0.5, 1].map((share) => formatNumber(quantile(rounds, share), digits))
  return rounds.length === 1 ? median : `${median} (${low} to ${high})`
}

export function asText(table: Table): string {
  const [heading = "", ...lines] = padded(table).map((cells) => cells.join("  ").trimEnd())
  return [heading, "-".repeat(heading.length), ...lines].join("\n")
}

/** Padded in the way of the formatter of this repository. */
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
