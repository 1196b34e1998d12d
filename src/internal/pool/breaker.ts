/** Whether a host is off because its requests fail. The numbers are Finagle's: counts that fit a few requests at a time. */

const minSuccessRate = 0.8
const minRequests = 5
const windowMillis = 30_000
const slotMillis = 3000
const firstOffMillis = 5000
const maxOffMillis = 5 * 60_000

interface Slot {
  readonly startsAt: number
  succeeded: number
  failed: number
}

export interface Breaker {
  readonly isOff: () => boolean
  /** Records the outcome of a request that was sent at `sentAt`. Returns whether the host is off from now on. */
  readonly record: (hasSucceeded: boolean, sentAt: number, now: number) => boolean
  /** Turns the host off for another reason. Returns whether it is off from now on. */
  readonly turnOff: () => boolean
  /** How long to wait until the next probe, in milliseconds. It doubles each time until a request succeeds again. */
  readonly nextOffMillis: () => number
  /** A probe succeeded. The next failure turns the host off again. */
  readonly restore: (now: number) => void
}

/** `random` returns a number from 0 to 1. */
export const make = (random: () => number, maxConsecutiveFailures = 5): Breaker => {
  let isOff = false
  let consecutiveFailures = 0
  let timesOff = 0
  let restoredAt = -Infinity
  let slots: Array<Slot> = []

  const count = (hasSucceeded: boolean, now: number): void => {
    slots = slots.filter(({ startsAt }) => now - startsAt < windowMillis)
    let slot = slots.at(-1)
    if (slot === undefined || now - slot.startsAt >= slotMillis) {
      slot = { startsAt: now, succeeded: 0, failed: 0 }
      slots.push(slot)
    }
    if (hasSucceeded) slot.succeeded++
    else slot.failed++
  }

  const failsTooOften = (): boolean => {
    const succeeded = slots.reduce((sum, slot) => sum + slot.succeeded, 0)
    const total = slots.reduce((sum, slot) => sum + slot.failed, succeeded)
    return total >= minRequests && succeeded / total < minSuccessRate
  }

  return {
    isOff: () => isOff,
    record: (hasSucceeded, sentAt, now) => {
      // Requests that were sent before the host was off, or while it was, say nothing about how it is now.
      if (isOff || sentAt < restoredAt) return false
      count(hasSucceeded, now)
      if (hasSucceeded) {
        consecutiveFailures = 0
        timesOff = 0
        return false
      }
      consecutiveFailures++
      isOff = consecutiveFailures >= maxConsecutiveFailures || failsTooOften()
      return isOff
    },
    turnOff: () => {
      const turnsOff = !isOff
      isOff = true
      return turnsOff
    },
    nextOffMillis: () => {
      const millis = Math.min(firstOffMillis * 2 ** timesOff, maxOffMillis)
      timesOff++
      return millis * (0.8 + 0.4 * random())
    },
    restore: (now) => {
      isOff = false
      restoredAt = now
      slots = []
      consecutiveFailures = maxConsecutiveFailures - 1
    }
  }
}
