/**
 * The one error of this package. Messages are safe to log: they contain no text of a server.
 *
 * @category Core
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { type Failure, Reason } from "./Reason.ts"
import * as Text from "./values/text.ts"

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
 * **Details**
 *
 * As a schema, it is for the errors of an `HttpApi`, an RPC or a workflow. What it encodes goes to other processes, so it has no
 * addresses of servers, nor have the errors inside it: `server` is left out, and an address in `provider` or in a description is
 * `<address>`. `WithServer` encodes them.
 *
 * @category errors
 */
export class ProviderError extends Schema.TaggedError<ProviderError, Failure>(id("ProviderError"))("ProviderError", {
  /** The configured name of the provider that failed, such as `Ollama`. */
  provider: Text.EncodedWithoutAddresses,
  /**
   * The origin of the server, without credentials, such as `http://gpu-1:11434`; absent without a server, and in an error that was
   * encoded with this schema.
   */
  server: Schema.optional(Schema.String).pipe(
    Schema.encodeTo(Schema.optional(Schema.String), {
      decode: SchemaGetter.passthrough(),
      encode: SchemaGetter.omit()
    })
  ),
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
 * A schema of `ProviderError` that encodes its `provider` and its `server` as they are, and those of the errors inside it, for processes
 * that may know the addresses of the servers, such as a store of jobs.
 *
 * @category errors
 * @since 0.3.0
 */
export const WithServer: Schema.Codec<ProviderError, unknown> = Schema.toType(ProviderError).pipe(
  Schema.encodeTo(
    Schema.Struct({
      _tag: Schema.tag("ProviderError"),
      provider: Schema.String,
      server: Schema.optional(Schema.String),
      reason: Schema.Union([
        ...Reason.members,
        Schema.Struct({
          _tag: Schema.tag("AllProvidersFailed"),
          errors: Schema.Array(Schema.suspend(() => WithServer))
        })
      ])
    }),
    SchemaTransformation.transform({
      decode: ({ provider, reason, server }) =>
        new ProviderError({
          provider,
          server,
          reason: reason._tag === "AllProvidersFailed" ? new AllProvidersFailed({ errors: reason.errors }) : reason
        }),
      encode: ({ _tag, provider, reason, server }) => ({ _tag, provider, server, reason })
    })
  )
)

/**
 * Whether a value is a `ProviderError`.
 *
 * @category guards
 */
export const isProviderError = (u: unknown): u is ProviderError =>
  Predicate.isTagged(u, "ProviderError") && u instanceof ProviderError
