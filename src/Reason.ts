/**
 * The reasons of a `ProviderError`, which exports them too.
 *
 * @category Core
 * @since 0.3.0
 */
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"

/**
 * What every reason has, and `ProviderError`.
 *
 * @category errors
 */
declare abstract class Failure {
  /** Whether the same request may succeed later. */
  abstract readonly isRetryable: boolean
  /** What failed, in one line that is safe to log. */
  abstract readonly message: string
}
export type { Failure }

const TaggedReason = <Self>(name: string) => Schema.TaggedError<Self, Failure>(`effect-local-llm/ProviderError/${name}`)

/** Text that stays out of every rendering of an error, and is lost in JSON. */
const RedactedText = Schema.Redacted(Schema.String).annotate({
  toCodecJson: () =>
    Schema.link<Redacted.Redacted<string>>()(Schema.String, {
      decode: SchemaGetter.transform((text: string) => Redacted.make(text)),
      encode: SchemaGetter.transform(() => "<redacted>")
    })
})

const description = {
  /** What is known about the failure, or what to do, in words of this package. Safe to log. */
  description: Schema.optional(Schema.String)
} as const

const explanation = {
  ...description,
  /** Text of the server or the platform, at most 2,000 characters. It may quote a prompt, a completion or a header. */
  detail: Schema.optional(RedactedText)
} as const

const withDescription = (sentence: string, description: string | undefined): string =>
  description === undefined || description === "" ? sentence : `${sentence}: ${description}`

/**
 * The connection failed. Retryable, unless the kind is `tls`, `not-http` or `header`, which only another configuration
 * ends.
 *
 * @category errors
 * @since 0.1.0
 */
export class NetworkError extends TaggedReason<NetworkError>("NetworkError")("NetworkError", {
  /**
   * How, if the platform reports it. `timeout`: of the HTTP client. `tls`: no https, or a certificate that is not
   * accepted. `header`: a header has a value that HTTP does not allow. `closed-while-idle`: closed before the response,
   * on a connection that was used before; not every HTTP client distinguishes it from `reset` and `closed`.
   */
  kind: Schema.optional(
    Schema.Literals([
      "refused",
      "unknown-host",
      "unreachable",
      "timeout",
      "tls",
      "not-http",
      "header",
      "reset",
      "closed",
      "closed-while-idle"
    ])
  ),
  ...explanation
}) {
  override get isRetryable(): boolean {
    return this.kind !== "tls" && this.kind !== "not-http" && this.kind !== "header"
  }
  // For a `Reason`, editors show this text instead of that of `Failure` once for each member.
  /** What failed and why, in one line that is safe to log. */
  override get message(): string {
    return withDescription("the connection failed", this.description)
  }
}

/**
 * A deadline passed, and the connection was closed. Retryable. Ollama then stops loading the model, so with a
 * `first-chunk` deadline shorter than the load every retry fails too.
 *
 * @category errors
 * @since 0.1.0
 */
export class Timeout extends TaggedReason<Timeout>("Timeout")("Timeout", {
  /** `first-chunk`: no chunk arrived. `idle`: no further chunk arrived. `total`: the whole completion took too long. */
  kind: Schema.Literals(["first-chunk", "idle", "total"]),
  /** The deadline that passed. */
  limit: Schema.Duration,
  ...description
}) {
  override get isRetryable(): boolean {
    return true
  }
  override get message(): string {
    return withDescription(`the ${this.kind} deadline of ${Duration.format(this.limit)} passed`, this.description)
  }
}

/**
 * Too many requests: status 429, or the queue of a pool is full. Retryable.
 *
 * @category errors
 * @since 0.1.0
 */
export class RateLimited extends TaggedReason<RateLimited>("RateLimited")("RateLimited", {
  /** How long the server asks to wait (`Retry-After`); at most one day. */
  retryAfter: Schema.optional(Schema.Duration),
  ...explanation
}) {
  override get isRetryable(): boolean {
    return true
  }
  override get message(): string {
    const wait = this.retryAfter === undefined ? "" : ` (retry after ${Duration.format(this.retryAfter)})`
    return withDescription(`too many requests${wait}`, this.description)
  }
}

/**
 * The server requires a token or rejected it (401), or it refuses this client (403).
 *
 * @category errors
 * @since 0.1.0
 */
export class AuthenticationError extends TaggedReason<AuthenticationError>("AuthenticationError")(
  "AuthenticationError",
  {
    /** What was refused, if not the token: the Host or Origin header, or what the server asked its registry for. */
    kind: Schema.optional(Schema.Literals(["origin", "registry"])),
    /** Where to sign in, for a cloud model of Ollama. It contains a key. */
    signinUrl: Schema.optional(RedactedText),
    ...explanation
  }
) {
  override get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    return withDescription(refusals[this.kind ?? "token"], this.description)
  }
}

const refusals = {
  token: "the server refused this client; check the token",
  origin: "the server refused the address or the origin of this client",
  registry: "the registry refused the server"
}

/**
 * The server does not have the model, or cannot load it.
 *
 * @category errors
 * @since 0.1.0
 */
export class ModelNotAvailable extends TaggedReason<ModelNotAvailable>("ModelNotAvailable")("ModelNotAvailable", {
  /** The model that was requested. */
  model: Schema.String,
  ...explanation
}) {
  override get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    return withDescription(`the model "${this.model}" is not available`, this.description)
  }
}

/**
 * The request is invalid: rejected before it was sent, or by the server (400, 413, 422, or a 500 of Ollama for a wrong
 * option or format).
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidRequest extends TaggedReason<InvalidRequest>("InvalidRequest")("InvalidRequest", {
  /** The invalid field of the request or of the options, such as `messages[0].role`, if it is known. */
  field: Schema.optional(Schema.String),
  /** With embeddings: the index in `input` of the text that the server cannot embed. */
  index: Schema.optional(Schema.Number),
  ...explanation
}) {
  override get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    return withDescription(this.field === undefined ? "invalid request" : `invalid ${this.field}`, this.description)
  }
}

/**
 * The prompt does not fit into the model's context. `overflow: "truncate"` in the request lets the server shorten it.
 *
 * @category errors
 * @since 0.1.0
 */
export class ContextOverflow extends TaggedReason<ContextOverflow>("ContextOverflow")("ContextOverflow", {
  /** The tokens that the request needs, if the server reported them. vLLM adds those reserved for the completion. */
  promptTokens: Schema.optional(Schema.Number),
  /** The tokens that fit, if the server reported them. */
  contextLength: Schema.optional(Schema.Number),
  /** With embeddings: the index in `input` of the text that does not fit. */
  index: Schema.optional(Schema.Number),
  ...explanation
}) {
  override get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    const numbers =
      this.promptTokens === undefined || this.contextLength === undefined
        ? ""
        : ` (${this.promptTokens} tokens, ${this.contextLength} fit)`
    const text = this.index === undefined ? "the prompt" : `input[${this.index}]`
    return withDescription(`${text} does not fit into the model's context${numbers}`, this.description)
  }
}

/**
 * Any other status, a redirect, or a 200 whose body is not a completion. Retryable if the status is 5xx.
 *
 * @category errors
 * @since 0.1.0
 */
export class ApiError extends TaggedReason<ApiError>("ApiError")("ApiError", {
  /** The HTTP status; 0 for a redirect in a browser, which hides the status. */
  status: Schema.Number,
  /** How long the server asks to wait (`Retry-After`); at most one day. */
  retryAfter: Schema.optional(Schema.Duration),
  ...explanation
}) {
  override get isRetryable(): boolean {
    return this.status >= 500
  }
  override get message(): string {
    const what = this.status === 0 ? "a redirect" : `status ${this.status}`
    return withDescription(`the server answered with ${what}`, this.description)
  }
}

/**
 * The server failed while it generated: an error inside a 200, unless it has a status below 500 and so its reason; a
 * finish reason such as `error`; or an engine failure that LM Studio reports as 400. Retryable.
 *
 * @category errors
 * @since 0.1.0
 */
export class StreamError extends TaggedReason<StreamError>("StreamError")("StreamError", {
  ...explanation
}) {
  override get isRetryable(): boolean {
    return true
  }
  override get message(): string {
    return withDescription("the server failed while answering", this.description)
  }
}

/**
 * The response ended without its end marker, or without a finish reason from a server that always sends one. Retryable.
 * After a finish reason, the end of the body or a silence of three seconds is an end too.
 *
 * @category errors
 * @since 0.1.0
 */
export class StreamTruncated extends TaggedReason<StreamTruncated>("StreamTruncated")("StreamTruncated", {
  /** `finish-reason` if the server marked the end, but sent no finish reason. */
  missing: Schema.optional(Schema.Literal("finish-reason"))
}) {
  override get isRetryable(): boolean {
    return true
  }
  override get message(): string {
    const what = this.missing === "finish-reason" ? "a finish reason" : "its end marker"
    return `the answer ended without ${what}, so it is incomplete`
  }
}

/**
 * A record violates the protocol, or has content in a field that this package does not read.
 *
 * @category errors
 * @since 0.1.0
 */
export class ParseError extends TaggedReason<ParseError>("ParseError")("ParseError", {
  ...description,
  /** The first 200 characters of the record. */
  excerpt: RedactedText
}) {
  override get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    return withDescription("the server sent a record that violates its protocol", this.description)
  }
}

/**
 * A record is longer than `maxLineBytes` allows.
 *
 * @category errors
 * @since 0.1.0
 */
export class LineTooLong extends TaggedReason<LineTooLong>("LineTooLong")("LineTooLong", {
  /** The bound, in bytes. */
  limit: Schema.Number
}) {
  override get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    return `the server sent a record of more than ${this.limit} bytes; maxLineBytes sets the bound`
  }
}

/**
 * The server or its model does not have a feature that the request needs.
 *
 * @category errors
 * @since 0.1.0
 */
export class Unsupported extends TaggedReason<Unsupported>("Unsupported")("Unsupported", {
  /** The feature, such as `tools`, or the endpoint, such as `POST /api/chat`. */
  feature: Schema.String,
  /** The endpoint, if the server does not have it. */
  endpoint: Schema.optional(Schema.String),
  ...explanation
}) {
  override get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    return withDescription(`${this.feature} is not supported`, this.description)
  }
}

/**
 * The completion does not match the schema of `Provider.object`.
 *
 * @category errors
 */
export class InvalidAnswer extends TaggedReason<InvalidAnswer>("InvalidAnswer")("InvalidAnswer", {
  /** The whole text. */
  text: RedactedText,
  /** Whether `maxTokens` or the context was used up, so that the text is cut. */
  isTruncated: Schema.Boolean,
  ...description
}) {
  override get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    const sentence = this.isTruncated ? "the answer is truncated" : "the answer does not match the schema"
    return withDescription(sentence, this.description)
  }
}

/**
 * Why a provider failed. `isRetryable` is true if the same request may succeed later.
 *
 * @category errors
 */
export const Reason = Schema.Union([
  NetworkError,
  Timeout,
  RateLimited,
  AuthenticationError,
  ModelNotAvailable,
  InvalidRequest,
  ContextOverflow,
  ApiError,
  StreamError,
  StreamTruncated,
  ParseError,
  LineTooLong,
  Unsupported,
  InvalidAnswer
])
export type Reason = typeof Reason.Type
