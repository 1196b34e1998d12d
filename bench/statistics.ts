/** The value below which the given share of all values lies; NaN if there are none. */
export function quantile(values: ReadonlyArray<number>, share: number): number {
  const sorted = Float64Array.from(values).toSorted()
  const position = (sorted.length - 1) * share
  const below = sorted[Math.floor(position)] ?? Number.NaN
  const above = sorted[Math.ceil(position)] ?? Number.NaN
  return below + (above - below) * (position - Math.floor(position))
}

export const median = (values: ReadonlyArray<number>): number => quantile(values, 0.5)

// performance.now() starts with its process. Its offset from the machine's monotonic clock is constant. An interruption
// between the two readings makes the offset look smaller than it is, so the largest reading is the most accurate.
const processStart = Math.max(
  ...Array.from({ length: 100 }, () => Number(process.hrtime.bigint()) / 1e6 - performance.now())
)

/** Milliseconds on the clock that all processes of this machine share. */
export const sharedNow = (): number => processStart + performance.now()
