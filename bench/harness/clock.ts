// performance.now() starts with its process; its distance to the monotonic clock of the machine stays the same. Where the
// process is interrupted between the two readings the distance looks smaller than it is, so the largest is the truest.
const processStart = Math.max(
  ...Array.from({ length: 100 }, () => Number(process.hrtime.bigint()) / 1e6 - performance.now())
)

/** Milliseconds on the clock that all processes of this machine share. */
export function sharedNow(): number {
  return processStart + performance.now()
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds))
}
