/** What is seen of the hosts of a gateway while they answer: tokens, failures, and metrics of each request. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Provider from "../../Provider.ts"
import type { ProviderError } from "../../ProviderError.ts"
import * as Telemetry from "../../Telemetry.ts"

/** A provider that is observed under this name. */
export type Observe = (name: string, provider: Provider.Provider) => Provider.Provider

/** A request that failed on a host. The pool may have sent it to another one. */
export interface Failed {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly host: string
  readonly model: string
  /** It has no text of the server. */
  readonly message: string
}

export interface Observer {
  readonly observe: Observe
  /** The mean of the last seconds. Each chunk counts as one token, as servers send them. */
  readonly tokensPerSecond: (name: string) => number
  /** The last ones, the newest first. */
  readonly failures: () => ReadonlyArray<Failed>
}

const maxFailures = 20

/** The mean is taken over so many seconds. */
const window = 5

/** How many chunks a host has sent, now and at the last seconds. Mutable. */
interface Meter {
  chunks: number
  readonly past: Array<number>
}

export const make = Effect.gen(function* (): Effect.fn.Return<Observer, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const meters = new Map<string, Meter>()
  const failures: Array<Failed> = []

  const sample = Effect.sync(() => {
    for (const meter of meters.values()) if (meter.past.unshift(meter.chunks) > window) meter.past.length = window
  })
  yield* Effect.forkScoped(Effect.forever(Effect.delay(sample, "1 second")))

  const meterOf = (name: string): Meter => {
    const meter = meters.get(name) ?? { chunks: 0, past: [0] }
    meters.set(name, meter)
    return meter
  }

  return {
    observe: (name, provider) => {
      const meter = meterOf(name)
      const fail =
        (model = "") =>
        ({ message }: ProviderError) =>
          Effect.sync(() => {
            failures.unshift({ at: clock.currentTimeMillisUnsafe(), host: name, model, message })
            if (failures.length > maxFailures) failures.length = maxFailures
          })
      const observed = Telemetry.apply(provider)
      return Provider.make({
        ...observed,
        stream: (request) =>
          observed.stream(request).pipe(
            Stream.mapArray((chunks) => {
              meter.chunks += chunks.length
              return chunks
            }),
            Stream.tapError(fail(request.model))
          ),
        embed: (request) => Effect.tapError(observed.embed(request), fail(request.model))
      })
    },
    tokensPerSecond: (name) => {
      const { chunks, past } = meterOf(name)
      return (chunks - (past.at(-1) ?? 0)) / Math.max(1, past.length)
    },
    failures: () => failures
  }
})
