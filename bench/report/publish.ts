// docs/performance.md for users, and bench/RESULTS.md with everything. Their text is written by hand; what is between their markers is
// generated from the results.
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { measureNamed, measures } from "../measures/all.ts"
import { drawChart } from "./chart.ts"
import { rewrite } from "./page.ts"
import type { Result } from "./results.ts"
import { beforeAndAfter, costs, paragraphsOf, targetsTable } from "./tables.ts"

const docs = new URL("../../docs/", import.meta.url)
const pages = [new URL("performance.md", docs), new URL("../RESULTS.md", import.meta.url)]
const folder = new URL("performance/", docs)
const resultsFile = new URL("results.json", folder)

/** Replaces the published results of the measures that were run, then writes the charts and the pages. */
export function publish(newResults: ReadonlyArray<Result>): string {
  const published = JSON.parse(readFileSync(resultsFile, "utf8")) as ReadonlyArray<Result>
  const results = measures.flatMap(({ name }) => {
    const result = [...newResults, ...published].find(({ measure }) => measure === name)
    return result === undefined ? [] : [result]
  })
  writeFileSync(resultsFile, `[\n${results.map(toJson).join(",\n")}\n]\n`)
  rewrite(pages, {
    targets: targetsTable(results),
    "before-and-after": beforeAndAfter(results),
    costs: costs(results),
    source: [...new Set(results.map(sourceOf))].join("\n\n"),
    ...Object.fromEntries(results.map((result) => [result.measure, section(result)]))
  })
  return pages.map((url) => fileURLToPath(url)).join(", ")
}

/** When and where a result was measured. */
const sourceOf = ({ date, environment }: Result): string => `Measured on ${date}. ${environment}`

/** One line per row. */
const toJson = ({ rows, ...head }: Result): string =>
  `${JSON.stringify(head).slice(0, -1)},"rows":[\n${rows.map((row) => JSON.stringify(row)).join(",\n")}\n]}`

function section(result: Result): string {
  const { measure } = result
  const chart = drawChart(result)
  if (chart !== undefined) writeFileSync(new URL(`${measure}.svg`, folder), chart)
  const image = `![${measureNamed(measure).chart?.title}](../docs/performance/${measure}.svg)`
  return [...(chart === undefined ? [] : [image]), ...paragraphsOf(result), sourceOf(result)].join("\n\n")
}
