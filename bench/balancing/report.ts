// The tables of this benchmark.
import { formatNumber, table } from "../report/page.ts"
import { median, quantile } from "../statistics.ts"
import type { Measurement } from "./clients.ts"

/** What was measured with one workload, for each balancer. */
export type Results = ReadonlyMap<string, Summary>

interface Summary {
  readonly requests: number
  readonly failed: number
  /** p50, p95 and p99 of the time to the first chunk, in seconds. Those of batches are left out. */
  readonly waits: ReadonlyArray<number>
  /** Of the requests that go on with a conversation, the share for which the host read nothing but what is new. */
  readonly onlyNew: number
  /** How long a batch took, in minutes. */
  readonly batch: number
}

const percentiles = [50, 95, 99]

/** A server reads the last token of the part that is cached again, and words that two texts begin with in common are no more. */
const tolerance = 16

export const summarize = (measurements: ReadonlyArray<Measurement>): Summary => {
  const waits = measurements.flatMap(({ isBatch, wait }) => (isBatch ? [] : [wait]))
  const later = measurements.filter(({ isFailed, oldTokens }) => oldTokens > 0 && !isFailed)
  const onlyNew = later.filter(({ cachedTokens, oldTokens }) => cachedTokens >= oldTokens - tolerance)
  const batches = new Map(measurements.flatMap(({ end, isBatch, session }) => (isBatch ? [[session, end]] : [])))
  return {
    requests: waits.length,
    failed: measurements.filter(({ isFailed }) => isFailed).length,
    waits: percentiles.map((percent) => quantile(waits, percent / 100) / 1000),
    onlyNew: onlyNew.length / later.length,
    batch: median([...batches.values()]) / 60_000
  }
}

const format = (value: number): string => (Number.isFinite(value) ? formatNumber(value, 2) : "")

const share = (value: number): string => (Number.isFinite(value) ? `${formatNumber(100 * value, 0)} %` : "")

/** One row for each workload, one column for each balancer. */
const compare = (heading: string, all: ReadonlyMap<string, Results>, cell: (summary: Summary) => string): string => {
  const balancers = [...(all.values().next().value?.keys() ?? [])]
  const rows = [...all].map(([workload, results]) => [workload].concat([...results.values()].map(cell)))
  return table([[heading, ...balancers], ...rows])
}

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

const compareRatios = (all: ReadonlyMap<string, Results>): string => {
  const ratios = [...all.values()].map(ratiosOf)
  const means = ratioNames.map((_, i) => ratios.reduce((sum, row) => sum + (row[i] ?? 0), 0) / ratios.length)
  const rows = [...all].map(([workload, results], i) => {
    const { batch = Number.NaN, failed = 0, requests = 0 } = results.get("pool") ?? {}
    return [workload].concat((ratios[i] ?? []).map(format), `${failed} of ${requests}`, format(batch))
  })
  const heading = ["pool", ...ratioNames, "failed", "minutes of a batch"]
  return table([heading, ...rows, ["mean", ...means.map(format), "", ""]])
}

export const report = (all: ReadonlyMap<string, Results>): string =>
  [
    compare("first chunk p50 / p95 / p99, s", all, ({ waits }) => waits.map(format).join(" / ")),
    compare("later turns that read only what is new", all, ({ onlyNew }) => share(onlyNew)),
    compareRatios(all)
  ].join("\n\n")
