// npm run bench:balancing: the pool beside other ways to choose a host, with models of hosts in virtual time. A seed gives the same
// figures on every machine.
//   --seeds 4 --minutes 10 --workload chat --balancer pool   a part of it
//   --write                                                  into docs/resilience.md
//   --sockets --minutes 10 --speed 5                         one seed on processes with real sockets
//   --check                                                  the model of a host beside a real llama.cpp server
//   --choice                                                 what a choice costs with 64 hosts and 1,000 requests that wait
import { readFileSync, writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import * as Balancers from "./balancing/balancers.ts"
import { check } from "./balancing/check.ts"
import { measureChoice } from "./balancing/choice.ts"
import type { Results } from "./balancing/report.ts"
import { report, summarize } from "./balancing/report.ts"
import { simulateAll } from "./balancing/simulation.ts"
import { runOnSockets } from "./balancing/sockets.ts"
import * as Workloads from "./balancing/workloads.ts"
import { fillIn } from "./report/page.ts"

const { values } = parseArgs({
  options: {
    seeds: { type: "string" },
    minutes: { type: "string", default: "20" },
    workload: { type: "string", multiple: true, default: [...Workloads.names] },
    balancer: { type: "string", multiple: true, default: [...Balancers.names] },
    sockets: { type: "boolean", default: false },
    speed: { type: "string", default: "5" },
    write: { type: "boolean", default: false },
    check: { type: "boolean", default: false },
    choice: { type: "boolean", default: false }
  }
})
const seeds = Array.from({ length: Number(values.seeds ?? (values.sockets ? 1 : 32)) }, (_, seed) => seed)
const balancers = values.balancer.filter((name) => !values.sockets || name !== "oracle")

const options = { balancers, minutes: Number(values.minutes), seeds, speed: Number(values.speed) }

async function measure(workload: string): Promise<Results> {
  const measured = values.sockets
    ? await runOnSockets({ ...options, workload })
    : await simulateAll({ ...options, workload })
  process.stderr.write(`${workload}\n`)
  return new Map(measured.map((measurements, i) => [balancers[i] ?? "", summarize(measurements)]))
}

async function compare(): Promise<string> {
  const all = new Map<string, Results>()
  for (const workload of values.workload) all.set(workload, await measure(workload))
  const tables = report(all)
  if (values.write) {
    const page = new URL("../docs/resilience.md", import.meta.url)
    writeFileSync(page, fillIn(readFileSync(page, "utf8"), "balancing", tables))
  }
  return tables
}

console.log(values.choice ? measureChoice() : values.check ? await check() : await compare())
