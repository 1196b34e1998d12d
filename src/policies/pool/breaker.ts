/** Whether a host is off because its requests fail. The numbers are Finagle's: counts that fit a few requests at a time. */

const minSuccessRate = 0.8
const minRequests = 5
const windowMillis = 30_000
const slotMillis = 3000
const maxOffMillis = 5 * 60_000

interface Slot {
  readonly startsAt: number
  succeeded: number
  failed: number
}

/** A failure that was counted. */
export interface Failure {
  readonly slot: Slot
  /** The failures in a row that it belongs to. */
  readonly row: Row
}

interface Row {
  length: number
}

/** A time in which the host is off. */
export interface Off {
  /** When it began, in milliseconds. */
  readonly since: number
}

export interface Breaker {
  readonly isOff: () => boolean
  /** A value that is another one each time the host goes off; `undefined` while it is not off. */
  readonly off: () => Off | undefined
  /** The last failure, if it was counted. */
  readonly lastFailure: () => Failure | undefined
  /** The host is not to blame for a failure that was counted. It is back if it was off for that. */
  readonly forgive: (failure: Failure) => void
  /** Records the outcome of a request that was sent at `sentAt`. Returns whether the host is off from now on. */
  readonly record: (hasSucceeded: boolean, sentAt: number, now: number) => boolean
  /** Turns the host off for another reason. Returns whether it is off from now on. */
  readonly turnOff: (now: number) => boolean
  /** How long to wait until the next probe, in milliseconds. It doubles each time until a request succeeds again. */
  readonly nextOffMillis: () => number
  /** A probe succeeded. The next failure turns the host off again. */
  readonly restore: (now: number) => void
}

/** `random` returns a number from 0 to 1. */
export const make = (random: () => number, maxConsecutiveFailures = 5, firstOffMillis = 500): Breaker => {
  let off: Off | undefined
  let row: Row = { length: 0 }
  let last: Failure | undefined
  let timesOff = 0
  let restoredAt = -Infinity
  let slots: Array<Slot> = []

  const fails = (): boolean => row.length >= maxConsecutiveFailures || failsTooOften(slots)

  return {
    isOff: () => off !== undefined,
    off: () => off,
    lastFailure: () => last,
    forgive: (failure) => {
      failure.slot.failed--
      failure.row.length--
      if (off === undefined || fails()) return
      off = undefined
      timesOff = Math.max(0, timesOff - 1)
    },
    record: (hasSucceeded, sentAt, now) => {
      last = undefined
      // Requests that were sent before the host was off, or while it was, say nothing about how it is now.
      if (off !== undefined || sentAt < restoredAt) return false
      slots = slots.filter(({ startsAt }) => now - startsAt < windowMillis)
      const slot = slotOf(slots, now)
      if (hasSucceeded) slot.succeeded++
      else slot.failed++
      if (hasSucceeded) {
        row = { length: 0 }
        timesOff = 0
        return false
      }
      row.length++
      last = { slot, row }
      if (fails()) off = { since: now }
      return off !== undefined
    },
    turnOff: (now) => {
      const turnsOff = off === undefined
      off ??= { since: now }
      return turnsOff
    },
    nextOffMillis: () => {
      const millis = Math.min(firstOffMillis * 2 ** timesOff, maxOffMillis)
      timesOff++
      return millis * (0.8 + 0.4 * random())
    },
    restore: (now) => {
      off = undefined
      restoredAt = now
      slots = []
      row = { length: maxConsecutiveFailures - 1 }
    }
  }
}

/** The last slot, or a new one. */
const slotOf = (slots: Array<Slot>, now: number): Slot => {
  const last = slots.at(-1)
  if (last !== undefined && now - last.startsAt < slotMillis) return last
  const slot = { startsAt: now, succeeded: 0, failed: 0 }
  slots.push(slot)
  return slot
}

const failsTooOften = (slots: ReadonlyArray<Slot>): boolean => {
  const succeeded = slots.reduce((sum, slot) => sum + slot.succeeded, 0)
  const total = slots.reduce((sum, slot) => sum + slot.failed, succeeded)
  return total >= minRequests && succeeded / total < minSuccessRate
}
