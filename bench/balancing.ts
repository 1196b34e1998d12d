// npm run bench:balancing: the pool beside other ways to choose a host.
import { parseArgs } from "node:util"
import { balancers } from "./balancing/balancers.ts"
import { makeMeasurements, randomOf, simulate } from "./balancing/simulation.ts"
import { workloads } from "./balancing/workloads.ts"
import { table } from "./report/page.ts"
import { quantile } from "./statistics.ts"

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "32" },
    workload: { type: "string", multiple: true, default: Object.keys(workloads) },
    balancer: { type: "string", multiple: true, default: Object.keys(balancers) }
  }
})
const rows = []
for (const name of values.workload) {
  const results = new Map(values.balancer.map((balancer) => [balancer, makeMeasurements()]))
  for (let seed = 0; seed < Number(values.seeds); seed++) {
    const workload = workloads[name]!(randomOf(`${name} ${seed}`))
    for (const [balancer, measurements] of results) {
      const t = performance.now()
      simulate(balancer, workload, seed, measurements)
      if (seed === 0) console.log(name, balancer, Math.round(performance.now() - t), "ms")
    }
  }
  for (const [balancer, { waits, failed, laterTurns, onlyNew, batchWaits }] of results) {
    rows.push([name, balancer, String(waits.length), String(failed), ...[0.5, 0.95, 0.99].map((q) => (quantile(waits, q) / 1000).toFixed(2)), `${(100*onlyNew/laterTurns).toFixed(0)} %`, (quantile(batchWaits, .5)/1000).toFixed(1)])
  }
}
console.log(table([["workload", "balancer", "n", "failed", "p50", "p95", "p99", "only new", "batch p50"], ...rows]))
