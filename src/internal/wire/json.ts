/** JSON as it is read: what does not fit is a value, not an exception. */
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaJITCompiler from "effect/schema/SchemaJITCompiler"
import { ParseError } from "../../ProviderError.ts"
import type { JsonObject } from "./endpoint.ts"

/** The value of a JSON text, or `undefined`, which no JSON text stands for. */
export const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
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

const isContent = (value: unknown): boolean =>
  typeof value === "string" ? value !== "" : Predicate.isObjectOrArray(value) && Object.keys(value).length > 0

export const isObject = (u: unknown): u is JsonObject => Predicate.isObject(u)

export type { JsonObject }

/** A field that a server may leave out or send as null. */
export const nullish = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** A line as an error may carry it: short, and redacted. */
export const parseError = (line: string, description: string): ParseError =>
  new ParseError({ description: description.replace(/\s+/g, " "), excerpt: Redacted.make(line.slice(0, 200)) })

/** What each line of an answer is checked by. There is nothing to transform: a line that passes is used as it is. */
export interface LineSchema<A> {
  readonly is: (u: unknown) => u is A
  /** Says why a text does not pass. */
  readonly parseError: (text: string) => ParseError
}

/** Effect compiles the check where the runtime lets code be made from text: a line then costs next to nothing. */
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

/** A count that a server reports. Values that are none, such as `1e999` or `-1`, are not reported ones. */
export const toCount = (n: number | null | undefined): number | undefined =>
  n != null && Number.isFinite(n) && n >= 0 ? n : undefined
