/**
 * Completions as responses of an HTTP server: server-sent events, or lines of JSON. It imports `effect/http`, so it has
 * its own import: `effect-local-llm/StreamResponse`.
 *
 * @category Adapters
 * @since 0.3.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Respond from "./http/respond.ts"
import * as Attempt from "./policies/attempt.ts"
import * as OptionSchema from "./servers/options.ts"
import * as PublicMessage from "./protocol/publicMessage.ts"
import * as Served from "./protocol/served.ts"
import type { ProviderError } from "./ProviderError.ts"
import * as StreamingChunk from "./StreamingChunk.ts"

/**
 * What is sent. All fields are optional.
 *
 * @category options
 */
export interface Options extends KeepAlive {
  /**
   * What a client gets of each chunk: a JSON value, or `undefined` to leave the chunk out. Default: the whole chunk, as
   * `StreamingChunk.FromJsonString` encodes it, without `provider`, which may be an address.
   */
  readonly encode?: ((chunk: StreamingChunk.StreamingChunk) => unknown) | undefined
}

/**
 * What is sent while the stream has no items.
 *
 * @category options
 */
export interface KeepAlive {
  /**
   * How often something is sent that readers ignore, so that proxies do not take the connection for idle. If there is
   * no first chunk by then, because the model is being loaded, the response begins with it, and a later failure has no
   * status. `Infinity` for never; less than 1 second counts as 1 second. Default: 45 seconds.
   */
  readonly keepAlive?: Duration.Input | undefined
}

/**
 * Responds with server-sent events: one `data` event with the JSON of each chunk. Without one that has `isFinal`, the
 * completion is incomplete. An invalid option fails with `InvalidRequest`, and nothing of the stream is run.
 *
 * The response begins with the first chunk that carries anything. A failure before it is a response with the status of
 * `statusOf` and the body `{"error": …}` of `toJson`. A failure after it is a last event `error` with that JSON. A
 * defect, such as an exception in `encode`, is the status 500, or a last event `error` with the reason `InternalError`;
 * its name and place are logged, not its message, which may quote the completion. When the client leaves, the model
 * server stops generating.
 *
 * @category constructors
 */
export const sse = <R = never>(
  chunks: Stream.Stream<StreamingChunk.StreamingChunk, ProviderError, R>,
  options: Options = {}
): Effect.Effect<HttpServerResponse.HttpServerResponse, ProviderError, R | Scope.Scope> =>
  respondChunks(chunks, options, formats.sse)

/**
 * Responds with lines of JSON: one for each chunk. As `sse`, but a failure after the beginning is a line `{"error":
 * …}`, and `keepAlive` sends a space, which belongs to the line after it.
 *
 * @category constructors
 */
export const ndjson = <R = never>(
  chunks: Stream.Stream<StreamingChunk.StreamingChunk, ProviderError, R>,
  options: Options = {}
): Effect.Effect<HttpServerResponse.HttpServerResponse, ProviderError, R | Scope.Scope> =>
  respondChunks(chunks, options, formats.ndjson)

/**
 * How to send the items of any stream.
 *
 * @category options
 */
export interface MakeOptions<A, E> extends KeepAlive {
  /** Server-sent events, or lines of JSON. */
  readonly format: "sse" | "ndjson"
  /** What a client gets of each item: a JSON value, or `undefined` to leave the item out. */
  readonly encode: (item: A) => unknown
  /** What a client gets of a failure. */
  readonly onFailure: (error: E) => Failure
}

/**
 * A failure as a client gets it.
 *
 * @category models
 */
export interface Failure {
  /** The status, if the response has not begun. */
  readonly status: number
  /** Sent as the header `Retry-After`, if the response has not begun. */
  readonly retryAfter?: Duration.Duration | undefined
  /** A JSON value that describes the failure. */
  readonly error: unknown
}

/**
 * As `sse` and `ndjson`, for any other stream, such as the parts of `effect/ai`. The response begins with the first
 * item that is sent.
 *
 * @category constructors
 */
export const make = <A, E, R>(
  items: Stream.Stream<A, E, R>,
  options: MakeOptions<A, E>
): Effect.Effect<HttpServerResponse.HttpServerResponse, ProviderError, R | Scope.Scope> =>
  Effect.flatMap(
    OptionSchema.readFor(makeDefinition, options, "StreamResponse"),
    ({ encode, format, keepAlive, onFailure }) =>
      respond(items, {
        format: formats[format],
        begins: (_, text) => text !== "",
        encode: (item) => toJsonText(encode(item)),
        onFailure,
        keepAlive
      })
  )

const definition = OptionSchema.define<Options>({ encode: OptionSchema.fn, keepAlive: OptionSchema.duration })

const makeDefinition = OptionSchema.define<MakeOptions<unknown, unknown>>({
  format: Schema.Literals(["sse", "ndjson"]),
  encode: OptionSchema.is(Predicate.isFunction, "a function"),
  onFailure: OptionSchema.is(Predicate.isFunction, "a function"),
  keepAlive: OptionSchema.duration
})

/**
 * The status of a response for a failure: 400 for `InvalidRequest`, `ContextOverflow` and `Unsupported`, 404 for
 * `ModelNotAvailable`, 429 for `RateLimited`, 504 for `Timeout`, and 502 for those that the client of your server can
 * do nothing about.
 *
 * @category accessors
 */
export const statusOf = ({ reason }: ProviderError): number => Served.statusOf(reason)

/**
 * What a client may know of a failure: the tag of the reason, a message, and whether the same request may succeed
 * later. Unlike the message of the error, this one has no description, which may contain the address of a server.
 *
 * @category accessors
 */
export const toJson = ({
  isRetryable,
  reason
}: ProviderError): {
  /** The tag of the reason. */
  readonly reason: string
  /** What failed, without a description. */
  readonly message: string
  /** Whether the same request may succeed later. */
  readonly isRetryable: boolean
} => ({
  reason: reason._tag,
  message: PublicMessage.make(reason),
  isRetryable
})

interface Format {
  readonly contentType: string
  readonly item: (json: string) => string
  readonly error: (json: string) => string
  readonly keepAlive: string
}

const formats: { readonly [K in MakeOptions<never, never>["format"]]: Format } = {
  sse: {
    contentType: "text/event-stream",
    item: (json) => `data: ${json}\n\n`,
    error: (json) => `event: error\ndata: ${json}\n\n`,
    keepAlive: ": keep-alive\n\n"
  },
  ndjson: {
    contentType: "application/x-ndjson",
    item: (json) => `${json}\n`,
    error: (json) => `{"error":${json}}\n`,
    // It belongs to the line after it.
    keepAlive: " "
  }
}

const encodeJson = Schema.encodeSync(StreamingChunk.FromJsonString)

const encodeChunk = (chunk: StreamingChunk.StreamingChunk): string =>
  encodeJson(chunk.isFinal ? { ...chunk, provider: undefined } : chunk)

const toJsonText = (value: unknown): string | undefined => {
  if (value === undefined) return undefined
  const json: string | undefined = JSON.stringify(value)
  if (json === undefined) throw new TypeError("`encode` returned a value that JSON cannot express")
  return json
}

const respondChunks = <R>(
  chunks: Stream.Stream<StreamingChunk.StreamingChunk, ProviderError, R>,
  options: Options,
  format: Format
) =>
  Effect.flatMap(OptionSchema.readFor(definition, options, "StreamResponse"), ({ encode, keepAlive }) =>
    respond(chunks, {
      format,
      begins: (chunk) => Attempt.commits([chunk]),
      encode: encode === undefined ? encodeChunk : (chunk) => toJsonText(encode(chunk)),
      onFailure: (error) => ({ status: statusOf(error), retryAfter: error.retryAfter, error: toJson(error) }),
      keepAlive
    })
  )

interface Parts<A, E> extends KeepAlive {
  readonly format: Format
  /** Whether the response begins with this item. */
  readonly begins: (item: A, text: string) => boolean
  /** The JSON of an item, or `undefined` to leave it out. */
  readonly encode: (item: A) => string | undefined
  readonly onFailure: (error: E) => Failure
}

const respond = <A, E, R>(
  stream: Stream.Stream<A, E, R>,
  { begins, encode, format, keepAlive = "45 seconds", onFailure }: Parts<A, E>
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R | Scope.Scope> =>
  Respond.make(stream, {
    contentType: format.contentType,
    encode: (item) => {
      const json = encode(item)
      return json === undefined ? "" : format.item(json)
    },
    begins,
    keepAlive: { text: format.keepAlive, after: Duration.fromInputUnsafe(keepAlive) },
    refuse: (error) => refuse(onFailure(error)),
    fail: (error) => format.error(JSON.stringify(onFailure(error).error ?? null)),
    defect: () => format.error(defect)
  })

const defect = JSON.stringify({ reason: "InternalError", message: "the server failed", isRetryable: false })

const refuse = ({ error, retryAfter, status }: Failure): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe({ error: error ?? null }, { status, headers: Respond.retryAfter(retryAfter) })
