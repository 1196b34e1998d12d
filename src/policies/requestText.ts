/** A request as JSON text. Requests that ask the same have the same text, whatever the order of their fields. */
import * as Base64 from "effect/encoding/Base64"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type { CompletionRequest } from "../CompletionRequest.ts"
import type { EmbeddingRequest } from "../Embedding.ts"
import * as Json from "../values/json.ts"
import * as Values from "../values/objects.ts"

/**
 * The text; `undefined` for a request that is no object or has no JSON text, which the provider rejects. Without `deadlines` and
 * `keepAlive`, which change no answer.
 */
export const make = (request: CompletionRequest | EmbeddingRequest): string | undefined =>
  Values.isRecord(request) ? sortedText({ ...request, deadlines: undefined, keepAlive: undefined }) : undefined

/** The JSON text of a value whose fields may have any order. */
export const sortedText = (value: object): string | undefined => Json.stringify(value, sorted)

/** Schemas are sent as JSON Schemas, and bytes as base64. `this` has the value as it was before its `toJSON`, which buffers of Node have. */
function sorted(this: unknown, key: string, value: unknown): unknown {
  const original = Predicate.hasProperty(this, key) ? this[key] : value
  if (original instanceof Uint8Array) return Base64.encode(original)
  if (Schema.isSchema(original)) return Result.getOrElse(Json.toSchema(original), () => null)
  if (!Predicate.isObject(value)) return value
  const entries = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries)
}
