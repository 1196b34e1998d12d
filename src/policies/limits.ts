/** How many requests and tokens each key may have: of a gateway, or of a program that uses `Limit`. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as RateLimiter from "effect/persistence/RateLimiter"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { RateLimited } from "../ProviderError.ts"

/** What a key may have. Absent: no limit. */
export interface Limit {
  /** Requests that run at the same time. */
  readonly requestsAtOnce?: number | undefined
  /** Requests in a minute. A key that has sent none for a while may send all of them at once. */
  readonly requestsPerMinute?: number | undefined
  /** Tokens of prompts and completions in a minute. What a completion takes is known at its end, so the next request waits for it. */
  readonly tokensPerMinute?: number | undefined
}

export interface Limits {
  /** Runs before a request, which counts until the scope ends. `waits`: until the limit allows it; requests of a key are in order then. */
  readonly admit: (key: string, limit: Limit, waits: boolean) => Effect.Effect<void, RateLimited, Scope.Scope>
  /** Counts the tokens of a request that was admitted. */
  readonly spend: (key: string, limit: Limit, tokens: number) => Effect.Effect<void>
  /** How many keys are remembered. */
  readonly size: () => number
}

/** What is known of a key. Mutable. */
interface Entry {
  readonly limiter: RateLimiter.RateLimiter
  /** Whoever waits does so in order. */
  readonly turn: Semaphore.Semaphore
  readonly slots: Semaphore.Semaphore
  requestsAtOnce: number
  /** Requests that run or wait. */
  active: number
  /** When all of the rate is free again, in milliseconds. */
  freeAt: number
}

const bucket = { algorithm: "token-bucket", window: "1 minute" } as const

/** When a request that runs ends is not known. */
const retryAfterBusy = Duration.seconds(1)

/** How many keys are remembered before those are forgotten that have all of their limits free. */
const minSweep = 100

/** Default: the rates are counted in memory, for each key by itself, so that those of a key can be forgotten. */
export const make = (shared?: RateLimiter.RateLimiter): Effect.Effect<Limits> =>
  Effect.map(Clock.Clock, (clock) => {
    const entries = new Map<string, Entry>()
    let sweepAt = minSweep

    const sweep = (): void => {
      const now = clock.currentTimeMillisUnsafe()
      for (const [key, { active, freeAt }] of entries) if (active === 0 && freeAt <= now) entries.delete(key)
      sweepAt = Math.max(minSweep, 2 * entries.size)
    }
    const makeEntry = Effect.map(
      shared === undefined
        ? Effect.provide(RateLimiter.make, RateLimiter.layerStoreMemory, { local: true })
        : Effect.succeed(shared),
      (limiter): Entry => ({
        limiter,
        turn: Semaphore.makeUnsafe(1),
        slots: Semaphore.makeUnsafe(Infinity),
        requestsAtOnce: Infinity,
        active: 0,
        freeAt: 0
      })
    )
    const enter = (key: string): Effect.Effect<Entry, never, Scope.Scope> =>
      Effect.acquireRelease(
        Effect.suspend(() => {
          if (entries.size >= sweepAt) sweep()
          const found = entries.get(key)
          return found === undefined ? makeEntry : Effect.succeed(found)
        }).pipe(
          Effect.map((made) => {
            // Another request may have made it meanwhile.
            const entry = entries.get(key) ?? made
            entries.set(key, entry)
            entry.active++
            return entry
          })
        ),
        (entry) =>
          Effect.sync(() => {
            entry.active--
          })
      )

    const consume = (entry: Entry, key: string, limit: number, tokens: number, onExceeded: "delay" | "fail") =>
      Effect.tap(entry.limiter.consume({ ...bucket, key, limit, tokens, onExceeded }), ({ resetAfter }) =>
        Effect.sync(() => {
          entry.freeAt = Math.max(entry.freeAt, clock.currentTimeMillisUnsafe() + Duration.toMillis(resetAfter))
        })
      )

    /** Counts a request and one of its tokens: a bucket in debt has none. */
    const take = Effect.fnUntraced(function* (entry: Entry, key: string, limit: Limit) {
      const { requestsPerMinute, tokensPerMinute } = limit
      if (tokensPerMinute !== undefined) {
        yield* rejecting(
          consume(entry, `tokens ${key}`, tokensPerMinute, 1, "fail"),
          "tokens in a minute",
          tokensPerMinute
        )
      }
      if (requestsPerMinute !== undefined) {
        yield* rejecting(
          consume(entry, `requests ${key}`, requestsPerMinute, 1, "fail"),
          "requests in a minute",
          requestsPerMinute
        )
      }
    })
    const takeLater = (entry: Entry, key: string, limit: Limit): Effect.Effect<void> =>
      Effect.catch(take(entry, key, limit), ({ retryAfter = retryAfterBusy }) =>
        Effect.andThen(Effect.sleep(Duration.max(retryAfter, Duration.millis(1))), takeLater(entry, key, limit))
      )

    return {
      admit: Effect.fnUntraced(function* (key, limit, waits) {
        const entry = yield* enter(key)
        const { requestsAtOnce = Infinity } = limit
        if (requestsAtOnce !== entry.requestsAtOnce) {
          entry.requestsAtOnce = requestsAtOnce
          yield* entry.slots.resize(requestsAtOnce)
        }
        if (waits) {
          return yield* entry.turn.withPermit(Effect.andThen(entry.slots.takeScoped(1), takeLater(entry, key, limit)))
        }
        const hasSlot = yield* Effect.acquireRelease(entry.slots.takeIfAvailable(1), (hasSlot) =>
          hasSlot ? entry.slots.release(1) : Effect.void
        )
        if (!hasSlot) return yield* Effect.fail(exceeded("requests at once", requestsAtOnce, retryAfterBusy))
        yield* take(entry, key, limit)
      }),
      spend: Effect.fnUntraced(function* (key, { tokensPerMinute }, tokens) {
        if (tokensPerMinute === undefined || tokens <= 1) return
        const entry = yield* enter(key)
        yield* Effect.ignore(consume(entry, `tokens ${key}`, tokensPerMinute, tokens - 1, "delay"))
      }, Effect.scoped),
      size: () => entries.size
    }
  })

const exceeded = (what: string, limit: number, retryAfter: Duration.Duration) =>
  new RateLimited({ retryAfter, description: `the limit of ${limit} ${what} is reached` })

/** A store that fails lets no request through. */
const rejecting = (
  consumed: Effect.Effect<unknown, RateLimiter.RateLimiterError>,
  what: string,
  limit: number
): Effect.Effect<unknown, RateLimited> =>
  Effect.mapError(consumed, ({ reason }) =>
    exceeded(what, limit, reason._tag === "RateLimitExceeded" ? reason.retryAfter : retryAfterBusy)
  )
