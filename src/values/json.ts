/** Reading and checking JSON without exceptions. */
import * as Predicate from "effect/Predicate"

export type JsonObject = { readonly [key: string]: unknown }

/** The value of a JSON text, or `undefined` if it is not JSON. */
export const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The most levels of a value from a model. Schemas and `JSON.stringify` recurse, and the stack is limited. */
const maxDepth = 500

/**
 * Why a JSON value that a model wrote must not be used, if so: it is nested so deeply that working with it may exceed the stack, or
 * it has a key that changes the prototype of what it is copied to, as `Object.assign` does. Takes linear time.
 */
export const findFault = (value: unknown): string | undefined => {
  let level = [value].filter(Predicate.isObjectOrArray)
  for (let depth = 0; depth < maxDepth && level.length > 0; depth++) {
    const key = level.map(findPrototypeKey).find(Predicate.isNotUndefined)
    if (key !== undefined) return `unsafe: the key \`${key}\``
    level = level.flatMap((parent) => Object.values<unknown>(parent).filter(Predicate.isObjectOrArray))
  }
  return level.length > 0 ? "nested too deeply" : undefined
}

/** The keys that the providers of Effect reject, here also if they are written with escapes. */
const findPrototypeKey = (parent: object): string | undefined => {
  if (Object.hasOwn(parent, "__proto__")) return "__proto__"
  const inner: unknown = Object.hasOwn(parent, "constructor") ? parent.constructor : undefined
  return Predicate.isObjectOrArray(inner) && Object.hasOwn(inner, "prototype") ? "constructor.prototype" : undefined
}

/** The JSON text of a value, or `undefined` if it has none, for example because it is nested too deeply. */
export const stringify = (value: unknown, replacer?: (key: string, value: unknown) => unknown): string | undefined => {
  try {
    return JSON.stringify(value, replacer)
  } catch {
    return undefined
  }
}

/** Whether a field that is not one of the known ones has a value that may be a part of an answer. */
export const hasOtherContent = (object: object | null | undefined, known: ReadonlySet<string>): boolean =>
  Object.entries(object ?? {}).some(([key, value]) => !known.has(key) && isContent(value))

/** Whether a value may be a part of an answer: neither empty nor metadata such as a number. */
export const isContent = (value: unknown): boolean =>
  typeof value === "string" ? value !== "" : Predicate.isObjectOrArray(value) && Object.keys(value).length > 0

export const isObject = (u: unknown): u is JsonObject => Predicate.isObject(u)

/** Whether one of several forms of a field is a list. */
export const isList = <A>(
  value: ReadonlyArray<A> | object | string | false | null | undefined
): value is ReadonlyArray<A> => Array.isArray(value)

/**
 * A count that a server reports, as a number or as text; `undefined` for a value that is not a count, such as `1e999`, `-1` or an
 * object.
 */
export const toCount = (u: unknown): number | undefined => {
  const n = typeof u === "string" && /^\s*\d{1,15}(?:\.\d{1,15})?\s*$/.test(u) ? Number(u) : u
  return typeof n === "number" && Number.isFinite(n) && n >= 0 ? n : undefined
}

/** A text that a server reports; `undefined` for none, an empty one, and values of another shape. */
export const toText = (u: unknown): string | undefined => (typeof u === "string" && u !== "" ? u : undefined)

/** The texts in a list that a server reports; `undefined` if the value is no list. */
export const toTexts = (u: unknown): ReadonlyArray<string> | undefined =>
  Array.isArray(u) ? u.filter(Predicate.isString) : undefined

/** A field of an object; `undefined` if the value is no object. */
export const get = (u: unknown, field: string): unknown => (isObject(u) ? u[field] : undefined)
