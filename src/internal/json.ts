/** JSON as the decoders and encoders of this package need it: failures are values. */
import * as Base64 from "effect/encoding/Base64"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaJITCompiler from "effect/schema/SchemaJITCompiler"
import { InvalidRequest, ParseError } from "../ProviderError.ts"
import type { JsonObject } from "./protocol.ts"

/** The value of a JSON text, or `undefined`, which no JSON text stands for. */
export const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

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

/**
 * The JSON Schema of a `Schema`; a JSON Schema object is itself. Keys that the `Schema` does not name are closed, or a grammar
 * made of it would let the model invent some; and what it is stands at its top, where servers look for `properties`, not
 * behind a reference, as that of a `Schema.Class` would.
 */
export const toJsonSchema = (
  schema: Schema.Top | JsonObject,
  field: string
): Result.Result<JsonObject, InvalidRequest> => {
  if (!Schema.isSchema(schema)) return Result.succeed(schema)
  return Result.try({
    try: () => {
      const { definitions, schema: top } = Schema.toJsonSchemaDocument(schema, { onExcessProperty: "error" })
      const named = Object.entries(definitions).find(([name]) => top.$ref === `#/$defs/${name}`)
      const resolved = named === undefined ? top : named[1]
      return JSON.stringify(resolved).includes('"$ref"') ? { ...resolved, $defs: definitions } : resolved
    },
    catch: () => new InvalidRequest({ field, description: "this Schema has no JSON Schema" })
  })
}

/** The base64 text of a picture given as bytes, base64 or data URI. */
export const toBase64 = (image: Uint8Array | string): string =>
  typeof image === "string" ? image.replace(/^data:[^,]*,/, "") : Base64.encode(image)

/** `a` with the keys of `b` put over it; objects that both have are merged one level down. */
export const merge = (a: JsonObject, b: JsonObject): JsonObject => {
  const out: Record<string, unknown> = { ...a }
  for (const [key, value] of Object.entries(b)) {
    const own = out[key]
    out[key] = isObject(own) && isObject(value) ? { ...own, ...value } : value
  }
  return out
}
