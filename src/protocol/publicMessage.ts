/**
 * What the clients of a program may read of a failure: the tag in words, and facts that say nothing about the servers behind it. A
 * description may have the address of a server, and so may the name of a provider or of a model.
 */
import { ChatRequest, PromptRequest } from "../CompletionRequest.ts"
import * as Reasons from "../ProviderError.ts"

/** The message of a reason without its texts. */
export const make = (reason: Reasons.ProviderErrorReason): string => {
  switch (reason._tag) {
    case "NetworkError":
      return new Reasons.NetworkError({}).message
    case "Timeout":
      return new Reasons.Timeout({ kind: reason.kind, limit: reason.limit }).message
    case "RateLimited":
      return new Reasons.RateLimited({ retryAfter: reason.retryAfter }).message
    case "AuthenticationError":
      return new Reasons.AuthenticationError({}).message
    case "ModelNotAvailable":
      return isPlainName(reason.model)
        ? new Reasons.ModelNotAvailable({ model: reason.model }).message
        : "the model is not available"
    case "InvalidRequest":
      return new Reasons.InvalidRequest({ field: findRequestField(reason.field) }).message
    case "ContextOverflow": {
      const { contextLength, index, promptTokens } = reason
      return new Reasons.ContextOverflow({ contextLength, index, promptTokens }).message
    }
    case "ApiError":
      return new Reasons.ApiError({ status: reason.status }).message
    case "StreamError":
      return new Reasons.StreamError({}).message
    case "StreamTruncated":
      return new Reasons.StreamTruncated().message
    case "ParseError":
      return new Reasons.ParseError({ excerpt: reason.excerpt }).message
    case "LineTooLong":
      return "the server sent a record that is too long"
    case "Unsupported":
      return isFeature(reason.feature)
        ? new Reasons.Unsupported({ feature: reason.feature }).message
        : "the request needs a feature that is not supported"
    case "InvalidAnswer":
      return new Reasons.InvalidAnswer({ text: reason.text, isTruncated: reason.isTruncated }).message
    case "AllProvidersFailed":
      return "all providers failed"
  }
}

/** Names such as `llama3.2:1b` and `qwen/qwen3-8b`. A path, or a name that begins with a registry, says where the model is. */
const isPlainName = (model: string): boolean =>
  /^(?:[a-z][\w-]*\/)?[a-z][\w-]*(?:\.\d[\w-]*)*(?::(?:\d+(?:\.\d+)?)?[a-z][\w.-]*)?$/i.test(model)

/** Endpoints, and features that quote a place, are facts of the program. Fields of the request are features too. */
const isFeature = (feature: string): boolean => /^[a-z]+(?: [a-z]+)*$/.test(feature) || requestFields.has(feature)

const requestFields: ReadonlySet<string> = new Set(Object.keys({ ...ChatRequest.fields, ...PromptRequest.fields }))

/** The field of the request. Others are options of the program. */
const findRequestField = (field = ""): string | undefined => {
  const [name = ""] = /^\w+/.exec(field) ?? []
  return requestFields.has(name) ? name : undefined
}
