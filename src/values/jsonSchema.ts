/** Schemas of a caller: those of Effect, and JSON Schemas. */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { JsonObject } from "./json.ts"
import * as Values from "./objects.ts"

/** The type is `object`, because a value with an `interface` type is not assignable to an index signature. */
export const SchemaOrJsonSchema = Schema.declare((u): u is object => Schema.isSchema(u) || Values.isJsonObject(u), {
  expected: "a Schema or a JSON Schema object"
})

/**
 * The JSON Schema of a `Schema`. A JSON Schema object is returned unchanged. Objects are closed, or a grammar made of the
 * schema would let the model invent fields. The definition itself is at the top level, where servers look for `properties`,
 * and not in a definition as with `Schema.Class`.
 */
export const make = (schema: object): Result.Result<JsonObject, string> => {
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
