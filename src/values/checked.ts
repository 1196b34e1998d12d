/** Values that are checked once, however many parts of a program need them to be valid. */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"

/** The check that a value passed. Only the value itself has passed it: a copy, or a `Proxy`, may have other fields, and is checked again. */
const passed = new WeakMap<object, unknown>()

/**
 * A check that returns what passed it before as it is, at no cost. That is a copy, which nobody can change: `decode` has to make one of
 * each object that it looks into.
 */
export const make = <A extends object, E>(
  decode: (u: unknown) => Result.Result<A, E>
): ((u: unknown) => Result.Result<A, E>) => {
  const hasPassed = (u: unknown): u is A => Predicate.isObject(u) && passed.get(u) === decode
  return (u) => (hasPassed(u) ? Result.succeed(u) : Result.map(decode(u), (copy) => seal(copy, u, decode)))
}

/** A value with other fields that are valid too. If the value was checked, the result counts as checked. */
export const update = <A extends object, B extends object>(value: A, fields: B): A & B => {
  const pass = passed.get(value)
  const updated = { ...value, ...fields }
  return pass === undefined ? updated : seal(updated, value, pass)
}

const seal = <A extends object>(copy: A, original: unknown, pass: unknown): A => {
  freeze(copy, original)
  passed.set(copy, pass)
  return copy
}

/** Freezes what is not part of the original, which belongs to the caller. */
const freeze = (copy: object, original: unknown): void => {
  const entries: ReadonlyArray<readonly [string, unknown]> = Object.entries(copy)
  for (const [key, value] of entries) {
    if (!isPlain(value)) continue
    const given = Predicate.hasProperty(original, key) ? original[key] : undefined
    if (value !== given && !Object.isFrozen(value)) freeze(value, given)
  }
  Object.freeze(copy)
}

/** Others, such as bytes, are not copied, although a getter or a `Proxy` may give another one each time. */
const isPlain = (u: unknown): u is object => {
  if (!Predicate.isObjectOrArray(u)) return false
  const prototype: unknown = Object.getPrototypeOf(u)
  return prototype === Object.prototype || prototype === Array.prototype
}
