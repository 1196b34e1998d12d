/** Schemas of what servers send, and the error for what does not match them. */
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaJITCompiler from "effect/schema/SchemaJITCompiler"
import { ParseError } from "../ProviderError.ts"
import * as Json from "../values/json.ts"

/** A field that a server may leave out or send as null. */
export const nullish = <S extends Schema.Constraint>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** Values that carry nothing, which servers send in place of a missing field of any type. */
const nothing = Schema.Union([
  Schema.Literals(["", false]),
  Schema.Tuple([]),
  Schema.Record(Schema.String, Schema.Never)
])

/** A field that has a part of a completion if it is there and not empty. Any other shape violates the protocol. */
export const part = <S extends Schema.Constraint>(schema: S) => nullish(Schema.Union([schema, nothing]))

/** A field that is no part of a completion. It may have any shape, and one that is not known is left out. */
export const metadata = Schema.optionalKey(Schema.Unknown)

/** A number that is the whole response. */
export const Count = Schema.Int.check(Schema.isGreaterThanOrEqualTo(0))

/** An error with the beginning of a line, redacted. */
export const parseError = (line: string, description: string): ParseError =>
  new ParseError({ description: description.replace(/\s+/g, " "), excerpt: Redacted.make(beginning(line)) })

/** The beginning of a text as a text of its own: a slice would keep all of the text in memory. */
export const beginning = (text: string): string => Array.from(text.slice(0, 200)).join("")

/** The check of each line of a completion. A line that passes is used unchanged. */
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
      const value = Json.parse(text)
      if (value === undefined) return parseError(text, "not JSON")
      return parseError(text, Result.match(decode(value), { onFailure: ({ message }) => message, onSuccess: () => "" }))
    }
  }
}
