// npm run bench:balancing [-- --seeds 4] [-- --minutes 10] [-- --workload chat] [-- --balancer pool] [-- --write]: the pool beside other
// ways to choose a host, with models of hosts in virtual time, on all cores. A seed gives the same figures on every machine. `--write`
// publishes them in docs/resilience.md.
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import { availableParallelism } from "node:os"
import { parseArgs } from "node:util"
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads"
import { rewrite } from "../report/page.ts"
import * as Balancers from "./balancers.ts"
import { runSessions, type Measurement } from "./clients.ts"
import { slots } from "./host.ts"
import { report, summarize, type Results } from "./report.ts"
import * as SimulatedHost from "./simulatedHost.ts"
import { runVirtually } from "./time.ts"
import * as Workloads from "./workloads.ts"

/** What a thread simulates. */
interface Part {
  readonly workload: string
  readonly balancers: ReadonlyArray<string>
  readonly minutes: number
  readonly seeds: ReadonlyArray<number>
}

/** For each balancer. All of them get the same load. */
type Measured = ReadonlyArray<ReadonlyArray<Measurement>>

const merge = (a: Measured, b: Measured): Measured => a.map((one, i) => one.concat(b[i] ?? []))

const simulate = (balancer: string, workload: Workloads.Workload, seed: number): ReadonlyArray<Measurement> =>
  runVirtually((time) =>
    Effect.gen(function* () {
      const random = yield* Random.Random
      const hosts = workload.hosts.map((settings) => ({ ...SimulatedHost.make(settings, time), slots }))
      const provider = yield* Balancers.make(balancer, { random: () => random.nextDoubleUnsafe(), hosts })
      return yield* runSessions(provider, workload)
    }).pipe(
      Effect.scoped,
      Random.withSeed(`${balancer} ${seed}`),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
  )

const simulatePart = ({ balancers, minutes, seeds, workload }: Part): Measured =>
  seeds
    .map((seed): Measured => {
      const load = Workloads.make(workload, seed, minutes)
      return balancers.map((balancer) => simulate(balancer, load, seed))
    })
    .reduce(merge)

/** The measurements of all seeds together. */
async function simulateAll({ seeds, ...part }: Part): Promise<Results> {
  const count = Math.min(seeds.length, availableParallelism())
  const threads = Array.from({ length: count }, (_, i) => {
    const workerData: Part = { ...part, seeds: seeds.filter((_, j) => j % count === i) }
    return new Promise<Measured>((resolve, reject) =>
      new Worker(new URL(import.meta.url), { workerData }).once("message", resolve).once("error", reject)
    )
  })
  const measured = (await Promise.all(threads)).reduce(merge)
  return new Map(measured.map((measurements, i) => [part.balancers[i] ?? "", summarize(measurements)]))
}

async function compare(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "32" },
      minutes: { type: "string", default: "20" },
      workload: { type: "string", multiple: true, default: [...Workloads.names] },
      balancer: { type: "string", multiple: true, default: [...Balancers.names] },
      write: { type: "boolean", default: false }
    }
  })
  const part = {
    balancers: values.balancer,
    minutes: Number(values.minutes),
    seeds: Array.from({ length: Number(values.seeds) }, (_, seed) => seed)
  }
  const all = new Map<string, Results>()
  for (const workload of values.workload) all.set(workload, await simulateAll({ ...part, workload }))
  const tables = report(all)
  console.log(tables)
  if (values.write) rewrite([new URL("../../docs/resilience.md", import.meta.url)], { balancing: tables })
}

if (isMainThread) await compare()
else parentPort?.postMessage(simulatePart(workerData), [])
