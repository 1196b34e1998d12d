/** Values of a caller: how objects are merged, and whether JSON can express a value. */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

type JsonObject = { readonly [key: string]: unknown }

/** `a` with the fields of `b` in place of its own. Objects that both have are merged in turn, one level deep. */
export const merge = (a: object, b: object): JsonObject => {
  const merged = new Map<string, unknown>(Object.entries(a))
  for (const [key, value] of Object.entries(b)) {
    const own = merged.get(key)
    merged.set(key, Predicate.isObject(own) && Predicate.isObject(value) ? { ...own, ...value } : value)
  }
  // Unlike an assignment, this keeps a key such as `__proto__`.
  return Object.fromEntries(merged)
}

/** `a` with the fields of `b` that it does not set. */
export const addMissing = <A extends object>(a: A, b: Partial<A>): A => {
  const filled: A = { ...a }
  for (const key in b) {
    const value = b[key]
    if (filled[key] === undefined && value !== undefined) filled[key] = value
  }
  return filled
}

/** Whether JSON can express a value. Takes linear time, and the same stack however deep the value is. */
export const isJson = (root: unknown): boolean => {
  const seen = new Set<object>()
  const rest = [root]
  while (rest.length > 0) {
    const value = rest.pop()
    if (unknownToJson.has(typeof value) || (typeof value === "number" && !Number.isFinite(value))) return false
    if (!Predicate.isObjectOrArray(value) || seen.has(value)) continue
    seen.add(value)
    for (const each of Object.values(value)) rest.push(each)
  }
  return true
}

const unknownToJson = new Set(["bigint", "function", "symbol"])

/** Whether a value is an object with named fields, whatever its class: no array, `Map`, date or bytes. */
export const isRecord = (u: unknown): u is object => Object.prototype.toString.call(u) === "[object Object]"

/** Whether a value is such an object, and JSON can express it. */
export const isJsonObject = (u: unknown): u is object => isRecord(u) && isJson(u)

/**
 * The duration that a caller means. Effect reads `NaN` and a misspelled unit as zero, which would unload a model or end a wait at once.
 */
export const toDuration = (u: unknown): Option.Option<Duration.Duration> =>
  hasTime(u) ? Duration.fromInput(u as Duration.Input) : Option.none()

const units = new Set(["weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds", "nanoseconds"])

/** Whether no number in the form of a duration is `NaN`, and an object has units alone, at least one of them. */
const hasTime = (u: unknown): boolean => {
  if (!Predicate.isObjectOrArray(u) || Duration.isDuration(u)) return !Number.isNaN(u)
  const fields = Object.entries<unknown>(u).filter(([, value]) => value !== undefined)
  return (
    fields.length > 0 &&
    fields.every(
      ([key, value]) => (Array.isArray(u) || units.has(key)) && Predicate.isNumber(value) && !Number.isNaN(value)
    )
  )
}

/** A schema of what `toDuration` reads. */
export const durationInput = (
  isAllowed: (duration: Duration.Duration) => boolean,
  expected: string
): Schema.declare<Duration.Input> =>
  Schema.declare((u): u is Duration.Input => Option.match(toDuration(u), { onNone: () => false, onSome: isAllowed }), {
    expected: `${expected}, such as "30 seconds" or Infinity`
  })
