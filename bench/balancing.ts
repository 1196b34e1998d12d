// npm run bench:balancing: the pool beside other ways to choose a host, with models of hosts in virtual time. A seed gives the same
// figures on every machine.
//   --seeds 4 --workload chat --balancer pool --balancer oracle   a part of it
import { parseArgs } from "node:util"
import * as Balancers from "./balancing/balancers.ts"
import { simulateSeeds } from "./balancing/seeds.ts"
import type { Results } from "./balancing/report.ts"
import { cachedTable, ratiosTable, summarize, waitsTable } from "./balancing/report.ts"
import * as Workloads from "./balancing/workloads.ts"

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "32" },
    workload: { type: "string", multiple: true, default: [...Workloads.names] },
    balancer: { type: "string", multiple: true, default: [...Balancers.names] }
  }
})

const all = new Map<string, Results>()
for (const workload of values.workload) {
  const seeds = Array.from({ length: Number(values.seeds) }, (_, seed) => seed)
  const measured = await simulateSeeds({ balancers: values.balancer, workload, seeds })
  const results = new Map(
    values.balancer.flatMap((name, i) => {
      const measurements = measured[i]
      return measurements === undefined ? [] : [[name, summarize(measurements)] as const]
    })
  )
  all.set(workload, results)
  process.stderr.write(`${workload} ${new Date().toISOString()}\n`)
}
console.log([waitsTable(all), cachedTable(all), ratiosTable(all)].join("\n\n"))
