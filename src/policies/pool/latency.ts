/** The time to the first chunk as a moving average that rises at once and falls slowly. */

export interface Latency {
  readonly millis: number
  readonly at: number
}

/** How fast it falls: after this time, a value has 37 % of its weight. */
const decayMillis = 10_000

const weight = (from: number, to: number): number => Math.exp(-Math.max(0, to - from) / decayMillis)

export const observe = (before: Latency | undefined, millis: number, at: number): Latency => {
  if (before === undefined || millis >= before.millis) return { millis, at }
  const old = weight(before.at, at)
  return { millis: before.millis * old + millis * (1 - old), at }
}

/** Without requests it falls, so that a host that was slow once is tried again. */
export const read = ({ at, millis }: Latency, now: number): number => millis * weight(at, now)
