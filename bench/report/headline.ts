import { medianIn, type Report } from "./Report.ts"
import { formatNumber, type Table } from "./tables.ts"

interface Comparison {
  readonly what: string
  readonly measure: string
  readonly figure: string
  readonly unit: string
  readonly digits: number
}

const comparisons: ReadonlyArray<Comparison> = [
  { what: "first words of an answer of 10 s", measure: "first-chunk", figure: "firstChunk", unit: "ms", digits: 1 },
  { what: "memory that an answer of 10 MB adds", measure: "memory", figure: "added10", unit: "MB", digits: 0 },
  { what: "memory that an answer of 100 MB adds", measure: "memory", figure: "added100", unit: "MB", digits: 0 },
  { what: "memory that an answer of 1,000 MB adds", measure: "memory", figure: "added1000", unit: "MB", digits: 0 },
  { what: "CPU per line of a long answer", measure: "bulk", figure: "cpuPerLine", unit: "µs", digits: 2 }
]
const protocols = ["NDJSON", "SSE"]

/** What becomes of a program that read whole bodies before. */
export function beforeAndAfter(report: Report): Table {
  return [
    ["", "", "before: buffered", "after: ours", "change"],
    ...comparisons.flatMap(({ what, measure, figure, unit, digits }) => {
      const median = medianIn(report.results.find((result) => result.measure === measure)?.rows ?? [])
      const written = (value: number) => `${formatNumber(value, digits)} ${unit}`
      return protocols.map((protocol) => {
        const [before, after] = [median(`buffered, ${protocol}`, figure), median(`ours, ${protocol}`, figure)]
        if (Number.isNaN(after)) return [what, protocol, "not measured", "not measured", ""]
        if (Number.isNaN(before)) return [what, protocol, "fails", written(after), "works"]
        return [what, protocol, written(before), written(after), change(before, after)]
      })
    })
  ]
}

function change(before: number, after: number): string {
  const percent = (after / before - 1) * 100
  return `${percent > 0 ? "+" : "−"}${formatNumber(Math.abs(percent), 1)} %`
}
