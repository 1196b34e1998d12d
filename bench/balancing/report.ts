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

/** Time to the first chunk of every balancer with every workload. */
export const waitsTable = (all: ReadonlyMap<string, Results>): string => {
  const balancers = [...(all.values().next().value?.keys() ?? [])]
  const rows = [...all].map(([workload, results]) => [
    workload,
    ...balancers.map(
      (name) =>
        results
          .get(name)
          ?.waits.map((wait) => format(wait))
          .join(" / ") ?? ""
    )
  ])
  return table([["first chunk p50 / p95 / p99, s", ...balancers], ...rows])
}

export const cachedTable = (all: ReadonlyMap<string, Results>): string => {
  const balancers = [...(all.values().next().value?.keys() ?? [])]
  const rows = [...all].map(([workload, results]) => [
    workload,
    ...balancers.map((name) => share(results.get(name)?.onlyNew ?? Number.NaN))
  ])
  return table([["later turns that read only what is new", ...balancers], ...rows])
}

/** The pool beside the others: how its times compare to the best of them, to least connections and to the oracle. */
export const ratiosTable = (all: ReadonlyMap<string, Results>): string => {
  const ratios = [...all].flatMap(([workload, results]) => {
    const pool = results.get("pool")
    if (pool === undefined) return []
    const others = [...results].filter(([name]) => name !== "pool" && name !== "oracle").map(([, summary]) => summary)
    const toBest = pool.waits.map((wait, i) => wait / Math.min(...others.map(({ waits }) => waits[i] ?? Infinity)))
    const toP95 = (name: string) => (pool.waits[1] ?? Number.NaN) / (results.get(name)?.waits[1] ?? Number.NaN)
    return [{ workload, numbers: [...toBest, toP95("least connections"), toP95("oracle")], pool }]
  })
  const mean = (column: number) => ratios.reduce((sum, { numbers }) => sum + (numbers[column] ?? 0), 0) / ratios.length
  const heading = [
    "pool",
    ...percentiles.map((percent) => `p${percent} / best other`),
    "p95 / least connections",
    "p95 / oracle",
    "failed",
    "minutes of a batch"
  ]
  return table([
    heading,
    ...ratios.map(({ numbers, pool, workload }) => [
      workload,
      ...numbers.map((number) => format(number)),
      `${pool.failed} of ${pool.requests}`,
      format(pool.batch)
    ]),
    ["mean", ...[0, 1, 2, 3, 4].map((column) => format(mean(column))), "", ""]
  ])
}
