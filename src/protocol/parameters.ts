/** The parameters of a tool as servers require them: a JSON Schema that has `type: "object"` and `properties` at its top. */
import * as Result from "effect/Result"
import { InvalidRequest } from "../ProviderError.ts"
import * as Json from "../values/json.ts"

/**
 * The JSON Schema of an object, or of nothing, in that form. A reference at the top is followed. Alternatives at the top stay,
 * and their properties are repeated beside them, because Ollama reads those alone.
 */
export const fromJsonSchema = (
  schema: Json.JsonObject,
  field: string
): Result.Result<Json.JsonObject, InvalidRequest> => {
  const parts = partsOf(schema)
  if (!isOfObject(parts)) {
    return Result.fail(new InvalidRequest({ field, description: "Expected the schema of an object" }))
  }
  const properties = propertiesOf(parts)
  const { not, ...top } = resolve(schema)
  // `Schema.Struct({})` is "not null", and `Schema.Never` "not anything": neither has properties.
  const negation = not === undefined || Object.keys(properties).length === 0 ? {} : { not }
  return Result.succeed({ ...top, ...negation, type: "object", properties })
}

/** The schema itself, and those that it refers to at its top: by a reference, as alternatives, or as parts. Each once. */
const partsOf = (whole: Json.JsonObject): ReadonlyArray<Json.JsonObject> => {
  const parts = new Set([whole])
  for (const part of parts) {
    for (const other of [find(part.$ref, whole), part.anyOf, part.oneOf, part.allOf].flat()) {
      if (Json.isObject(other)) parts.add(other)
    }
  }
  return [...parts]
}

/** A schema without any type may be one of an object. `null` is nothing: it is the schema of `Schema.Void`. */
const isOfObject = (parts: ReadonlyArray<Json.JsonObject>): boolean => {
  const types = parts.flatMap(({ type }) => (type === undefined ? [] : type))
  return (
    types.length === 0 ||
    types.some((type) => type === "object" || type === "null") ||
    parts.some(({ properties }) => properties !== undefined)
  )
}

/** The properties of all parts. One that differs between them is any of its forms. */
const propertiesOf = (parts: ReadonlyArray<Json.JsonObject>): Json.JsonObject => {
  const forms = new Map<string, Map<string | undefined, unknown>>()
  for (const { properties } of parts) {
    for (const [name, property] of Object.entries(Json.isObject(properties) ? properties : {})) {
      forms.set(name, (forms.get(name) ?? new Map<string, unknown>()).set(Json.stringify(property), property))
    }
  }
  return Object.fromEntries(
    Array.from(forms, ([name, form]) => {
      const [first, ...others] = form.values()
      return [name, others.length === 0 ? first : { anyOf: [first, ...others] }]
    })
  )
}

/** The most references that lead to one another. Those of a hostile schema may go round in a circle. */
const maxReferences = 32

/** What a schema that is a reference refers to, with what is written beside the reference. */
const resolve = (whole: Json.JsonObject): Json.JsonObject => {
  let resolved = whole
  for (let i = 0; i < maxReferences; i++) {
    const { $ref, ...beside } = resolved
    const target = find($ref, whole)
    if (target === undefined) break
    resolved = { ...target, ...beside }
  }
  return resolved
}

/** The part that a reference such as `#/$defs/Name` points to. */
const find = (reference: unknown, whole: Json.JsonObject): Json.JsonObject | undefined => {
  if (typeof reference !== "string" || !reference.startsWith("#/")) return undefined
  let part: unknown = whole
  for (const key of reference.slice(2).split("/")) {
    const name = key.replaceAll("~1", "/").replaceAll("~0", "~")
    part = Json.isObject(part) && Object.hasOwn(part, name) ? part[name] : undefined
  }
  return Json.isObject(part) ? part : undefined
}
