// Simulates many seeds, on all cores.
import { fork } from "node:child_process"
import { availableParallelism } from "node:os"
import type { Measurements } from "./simulation.ts"

export interface Part {
  readonly balancers: ReadonlyArray<string>
  readonly workload: string
  readonly seeds: ReadonlyArray<number>
}

/** The measurements of all seeds together, for each balancer. */
export async function simulateSeeds({ seeds, ...load }: Part): Promise<ReadonlyArray<Measurements>> {
  const count = Math.min(seeds.length, availableParallelism())
  const parts = Array.from({ length: count }, (_, i) => seeds.filter((_, j) => j % count === i))
  return (await Promise.all(parts.map((seeds) => runPart({ seeds, ...load })))).reduce(merge)
}

const runPart = (part: Part): Promise<ReadonlyArray<Measurements>> =>
  new Promise((resolve, reject) => {
    const child = fork(new URL("worker.ts", import.meta.url))
    child.once("message", (measurements: ReadonlyArray<Measurements>) => {
      resolve(measurements)
      child.disconnect()
    })
    child.once("exit", (code) => reject(new Error(`the worker ended with ${code}`)))
    child.send(part)
  })

export const merge = (a: ReadonlyArray<Measurements>, b: ReadonlyArray<Measurements>): ReadonlyArray<Measurements> =>
  a.map((one, i) => mergeOne(one, b[i]))

const mergeOne = (a: Measurements, b: Measurements = a): Measurements => ({
  waits: [...a.waits, ...b.waits],
  batches: [...a.batches, ...b.batches],
  failed: a.failed + b.failed,
  laterTurns: a.laterTurns + b.laterTurns,
  onlyNew: a.onlyNew + b.onlyNew
})
