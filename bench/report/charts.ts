// Vega-Lite charts of results as SVG. Their colours are readable on white and on black.
import { parse, View } from "vega"
import { compile, type Config, type TopLevelSpec } from "vega-lite"
import type { Column, Row } from "../measures/Measure.ts"
import { median } from "../statistics.ts"
import { entryOf, type Kind, type SubjectName } from "../subjects/catalogue.ts"
import { measureNamed, type Result } from "./results.ts"
import { formatNumber } from "./tables.ts"

const colours: Readonly<Record<Kind, string>> = {
  ours: "#2f81f7",
  variant: "#2f81f7",
  floor: "#57ab5a",
  buffered: "#d4843e",
  peer: "#8b949e"
}
const protocolNames = { ndjson: "NDJSON (Ollama)", sse: "SSE (LM Studio)" }
const grey = "#7d8590"
const text = { labelColor: grey, titleColor: grey, labelFontSize: 12, titleFontSize: 12, labelLimit: 260 }
const config: Config = {
  font: "system-ui, sans-serif",
  background: "transparent",
  view: { stroke: null },
  axis: { ...text, domain: false, ticks: false, gridColor: grey, gridOpacity: 0.25, labelPadding: 8 },
  header: { ...text, labelFontWeight: 600, labelFontSize: 13 },
  legend: { ...text, labelLimit: 300 },
  title: { color: grey, fontSize: 15, anchor: "start", offset: 12 }
}

/** The chart of a result, if its measure has one. */
export async function drawChart({ measure, rows }: Result): Promise<string | undefined> {
  const { chart, tables } = measureNamed(measure)
  const [columns = []] = tables.map((table) => table.columns)
  if (chart === undefined) return undefined
  const spec = chart.kind === "bars" ? bars(chart.title, columns, rows) : lines(chart.title, columns, rows)
  const view = new View(parse(compile(spec, { config }).spec), { renderer: "none" })
  return `${await view.toSVG()}\n`
}

/** The first column of every subject, one group per protocol. */
function bars(title: string, [column]: ReadonlyArray<Column>, rows: ReadonlyArray<Row>): TopLevelSpec {
  const values = pointsOf(column === undefined ? [] : [column], rows).toSorted((one, other) => one.value - other.value)
  return {
    title,
    data: { values },
    facet: {
      row: { field: "protocol", title: null, header: { labelAngle: 0, labelAlign: "left", labelOrient: "top" } }
    },
    resolve: { scale: { y: "independent" } },
    spec: {
      width: 460,
      height: { step: 24 },
      encoding: {
        y: { field: "client", sort: null, title: null },
        x: { field: "value", type: "quantitative", axis: null, scale: { nice: false } }
      },
      layer: [
        { mark: { type: "bar", height: 16 }, encoding: { color: { field: "colour", scale: null } } },
        {
          mark: { type: "text", align: "left", dx: 6, fontSize: 12, color: grey },
          encoding: { text: { field: "label" } }
        }
      ]
    }
  }
}

/** All columns of the subjects without other libraries, which are in the table. */
function lines(title: string, columns: ReadonlyArray<Column>, rows: ReadonlyArray<Row>): TopLevelSpec {
  const values = pointsOf(columns, rows).filter(({ kind }) => kind !== "peer")
  const series = [...new Map(values.map(({ kind, colour }) => [kind, colour]))]
  return {
    title,
    data: { values },
    width: 460,
    height: 280,
    mark: { type: "line", strokeWidth: 2.5, point: { size: 50 } },
    encoding: {
      x: { field: "column", type: "ordinal", sort: null, title: null, axis: { labelAngle: 0 } },
      y: { field: "value", type: "quantitative", scale: { type: "log" }, title: null, axis: { tickCount: 5 } },
      color: {
        field: "kind",
        title: null,
        scale: { domain: series.map(([kind]) => kind), range: series.map(([, colour]) => colour) }
      },
      strokeDash: { field: "protocol", title: null }
    }
  }
}

function pointsOf(columns: ReadonlyArray<Column>, rows: ReadonlyArray<Row>) {
  return rows.flatMap(({ subject, figures }) => {
    const { kind, protocol } = entryOf(subject as SubjectName)
    return columns.flatMap(({ figure, title, digits }) => {
      const value = median(figures[figure] ?? [])
      if (Number.isNaN(value)) return []
      const client = subject.replace(/, (?:NDJSON|SSE)/, "")
      const [colour, label] = [colours[kind], formatNumber(value, digits)]
      return [{ client, kind, protocol: protocolNames[protocol], colour, column: title, value, label }]
    })
  })
}
