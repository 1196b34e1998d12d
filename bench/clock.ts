// performance.now() starts with its process. Its offset from the machine's monotonic clock is constant. An interruption
// between the two readings makes the offset look smaller than it is, so the largest reading is the most accurate.
const processStart = Math.max(
  ...Array.from({ length: 100 }, () => Number(process.hrtime.bigint()) / 1e6 - performance.now())
)

/** Milliseconds on the clock that all processes of this machine share. */
export function sharedNow(): number {
  return processStart + performance.now()
}
