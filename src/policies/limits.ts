/** How many requests and tokens each key may have: of a gateway, or of a program that uses `Limit`. */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { RateLimited } from "../ProviderError.ts"
import * as SharedStore from "./sharedStore.ts"

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

/** What counts the rates of all processes. */
export interface Shared {
  readonly limiter: RateLimiter.RateLimiter
  /** What happens while it fails: no request is let through, or they are counted in memory. */
  readonly onStoreError: "fail" | "memory"
}

/** What is known of a key. Mutable. */
interface Entry {
  /** Counts in memory. */
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

/** The entries of all keys. Those that have all of their limits free are forgotten. */
const makeEntries = (now: () => number) => {
  const entries = new Map<string, Entry>()
  let sweepAt = minSweep
  const sweep = (): void => {
    for (const [key, { active, freeAt }] of entries) if (active === 0 && freeAt <= now()) entries.delete(key)
    sweepAt = Math.max(minSweep, 2 * entries.size)
  }
  const make = Effect.map(
    Effect.provide(RateLimiter.make, RateLimiter.layerStoreMemory, { local: true }),
    (limiter): Entry => ({
      limiter,
      turn: Semaphore.makeUnsafe(1),
      slots: Semaphore.makeUnsafe(Infinity),
      requestsAtOnce: Infinity,
      active: 0,
      freeAt: 0
    })
  )
  const enter = (key: string): Effect.Effect<Entry> =>
    Effect.suspend(() => {
      if (entries.size >= sweepAt) sweep()
      const found = entries.get(key)
      return Effect.map(found === undefined ? make : Effect.succeed(found), (made) => {
        // Another request may have made it meanwhile.
        const entry = entries.get(key) ?? made
        entries.set(key, entry)
        entry.active++
        return entry
      })
    })
  const leave = (entry: Entry): Effect.Effect<void> =>
    Effect.sync(() => {
      entry.active--
    })
  return {
    /** Is not forgotten before the scope ends. */
    find: (key: string) => Effect.acquireRelease(enter(key), leave),
    size: () => entries.size
  }
}

type Consume = RateLimiter.RateLimiter["consume"]

/** How the rates of an entry are counted. */
const makeConsume = (shared: Shared | undefined): Effect.Effect<(entry: Entry) => Consume> => {
  if (shared === undefined) return Effect.succeed(({ limiter }) => limiter.consume)
  const isFailing = shared.onStoreError === "fail"
  const without = isFailing ? "no request is let through" : "each process counts by itself"
  return Effect.map(SharedStore.make("limits of keys", without), (store) => ({ limiter }) => (options) => {
    const otherwise = isFailing ? Effect.fail(noAnswer) : limiter.consume(options)
    return Effect.flatMap(
      store.ask(answerOf(shared.limiter.consume(options)), Effect.result(otherwise)),
      Effect.fromResult
    )
  })
}

/** That a limit is reached is an answer of a store. */
const answerOf = (consumed: ReturnType<Consume>) =>
  Effect.flatMap(Effect.result(consumed), (result) =>
    Result.isFailure(result) && result.failure.reason._tag === "RateLimitStoreError"
      ? Effect.fail(result.failure)
      : Effect.succeed(result)
  )

const noAnswer = new RateLimiter.RateLimiterError({
  reason: new RateLimiter.RateLimitStoreError({ message: "the store does not answer" })
})

const makeRates = (consumeOf: (entry: Entry) => Consume, now: () => number) => {
  const consume = (entry: Entry, key: string, limit: number, tokens: number, onExceeded: "delay" | "fail") =>
    Effect.map(consumeOf(entry)({ ...bucket, key, limit, tokens, onExceeded }), ({ resetAfter }) => {
      entry.freeAt = Math.max(entry.freeAt, now() + Duration.toMillis(resetAfter))
    })
  /** One of the tokens as well: a bucket in debt has none. */
  const takeNow = Effect.fnUntraced(function* (entry: Entry, key: string, limit: Limit) {
    const { requestsPerMinute, tokensPerMinute } = limit
    if (tokensPerMinute !== undefined) {
      const taken = consume(entry, `tokens ${key}`, tokensPerMinute, 1, "fail")
      yield* rejecting(taken, "tokens in a minute", tokensPerMinute)
    }
    if (requestsPerMinute !== undefined) {
      const taken = consume(entry, `requests ${key}`, requestsPerMinute, 1, "fail")
      yield* rejecting(taken, "requests in a minute", requestsPerMinute)
    }
  })
  const take = (entry: Entry, key: string, limit: Limit): Effect.Effect<void> =>
    Effect.catch(takeNow(entry, key, limit), ({ retryAfter = retryAfterBusy }) =>
      Effect.andThen(Effect.sleep(Duration.max(retryAfter, Duration.millis(1))), take(entry, key, limit))
    )
  return {
    takeNow,
    /** As `takeNow`, as soon as it is possible. */
    take,
    spend: (entry: Entry, key: string, limit: number, tokens: number) =>
      Effect.ignore(consume(entry, `tokens ${key}`, limit, tokens, "delay"))
  }
}

/** Default: the rates are counted in memory, for each key by itself, so that those of a key can be forgotten. */
export const make = (shared?: Shared): Effect.Effect<Limits> =>
  Effect.zipWith(Clock.Clock, makeConsume(shared), (clock, consumeOf) => {
    const now = () => clock.currentTimeMillisUnsafe()
    const entries = makeEntries(now)
    const rates = makeRates(consumeOf, now)
    return {
      admit: Effect.fnUntraced(function* (key, limit, waits) {
        const entry = yield* entries.find(key)
        const { requestsAtOnce = Infinity } = limit
        if (requestsAtOnce !== entry.requestsAtOnce) {
          entry.requestsAtOnce = requestsAtOnce
          yield* entry.slots.resize(requestsAtOnce)
        }
        if (waits) {
          const taken = Effect.andThen(entry.slots.takeScoped(1), rates.take(entry, key, limit))
          return yield* entry.turn.withPermit(taken)
        }
        const hasSlot = yield* Effect.acquireRelease(entry.slots.takeIfAvailable(1), (hasSlot) =>
          hasSlot ? entry.slots.release(1) : Effect.void
        )
        if (!hasSlot) return yield* Effect.fail(exceeded("requests at once", requestsAtOnce, retryAfterBusy))
        yield* rates.takeNow(entry, key, limit)
      }),
      spend: (key, { tokensPerMinute }, tokens) =>
        tokensPerMinute === undefined || tokens <= 1
          ? Effect.void
          : Effect.scoped(
              Effect.flatMap(entries.find(key), (entry) => rates.spend(entry, key, tokensPerMinute, tokens - 1))
            ),
      size: entries.size
    }
  })

const exceeded = (what: string, limit: number, retryAfter: Duration.Duration) =>
  new RateLimited({ retryAfter, description: `the limit of ${limit} ${what} is reached` })

/** A limiter that fails lets no request through. */
const rejecting = (
  consumed: Effect.Effect<unknown, RateLimiter.RateLimiterError>,
  what: string,
  limit: number
): Effect.Effect<unknown, RateLimited> =>
  Effect.mapError(consumed, ({ reason }) =>
    exceeded(what, limit, reason._tag === "RateLimitExceeded" ? reason.retryAfter : retryAfterBusy)
  )
