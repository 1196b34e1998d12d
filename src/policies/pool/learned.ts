/** How long a model takes on a host, learned from the requests that were sent there. */

/** All times in milliseconds. */
export interface Times {
  /** To the first chunk of a prompt that is cached. */
  base: number
  /** For each token of the prompt that is not cached. */
  perToken: number
  /** For each completion that the host generates at the same time. */
  perRunning: number
  /** To load the model. */
  load: number
  /** From the first chunk to the end of a completion. */
  generation: number
}

/** `undefined`: not measured yet. */
export interface Learned {
  readonly values: { [K in keyof Times]: Times[K] | undefined }
  at: number
}

export const make = (): Learned => ({
  values: { base: undefined, perToken: undefined, perRunning: undefined, load: undefined, generation: undefined },
  at: -Infinity
})

/** Used until something is measured. */
const defaults: Times = { base: 20, perToken: 1, perRunning: 1, load: 10_000, generation: 5000 }

/** What seems to take no time still costs something, so that a cached prompt and an idle host are preferred. */
const least: Times = { base: 1, perToken: 0.02, perRunning: 0.1, load: 200, generation: 1 }

/** Without requests, what is known of a host becomes what is known of all, so that a host that was slow once is tried again. */
const forgetMillis = 5 * 60_000

/** What to expect of a host, by its own measurements and those of all hosts. */
export const estimate = (own: Learned | undefined, all: Learned | undefined, now: number): Times => {
  const weight = own === undefined ? 0 : Math.exp(Math.min(0, own.at - now) / forgetMillis)
  return {
    base: mix("base", own, all, weight),
    perToken: mix("perToken", own, all, weight),
    perRunning: mix("perRunning", own, all, weight),
    load: mix("load", own, all, weight),
    generation: mix("generation", own, all, weight)
  }
}

const mix = (key: keyof Times, own: Learned | undefined, all: Learned | undefined, weight: number): number => {
  const general = all?.values[key] ?? defaults[key]
  const measured = own?.values[key] ?? general
  return Math.max(least[key], general + (measured - general) * weight)
}

const share = 0.3

/** A moving average. One value counts for at most four times the average, so that an outlier does little. */
export const observe = (learned: Learned, key: keyof Times, value: number, now: number, weight = share): void => {
  const before = learned.values[key]
  const bounded = before === undefined ? value : Math.min(value, 4 * before + defaults[key])
  learned.values[key] = before === undefined ? bounded : before + (bounded - before) * weight
  learned.at = now
}
