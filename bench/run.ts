// npm run bench [-- --quick] [-- --only bulk,paced] [-- --render] [-- --litellm PROGRAM]
import { parseArgs } from "node:util"
import { installPackages } from "../scripts/support/repository.ts"
import { measureNamed, measures } from "./measures/all.ts"
import { runMeasure, startClient, type Measure } from "./measures/Measure.ts"
import { start } from "./process.ts"
import { publish } from "./report/publish.ts"
import { describeEnvironment, isBroken, type Result } from "./report/results.ts"
import { paragraphsOf, targetsTable } from "./report/tables.ts"
import { subjectsOf } from "./subjects/catalogue.ts"

const { values: flags } = parseArgs({
  options: {
    /** Small sizes and one round: shows that everything works, not how fast it is. Publishes nothing. */
    quick: { type: "boolean", default: false },
    /** Names of measures, separated by commas; the published figures of the others are kept. */
    only: { type: "string", default: measures.map(({ name }) => name).join(",") },
    /** Measures nothing; writes the pages and the charts from the published results. */
    render: { type: "boolean", default: false },
    /** The gateway is measured beside it, if it is given. */
    litellm: { type: "string" }
  }
})

const results = flags.render ? [] : await runAll(flags.only.split(",").map(measureNamed))
if (!flags.quick) console.log(`written: ${publish(results)}`)
if (results.some(isBroken)) process.exitCode = 1

async function runAll(chosen: ReadonlyArray<Measure>): Promise<ReadonlyArray<Result>> {
  // The other clients are installed in this folder and nowhere else, so that the library never depends on them.
  installPackages("bench")
  if (flags.quick) console.log("Quick: one round, and smaller loads than the titles say.")
  const server = await start("server/main.ts")
  await fillCompileCache(server.ready)
  const environment = describeEnvironment(flags.litellm)
  const results: Array<Result> = []
  for (const measure of chosen) {
    const begin = performance.now()
    const bench = { ...flags, serverUrl: server.ready, progress: showProgress }
    const rows = await runMeasure(measure, bench)
    // It was skipped, so what was published stays.
    if (rows.length === 0) continue
    const result = { measure: measure.name, date: new Date().toISOString().slice(0, 10), environment, rows }
    results.push(result)
    // What is measured later may fail.
    if (!flags.quick) publish(results)
    showProgress("")
    const seconds = Math.round((performance.now() - begin) / 1000)
    console.log(`\n## ${measure.title} (${seconds} s)\n\n${paragraphsOf(result).join("\n\n")}`)
    console.log(`\n${targetsTable([result])}`)
  }
  server.stop()
  return results
}

/** A failure here occurs again when the subject is measured, and is reported then. */
async function fillCompileCache(serverUrl: string): Promise<void> {
  showProgress("compiling")
  const starting = subjectsOf("floor", "ours", "peer").map((subject) => startClient(subject, serverUrl))
  await Promise.allSettled(starting.map(async (client) => (await client).stop()))
}

function showProgress(text: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001B[K${text}`)
}
