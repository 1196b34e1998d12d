import type { Row } from "../measures/Measure.ts"
import { protocolOf, type SubjectName } from "../subjects/catalogue.ts"
import type { Report } from "./Report.ts"
import { barChart, lineChart, type Line, type Tone } from "./svg.ts"
import { formatNumber } from "./tables.ts"

export interface Chart {
  readonly measure: string
  readonly title: string
  readonly svg: string
}

interface Bars {
  readonly title: string
  readonly figure: string
  readonly digits: number
  readonly best: "low" | "high"
}

/** Which figure of a measure is drawn. */
const barsOf: Readonly<Record<string, Bars>> = {
  bulk: { title: "One long answer: CPU per line, µs (less is better)", figure: "cpuPerLine", digits: 2, best: "low" },
  paced: {
    title: "200 paced answers: CPU per token, µs (less is better)",
    figure: "cpuPerToken",
    digits: 1,
    best: "low"
  },
  capacity: { title: "Answers followed in time (more is better)", figure: "streams", digits: 0, best: "high" },
  "small-answer": { title: "Small answer: median latency, ms (less is better)", figure: "p50", digits: 2, best: "low" }
}

const groupNames = { ndjson: "NDJSON (Ollama)", sse: "SSE (LM Studio)" }

const answerSizes = [1, 10, 100, 1000]

export function drawCharts(report: Report): ReadonlyArray<Chart> {
  return report.results.flatMap(({ measure, rows }) => {
    if (measure === "memory") return [memoryChart(rows)]
    const bars = barsOf[measure]
    return bars === undefined ? [] : [{ measure, title: bars.title, svg: drawBars(bars, rows) }]
  })
}

function drawBars({ title, figure, digits, best }: Bars, rows: ReadonlyArray<Row>): string {
  const bars = rows.flatMap(({ subject, figures }) => {
    const value = figures[figure]?.median
    return value === undefined ? [] : [{ subject, label: shortName(subject), value, tone: toneOf(subject) }]
  })
  const sorted = bars.toSorted((one, other) => (best === "low" ? one.value - other.value : other.value - one.value))
  const groups = Object.entries(groupNames).map(([protocol, name]) => ({
    name,
    bars: sorted.filter(({ subject }) => protocolOf(subject as SubjectName) === protocol)
  }))
  return barChart(title, groups, (value) => formatNumber(value, digits))
}

/** Before and after; the others are in the table. */
function memoryChart(rows: ReadonlyArray<Row>): Chart {
  const title = "Peak memory against the size of the answer"
  const drawn = rows.filter(({ subject }) => /^(?:ours|buffered|floor)/.test(subject))
  const lines = drawn.map(({ subject, figures, failures }): Line => {
    const points = answerSizes.flatMap((size) => {
      const peak = figures[`peak${size}`]?.median
      return peak === undefined ? [] : [{ x: size, y: peak }]
    })
    const fails = answerSizes.find((size) => failures.some((failure) => failure.startsWith(`${size} MB`)))
    const end = fails === undefined ? "" : ` (fails at ${formatNumber(fails, 0)} MB)`
    return { label: subject + end, tone: toneOf(subject), points }
  })
  const xAxis = { title: "answer, MB", ticks: answerSizes }
  const yAxis = { title: "peak RSS, MB", ticks: [50, 100, 200, 500, 1000] }
  return { measure: "memory", title, svg: lineChart(title, xAxis, yAxis, lines) }
}

/** Without the protocol, which the heading of its group names. */
function shortName(subject: string): string {
  return subject.replace(/, (?:NDJSON|SSE)/, "")
}

function toneOf(subject: string): Tone {
  if (subject.startsWith("ours")) return "ours"
  return subject.startsWith("floor") ? "floor" : "other"
}
