// Vega-Lite charts of results as SVG. Their colours are readable on white and on black.
import { parse, View } from "vega"
import { compile, type Config, type TopLevelSpec } from "vega-lite"
import type { Chart, Column, Row } from "../measures/Measure.ts"
import { median } from "../statistics.ts"
import { entryOf, type Kind, type SubjectName } from "../subjects/catalogue.ts"
import { measureNamed, type Result } from "./results.ts"

const colours = { ours: "#2f81f7", variant: "#2f81f7", floor: "#57ab5a", buffered: "#d4843e", peer: "#8b949e" }
const protocolNames = { ndjson: "NDJSON (Ollama)", sse: "SSE (LM Studio)" }
const grey = "#7d8590"
const text = { labelColor: grey, titleColor: grey, labelFontSize: 12, titleFontSize: 12, labelLimit: 320 }
const config: Config = {
  font: "system-ui, sans-serif",
  background: "transparent",
  view: { stroke: null },
  axis: { ...text, domain: false, ticks: false, gridColor: grey, gridOpacity: 0.25, labelPadding: 8 },
  legend: text,
  text: { color: grey },
  title: { color: grey, fontSize: 15, anchor: "start", offset: 12 }
}

/** The chart of a result, if its measure has one. */
export async function drawChart({ measure, rows }: Result): Promise<string | undefined> {
  const { chart, columns: all } = measureNamed(measure)
  if (chart === undefined) return undefined
  const columns = all.filter(({ table }) => table === all[0]?.table)
  const spec = chart.kind === "bars" ? bars(chart, columns, rows) : lines(chart.title, columns, rows)
  const view = new View(parse(compile(spec, { config }).spec), { renderer: "none" })
  return `${await view.toSVG()}\n`
}

/** The first column of every subject, one group per protocol. */
function bars(chart: Chart, columns: ReadonlyArray<Column>, rows: ReadonlyArray<Row>): TopLevelSpec {
  const points = pointsOf(columns.slice(0, 1), rows).toSorted((one, other) => one.value - other.value)
  const value = { field: "value", type: "quantitative" } as const
  const format = `,.${columns[0]?.digits ?? 0}f`
  if (chart.best === "high") points.reverse()
  return {
    title: chart.title,
    resolve: { scale: { x: "shared" } },
    vconcat: Object.values(protocolNames).map((name) => ({
      title: { text: name, fontSize: 13, frame: "group" },
      data: { values: points.filter(({ protocol }) => protocol === name) },
      width: 460,
      height: { step: 24 },
      encoding: {
        y: { field: "client", sort: null, title: null, axis: { minExtent: 215, grid: false } },
        x: { ...value, axis: null }
      },
      layer: [
        { mark: { type: "bar", height: 16 }, encoding: { color: { field: "colour", scale: null } } },
        { mark: { type: "text", align: "left", dx: 6, fontSize: 12 }, encoding: { text: { ...value, format } } }
      ]
    }))
  }
}

/** All columns of the subjects without other libraries, which are in the table. */
function lines(title: string, columns: ReadonlyArray<Column>, rows: ReadonlyArray<Row>): TopLevelSpec {
  const kinds: ReadonlyArray<Kind> = ["floor", "buffered", "ours"]
  const values = pointsOf(columns, rows).filter(({ kind }) => kinds.includes(kind))
  return {
    title,
    data: { values },
    width: 460,
    height: 280,
    mark: { type: "line", strokeWidth: 2.5, point: { size: 50 } },
    encoding: {
      x: { field: "column", type: "ordinal", sort: null, title: null, axis: { labelAngle: 0 } },
      y: {
        field: "value",
        type: "quantitative",
        scale: { type: "log", domainMin: 50, nice: false },
        title: null,
        axis: { tickCount: 4 }
      },
      color: { field: "kind", title: null, scale: { domain: [...kinds], range: kinds.map((kind) => colours[kind]) } },
      strokeDash: { field: "protocol", legend: null }
    }
  }
}

function pointsOf(columns: ReadonlyArray<Column>, rows: ReadonlyArray<Row>) {
  return rows.flatMap(({ subject, figures }) => {
    const { kind, protocol } = entryOf(subject as SubjectName)
    const client = subject.replace(/, (?:NDJSON|SSE)/, "")
    const points = columns.map(({ figure, title }) => ({ column: title, value: median(figures[figure] ?? []) }))
    return points
      .filter(({ value }) => !Number.isNaN(value))
      .map(({ column, value }) => {
        return { client, kind, protocol: protocolNames[protocol], colour: colours[kind], column, value }
      })
  })
}
