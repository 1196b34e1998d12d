/** The median of the rounds, with the lowest and the highest beside it. */
export interface Summary {
  readonly median: number
  readonly low: number
  readonly high: number
  readonly rounds: ReadonlyArray<number>
}

export function summarize(rounds: ReadonlyArray<number>): Summary {
  return { median: quantile(rounds, 0.5), low: quantile(rounds, 0), high: quantile(rounds, 1), rounds }
}

/** The value below which the given share of all values lies; NaN of none. */
export function quantile(values: ReadonlyArray<number>, share: number): number {
  const sorted = Float64Array.from(values).toSorted()
  const position = (sorted.length - 1) * share
  const below = sorted[Math.floor(position)] ?? Number.NaN
  const above = sorted[Math.ceil(position)] ?? Number.NaN
  return below + (above - below) * (position - Math.floor(position))
}
