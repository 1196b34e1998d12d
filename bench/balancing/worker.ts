// A process that simulates some of the seeds of a workload.
import type { Part } from "./seeds.ts"
import { merge } from "./seeds.ts"
import type { Measurements } from "./simulation.ts"
import { simulateAll } from "./simulation.ts"

process.once("message", ({ balancers, seeds, workload }: Part) => {
  const [first, ...rest] = seeds.map((seed) => simulateAll(balancers, workload, seed))
  process.send?.(rest.reduce<ReadonlyArray<Measurements>>(merge, first ?? []))
})
