/** Times in the values of flags and variables. */
import * as Data from "effect/Data"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/** The value of a flag or a variable has no meaning. */
export class WrongValue extends Data.TaggedError("WrongValue")<{ readonly message: string }> {}

const units = { ms: Duration.millis, s: Duration.seconds, m: Duration.minutes, h: Duration.hours }

const isUnit = (text = ""): text is keyof typeof units => Object.hasOwn(units, text)

/** A number and its unit, or the word for no end. */
export const parse = (name: string, text: string, endless: string): Effect.Effect<Duration.Duration, WrongValue> => {
  if (text === endless) return Effect.succeed(Duration.infinity)
  const [, number, unit] = /^(\d{1,6}(?:\.\d{1,3})?)(ms|[smh])$/.exec(text) ?? []
  return isUnit(unit)
    ? Effect.succeed(units[unit](Number(number)))
    : Effect.fail(new WrongValue({ message: `${name} is a time such as 90s, 10m or 2h, or ${endless}, not "${text}"` }))
}
