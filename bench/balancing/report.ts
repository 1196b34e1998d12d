// The tables of this benchmark.
import { formatNumber, table } from "../report/page.ts"
import { quantile } from "../statistics.ts"
import type { Measurements } from "./simulation.ts"

/** What was measured with one workload, for each balancer. */
export type Results = ReadonlyMap<string, Summary>

export interface Summary {
  readonly requests: number
  readonly failed: number
  /** p50, p95 and p99 of the time to the first chunk, in seconds. */
  readonly waits: ReadonlyArray<number>
  /** Of the requests that go on with a conversation, the share for which the host read nothing but what is new. */
  readonly onlyNew: number
  /** How long a batch took, in minutes. */
  readonly batch: number
}

export const percentiles = [50, 95, 99]

export const summarize = ({ batches, failed, laterTurns, onlyNew, waits }: Measurements): Summary => ({
  requests: waits.length,
  failed,
  waits: percentiles.map((percent) => quantile(waits, percent / 100) / 1000),
  onlyNew: onlyNew / laterTurns,
  batch: quantile(batches, 0.5) / 60_000
})

const format = (value: number, digits = 2): string => (Number.isFinite(value) ? formatNumber(value, digits) : "")

const share = (value: number): string => (Number.isFinite(value) ? `${formatNumber(100 * value, 0)} %` : "")

/** One row for each workload, one column for each balancer. */
const compare = (heading: string, all: ReadonlyMap<string, Results>, cell: (summary: Summary) => string): string => {
  const balancers = [...(all.values().next().value?.keys() ?? [])]
  const rows = [...all].map(([workload, results]) => [workload].concat([...results.values()].map(cell)))
  return table([[heading, ...balancers], ...rows])
}

export const waitsTable = (all: ReadonlyMap<string, Results>): string =>
  compare("first chunk p50 / p95 / p99, s", all, ({ waits }) => waits.map((wait) => format(wait)).join(" / "))

export const cachedTable = (all: ReadonlyMap<string, Results>): string =>
  compare("later turns that read only what is new", all, ({ onlyNew }) => share(onlyNew))

/** How the times of the pool compare to the best of the others, and its p95 to that of two of them. */
const ratiosOf = (results: Results): ReadonlyArray<number> => {
  const others = [...results].filter(([name]) => name !== "pool" && name !== "oracle").map(([, { waits }]) => waits)
  const waits = results.get("pool")?.waits ?? []
  const toP95 = (name: string) => (waits[1] ?? Number.NaN) / (results.get(name)?.waits[1] ?? Number.NaN)
  const toBest = waits.map((wait, i) => wait / Math.min(...others.map((other) => other[i] ?? Infinity)))
  return [...toBest, toP95("least connections"), toP95("oracle")]
}

const ratioNames = [
  ...percentiles.map((percent) => `p${percent} / best other`),
  "p95 / least connections",
  "p95 / oracle"
]

export const ratiosTable = (all: ReadonlyMap<string, Results>): string => {
  const ratios = [...all.values()].map(ratiosOf)
  const means = ratioNames.map((_, i) => ratios.reduce((sum, row) => sum + (row[i] ?? 0), 0) / ratios.length)
  const rows = [...all].map(([workload, results], i) => {
    const { batch = Number.NaN, failed = 0, requests = 0 } = results.get("pool") ?? {}
    return [workload].concat(
      (ratios[i] ?? []).map((ratio) => format(ratio)),
      `${failed} of ${requests}`,
      format(batch)
    )
  })
  return table([
    ["pool", ...ratioNames, "failed", "minutes of a batch"],
    ...rows,
    ["mean", ...means.map((mean) => format(mean)), "", ""]
  ])
}
