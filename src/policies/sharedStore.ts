/** A store that processes share, such as Redis. A program goes on without it while it fails. */
import * as Duration from "effect/Duration"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Monotonic from "../values/monotonic.ts"

export interface SharedStore {
  /** The answer of the store, or what is done without it. */
  readonly ask: <A, B, E>(
    question: Effect.Effect<A, unknown>,
    otherwise: Effect.Effect<B, E>
  ) => Effect.Effect<A | B, E>
}

/** How long an answer may take. */
const timeLimit = Duration.seconds(1)

/** A store that fails is asked again after this time, in milliseconds, by one request alone. */
const pauseMillis = 1000

/** `use` is what it is used for, and `without` what happens without it: both for the log. */
export const make = (use: string, without: string): Effect.Effect<SharedStore> =>
  Effect.map(Clock.Clock, (clock) => {
    const now = () => Monotonic.millisOf(clock)
    let isDown = false
    let askAgainAt = -Infinity

    const failed = (error: unknown): Effect.Effect<void> =>
      Effect.suspend(() => {
        askAgainAt = now() + pauseMillis
        if (isDown) return Effect.void
        isDown = true
        return Effect.logWarning(`${use}: the shared store does not answer${describe(error)}; ${without}`)
      })
    const answered = Effect.suspend(() => {
      if (!isDown) return Effect.void
      isDown = false
      return Effect.logInfo(`${use}: the shared store answers again`)
    })
    return {
      ask: (question, otherwise) =>
        Effect.suspend(() => {
          if (isDown && now() < askAgainAt) return otherwise
          askAgainAt = now() + pauseMillis
          return Effect.matchEffect(Effect.timeout(question, timeLimit), {
            onSuccess: (answer) => Effect.as(answered, answer),
            onFailure: (error) => Effect.andThen(failed(error), otherwise)
          })
        })
    }
  })

/** Codes of the system and of Redis, such as `ECONNREFUSED` and `WRONGPASS`. Nothing else of an error is safe to log. */
const describe = (error: unknown): string => {
  let current = error
  for (let depth = 0; depth < 5; depth++) {
    if (Predicate.hasProperty(current, "code") && isCode(current.code)) return ` (${current.code})`
    const [, code] = /^([A-Z]{3,20}) /.exec(messageOf(current)) ?? []
    if (code !== undefined) return ` (${code})`
    if (Predicate.hasProperty(current, "reason")) current = current.reason
    else if (Predicate.hasProperty(current, "cause")) current = current.cause
    else return ""
  }
  return ""
}

const isCode = (code: unknown): code is string => typeof code === "string" && /^[A-Z_]{3,40}$/.test(code)

const messageOf = (u: unknown): string =>
  Predicate.hasProperty(u, "message") && typeof u.message === "string" ? u.message : ""
