// docs/performance.md: its text is written by hand; what is between its markers is generated from the results.
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { measures } from "../measures/all.ts"
import { median } from "../statistics.ts"
import { entryOf, type SubjectName } from "../subjects/catalogue.ts"
import { drawBars } from "./bars.ts"
import { fillIn } from "./page.ts"
import { measureNamed, type Result } from "./results.ts"
import { beforeAndAfter, paragraphsOf, targetsTable } from "./tables.ts"

const docs = new URL("../../docs/", import.meta.url)
const page = new URL("performance.md", docs)
const folder = new URL("performance/", docs)
const resultsFile = new URL("results.json", folder)

/** Replaces the published results of the measures that were run, then writes the charts and the page. */
export function publish(newResults: ReadonlyArray<Result>): string {
  const published = JSON.parse(readFileSync(resultsFile, "utf8")) as ReadonlyArray<Result>
  const results = measures.flatMap(({ name }) => {
    const result = [...newResults, ...published].find(({ measure }) => measure === name)
    return result === undefined ? [] : [result]
  })
  writeFileSync(resultsFile, `[\n${results.map(toJson).join(",\n")}\n]\n`)
  let text = readFileSync(page, "utf8")
  text = fillIn(text, "before-and-after", beforeAndAfter(results))
  text = fillIn(text, "targets", targetsTable(results))
  for (const result of results) text = fillIn(text, result.measure, section(result))
  writeFileSync(page, text)
  return fileURLToPath(page)
}

/** One line per row. */
const toJson = ({ rows, ...head }: Result): string =>
  `${JSON.stringify(head).slice(0, -1)},"rows":[\n${rows.map((row) => JSON.stringify(row)).join(",\n")}\n]}`

function section(result: Result): string {
  const { measure, date, environment } = result
  const chart = drawChart(result)
  if (chart !== undefined) writeFileSync(new URL(`${measure}.svg`, folder), chart)
  const image = chart === undefined ? [] : [`![${measureNamed(measure).chart?.title}](performance/${measure}.svg)`]
  return [...image, ...paragraphsOf(result), `Measured on ${date}. ${environment}`].join("\n\n")
}

const colours = { ours: "#2f81f7", variant: "#2f81f7", floor: "#57ab5a", buffered: "#d4843e", peer: "#8b949e" }
const protocolNames = { ndjson: "NDJSON (Ollama)", sse: "SSE (LM Studio)" }

/** The chart of a result, if its measure has one: a bar for each subject, in a group for each protocol. */
function drawChart({ measure, rows }: Result): string | undefined {
  const { chart, columns } = measureNamed(measure)
  const column = columns.find(({ figure }) => figure === chart?.figure)
  if (chart === undefined || column === undefined) return undefined
  const bars = rows
    .map(({ subject, figures }) => {
      const { kind, protocol } = entryOf(subject as SubjectName)
      const label = subject.replace(/, (?:NDJSON|SSE)/, "")
      return { protocol, label, value: median(figures[chart.figure] ?? []), colour: colours[kind] }
    })
    .filter(({ value }) => !Number.isNaN(value))
    .toSorted((one, other) => (chart.best === "high" ? other.value - one.value : one.value - other.value))
  const groups = Object.entries(protocolNames).map(([name, title]) => {
    return { title, bars: bars.filter(({ protocol }) => protocol === name) }
  })
  return drawBars(chart.title, column.digits, groups)
}
