/**
 * The one error of this package, and the reasons it can have.
 *
 * Messages are safe to log. They consist of text of this package and of fields it controls. Text of the server is in
 * `detail`, which is redacted, because servers quote prompts, answers and headers in their errors.
 *
 * @category Core
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"

const id = (name: string) => `effect-local-llm/ProviderError/${name}`

/** Text that stays out of every rendering of an error. A codec writes a placeholder, so the text is lost in JSON. */
const RedactedText = Schema.Redacted(Schema.String).annotate({
  toCodecJson: () =>
    Schema.link<Redacted.Redacted<string>>()(Schema.String, {
      decode: SchemaGetter.transform((text: string) => Redacted.make(text)),
      encode: SchemaGetter.transform(() => "<redacted>")
    })
})

const explanation = {
  /** What is known about the failure, in words of this package. Safe to log. */
  description: Schema.optional(Schema.String),
  /**
   * The text of the server or of the platform, at most 2,000 characters. Redacted, since it may quote a prompt, an answer
   * or a header: read it with `Redacted.value`.
   */
  detail: Schema.optional(RedactedText)
}

const withDescription = (sentence: string, description: string | undefined): string =>
  description === undefined || description === "" ? sentence : `${sentence}: ${description}`

/**
 * The connection failed: refused, unknown host, reset, or closed in the middle of an answer. Retryable, unless the kind is `tls`,
 * `not-http` or `header`, which only another configuration changes.
 *
 * @category errors
 * @since 0.1.0
 */
export class NetworkError extends Schema.Error<NetworkError>(id("NetworkError"))({
  _tag: Schema.tag("NetworkError"),
  /**
   * How the connection failed. Absent if the platform does not tell.
   *
   * - `refused`: nothing accepts connections at the address.
   * - `unknown-host`: the host name has no address, or it cannot be looked up now.
   * - `unreachable`: there is no way to the host.
   * - `timeout`: the host does not answer, or a timeout of the HTTP client passed. The deadlines of this package are `Timeout`.
   * - `tls`: the certificate is not accepted, or the server does not speak https.
   * - `not-http`: the answer is not HTTP.
   * - `header`: a header of the request has a value that HTTP does not allow.
   * - `reset`, `closed`: the other side ended an established connection.
   * - `closed-while-idle`: the same, before an answer began, on a connection that was used before. The server may have closed it at
   *   the moment when the request was sent. Not every HTTP client tells this from `reset` and `closed`.
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
  get isRetryable(): boolean {
    return this.kind !== "tls" && this.kind !== "not-http" && this.kind !== "header"
  }
  override get message(): string {
    return withDescription("the connection failed", this.description)
  }
}

/**
 * A deadline passed, and the connection was closed. Retryable.
 *
 * **Gotchas**
 *
 * Ollama stops loading a model when its client disconnects. If the `first-chunk` deadline is shorter than the load, a
 * retry starts the load again and never gets an answer.
 *
 * @category errors
 * @since 0.1.0
 */
export class Timeout extends Schema.Error<Timeout>(id("Timeout"))({
  _tag: Schema.tag("Timeout"),
  /** `first-chunk`: no chunk arrived. `idle`: no further chunk arrived. `total`: the whole answer took too long. */
  kind: Schema.Literals(["first-chunk", "idle", "total"]),
  /** The deadline that passed. */
  limit: Schema.Duration,
  /** What is known besides, and what to do, in words of this package. Safe to log. */
  description: Schema.optional(Schema.String)
}) {
  get isRetryable(): boolean {
    return true
  }
  override get message(): string {
    return withDescription(`the ${this.kind} deadline of ${Duration.format(this.limit)} passed`, this.description)
  }
}

/**
 * Too many requests: the server answered 429, or a queue is full. Retryable.
 *
 * @category errors
 * @since 0.1.0
 */
export class RateLimited extends Schema.Error<RateLimited>(id("RateLimited"))({
  _tag: Schema.tag("RateLimited"),
  /** How long the server asks to wait, from its `Retry-After` header; at most one day. */
  retryAfter: Schema.optional(Schema.Duration),
  ...explanation
}) {
  get isRetryable(): boolean {
    return true
  }
  override get message(): string {
    const wait = this.retryAfter === undefined ? "" : ` (retry after ${Duration.format(this.retryAfter)})`
    return withDescription(`too many requests${wait}`, this.description)
  }
}

/**
 * The server requires a token or rejected it (401), or it refuses this client (403). The status may also be in an error
 * inside a stream.
 *
 * @category errors
 * @since 0.1.0
 */
export class AuthenticationError extends Schema.Error<AuthenticationError>(id("AuthenticationError"))({
  _tag: Schema.tag("AuthenticationError"),
  /**
   * What was refused, if it is not the token. `origin`: the server does not accept the Host or Origin header of the request.
   * `registry`: the registry of models refused what the server asked for.
   */
  kind: Schema.optional(Schema.Literals(["origin", "registry"])),
  /** Where to sign in, for a cloud model of Ollama. Redacted, since the address contains a key. */
  signinUrl: Schema.optional(RedactedText),
  ...explanation
}) {
  get isRetryable(): boolean {
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
export class ModelNotAvailable extends Schema.Error<ModelNotAvailable>(id("ModelNotAvailable"))({
  _tag: Schema.tag("ModelNotAvailable"),
  /** The model that was requested. */
  model: Schema.String,
  ...explanation
}) {
  get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    return withDescription(`the model "${this.model}" is not available`, this.description)
  }
}

/**
 * The request is invalid. It was rejected before anything was sent, or by the server: 400, 413, 422, and the 500s that
 * Ollama returns for a wrong option or format.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidRequest extends Schema.Error<InvalidRequest>(id("InvalidRequest"))({
  _tag: Schema.tag("InvalidRequest"),
  /**
   * The field that is wrong, by its name in `CompletionRequest` or in the options of the layer, such as `messages[0].role`.
   * Absent if a server rejected the request and named no known field.
   */
  field: Schema.optional(Schema.String),
  /** With embeddings: which text the server cannot embed, by its index in `input`. `field` names it too. */
  index: Schema.optional(Schema.Number),
  ...explanation
}) {
  get isRetryable(): boolean {
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
export class ContextOverflow extends Schema.Error<ContextOverflow>(id("ContextOverflow"))({
  _tag: Schema.tag("ContextOverflow"),
  /**
   * The tokens that the request needs, if the server reported them. Some servers, such as vLLM, add the tokens reserved
   * for the answer. Never smaller than `contextLength`.
   */
  promptTokens: Schema.optional(Schema.Number),
  /** The tokens that fit, if the server reported them. */
  contextLength: Schema.optional(Schema.Number),
  /** With embeddings: which text does not fit, by its index in `input`. */
  index: Schema.optional(Schema.Number),
  ...explanation
}) {
  get isRetryable(): boolean {
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
 * Any other status, such as 402 (payment required) or 500, a redirect, or a success whose body is not an answer. Retryable if the
 * status is 5xx.
 *
 * @category errors
 * @since 0.1.0
 */
export class ApiError extends Schema.Error<ApiError>(id("ApiError"))({
  _tag: Schema.tag("ApiError"),
  /** The HTTP status; 0 for a redirect in a browser, which hides the status. */
  status: Schema.Number,
  /** How long the server asks to wait, from its `Retry-After` header; at most one day. */
  retryAfter: Schema.optional(Schema.Duration),
  ...explanation
}) {
  get isRetryable(): boolean {
    return this.status >= 500
  }
  override get message(): string {
    const what = this.status === 0 ? "a redirect" : `status ${this.status}`
    return withDescription(`the server answered with ${what}`, this.description)
  }
}

/**
 * The server failed while it was answering: an error inside a 200, a finish reason such as `error` or `abort`, or an engine
 * failure that LM Studio reports as 400. Retryable.
 *
 * @category errors
 * @since 0.1.0
 */
export class StreamError extends Schema.Error<StreamError>(id("StreamError"))({
  _tag: Schema.tag("StreamError"),
  ...explanation
}) {
  get isRetryable(): boolean {
    return true
  }
  override get message(): string {
    return withDescription("the server failed while answering", this.description)
  }
}

/**
 * The answer ended without its end marker or without a finish reason, so it is incomplete. Retryable.
 *
 * **Details**
 *
 * `Ollama` marks the end with `done`, the others with a finish reason and `[DONE]`. After a finish reason, the end of the body or
 * a silence of three seconds completes the answer too. `OpenAiCompatible` also accepts `[DONE]` without a finish reason after
 * content; the finish reason is then `other`. `LmStudio` and `LlamaServer` fail, since their servers always send one.
 *
 * @category errors
 * @since 0.1.0
 */
export class StreamTruncated extends Schema.Error<StreamTruncated>(id("StreamTruncated"))({
  _tag: Schema.tag("StreamTruncated"),
  /** What is missing, if it is not the end marker: the server marked the end, but sent no finish reason. */
  missing: Schema.optional(Schema.Literal("finish-reason"))
}) {
  get isRetryable(): boolean {
    return true
  }
  override get message(): string {
    const what = this.missing === "finish-reason" ? "a finish reason" : "its end marker"
    return `the answer ended without ${what}, so it is incomplete`
  }
}

/**
 * A record violates the protocol, or it carries an answer in a field that this package does not read.
 *
 * @category errors
 * @since 0.1.0
 */
export class ParseError extends Schema.Error<ParseError>(id("ParseError"))({
  _tag: Schema.tag("ParseError"),
  /** What is wrong with the record, without its text. */
  description: Schema.optional(Schema.String),
  /** The first 200 characters of the record. Redacted, since they may be part of an answer. */
  excerpt: RedactedText
}) {
  get isRetryable(): boolean {
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
export class LineTooLong extends Schema.Error<LineTooLong>(id("LineTooLong"))({
  _tag: Schema.tag("LineTooLong"),
  /** The bound, in bytes. */
  limit: Schema.Number
}) {
  get isRetryable(): boolean {
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
export class Unsupported extends Schema.Error<Unsupported>(id("Unsupported"))({
  _tag: Schema.tag("Unsupported"),
  /** The feature, such as `tools`, or the endpoint, such as `POST /api/chat`. */
  feature: Schema.String,
  /** The endpoint that the server does not have, such as `POST /api/chat`. Absent if the server or its model lacks a feature. */
  endpoint: Schema.optional(Schema.String),
  ...explanation
}) {
  get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    return withDescription(`${this.feature} is not supported`, this.description)
  }
}

/**
 * The answer is complete by the server's protocol, but it does not match the schema that `Provider.object` asked for.
 *
 * @category errors
 * @since 0.3.0
 */
export class InvalidAnswer extends Schema.Error<InvalidAnswer>(id("InvalidAnswer"))({
  _tag: Schema.tag("InvalidAnswer"),
  /** The whole answer. Redacted: read it with `Redacted.value`. */
  text: RedactedText,
  /** Whether `maxTokens` or the context was used up before the answer was complete. */
  isTruncated: Schema.Boolean,
  /** Where the answer does not match, such as `items[0].price: Expected number`. It does not quote the answer. */
  description: Schema.optional(Schema.String)
}) {
  get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    const sentence = this.isTruncated ? "the answer is truncated" : "the answer does not match the schema"
    return withDescription(sentence, this.description)
  }
}

/**
 * Every provider of a fallback failed, or every host of a pool is off.
 *
 * @category errors
 * @since 0.1.0
 */
export class AllProvidersFailed extends Schema.Error<AllProvidersFailed>(id("AllProvidersFailed"))({
  _tag: Schema.tag("AllProvidersFailed"),
  /** The error of each provider, in the order they were tried. */
  errors: Schema.Array(Schema.suspend((): Schema.Codec<ProviderError, unknown> => ProviderError))
}) {
  get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    return `all providers failed: ${this.errors.map((error) => error.message).join("; ")}`
  }
}

/**
 * Why an operation failed. `isRetryable` is true if the same request may succeed later.
 *
 * @see {@link ProviderError} for a table of the reasons
 * @category errors
 * @since 0.1.0
 */
export const ProviderErrorReason = Schema.Union([
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
  InvalidAnswer,
  AllProvidersFailed
])
export type ProviderErrorReason = typeof ProviderErrorReason.Type

/**
 * The error of every operation of a provider: which provider failed, and why (`reason`).
 *
 * **Details**
 *
 * | reason | when | retryable |
 * |---|---|---|
 * | `NetworkError` | refused, unknown host, reset, closed in the middle of an answer (`kind`) | yes, except `tls`, `not-http`, `header` |
 * | `Timeout` | a deadline passed | yes |
 * | `RateLimited` | 429, or the queue of a pool is full | yes |
 * | `AuthenticationError` | 401, 403 | no |
 * | `ModelNotAvailable` | the server does not have the model, or cannot load it | no |
 * | `InvalidRequest` | rejected before sending, or 400, 413, 422, or the 500 of Ollama for a wrong option or format | no |
 * | `ContextOverflow` | the prompt does not fit | no |
 * | `ApiError` | any other status, a redirect, or a 200 that is not an answer | 5xx |
 * | `StreamError` | the server failed while it was answering: an error inside a 200, a finish reason such as `error` | yes |
 * | `StreamTruncated` | the answer ended without its end marker or without a finish reason | yes |
 * | `ParseError` | a record violates the protocol | no |
 * | `LineTooLong` | a record is longer than the bound | no |
 * | `Unsupported` | the server or its model does not have the feature | no |
 * | `InvalidAnswer` | the answer to `Provider.object` does not match its schema | no |
 * | `AllProvidersFailed` | every provider of a fallback failed, or every host of a pool is off | no |
 *
 * An error inside a stream that reports a status gets the reason of that status, except that a 5xx is a `StreamError`.
 *
 * The message is safe to log. What a server wrote is in `detail` and `excerpt` of the reason, which are redacted in every rendering,
 * including `JSON.stringify` and the codec of this schema.
 *
 * **Example** (one reason is handled)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Provider } from "effect-local-llm"
 *
 * const program = Provider.Provider.use((provider) => provider.complete({ model: "llama3.2", prompt: "Once" })).pipe(
 *   Effect.map((completion) => completion.content),
 *   Effect.catchReason("ProviderError", "ModelNotAvailable", (reason) => Effect.succeed(`pull ${reason.model} first`))
 * )
 * ```
 *
 * @category errors
 * @since 0.1.0
 */
export class ProviderError extends Schema.Error<ProviderError>(id("ProviderError"))({
  _tag: Schema.tag("ProviderError"),
  /** The configured name of the provider that failed, such as `Ollama`. */
  provider: Schema.String,
  /** The origin of the server, without credentials, such as `http://gpu-1:11434`. Absent if there is no server. */
  server: Schema.optional(Schema.String),
  /** Why it failed. `Effect.catchReason` and `Effect.catchReasons` handle reasons by their `_tag`. */
  reason: ProviderErrorReason
}) {
  /** Whether the same request may succeed later. */
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }
  /** How long the server asks to wait before the next attempt, if it does. */
  get retryAfter(): Duration.Duration | undefined {
    return "retryAfter" in this.reason ? this.reason.retryAfter : undefined
  }
  override get message(): string {
    // A pool that is configured by addresses names its hosts by them.
    const server = this.server === undefined || this.server === this.provider ? "" : ` (${this.server})`
    return `${this.provider}${server}: ${this.reason.message}`
  }
}

/**
 * Whether a value is a `ProviderError`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isProviderError = (u: unknown): u is ProviderError =>
  Predicate.isTagged(u, "ProviderError") && u instanceof ProviderError
