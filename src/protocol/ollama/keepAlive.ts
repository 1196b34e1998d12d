/** How long a model stays in memory, as Ollama's `keep_alive`: a number of seconds, or a duration of Go such as `1h30m`. */
import * as Duration from "effect/Duration"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { InvalidRequest } from "../../ProviderError.ts"
import { nullish } from "../wireSchema.ts"

/** Ollama reads a number as seconds; below zero means always. */
export const encode = (input: Duration.Input | undefined): number | undefined => {
  if (input === undefined) return undefined
  const duration = Duration.fromInputUnsafe(input)
  return Duration.isFinite(duration) ? Duration.toSeconds(duration) : -1
}

/** The field in the body of a request. */
export const Wire = nullish(Schema.Union([Schema.Finite, Schema.String]))

/** Go counts nanoseconds in 63 bits. What is longer means always. */
const maxSeconds = 2 ** 63 / 1e9

/** The value of the field. */
export const decode = (
  value: number | string | null | undefined
): Result.Result<Duration.Input | undefined, InvalidRequest> => {
  if (value == null || value === "") return Result.succeed(undefined)
  const seconds = typeof value === "number" ? value : toSeconds(value)
  if (seconds === undefined) {
    const description = 'Expected a number of seconds, or a duration such as "5m"'
    return Result.fail(new InvalidRequest({ field: "keep_alive", description }))
  }
  return Result.succeed(seconds < 0 || seconds > maxSeconds ? Infinity : Duration.seconds(seconds))
}

const secondsIn: Readonly<Record<string, number>> = {
  ns: 1e-9,
  us: 1e-6,
  µs: 1e-6,
  μs: 1e-6,
  ms: 1e-3,
  s: 1,
  m: 60,
  h: 3600
}

const part = /(\d{1,18}(?:\.\d{0,18})?|\.\d{1,18})(ns|[uµμ]s|ms|s|m|h)/y

/** Of a text as Go's `time.ParseDuration` reads it; `undefined` for others. */
const toSeconds = (text: string): number | undefined => {
  const sign = text.startsWith("-") ? -1 : 1
  const amount = text.replace(/^[+-]/, "")
  if (amount === "0") return 0
  let seconds = 0
  let end = 0
  part.lastIndex = 0
  for (let match = part.exec(amount); match !== null; match = part.exec(amount)) {
    seconds += Number(match[1]) * (secondsIn[match[2] ?? ""] ?? 0)
    end = part.lastIndex
  }
  return end > 0 && end === amount.length ? sign * seconds : undefined
}
