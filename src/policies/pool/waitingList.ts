/** The requests that wait for a host. They get one synchronously, the oldest first, as soon as one has a free permit. */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { ProviderErrorReason } from "../../ProviderError.ts"
import { NetworkError, RateLimited, Timeout } from "../../ProviderError.ts"
import * as Choose from "./choose.ts"
import * as Host from "./host.ts"
import * as Permits from "./permits.ts"

/** A request in the pool: it waits, or it has a host, or neither. */
export interface Ticket extends Choose.Wanted {
  readonly request: object
  /** When it entered the pool, in milliseconds. */
  readonly since: number
  host: Host.Host | undefined
  /** When it was sent to its host, if it was. */
  sentAt: number | undefined
}

export interface WaitLimit {
  readonly kind: Timeout["kind"]
  /** The deadline as it is configured. */
  readonly limit: number
  /** What is left of it, in milliseconds. */
  readonly left: number
}

export interface WaitingList {
  readonly size: () => number
  /** Gives free permits to those who wait. */
  readonly dispatch: () => void
  /** Waits for a host, at most this long. */
  readonly enter: (ticket: Ticket, limit: WaitLimit) => Effect.Effect<Host.Host, ProviderErrorReason>
  /** Returns whether the request was waiting. */
  readonly remove: (ticket: Ticket) => boolean
  /** Requests that wait, and those that will, fail. */
  readonly close: () => void
}

export interface Options {
  readonly hosts: () => ReadonlyArray<Host.Host>
  readonly maxWaiting: number
  readonly now: () => number
  readonly random: () => number
  readonly onWaited: (seconds: number) => Effect.Effect<void>
  /** Run when the list or the permits have changed. */
  readonly publish: Effect.Effect<void>
}

/** How long requests for the loaded model may overtake one for another model, so that a server does not load for each request. */
const overtakingMillis = 5000

const closed: Choose.Choice = { _tag: "None", reason: new NetworkError({ description: "the pool was closed" }) }

export const make = ({ hosts, maxWaiting, now, onWaited, publish, random }: Options): WaitingList => {
  const waiting = new Map<Ticket, Deferred.Deferred<Host.Host, ProviderErrorReason>>()
  let isClosed = false

  const dispatch = (): void => {
    const time = now()
    const reserved = new Set<Host.Host>()
    for (const [ticket, granted] of waiting) {
      const choice = isClosed ? closed : Choose.choose(hosts(), ticket, { now: time, random, reserved })
      if (choice._tag === "Busy") {
        const first = choice.otherModel.toSorted((a, b) => Host.used(a) - Host.used(b))[0]
        if (first !== undefined && time - ticket.since >= overtakingMillis) reserved.add(first)
        continue
      }
      waiting.delete(ticket)
      if (choice._tag === "None") {
        Deferred.doneUnsafe(granted, Effect.fail(choice.reason))
        continue
      }
      ticket.host = choice.host
      Permits.take(choice.host, ticket.model)
      Deferred.doneUnsafe(granted, Effect.succeed(choice.host))
    }
  }

  const enter: WaitingList["enter"] = (ticket, { kind, left, limit }) =>
    Effect.suspend(() => {
      const granted = Deferred.makeUnsafe<Host.Host, ProviderErrorReason>()
      waiting.set(ticket, granted)
      dispatch()
      if (!waiting.has(ticket)) return Effect.andThen(Effect.andThen(onWaited(0), publish), Deferred.await(granted))
      if (waiting.size > maxWaiting) {
        waiting.delete(ticket)
        return Effect.fail(new RateLimited({ description: `${maxWaiting} requests already wait for a host` }))
      }
      const since = now()
      const timeout = new Timeout({ kind, limit: Duration.millis(limit) })
      return Effect.andThen(publish, Deferred.await(granted)).pipe(
        Effect.timeoutOrElse({ duration: Math.max(0, left), orElse: () => Effect.fail(timeout) }),
        Effect.ensuring(
          Effect.suspend(() => {
            waiting.delete(ticket)
            return Effect.andThen(onWaited((now() - since) / 1000), publish)
          })
        )
      )
    })

  return {
    size: () => waiting.size,
    dispatch,
    enter,
    remove: (ticket) => waiting.delete(ticket),
    close: () => {
      isClosed = true
      dispatch()
    }
  }
}
