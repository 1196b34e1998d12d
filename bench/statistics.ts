/** The value below which the given share of all values lies; NaN if there are none. */
export function quantile(values: ReadonlyArray<number>, share: number): number {
  const sorted = Float64Array.from(values).toSorted()
  const position = (sorted.length - 1) * share
  const below = sorted[Math.floor(position)] ?? Number.NaN
  const above = sorted[Math.ceil(position)] ?? Number.NaN
  return below + (above - below) * (position - Math.floor(position))
}

export const median = (values: ReadonlyArray<number>): number => quantile(values, 0.5)
