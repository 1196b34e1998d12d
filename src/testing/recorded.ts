/** What of a provider's answers is written into the file of a cassette, and how it is read again. */
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as RequestText from "../policies/requestText.ts"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { ProviderErrorReason as Reason } from "../ProviderError.ts"
import { StreamingChunk } from "../StreamingChunk.ts"
import * as Json from "../values/json.ts"
import { sha256 } from "../values/sha256.ts"

export type Failure = Schema.JsonObject

export type Chunk = Schema.JsonObject

const isObject = (value: Schema.Json): value is Schema.JsonObject => Predicate.isObject(value)

export type Redact = (value: Schema.Json) => Schema.Json

/** Changes all texts, numbers, booleans and nulls of a value, by the names of their fields. `undefined` leaves a field out. */
const changing = (change: (value: Schema.Json, key: string) => Schema.Json | undefined): Redact => {
  const all = (value: Schema.Json, key: string): Schema.Json | undefined => {
    if (Array.isArray(value)) return value.map((each) => all(each, key) ?? null)
    if (!isObject(value)) return change(value, key)
    return Object.fromEntries(
      Object.entries(value).flatMap(([key, each]) => {
        const changed = all(each, key)
        return changed === undefined ? [] : [[key, changed] as const]
      })
    )
  }
  return (value) => all(value, "") ?? null
}

/** Applies a function to all texts of a value. */
export const makeRedact = (redact: (text: string) => string): Redact =>
  changing((value) => (typeof value === "string" ? redact(value) : value))

/** The value of a call, without names of providers that are addresses, and without fields that are not there. */
export const fromValue = changing((value, key) =>
  value === null || (key === "provider" && isAddress(value)) ? undefined : value
)

/** The text of a question: the request without secrets. */
export const toQuestion = (request: string, redact: Redact): string => {
  const question = redact(withoutImages(decodeJson(request)))
  const { extra, ...fields } = isObject(question) ? question : {}
  return RequestText.sortedText(extra === undefined ? fields : { ...fields, extra: withoutSecrets(extra) }) ?? ""
}

/** An image is found by its hash. */
const withoutImages = changing((value) =>
  typeof value === "string" && isImage(value) ? `sha256 ${sha256(value)}` : value
)

/** A long text in base64. */
const isImage = (text: string): boolean => text.length > 1000 && /^(?:data:[^,]{0,200},)?[\w+/-]+=*$/.test(text)

const decodeJson = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.Json))

/** `maxTokens` and the like are no secrets. */
const secret = /key$|secret|password|passwd|authorization|credential|cookie|(?:^|[^x])token$/i

const withoutSecrets = changing((value, key) => (typeof value === "string" && secret.test(key) ? "<redacted>" : value))

/** What to do about a question that is new, in words that quote nothing of it. */
export const describeMissing = (
  question: string,
  { answers, others }: { readonly others: ReadonlyArray<string>; readonly answers: number }
): string => {
  const advice = 'record it with mode: "extend" or "record"'
  if (answers > 0) return `the cassette has ${answers} answers to this request, and this is a further one; ${advice}`
  const asked = fieldsOf(question)
  const [nearest] = others.map((other) => differing(asked, fieldsOf(other))).toSorted((a, b) => a.length - b.length)
  const hint = nearest === undefined ? "" : `; the nearest one differs in ${nearest.join(", ")}`
  return `nothing is recorded for this request${hint}; ${advice}`
}

const fieldsOf = (request: string): Json.JsonObject => {
  const value = Json.parse(request)
  return Json.isObject(value) ? value : {}
}

const differing = (a: Json.JsonObject, b: Json.JsonObject): ReadonlyArray<string> =>
  [...new Set([...Object.keys(a), ...Object.keys(b)])].filter(
    (key) => JSON.stringify(a[key]) !== JSON.stringify(b[key])
  )

const chunkCodec = Schema.toCodecJson(StreamingChunk)
const encodeChunk = Schema.encodeSync(chunkCodec)
const decodeChunk = Schema.decodeUnknownSync(chunkCodec)

/** Without fields that say nothing, and without a name of a provider that is an address. */
export const fromChunk = (chunk: StreamingChunk, redact: Redact): Chunk => {
  const encoded = redact(encodeChunk(chunk))
  const fields = Object.entries(isObject(encoded) ? encoded : {})
  return Object.fromEntries(
    fields.filter(([key, value]) => value !== "" && value !== false && !(key === "provider" && isAddress(value)))
  )
}

export const toChunk = (chunk: Chunk): StreamingChunk => decodeChunk({ content: "", isFinal: false, ...chunk })

/** A pool may name its hosts by their addresses. */
const isAddress = (name: unknown): boolean =>
  typeof name === "string" && /:\/\/|:\d+$|^\[?[\da-f]*:[\da-f:.]*\]?$|^\d+(?:\.\d+){3}$|\.[a-z]{2,}$/i.test(name)

const reasonCodec = Schema.toCodecJson(Reason)
const encodeReason = Schema.encodeSync(reasonCodec)
const decodeReason = Schema.decodeUnknownSync(reasonCodec)

/** Without texts: those of a server are redacted by the codec, and descriptions may have the address that failed. */
export const fromReason = (reason: ProviderErrorReason): Failure => {
  const scrubbed = scrub(encodeReason(reason))
  return isObject(scrubbed) ? scrubbed : {}
}

const texts = new Set(["description", "detail", "signinUrl", "server"])

const scrub = changing((value, key) => {
  if (value === null || texts.has(key)) return undefined
  return key === "provider" && isAddress(value) ? "<redacted>" : value
})

export const toReason = (failure: Failure): ProviderErrorReason => decodeReason(failure)
