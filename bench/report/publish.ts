// docs/performance.md: its text is written by hand; what is between its markers is generated from the results.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { measures } from "../measures/all.ts"
import { drawChart } from "./charts.ts"
import { fillIn } from "./fillIn.ts"
import { measureNamed, type Result } from "./results.ts"
import { beforeAndAfter, paragraphsOf, targetsTable } from "./tables.ts"

const docs = new URL("../../docs/", import.meta.url)
const page = new URL("performance.md", docs)
const folder = new URL("performance/", docs)
const resultsFile = new URL("results.json", folder)
const readPublished = () => JSON.parse(readFileSync(resultsFile, "utf8")) as ReadonlyArray<Result>

/** Replaces the published results of the measures that were run, then writes the charts and the page. */
export async function publish(newResults: ReadonlyArray<Result>): Promise<string> {
  const published = readPublished()
  const merged = measures.flatMap(({ name }) => {
    const result = [...newResults, ...published].find(({ measure }) => measure === name)
    return result === undefined ? [] : [result]
  })
  writeResults(resultsFile, merged)
  // The file contains rounded figures. The page shows the same ones, so that --render reproduces it.
  const results = readPublished()
  let text = readFileSync(page, "utf8")
  text = fillIn(text, "before-and-after", beforeAndAfter(results))
  text = fillIn(text, "targets", targetsTable(results))
  for (const result of results) text = fillIn(text, result.measure, await section(result))
  writeFileSync(page, text)
  return fileURLToPath(page)
}

/** As JSON with one line per row. */
export function writeResults(file: URL, results: ReadonlyArray<Result>): void {
  const json = results.map(({ rows, ...head }) => {
    const lines = rows.map((row) => JSON.stringify(row, round))
    return `${JSON.stringify(head).slice(0, -1)},"rows":[\n${lines.join(",\n")}\n]}`
  })
  mkdirSync(new URL(".", file), { recursive: true })
  writeFileSync(file, `[\n${json.join(",\n")}\n]\n`)
}

const round = (_: string, value: unknown) => (typeof value === "number" ? Number(value.toPrecision(6)) : value)

async function section(result: Result): Promise<string> {
  const { measure, date, environment } = result
  const chart = await drawChart(result)
  if (chart !== undefined) writeFileSync(new URL(`${measure}.svg`, folder), chart)
  const image = chart === undefined ? [] : [`![${measureNamed(measure).chart?.title}](performance/${measure}.svg)`]
  return [...image, ...paragraphsOf(result), `Measured on ${date}. ${environment}`].join("\n\n")
}
