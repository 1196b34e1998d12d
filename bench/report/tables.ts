import { quantile } from "../statistics.ts"
import { measureNamed } from "../measures/all.ts"
import type { Column, Row, Target } from "../measures/Measure.ts"
import { everySubject } from "../subjects/catalogue.ts"
import { formatNumber, table } from "./page.ts"
import { medianOf, valueOf, type Result } from "./results.ts"

/** The tables and failures of a result, as paragraphs. */
export function paragraphsOf({ measure, rows }: Result): ReadonlyArray<string> {
  const tables = [...Map.groupBy(measureNamed(measure).columns, ({ table }) => table)].flatMap(([title, columns]) => {
    const figures = figuresTable(columns, rows)
    return title === undefined ? [figures] : [`${title}:`, figures]
  })
  const failures = rows.flatMap(({ subject, failures }) => failures.map((each) => `${subject} failed: ${each}.`))
  return [...tables, ...failures]
}

function figuresTable(columns: ReadonlyArray<Column>, rows: ReadonlyArray<Row>): string {
  const measured = rows.filter(({ figures }) => columns.some(({ figure }) => figure in figures))
  const lines = measured.map(({ subject, figures }) =>
    [subject].concat(columns.map(({ figure, digits }) => formatRounds(figures[figure] ?? [], digits)))
  )
  return table([["subject", ...columns.map(({ title }) => title)], ...lines])
}

export function targetsTable(results: ReadonlyArray<Result>): string {
  const lines = results.flatMap(({ measure, rows }) =>
    measureNamed(measure).targets.map((target) => {
      const { level, atMost = Infinity, atLeast = -Infinity } = target
      const value = valueOf(target, rows)
      if (Number.isNaN(value)) return [measure, level, describe(target), "–", "not measured"]
      const measured = value.toLocaleString("en-US", { maximumSignificantDigits: 3 })
      return [measure, level, describe(target), measured, value <= atMost && value >= atLeast ? "met" : "missed"]
    })
  )
  return table([["measure", "level", "target", "measured", "outcome"], ...lines])
}

function describe({ subject, what, atMost, atLeast, times, above }: Target): string {
  const name = what === undefined ? subject : `${subject}, ${what}`
  const limit = atMost === undefined ? `at least ${atLeast?.toLocaleString("en-US")}` : `at most ${atMost}`
  if (times !== undefined) return `${name}: ${limit} × ${times}`
  return `${name}: ${limit}${above === undefined ? "" : ` above ${above}`}`
}

const comparisons = [
  { what: "first text of an answer of 10 s", measure: "first-chunk", figure: "firstChunk", unit: "ms", digits: 1 },
  { what: "memory added by an answer of 10 MB", measure: "memory", figure: "added10", unit: "MB", digits: 0 },
  { what: "memory added by an answer of 100 MB", measure: "memory", figure: "added100", unit: "MB", digits: 0 },
  { what: "memory added by an answer of 1,000 MB", measure: "memory", figure: "added1000", unit: "MB", digits: 0 },
  { what: "CPU per line of a long answer", measure: "bulk", figure: "cpuPerLine", unit: "µs", digits: 2 }
]

/** What changes for a program that has read whole bodies so far. */
export function beforeAndAfter(results: ReadonlyArray<Result>): string {
  const lines = comparisons.flatMap(({ what, measure, figure, unit, digits }) => {
    const rows = results.find((result) => result.measure === measure)?.rows ?? []
    const format = (value: number) => `${formatNumber(value, digits)} ${unit}`
    return ["NDJSON", "SSE"].map((protocol) => {
      const medianBy = (kind: string) => medianOf(rows, `${kind}, ${protocol}`, figure)
      const [before, after] = [medianBy("buffered"), medianBy("ours")]
      if (Number.isNaN(after)) return [what, protocol, "", "not measured", ""]
      if (Number.isNaN(before)) return [what, protocol, "fails", format(after), "works"]
      const change = `${after > before ? "+" : "−"}${formatNumber(Math.abs(after / before - 1) * 100, 1)} %`
      return [what, protocol, format(before), format(after), change]
    })
  })
  return table([["", "protocol", "before: buffered", "after: ours", "change"], ...lines])
}

const costColumns = [
  { title: "token, µs CPU", measure: "paced", figure: "cpuPerToken", digits: 0 },
  { title: "token in bulk, µs CPU", measure: "bulk", figure: "cpuPerLine", digits: 1 },
  { title: "first token, ms", measure: "first-chunk", figure: "firstChunk", digits: 1 },
  { title: "answer of 5 tokens, ms", measure: "small-answer", figure: "p50", digits: 2 },
  { title: "answer of 100 MB, MB more", measure: "memory", figure: "added100", digits: 0 }
]

/** What each subject costs: one figure of each of these measures, as medians. */
export function costs(results: ReadonlyArray<Result>): string {
  const measured = costColumns.flatMap((column) => {
    const rows = results.find(({ measure }) => measure === column.measure)?.rows
    return rows === undefined ? [] : [{ ...column, rows }]
  })
  const lines = everySubject.map((subject) => {
    const cells = measured.map(({ digits, figure, rows }) => {
      const value = medianOf(rows, subject, figure)
      return Number.isNaN(value) ? "–" : formatNumber(value, digits)
    })
    return [String(subject)].concat(cells)
  })
  return table([["subject", ...measured.map(({ title }) => title)], ...lines])
}

/** The median of the rounds, with the lowest and the highest value. */
function formatRounds(rounds: ReadonlyArray<number>, digits: number): string {
  if (rounds.length === 0) return "–"
  const [low = "", median = "", high = ""] = [0, 0.5, 1].map((share) => formatNumber(quantile(rounds, share), digits))
  return rounds.length === 1 ? median : `${median} (${low} to ${high})`
}
