// docs/performance.md: its prose is written by hand, what stands between its markers is written here.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { measures } from "../measures/index.ts"
import { drawCharts, type Chart } from "./charts.ts"
import type { Environment } from "./environment.ts"
import { beforeAndAfter } from "./headline.ts"
import type { Report } from "./Report.ts"
import { asMarkdown, failureLines, figuresTables, verdictsTable } from "./tables.ts"

const docs = new URL("../../docs/", import.meta.url)
const page = new URL("performance.md", docs)
const folder = new URL("performance/", docs)
const results = new URL("results.json", folder)

export function readPublished(): Report {
  return JSON.parse(readFileSync(results, "utf8")) as Report
}

/** Writes the raw figures, the charts and all that the page says of this run. */
export function publish(report: Report): string {
  mkdirSync(folder, { recursive: true })
  writeFileSync(results, `${JSON.stringify(report, undefined, 1)}\n`)
  const charts = drawCharts(report)
  for (const { measure, svg } of charts) writeFileSync(new URL(`${measure}.svg`, folder), svg)
  const sections = {
    headline: asMarkdown(beforeAndAfter(report)),
    environment: describe(report.environment),
    verdicts: asMarkdown(verdictsTable(report.results)),
    ...Object.fromEntries(report.results.map((result) => [result.measure, section(result, charts)]))
  }
  const written = Object.entries(sections).reduce(fillIn, readFileSync(page, "utf8"))
  writeFileSync(page, written)
  return fileURLToPath(page)
}

function section({ measure: name, rows }: Report["results"][number], charts: ReadonlyArray<Chart>): string {
  const measure = measures.find((candidate) => candidate.name === name)
  if (measure === undefined) throw new Error(`there is no measure ${name} any more`)
  const images = charts
    .filter((chart) => chart.measure === name)
    .map(({ title }) => `![${title}](performance/${name}.svg)`)
  const failures = failureLines(rows).map((line) => `${line}.`)
  return [...images, ...figuresTables(measure, rows, asMarkdown), ...failures].join("\n\n")
}

function describe({ node, system, cpu, cores, memoryGigabytes, packages }: Environment): string {
  const versions = Object.entries(packages).map(([name, version]) => `${name} ${version}`)
  return `Node ${node} on ${system}, ${cores} cores (${cpu}), ${memoryGigabytes} GB. ${versions.join(", ")}.`
}

function fillIn(document: string, [name, content]: readonly [string, string]): string {
  const [begin, end] = [`<!-- ${name} -->`, `<!-- /${name} -->`]
  const [before, rest] = splitOnce(document, begin)
  const [, after] = splitOnce(rest, end)
  return `${before}${begin}\n\n${content}\n\n${end}${after}`
}

function splitOnce(text: string, marker: string): readonly [string, string] {
  const at = text.indexOf(marker)
  if (at === -1) throw new Error(`docs/performance.md lacks the marker ${marker}`)
  return [text.slice(0, at), text.slice(at + marker.length)]
}
