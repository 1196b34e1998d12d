/** The reason of a `ProviderError` in an error of `effect/ai`: as the metadata of this package, and back. */
import type * as AiError from "effect/ai/AiError"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { ProviderError, ProviderErrorReason } from "../ProviderError.ts"
import * as Json from "../values/json.ts"

/** The key of what this package adds to the values of `effect/ai`. */
export const key = "effect-local-llm"

/** JSON, as `effect/ai` has it. */
type Fields = { [key: string]: Schema.MutableJson }

const encodeReason = Schema.encodeUnknownOption(Schema.toCodecJson(ProviderErrorReason))

const decodeError = Schema.decodeUnknownOption(Schema.toCodecJson(ProviderError))

/** The tag and the fields of the reason in one object, which the errors inside it have too. What is redacted stays so. */
export const encode = ({ provider, reason, server }: ProviderError): { readonly [key]: Fields } => {
  const fields: Fields = { reason: reason._tag, provider, ...(server === undefined ? {} : { server }) }
  const encoded = Option.getOrUndefined(encodeReason(reason))
  for (const [name, value] of Object.entries(Json.isObject(encoded) ? encoded : {})) {
    if (name !== "_tag" && isScalar(value)) fields[name] = value
  }
  if (reason._tag === "AllProvidersFailed") fields["errors"] = reason.errors.map((error) => encode(error)[key])
  return { [key]: fields }
}

const isScalar = (u: unknown): u is string | number | boolean =>
  Predicate.isString(u) || Predicate.isNumber(u) || Predicate.isBoolean(u)

/** The reason that was encoded, also if the error has gone through its schema. */
export const decode = ({ reason }: AiError.AiError): ProviderErrorReason | undefined => {
  // The network error of `effect/ai` alone has no metadata.
  const places: unknown = "metadata" in reason ? reason.metadata : "cause" in reason ? reason.cause : undefined
  const fields = Json.get(places, key)
  if (!Json.isObject(fields) || Json.findFault(fields) !== undefined) return undefined
  return Option.getOrUndefined(Option.map(decodeError(toNested(fields)), ({ reason }) => reason))
}

/** The form of the schema. */
const toNested = (u: unknown): unknown => {
  if (!Json.isObject(u)) return u
  const { errors, provider, reason, server, ...fields } = u
  const inner = Array.isArray(errors) ? { errors: errors.map(toNested) } : {}
  const place = server === undefined ? {} : { server }
  return { _tag: "ProviderError", provider, ...place, reason: { ...fields, ...inner, _tag: reason } }
}
