/**
 * The one error of this package, and the reasons it can have.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

const id = (name: string) => `effect-local-llm/ProviderError/${name}`

/** What the server or the network said, cut to a length that fits a log line. */
const Description = Schema.optional(Schema.String)

const withDescription = (sentence: string, description: string | undefined): string =>
  description === undefined || description === "" ? sentence : `${sentence}: ${description}`

/**
 * No connection, or one that broke: refused, unknown host, reset, closed in the middle of an answer. Retryable.
 *
 * @since 0.1.0
 */
export class NetworkError extends Schema.Error<NetworkError>(id("NetworkError"))({
  _tag: Schema.tag("NetworkError"),
  /** What the platform said, such as `connect ECONNREFUSED 127.0.0.1:11434`. */
  description: Description
}) {
  get isRetryable(): boolean {
    return true
  }
  override get message(): string {
    return withDescription("no connection to the server, or it broke", this.description)
  }
}

/**
 * A deadline passed; the connection was closed. Retryable.
 *
 * **Gotchas**
 *
 * Ollama gives up loading a model when its client goes away: a `first-chunk` deadline shorter than the load, retried,
 * never gets an answer.
 *
 * @since 0.1.0
 */
export class Timeout extends Schema.Error<Timeout>(id("Timeout"))({
  _tag: Schema.tag("Timeout"),
  /** `first-chunk`: nothing came at all. `idle`: the answer stood still. `total`: it took too long as a whole. */
  kind: Schema.Literals(["first-chunk", "idle", "total"]),
  /** The deadline that passed. */
  limit: Schema.Duration
}) {
  get isRetryable(): boolean {
    return true
  }
  override get message(): string {
    return `the ${this.kind} deadline of ${Duration.format(this.limit)} passed`
  }
}

/**
 * The server asks to slow down (429). Retryable.
 *
 * @since 0.1.0
 */
export class RateLimited extends Schema.Error<RateLimited>(id("RateLimited"))({
  _tag: Schema.tag("RateLimited"),
  /** How long the server asks to wait, from its `Retry-After` header. */
  retryAfter: Schema.optional(Schema.Duration),
  description: Description
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
 * The server wants a token, or another one (401), or refuses this client (403).
 *
 * @since 0.1.0
 */
export class AuthenticationError extends Schema.Error<AuthenticationError>(id("AuthenticationError"))({
  _tag: Schema.tag("AuthenticationError"),
  /** Where to sign in, for a cloud model of Ollama. Kept out of the message, since it names a key. */
  signinUrl: Schema.optional(Schema.String),
  description: Description
}) {
  get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    return withDescription("the server refuses this client; check the token", this.description)
  }
}

/**
 * The server does not have the model, or cannot load it.
 *
 * @since 0.1.0
 */
export class ModelNotAvailable extends Schema.Error<ModelNotAvailable>(id("ModelNotAvailable"))({
  _tag: Schema.tag("ModelNotAvailable"),
  model: Schema.String,
  description: Description
}) {
  get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    return withDescription(`the server does not have the model "${this.model}" or cannot load it`, this.description)
  }
}

/**
 * The request is wrong: refused here before anything was sent, or by the server (400, 413, 422, and the 500s that Ollama
 * gives for a wrong option or format).
 *
 * @since 0.1.0
 */
export class InvalidRequest extends Schema.Error<InvalidRequest>(id("InvalidRequest"))({
  _tag: Schema.tag("InvalidRequest"),
  /** The field at fault, such as `messages[0].role`; absent when a server refused and did not say. */
  field: Schema.optional(Schema.String),
  description: Description
}) {
  get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    return withDescription(this.field === undefined ? "invalid request" : `invalid ${this.field}`, this.description)
  }
}

/**
 * The prompt does not fit into the model's context. `overflow: "truncate"` in the request lets the server cut it.
 *
 * @since 0.1.0
 */
export class ContextOverflow extends Schema.Error<ContextOverflow>(id("ContextOverflow"))({
  _tag: Schema.tag("ContextOverflow"),
  /** Length of the prompt, in tokens, if the server told. */
  promptTokens: Schema.optional(Schema.Number),
  /** What fits, in tokens, if the server told. */
  contextLength: Schema.optional(Schema.Number),
  description: Description
}) {
  get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    const numbers =
      this.promptTokens === undefined || this.contextLength === undefined
        ? ""
        : ` (${this.promptTokens} tokens, ${this.contextLength} fit)`
    return withDescription(`the prompt does not fit into the model's context${numbers}`, this.description)
  }
}

/**
 * Any other status that is not a success, or a success that is not a stream. Retryable when it is 5xx.
 *
 * @since 0.1.0
 */
export class ApiError extends Schema.Error<ApiError>(id("ApiError"))({
  _tag: Schema.tag("ApiError"),
  /** The HTTP status. */
  status: Schema.Number,
  /** How long the server asks to wait, from its `Retry-After` header. */
  retryAfter: Schema.optional(Schema.Duration),
  description: Description
}) {
  get isRetryable(): boolean {
    return this.status >= 500
  }
  override get message(): string {
    return withDescription(`the server answered with status ${this.status}`, this.description)
  }
}

/**
 * The server failed while it was answering: an error inside a 200, or the engine failures that LM Studio reports as 400.
 * Retryable.
 *
 * @since 0.1.0
 */
export class StreamError extends Schema.Error<StreamError>(id("StreamError"))({
  _tag: Schema.tag("StreamError"),
  description: Description
}) {
  get isRetryable(): boolean {
    return true
  }
  override get message(): string {
    return withDescription("the server failed while answering", this.description)
  }
}

/**
 * The answer ended without its end marker: what came is not the whole of it. Retryable.
 *
 * @since 0.1.0
 */
export class StreamTruncated extends Schema.Error<StreamTruncated>(id("StreamTruncated"))({
  _tag: Schema.tag("StreamTruncated")
}) {
  get isRetryable(): boolean {
    return true
  }
  override get message(): string {
    return "the answer ended without its end marker, so it is not whole"
  }
}

/**
 * A line is not what the protocol says.
 *
 * @since 0.1.0
 */
export class ParseError extends Schema.Error<ParseError>(id("ParseError"))({
  _tag: Schema.tag("ParseError"),
  /** What is wrong with the line, without its text. */
  description: Description,
  /** The first 200 characters of the line. Redacted, since it may be a piece of an answer. */
  excerpt: Schema.Redacted(Schema.String)
}) {
  get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    return withDescription("the server sent a line that is not what its protocol says", this.description)
  }
}

/**
 * A line is longer than `maxLineBytes` allows.
 *
 * @since 0.1.0
 */
export class LineTooLong extends Schema.Error<LineTooLong>(id("LineTooLong"))({
  _tag: Schema.tag("LineTooLong"),
  /** The bound that was passed, in bytes. */
  limit: Schema.Number
}) {
  get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    return `the server sent a line of more than ${this.limit} bytes; maxLineBytes sets the bound`
  }
}

/**
 * The server, or its model, cannot do that.
 *
 * @since 0.1.0
 */
export class Unsupported extends Schema.Error<Unsupported>(id("Unsupported"))({
  _tag: Schema.tag("Unsupported"),
  /** What was asked for, such as `tools` or `POST /api/chat`. */
  feature: Schema.String,
  description: Description
}) {
  get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    return withDescription(`${this.feature} is not supported`, this.description)
  }
}

/**
 * Every provider of a fallback or a pool failed.
 *
 * @since 0.1.0
 */
export class AllProvidersFailed extends Schema.Error<AllProvidersFailed>(id("AllProvidersFailed"))({
  _tag: Schema.tag("AllProvidersFailed"),
  /** What each of them failed with, in the order they were tried. */
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
 * What can go wrong. `isRetryable` tells whether the same request may succeed later.
 *
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
  AllProvidersFailed
])

/**
 * @since 0.1.0
 */
export type ProviderErrorReason = typeof ProviderErrorReason.Type

/**
 * What every operation of a provider fails with: who failed, and the `reason` why.
 *
 * **Details**
 *
 * The message is made of the fields. Prompts and answers never enter it.
 *
 * **Example** (one reason handled, the others left as they are)
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
 * @since 0.1.0
 */
export class ProviderError extends Schema.Error<ProviderError>(id("ProviderError"))({
  _tag: Schema.tag("ProviderError"),
  /** The name of the provider that failed, such as `Ollama`. */
  provider: Schema.String,
  /** The origin of the server, such as `http://gpu-1:11434`, without credentials. */
  server: Schema.optional(Schema.String),
  reason: ProviderErrorReason
}) {
  /** Whether the same request may succeed later. */
  get isRetryable(): boolean {
    return this.reason.isRetryable
  }
  /** How long the server asks to wait before that, if it does. */
  get retryAfter(): Duration.Duration | undefined {
    return "retryAfter" in this.reason ? this.reason.retryAfter : undefined
  }
  override get message(): string {
    return `${this.provider}: ${this.reason.message}`
  }
}

/**
 * Tells a `ProviderError` from everything else.
 *
 * @since 0.1.0
 */
export const isProviderError = (u: unknown): u is ProviderError =>
  Predicate.isTagged(u, "ProviderError") && u instanceof ProviderError
