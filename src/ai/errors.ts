/** Failures: those of a provider as errors of `effect/ai`, and back, and what a person may read of them. */
import * as AiError from "effect/ai/AiError"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as PublicMessage from "../protocol/publicMessage.ts"
import type { Failure } from "../protocol/uiPart.ts"
import type { NetworkError } from "../ProviderError.ts"
import { isProviderError, ProviderError, ProviderErrorReason, StreamTruncated } from "../ProviderError.ts"
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

/** The error of `effect/ai`. It keeps whether and when to retry, and the fields of the reason. */
export const toError = (method: string, error: ProviderError): AiError.AiError =>
  AiError.make({ module: key, method, reason: toReason(error) })

/** The same for an operation of a provider, which may also find a reason of its own. */
export const makeToError =
  (provider: string, method: string) =>
  (failure: ProviderError | ProviderErrorReason): AiError.AiError =>
    toError(method, isProviderError(failure) ? failure : new ProviderError({ provider, reason: failure }))

const toReason = (error: ProviderError): AiError.AiErrorReason => {
  const { reason } = error
  const description = error.message
  const metadata = encode(error)
  switch (reason._tag) {
    case "NetworkError":
      return new AiError.NetworkError({
        reason: toNetworkReason(reason),
        method: "POST",
        url: error.server ?? error.provider,
        description,
        cause: metadata
      })
    case "Timeout":
    case "StreamError":
    case "StreamTruncated":
      return new AiError.InternalProviderError({ description, metadata })
    case "RateLimited":
      return new AiError.RateLimitError({ retryAfter: toWholeMillis(error.retryAfter), metadata })
    case "AuthenticationError":
      return new AiError.AuthenticationError({ kind: "Unknown", description, metadata })
    case "InvalidRequest":
      return reason.field === "format"
        ? new AiError.UnsupportedSchemaError({ description, metadata })
        : new AiError.InvalidRequestError({ parameter: reason.field, description, metadata })
    case "ModelNotAvailable":
    case "ContextOverflow":
    case "Unsupported":
      return new AiError.InvalidRequestError({ description, metadata })
    case "ApiError":
      // Only this error of `effect/ai` says when to retry.
      return error.isRetryable && error.retryAfter !== undefined
        ? new AiError.RateLimitError({ retryAfter: toWholeMillis(error.retryAfter), metadata })
        : AiError.reasonFromHttpStatus({ status: reason.status, description, metadata })
    case "ParseError":
    case "LineTooLong":
    case "InvalidAnswer":
      return new AiError.InvalidResponseError({ description, metadata })
    case "AllProvidersFailed":
      return new AiError.UnknownError({ description, metadata })
  }
}

/** The schema of an `AiError` encodes safe integers of milliseconds only. */
const toWholeMillis = (duration: Duration.Duration | undefined): Duration.Duration | undefined =>
  duration && Duration.millis(Math.min(Math.max(0, Math.ceil(Duration.toMillis(duration))), Number.MAX_SAFE_INTEGER))

/** The one that is as retryable: `TransportError` is, and the others are not. */
const toNetworkReason = ({ isRetryable, kind }: NetworkError): AiError.NetworkError["reason"] => {
  if (isRetryable) return "TransportError"
  return kind === "header" ? "EncodeError" : "InvalidUrlError"
}

/** The JSON of an object is not complete, or must not be used. */
export const invalidObject = (method: string, responseText: string, description: string): AiError.AiError => {
  const reason = new AiError.StructuredOutputError({ description, responseText })
  return AiError.make({ module: key, method, reason })
}

export const toolNotFound = (
  method: string,
  toolName: string,
  tools: ReadonlyArray<{ readonly name: string }>
): AiError.AiError => {
  const availableTools = tools.map(({ name }) => name)
  return AiError.make({ module: key, method, reason: new AiError.ToolNotFoundError({ toolName, availableTools }) })
}

/** What a person may read of a failure, whatever failed: no text of a server, no prompt and no address. */
export const toFailure = (error: unknown): Failure => {
  if (isProviderError(error)) return ofReason(error.reason, error)
  if (AiError.isAiError(error)) {
    const reason = decode(error)
    if (reason !== undefined) return ofReason(reason, error)
    const { _tag } = error.reason
    return toPart(_tag, publicTexts[_tag] ?? "the model server failed", error.isRetryable, error.retryAfter)
  }
  // A failure of a tool, which the program decides to fail with.
  return toPart(Predicate.hasProperty(error, "_tag") ? String(error._tag) : "Error", "the answer failed", false)
}

const ofReason = (reason: ProviderErrorReason, { isRetryable, retryAfter }: ProviderError | AiError.AiError): Failure =>
  toPart(reason._tag, PublicMessage.make(reason), isRetryable, retryAfter)

/** The parts ended without an end. */
export const truncated: Failure = toPart(new StreamTruncated()._tag, PublicMessage.make(new StreamTruncated()), true)

function toPart(reason: string, message: string, isRetryable: boolean, retryAfter?: Duration.Duration): Failure {
  const retryAfterMillis = retryAfter === undefined ? undefined : Duration.toMillis(retryAfter)
  return { _tag: "Failure", reason, message, isRetryable, ...(retryAfterMillis !== undefined && { retryAfterMillis }) }
}

/** Of those that a person can do something about. */
const publicTexts: { readonly [Tag in AiError.AiErrorReason["_tag"]]?: string } = {
  RateLimitError: "the model server is busy",
  QuotaExhaustedError: "the model server has no quota left",
  AuthenticationError: "the model server does not accept the credentials",
  ContentPolicyError: "the model server refuses this request",
  InvalidRequestError: "the model server cannot answer this request",
  InvalidUserInputError: "the request is invalid",
  NetworkError: "the model server cannot be reached"
}
