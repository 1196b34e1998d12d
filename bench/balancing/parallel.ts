// Simulates many seeds, on all cores.
import { availableParallelism } from "node:os"
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import type { Measurements } from "./simulation.ts"
import { simulateAll } from "./simulation.ts"

export interface Plan {
  readonly balancers: ReadonlyArray<string>
  readonly workload: string
  readonly seeds: number
}

interface Part extends Plan {
  readonly begin: number
  readonly step: number
}

/** The measurements of all seeds, for each balancer. */
export async function simulateSeeds(plan: Plan): Promise<ReadonlyArray<Measurements>> {
  const step = Math.min(plan.seeds, availableParallelism())
  const parts = Array.from({ length: step }, (_, begin) => runPart({ ...plan, begin, step }))
  return (await Promise.all(parts)).reduce((a, b) => a.map((one, i) => merge(one, b[i])))
}

const runPart = (part: Part) =>
  new Promise<ReadonlyArray<Measurements>>((resolve, reject) => {
    new Worker(new URL(import.meta.url), { workerData: part }).on("message", resolve).on("error", reject)
  })

const merge = (a: Measurements, b: Measurements | undefined): Measurements =>
  b === undefined
    ? a
    : {
        waits: [...a.waits, ...b.waits],
        batches: [...a.batches, ...b.batches],
        failed: a.failed + b.failed,
        laterTurns: a.laterTurns + b.laterTurns,
        onlyNew: a.onlyNew + b.onlyNew
      }

function work({ balancers, begin, seeds, step, workload }: Part): ReadonlyArray<Measurements> {
  let all = simulateAll(balancers, workload, begin)
  for (let seed = begin + step; seed < seeds; seed += step) {
    const more = simulateAll(balancers, workload, seed)
    all = all.map((one, i) => merge(one, more[i]))
  }
  return all
}

if (!isMainThread) parentPort?.postMessage(work(workerData))
