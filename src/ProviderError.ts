/**
 * The one error of this package. Messages are safe to log: they contain no text of a server.
 *
 * @category Core
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import { type Failure, Reason } from "./Reason.ts"

export * from "./Reason.ts"

const id = (name: string) => `effect-local-llm/ProviderError/${name}`

/**
 * Every provider of a fallback failed; or every host of a pool is off without an error that a later attempt may not have, or a request
 * took down two of its hosts.
 *
 * @category errors
 */
export class AllProvidersFailed extends Schema.TaggedError<AllProvidersFailed, Failure>(id("AllProvidersFailed"))(
  "AllProvidersFailed",
  {
    /** The error of each provider, in the order they were tried. */
    errors: Schema.Array(Schema.suspend((): Schema.Codec<ProviderError, unknown> => ProviderError))
  }
) {
  override get isRetryable(): boolean {
    return false
  }
  override get message(): string {
    return `all providers failed: ${this.errors.map((error) => error.message).join("; ")}`
  }
}

/**
 * Why an operation failed: the reason of one provider, or `AllProvidersFailed`.
 *
 * @category errors
 */
export const ProviderErrorReason = Schema.Union([...Reason.members, AllProvidersFailed])
export type ProviderErrorReason = typeof ProviderErrorReason.Type

/**
 * The error of every operation: which provider failed, and why. Texts of a server are redacted in every rendering, also
 * in JSON: read them with `Redacted.value`.
 *
 * @category errors
 */
export class ProviderError extends Schema.TaggedError<ProviderError, Failure>(id("ProviderError"))("ProviderError", {
  /** The configured name of the provider that failed, such as `Ollama`. */
  provider: Schema.String,
  /** The origin of the server, without credentials, such as `http://gpu-1:11434`; absent without a server. */
  server: Schema.optional(Schema.String),
  /** Why it failed. `Effect.catchReason` and `Effect.catchReasons` handle reasons by their `_tag`. */
  reason: ProviderErrorReason
}) {
  /** Whether the same request may succeed later, by the reason. */
  override get isRetryable(): boolean {
    return this.reason.isRetryable
  }
  /** How long the server asks to wait before the next attempt, if it does. */
  get retryAfter(): Duration.Duration | undefined {
    return "retryAfter" in this.reason ? this.reason.retryAfter : undefined
  }
  /** Which provider failed and why, in one line that is safe to log. */
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
 */
export const isProviderError = (u: unknown): u is ProviderError =>
  Predicate.isTagged(u, "ProviderError") && u instanceof ProviderError
