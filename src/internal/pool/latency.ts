/** The time to the first chunk as a moving average that follows a peak at once and forgets it slowly. */

export interface Latency {
  readonly millis: number
  readonly at: number
}

/** How fast it forgets: after this time, 37 % of a value are left. */
const decayMillis = 10_000

const weight = (from: number, to: number): number => Math.exp(-Math.max(0, to - from) / decayMillis)

export const observe = (before: Latency | undefined, millis: number, at: number): Latency => {
  if (before === undefined || millis >= before.millis) return { millis, at }
  const old = weight(before.at, at)
  return { millis: before.millis * old + millis * (1 - old), at }
}

/** Without requests it falls, so that a host that was slow once is tried again. */
export const read = ({ at, millis }: Latency, now: number): number => millis * weight(at, now)
