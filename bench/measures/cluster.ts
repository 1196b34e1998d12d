// What a cluster adds to a request: `local-llm serve` alone and with a cluster, in turns, with the same hosts.
import { findPostgres, startCluster, type Cluster, type Running } from "../gateway/cluster.ts"
import { start, type Program } from "../process.ts"
import { scenario } from "../server/scenarios.ts"
import { median } from "../statistics.ts"
import type { Load } from "./gateway.ts"
import { keep, runTask, startClient, type Figures, type Measure, type Target } from "./Measure.ts"

/** `gateways` is how many of them get the load, each from a client of its own. */
const loads: Readonly<Record<string, Load & { readonly gateways: number }>> = {
  "1 paced stream": { gateways: 1, streams: 1, answers: 8, scenario: scenario.slow },
  "50 paced streams": { gateways: 1, streams: 50, answers: 3, scenario: scenario.slow },
  "answers of 5 tokens, one by one": { gateways: 1, streams: 1, answers: 400, scenario: scenario.small },
  "answers of 5 tokens, 100 at once": { gateways: 2, streams: 50, answers: 40, scenario: scenario.small }
}
const subjects = Object.entries(loads).flatMap(([name, load]) =>
  (["alone", "cluster"] as const).map((kind) => ({ name: `${kind}, ${name}`, kind, load }))
)

const scheduler = "The scheduler alone"
const sizes = new Map([10, 100, 1000].map((hosts) => [`${hosts.toLocaleString("en-US")} hosts`, hosts]))

/** Nothing passes through the cluster for a token; what is left is the noise of the machine. */
const targets = ["1 paced stream", "50 paced streams"].flatMap((load): ReadonlyArray<Target> => {
  const target = { level: "must", subject: `cluster, ${load}`, above: `alone, ${load}` } as const
  return [
    { ...target, figure: "p50", what: "ms to the first token", atMost: 5 },
    { ...target, figure: "delay", what: "ms for each further token", atMost: 0.5 }
  ]
})

export const cluster: Measure = {
  name: "cluster",
  title: "A gateway alone, and with a cluster",
  columns: [
    { figure: "p50", title: "p50, ms", digits: 1 },
    { figure: "p95", title: "p95, ms", digits: 1 },
    { figure: "delay", title: "delay of further tokens, ms", digits: 2 },
    { figure: "gateway", title: "CPU of gateways per request, ms", digits: 2 },
    { figure: "runner", title: "CPU of runners per request, ms", digits: 2 },
    { figure: "rate", title: "requests per second", digits: 0 },
    { figure: "free", title: "CPU per request, µs", digits: 0, table: scheduler },
    { figure: "line", title: "with a line, µs", digits: 0, table: scheduler },
    { figure: "members", title: "list of hosts, KB", digits: 1, table: scheduler },
    { figure: "state", title: "state, KB", digits: 1, table: scheduler }
  ],
  targets,
  subjects: [...subjects.map(({ name }) => name), ...sizes.keys()],
  rounds: 5,
  warmUp: true,
  open: async ({ quick, serverUrl }) => {
    const postgres = findPostgres()
    if (postgres === undefined) {
      console.log("cluster: skipped, because there is no PostgreSQL.")
      return { turn: async function* () {} }
    }
    const second = await start("server/main.ts")
    const programs = await startCluster(postgres, [serverUrl, second.ready])
    const clients = keep((url) => startClient("floor, NDJSON", url))
    const schedulers = keep(() => start("gateway/scheduler.ts"))
    const turn = async function* (subject: string, round: number) {
      const hosts = sizes.get(subject)
      if (hosts !== undefined && round > 0) yield (await (await schedulers.get(subject)).ask(hosts)) as Figures
      const { kind, load } = subjects.find(({ name }) => name === subject) ?? {}
      if (kind === undefined || load === undefined) return
      const gateways = gatewaysOf(programs, kind).slice(0, load.gateways)
      const answers = quick ? 2 : round === 0 ? Math.ceil(load.answers / 4) : load.answers
      const readers = await Promise.all(gateways.map(({ ready }) => clients.get(ready)))
      yield measure({ gateways, readers, runners: kind === "cluster" ? programs.runners : [] }, { ...load, answers })
    }
    const close = async () => {
      await Promise.all([clients.close(), schedulers.close()])
      programs.stop()
      second.stop()
    }
    return { turn, close }
  }
}

const gatewaysOf = ({ alone, gateways }: Cluster, kind: "alone" | "cluster"): ReadonlyArray<Running> =>
  kind === "alone" ? alone : gateways

interface Parts {
  readonly gateways: ReadonlyArray<Running>
  readonly runners: ReadonlyArray<Running>
  readonly readers: ReadonlyArray<Program>
}

async function measure({ gateways, readers, runners }: Parts, load: Load): Promise<Figures> {
  const cpuOf = (programs: ReadonlyArray<Running>) => programs.reduce((sum, { usage }) => sum + usage().cpu, 0)
  const before = { time: performance.now(), gateway: cpuOf(gateways), runner: cpuOf(runners) }
  const read = await Promise.all(readers.map((reader) => runTask(reader, "gateway", load)))
  const seconds = (performance.now() - before.time) / 1000
  const medianOf = (figure: string) => median(read.map((figures) => figures[figure] ?? Number.NaN))
  const times = { p50: medianOf("p50"), p95: medianOf("p95") }
  if (load.scenario === scenario.slow) return { ...times, delay: medianOf("delay") }
  // Of answers without pauses, because the rest of the work of a second would count as well.
  const requests = readers.length * load.streams * load.answers
  const perRequest = (cpu: number) => cpu / 1000 / requests
  return {
    ...times,
    gateway: perRequest(cpuOf(gateways) - before.gateway),
    runner: perRequest(cpuOf(runners) - before.runner),
    rate: requests / seconds
  }
}
