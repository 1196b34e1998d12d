/** Which hosts are off, as pools of other processes report it. */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as SharedStore from "../sharedStore.ts"

/** What a pool reports of a host. */
export interface News {
  /** The name of the host. */
  readonly host: string
  readonly isOff: boolean
}

export interface Health {
  /** Tells the others. */
  readonly report: (news: News) => Effect.Effect<void>
  /** Hears what the others report of these hosts, for ever. */
  readonly follow: (hosts: () => ReadonlyArray<string>, hear: (news: News) => void) => Effect.Effect<void>
}

export type Store = CircuitBreaker.CircuitBreakerStore["Service"]

/** Of a pool that shares nothing. */
export const none: Health = { report: () => Effect.void, follow: () => Effect.void }

/** How long it is news that a host is off. */
const newsTime = Duration.seconds(1)

/** How often it is looked for news. */
const interval = "250 millis"

/** One pool has judged by many requests. */
const tripPolicy = CircuitBreaker.consecutive(1)

/**
 * A circuit for each host: a pool that turns a host off opens it, and one whose probe succeeds closes it. That is news to the others,
 * who probe by themselves: a pool that reaches no host does not keep the others from them.
 */
export const make = (store: Store): Effect.Effect<Health> =>
  Effect.map(SharedStore.make("health of hosts", "each process finds out by itself"), (shared) => {
    /** The circuits as they were last: that of an opening, or `closed`. */
    const known = new Map<string, string>()

    const record = Effect.fnUntraced(function* ({ host: key, isOff }: News) {
      const { generation } = yield* store.admit(key)
      const outcome = isOff ? "Failure" : "Success"
      const transition = yield* store.record({ key, generation, outcome, tripPolicy, openFor: newsTime })
      if (transition !== undefined) known.set(key, transition.to === "Open" ? opening(transition) : transition.to)
    }, Effect.scoped)

    const look = Effect.fnUntraced(function* (host: string, hear: (news: News) => void) {
      const state = yield* store.state(host)
      if (state._tag === "HalfOpen") return
      const before = known.get(host)
      const now = state._tag === "Open" ? opening(state) : state._tag
      known.set(host, now)
      if (now === before) return
      if (state._tag === "Closed") {
        if (before !== undefined) hear({ host, isOff: false })
      } else if (Duration.isPositive(state.retryAfter)) hear({ host, isOff: true })
    })

    return {
      report: (news) => shared.ask(Effect.catch(record(news), ignoreRejection), Effect.void),
      follow: (hosts, hear) => {
        const lookAtAll = Effect.suspend(() =>
          Effect.forEach(hosts(), (host) => look(host, hear), { concurrency: "unbounded", discard: true })
        )
        return Effect.forever(Effect.delay(shared.ask(lookAtAll, Effect.void), interval))
      }
    }
  })

const opening = ({ consecutiveOpenings }: { readonly consecutiveOpenings: number }): string =>
  `Open ${consecutiveOpenings}`

/** The circuit is open already, so the others have heard of it. */
const ignoreRejection = (error: CircuitBreaker.CircuitBreakerError) =>
  error.reason._tag === "CircuitBreakerStoreError" ? Effect.fail(error) : Effect.void
