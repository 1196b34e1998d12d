// docs/performance.md for users, and bench/RESULTS.md with everything. Their text is written by hand; what is between their markers is
// generated from the results.
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { measures } from "../measures/all.ts"
import { median } from "../statistics.ts"
import { entryOf, type SubjectName } from "../subjects/catalogue.ts"
import { drawBars } from "./bars.ts"
import { fillIn } from "./page.ts"
import { isOfThisVersion, measureNamed, type Result } from "./results.ts"
import { beforeAndAfter, costs, paragraphsOf, sourceOf, targetsTable } from "./tables.ts"

const docs = new URL("../../docs/", import.meta.url)
const guide = new URL("performance.md", docs)
const page = new URL("../RESULTS.md", import.meta.url)
const folder = new URL("performance/", docs)
const resultsFile = new URL("results.json", folder)

/**
 * Replaces the published results of the measures that were run, then writes the charts and the pages. The guide has only what was
 * measured with this version.
 */
export function publish(newResults: ReadonlyArray<Result>): string {
  const published = JSON.parse(readFileSync(resultsFile, "utf8")) as ReadonlyArray<Result>
  const results = measures.flatMap(({ name }) => {
    const result = [...newResults, ...published].find(({ measure }) => measure === name)
    return result === undefined ? [] : [result]
  })
  writeFileSync(resultsFile, `[\n${results.map(toJson).join(",\n")}\n]\n`)
  const current = results.filter(isOfThisVersion)
  rewrite(guide, { "before-and-after": beforeAndAfter(current), costs: costs(current), source: sources(current) })
  const sections = results.map((result) => [result.measure, section(result)])
  rewrite(page, { targets: targetsTable(results), ...Object.fromEntries(sections) })
  return [guide, page].map((url) => fileURLToPath(url)).join(", ")
}

/** Fills in what is between markers. */
function rewrite(url: URL, contents: Readonly<Record<string, string>>): void {
  const text = readFileSync(url, "utf8")
  writeFileSync(
    url,
    Object.entries(contents).reduce((text, [name, content]) => fillIn(text, name, content), text)
  )
}

/** When and where the results were measured; most have the same. */
const sources = (results: ReadonlyArray<Result>): string => [...new Set(results.map(sourceOf))].join("\n\n")

/** One line per row. */
const toJson = ({ rows, ...head }: Result): string =>
  `${JSON.stringify(head).slice(0, -1)},"rows":[\n${rows.map((row) => JSON.stringify(row)).join(",\n")}\n]}`

function section(result: Result): string {
  const { measure } = result
  const chart = drawChart(result)
  if (chart !== undefined) writeFileSync(new URL(`${measure}.svg`, folder), chart)
  const image =
    chart === undefined ? [] : [`![${measureNamed(measure).chart?.title}](../docs/performance/${measure}.svg)`]
  return [...image, ...paragraphsOf(result), sourceOf(result)].join("\n\n")
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
