/** Errors of this package as errors of `effect/ai`. They keep whether and when to retry, and the fields of the reason. */
import * as AiError from "effect/ai/AiError"
import * as Duration from "effect/Duration"
import type * as Schema from "effect/Schema"
import type { ProviderError } from "../ProviderError.ts"

const module = "effect-local-llm"

type Fields = { [key: string]: Schema.MutableJson }

export const make = (method: string, error: ProviderError): AiError.AiError =>
  AiError.make({ module, method, reason: toReason(error) })

const toReason = (error: ProviderError): AiError.AiErrorReason => {
  const { reason } = error
  const description = error.message
  const metadata = { "effect-local-llm": toFields(error) }
  switch (reason._tag) {
    case "NetworkError":
      return new AiError.NetworkError({
        reason: "TransportError",
        method: "POST",
        url: error.server ?? error.provider,
        description
      })
    case "Timeout":
    case "StreamError":
    case "StreamTruncated":
      return new AiError.InternalProviderError({ description, metadata })
    case "RateLimited":
      return new AiError.RateLimitError({ retryAfter: error.retryAfter, metadata })
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
        ? new AiError.RateLimitError({ retryAfter: error.retryAfter, metadata })
        : AiError.reasonFromHttpStatus({ status: reason.status, description, metadata })
    case "ParseError":
    case "LineTooLong":
    case "InvalidAnswer":
      return new AiError.InvalidResponseError({ description, metadata })
    case "AllProvidersFailed":
      return new AiError.UnknownError({ description, metadata })
  }
}

/** The fields of the reason, without what is redacted. */
const toFields = ({ provider, reason, server }: ProviderError): Fields => {
  const fields: Fields = { reason: reason._tag, provider }
  if (server !== undefined) fields["server"] = server
  for (const [key, value] of Object.entries(reason)) {
    if (key === "description" || key === "_tag") continue
    if (Duration.isDuration(value)) fields[key] = Duration.toMillis(value)
    else if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") fields[key] = value
  }
  if (reason._tag === "AllProvidersFailed") fields["errors"] = reason.errors.map(toFields)
  return fields
}

/** The JSON of an object is not complete, or cannot be decoded. */
export const invalidObject = (responseText: string, description: string): AiError.AiError => {
  const reason = new AiError.StructuredOutputError({ description, responseText })
  return AiError.make({ module, method: "generateObject", reason })
}

export const toolNotFound = (
  method: string,
  toolName: string,
  tools: ReadonlyArray<{ readonly name: string }>
): AiError.AiError => {
  const availableTools = tools.map(({ name }) => name)
  return AiError.make({ module, method, reason: new AiError.ToolNotFoundError({ toolName, availableTools }) })
}
