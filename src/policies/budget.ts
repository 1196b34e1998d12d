/** How many further requests a policy may send: a share of its callers' requests. It bounds the load on a server that fails. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Monotonic from "../values/monotonic.ts"

export interface Options {
  /** Tokens for each request of a caller, such as 0.2. */
  readonly share: number
  /** Tokens in each window without any request. */
  readonly floor: number
  readonly window: Duration.Duration
}

export interface Budget {
  /** Counts a request of a caller. */
  readonly count: Effect.Effect<void>
  /** Takes tokens, unless there are too few. */
  readonly take: (tokens: number) => Effect.Effect<boolean>
}

/** The window slides by slots of this part of it, so its memory does not depend on the number of requests. */
const slotsPerWindow = 10

/** Mutable state. Make one for each policy. */
export const make = ({ floor, share, window }: Options): Budget => {
  const slotMillis = Duration.toMillis(window) / slotsPerWindow
  const slots: Array<{ readonly number: number; requests: number; taken: number }> = []

  const slotAt = (now: number) => {
    const number = Math.floor(now / slotMillis)
    while (slots[0] !== undefined && slots[0].number <= number - slotsPerWindow) slots.shift()
    const last = slots.at(-1)
    if (last?.number === number) return last
    const slot = { number, requests: 0, taken: 0 }
    slots.push(slot)
    return slot
  }

  return {
    count: Effect.map(Monotonic.now, (now) => void slotAt(now).requests++),
    take: (tokens) =>
      Effect.map(Monotonic.now, (now) => {
        const slot = slotAt(now)
        const requests = slots.reduce((sum, slot) => sum + slot.requests, 0)
        const taken = slots.reduce((sum, slot) => sum + slot.taken, 0)
        if (taken + tokens > floor + share * requests) return false
        slot.taken += tokens
        return true
      })
  }
}
