// npm run bench [-- --quick] [-- --only bulk,paced] [-- --render]
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync, writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { Client } from "./client/Client.ts"
import { measures } from "./measures/index.ts"
import type { Bench, Measure } from "./measures/Measure.ts"
import { publish, readPublished } from "./report/document.ts"
import { readEnvironment } from "./report/environment.ts"
import { isBroken, resultOf, type Report, type Result } from "./report/Report.ts"
import { asText, failureLines, figuresTables, verdictsTable } from "./report/tables.ts"
import { startServer } from "./server/start.ts"
import { everyModule } from "./subjects/catalogue.ts"

const { values: flags } = parseArgs({
  options: {
    /** Small sizes and one round: shows that everything runs, not how fast. */
    quick: { type: "boolean", default: false },
    /** Names of measures, with commas between them. */
    only: { type: "string" },
    /** Measures nothing, writes the page anew from the figures it has. */
    render: { type: "boolean", default: false }
  }
})

if (flags.render) {
  const { environment, results } = readPublished()
  const judged = results.flatMap(({ measure: name, rows }) =>
    measures.filter((measure) => measure.name === name).map((measure) => resultOf(measure, rows))
  )
  publish({ environment, results: judged })
} else {
  installPeers()
  if (flags.quick) console.log("Quick: one round, and smaller than the titles say.")
  const report = await runAll(chosenMeasures())
  save(report)
  if (report.results.some(({ rows }) => rows.length === 0 || rows.some(isBroken))) process.exitCode = 1
}

function chosenMeasures(): ReadonlyArray<Measure> {
  if (flags.only === undefined) return measures
  return flags.only.split(",").map((name) => {
    const measure = measures.find((candidate) => candidate.name === name)
    if (measure === undefined) throw new Error(`no measure ${name}; there are ${measures.map((each) => each.name)}`)
    return measure
  })
}

/** The other clients are installed here and nowhere else. */
function installPeers(): void {
  if (existsSync(new URL("node_modules", import.meta.url))) return
  execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: import.meta.dirname, stdio: "inherit" })
}

async function runAll(chosen: ReadonlyArray<Measure>): Promise<Report> {
  const server = await startServer()
  const bench: Bench = { quick: flags.quick, serverUrl: server.url, progress: showProgress }
  const results: Array<Result> = []
  const started = performance.now()
  showProgress("compiling")
  // What fails here fails again where it is measured, and is told there.
  await Promise.allSettled(everyModule.map((subject) => Client.compile(subject, server.url)))
  for (const measure of chosen) {
    const result = resultOf(measure, await measure.run(bench))
    results.push(result)
    showProgress("")
    print(measure, result)
    console.log(`\n${Math.round((performance.now() - started) / 1000)} seconds so far`)
  }
  server.stop()
  return { environment: readEnvironment(), results }
}

function print(measure: Measure, result: Result): void {
  const { rows } = result
  console.log(`\n## ${measure.title}\n`)
  console.log([...figuresTables(measure, rows, asText), ...failureLines(rows)].join("\n\n"))
  console.log(`\n${asText(verdictsTable([result]))}`)
}

function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001B[K${text}`)
}

/** Only a whole run at full size is fit to be shown. */
function save(report: Report): void {
  const folder = new URL("results/", import.meta.url)
  mkdirSync(folder, { recursive: true })
  writeFileSync(new URL("results.json", folder), JSON.stringify(report, undefined, 1))
  console.log("written: bench/results/results.json")
  if (!flags.quick && flags.only === undefined) console.log(`written: ${publish(report)}`)
}
