/** JSON texts, JSON values and JSON Schemas, read, written and checked without exceptions. */
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

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
export const maxDepth = 500

/**
 * Why a JSON value that a model wrote must not be used, if so: it is nested so deeply that working with it may exceed the stack, or it has
 * a key that changes the prototype of what it is copied to. Takes linear time.
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

/** Whether a field that is not one of the known ones has content. */
export const hasOtherContent = (object: object | null | undefined, known: ReadonlySet<string>): boolean =>
  Object.entries(object ?? {}).some(([key, value]) => !known.has(key) && isContent(value))

/** Whether a value may be a part of a completion: neither empty nor metadata such as a number. */
export const isContent = (value: unknown): boolean =>
  typeof value === "string" ? value !== "" : Predicate.isObjectOrArray(value) && Object.keys(value).length > 0

/** Whether JSON can express a value. Takes linear time, and the same stack however deep the value is. */
export const isExpressible = (root: unknown): boolean => {
  const seen = new Set<object>()
  const rest = [root]
  while (rest.length > 0) {
    const value = rest.pop()
    if (inexpressible.has(typeof value) || (typeof value === "number" && !Number.isFinite(value))) return false
    if (!Predicate.isObjectOrArray(value) || seen.has(value)) continue
    seen.add(value)
    for (const each of Object.values(value)) rest.push(each)
  }
  return true
}

const inexpressible = new Set(["bigint", "function", "symbol"])

export const isObject = (u: unknown): u is JsonObject => Predicate.isObject(u)

/** Whether one of several forms of a field is a list. */
export const isList = <A>(
  value: ReadonlyArray<A> | object | string | false | null | undefined
): value is ReadonlyArray<A> => Array.isArray(value)

/** A count that a server reports, as a number or as text; `undefined` for other values, such as `1e999`, `-1` or an object. */
export const toCount = (u: unknown): number | undefined => {
  const n = typeof u === "string" && /^\s*\d{1,15}(?:\.\d{1,15})?\s*$/.test(u) ? Number(u) : u
  return typeof n === "number" && Number.isFinite(n) && n >= 0 ? n : undefined
}

/** A text that a server reports; `undefined` for an empty one and other values. */
export const toText = (u: unknown): string | undefined => (typeof u === "string" && u !== "" ? u : undefined)

/** The texts in a list that a server reports; `undefined` for other values. */
export const toTexts = (u: unknown): ReadonlyArray<string> | undefined =>
  Array.isArray(u) ? u.filter(Predicate.isString) : undefined

/** A field of an object; `undefined` for other values. */
export const get = (u: unknown, field: string): unknown => (isObject(u) ? u[field] : undefined)

const fence = /`{3,}|~{3,}/

/** The JSON in a code block of Markdown, on one line or several. Models often write one, some with text around it. */
export const withoutFence = (text: string): string => {
  const opening = fence.exec(text)
  if (opening === null || isText(text)) return text
  const [mark] = opening
  const rest = text.slice(opening.index + mark.length)
  // The block may contain the mark in a text, more text may follow with another block, and the end of the block may be missing.
  const blocks = [rest.lastIndexOf(mark), rest.indexOf(mark), rest.length]
    .filter((end) => end !== -1)
    .map((end) => rest.slice(0, end))
  return blocks.flatMap(contentsOf).find(isText)?.trim() ?? text
}

/** What may be the content of a block: all of it, what follows its language, or what follows its first line. */
const contentsOf = (block: string): ReadonlyArray<string> => [
  block,
  block.replace(/^[^\s{["]+/, ""),
  block.slice(block.indexOf("\n") + 1)
]

const isText = (text: string): boolean => parse(text) !== undefined

/**
 * The JSON Schema of a `Schema`; a JSON Schema object as it is. Objects are closed, or a grammar made of the schema would let the model
 * invent fields. A named Schema is resolved, since servers look for `properties` at the top level.
 */
export const toSchema = (schema: object): Result.Result<JsonObject, string> => {
  if (!Schema.isSchema(schema)) return Result.succeed({ ...schema })
  return Result.try({
    try: () => {
      const { definitions, schema: top } = Schema.toJsonSchemaDocument(schema, { onExcessProperty: "error" })
      const named = Object.entries(definitions).find(([name]) => top.$ref === `#/$defs/${name}`)
      const resolved = named === undefined ? top : named[1]
      return JSON.stringify(resolved).includes('"$ref"') ? { ...resolved, $defs: definitions } : resolved
    },
    catch: () => "this Schema has no JSON Schema"
  })
}
