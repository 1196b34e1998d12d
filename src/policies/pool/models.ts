/** What the hosts report about a model: asked in the background, and waited for only if nothing is known yet. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Host from "./host.ts"

/** How long a description counts as new. With the time that the answer takes, a loaded model is noticed within 3 seconds. */
const freshMillis = 2000

/** How long a host may take to describe a model. */
const askTimeout = "5 seconds"

/** If no host is known to have the model in memory: how long a request waits for the hosts to describe it. */
const firstWait = "500 millis"

export interface Models {
  /** Refreshes what is known about the model. */
  readonly prepare: (hosts: ReadonlyArray<Host.Host>, model: string | undefined) => Effect.Effect<void>
  /** The host reported that it does not have the model. */
  readonly setMissing: (host: Host.Host, model: string) => void
  /** The host failed, so that what it reported no longer counts. */
  readonly forget: (host: Host.Host) => void
}

export const make = (options: {
  readonly now: () => number
  /** Runs an effect in the background, as long as the pool lives. */
  readonly run: (effect: Effect.Effect<void>) => Fiber.Fiber<void>
  readonly refresh: Effect.Effect<void>
}): Models => {
  const { now, refresh, run } = options

  const ask = (host: Host.Host, name: string): Effect.Effect<void> =>
    Effect.suspend(() => {
      const model = Host.modelOf(host, name)
      return host.provider.model(name, { maxAge: freshMillis / 2 }).pipe(
        Effect.result,
        Effect.timeoutOption(askTimeout),
        Effect.exit,
        Effect.flatMap((exit) => {
          const result = Exit.isSuccess(exit) ? Option.getOrUndefined(exit.value) : undefined
          model.askedAt = now()
          model.info = result !== undefined && Result.isSuccess(result) ? result.success : undefined
          model.isUnlisted =
            result !== undefined && Result.isFailure(result) && result.failure.reason._tag === "ModelNotAvailable"
          model.isMissing = model.isUnlisted && !host.provider.hasUnlistedModels
          return refresh
        })
      )
    })

  return {
    prepare: (hosts, name) =>
      Effect.suspend(() => {
        if (name === undefined) return Effect.void
        const time = now()
        const pending: Array<Fiber.Fiber<void>> = []
        let isKnown = false
        for (const host of hosts) {
          if (host.breaker.isOff() || host.isDraining) continue
          const model = Host.modelOf(host, name)
          // There is nothing to choose.
          if (hosts.length === 1 && !model.isMissing) continue
          if (model.asking === undefined && time - model.askedAt >= freshMillis) {
            const fiber = run(ask(host, name))
            model.asking = fiber
            fiber.addObserver(() => {
              model.asking = undefined
            })
          }
          if (model.asking !== undefined) pending.push(model.asking)
          isKnown ||= Host.isLoaded(host, name, time)
        }
        return isKnown || pending.length === 0
          ? Effect.void
          : Effect.asVoid(Effect.timeoutOption(Fiber.awaitAll(pending), firstWait))
      }),
    setMissing: (host, name) => {
      const model = Host.modelOf(host, name)
      model.isMissing = true
      model.askedAt = now()
    },
    forget: ({ models }) => {
      for (const model of models.values()) {
        model.info = undefined
        model.answeredAt = -Infinity
      }
    }
  }
}
