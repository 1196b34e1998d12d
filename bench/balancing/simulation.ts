// Workloads in virtual time, on all cores: each thread simulates some of the seeds. A seed gives the same measurements everywhere.
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import { availableParallelism } from "node:os"
import { parentPort, Worker, workerData } from "node:worker_threads"
import * as Balancers from "./balancers.ts"
import type { Measurement } from "./clients.ts"
import { runSessions } from "./clients.ts"
import * as SimulatedHost from "./simulatedHost.ts"
import { runVirtually } from "./time.ts"
import type { Workload } from "./workloads.ts"
import * as Workloads from "./workloads.ts"

export interface Options {
  readonly balancers: ReadonlyArray<string>
  readonly workload: string
  readonly minutes: number
  readonly seeds: ReadonlyArray<number>
}

const simulate = (balancer: string, workload: Workload, seed: number): ReadonlyArray<Measurement> =>
  runVirtually((time) =>
    Effect.gen(function* () {
      const random = yield* Random.Random
      const provider = yield* Balancers.make(balancer, {
        random: () => random.nextDoubleUnsafe(),
        hosts: workload.hosts.map((settings) => {
          const running = SimulatedHost.run(settings, time)
          return {
            provider: SimulatedHost.makeProvider(running),
            slots: settings.slots,
            forecast: (request) => running.current().forecast(SimulatedHost.toHostRequest(request))
          }
        })
      })
      return yield* runSessions(provider, workload)
    }).pipe(
      Effect.scoped,
      Random.withSeed(`${balancer} ${seed}`),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
  )

/** For each balancer. All of them get the same load. */
export type Results = ReadonlyArray<ReadonlyArray<Measurement>>

const simulateSeeds = ({ balancers, minutes, seeds, workload }: Options): Results =>
  seeds
    .map((seed): Results => {
      const load = Workloads.make(workload, seed, minutes)
      return balancers.map((balancer) => simulate(balancer, load, seed))
    })
    .reduce(merge)

const merge = (a: Results, b: Results): Results => a.map((one, i) => one.concat(b[i] ?? []))

/** The measurements of all seeds together. */
export async function simulateAll({ seeds, ...options }: Options): Promise<Results> {
  const count = Math.min(seeds.length, availableParallelism())
  const threads = Array.from({ length: count }, (_, i) => {
    const workerData: Options = { ...options, seeds: seeds.filter((_, j) => j % count === i) }
    return new Promise<Results>((resolve, reject) =>
      new Worker(new URL(import.meta.url), { workerData }).once("message", resolve).once("error", reject)
    )
  })
  return (await Promise.all(threads)).reduce(merge)
}

parentPort?.postMessage(simulateSeeds(workerData), [])
