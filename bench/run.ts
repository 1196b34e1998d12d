// npm run bench [-- --quick] [-- --only bulk,paced] [-- --render]
import { parseArgs } from "node:util"
import { startClient } from "./client/Client.ts"
import { measures } from "./measures/all.ts"
import type { Measure } from "./measures/Measure.ts"
import { publish } from "./report/publish.ts"
import { describeEnvironment, isBroken, measureNamed, type Result } from "./report/results.ts"
import { paragraphsOf, targetsTable } from "./report/tables.ts"
import { startServer } from "./server/control.ts"
import { installPeers, subjectsOf } from "./subjects/catalogue.ts"

const { values: flags } = parseArgs({
  options: {
    /** Small sizes and one round: shows that everything works, not how fast it is. Publishes nothing. */
    quick: { type: "boolean", default: false },
    /** Names of measures, separated by commas; the published figures of the others are kept. */
    only: { type: "string", default: measures.map(({ name }) => name).join(",") },
    /** Measures nothing; writes the page and the charts from the published results. */
    render: { type: "boolean", default: false }
  }
})

const results = flags.render ? [] : await runAll(flags.only.split(",").map(measureNamed))
if (!flags.quick) console.log(`written: ${publish(results)}`)
if (results.some(isBroken)) process.exitCode = 1

async function runAll(chosen: ReadonlyArray<Measure>): Promise<ReadonlyArray<Result>> {
  installPeers()
  if (flags.quick) console.log("Quick: one round, and smaller loads than the titles say.")
  const server = await startServer()
  await fillCompileCache(server.url)
  const results: Array<Result> = []
  for (const measure of chosen) {
    const rows = await measure.run({ quick: flags.quick, serverUrl: server.url, progress: showProgress })
    const date = new Date().toISOString().slice(0, 10)
    const result = { measure: measure.name, date, environment: describeEnvironment(), rows }
    results.push(result)
    showProgress("")
    console.log(`\n## ${measure.title}\n\n${paragraphsOf(result).join("\n\n")}`)
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
