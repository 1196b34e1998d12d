/** Reading and checking JSON without exceptions. */
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaJITCompiler from "effect/schema/SchemaJITCompiler"
import { ParseError } from "../../ProviderError.ts"
import type { JsonObject } from "./endpoint.ts"

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

/** Whether a JSON value is nested so deeply that working with it may exceed the stack. Takes linear time. */
export const isTooDeep = (value: unknown): boolean => {
  let level = [value].filter(Predicate.isObjectOrArray)
  for (let depth = 0; depth < maxDepth && level.length > 0; depth++) {
    level = level.flatMap((parent) => Object.values<unknown>(parent).filter(Predicate.isObjectOrArray))
  }
  return level.length > 0
}

/** The JSON text of a value, or `undefined` if it has none, for example because it is nested too deeply. */
export const stringify = (value: unknown): string | undefined => {
  try {
    return JSON.stringify(value)
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

export type { JsonObject }

/** A field that a server may leave out or send as null. */
export const nullish = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** An error with the beginning of a line, redacted. */
export const parseError = (line: string, description: string): ParseError =>
  new ParseError({ description: description.replace(/\s+/g, " "), excerpt: Redacted.make(line.slice(0, 200)) })

/** The check of each line of an answer. A line that passes is used unchanged. */
export interface LineSchema<A> {
  readonly is: (u: unknown) => u is A
  /** The reason why a text does not pass. */
  readonly parseError: (text: string) => ParseError
}

/** Effect compiles the check where the runtime allows code to be generated, which makes it several times faster. */
export const lineSchema = <S extends Schema.ConstraintDecoder<unknown>>(schema: S): LineSchema<S["Type"]> => {
  SchemaJITCompiler.enable(schema.ast)
  const decode = Schema.decodeUnknownResult(schema)
  return {
    is: Schema.is(schema),
    parseError: (text) => {
      const value = parse(text)
      if (value === undefined) return parseError(text, "not JSON")
      return parseError(text, Result.match(decode(value), { onFailure: ({ message }) => message, onSuccess: () => "" }))
    }
  }
}

/** A count that a server reports; `undefined` for a number that is not a count, such as `1e999` or `-1`. */
export const toCount = (n: number | null | undefined): number | undefined =>
  n != null && Number.isFinite(n) && n >= 0 ? n : undefined
