// npm run bench:balancing: the pool beside other ways to choose a host, with models of hosts in virtual time. A seed gives the same
// figures on every machine.
//   --seeds 4 --workload chat --balancer pool --balancer oracle   a part of it
//   --write                                                       into docs/resilience.md
//   --sockets --workload chat                                     one seed on processes with real sockets
//   --check                                                       the model of a host beside a real llama.cpp server
//   --choice                                                      what a choice costs with 64 hosts and 1,000 requests that wait
import { readFileSync, writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import * as Balancers from "./balancing/balancers.ts"
import { simulateSeeds } from "./balancing/seeds.ts"
import { check } from "./balancing/check.ts"
import { measureChoice } from "./balancing/choice.ts"
import type { Results } from "./balancing/report.ts"
import { cachedTable, ratiosTable, summarize, waitsTable } from "./balancing/report.ts"
import type { Measurements } from "./balancing/simulation.ts"
import { runOnSockets } from "./balancing/sockets.ts"
import * as Workloads from "./balancing/workloads.ts"
import { fillIn } from "./report/page.ts"

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "32" },
    workload: { type: "string", multiple: true, default: [...Workloads.names] },
    balancer: { type: "string", multiple: true, default: [...Balancers.names] },
    sockets: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
    check: { type: "boolean", default: false },
    choice: { type: "boolean", default: false }
  }
})
const seeds = Array.from({ length: Number(values.seeds) }, (_, seed) => seed)
const balancers = values.balancer.filter((name) => !values.sockets || name !== "oracle")

async function measure(workload: string): Promise<ReadonlyArray<Measurements>> {
  if (!values.sockets) return simulateSeeds({ balancers, workload, seeds })
  const measured = []
  for (const balancer of balancers) measured.push(await runOnSockets(balancer, workload))
  return measured
}

async function compare(): Promise<void> {
  const all = new Map<string, Results>()
  for (const workload of values.workload) {
    const measured = await measure(workload)
    all.set(workload, new Map(measured.map((measurements, i) => [balancers[i] ?? "", summarize(measurements)])))
    process.stderr.write(`${workload}\n`)
  }
  const tables = [waitsTable(all), cachedTable(all), ratiosTable(all)].join("\n\n")
  console.log(tables)
  if (!values.write) return
  const page = new URL("../docs/resilience.md", import.meta.url)
  writeFileSync(page, fillIn(readFileSync(page, "utf8"), "balancing", tables))
}

if (values.choice) console.log(measureChoice())
else if (values.check) console.log(await check())
else await compare()
