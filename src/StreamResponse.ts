/**
 * Answers of a model as responses of an HTTP server: server-sent events, or lines of JSON.
 *
 * It imports `effect/http`, so it has its own import: `effect-local-llm/StreamResponse`.
 *
 * @category Adapters
 * @since 0.3.0
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Predicate from "effect/Predicate"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Attempt from "./policies/attempt.ts"
import * as OptionSchema from "./servers/options.ts"
import * as PublicMessage from "./protocol/publicMessage.ts"
import type { ProviderError } from "./ProviderError.ts"
import * as StreamingChunk from "./StreamingChunk.ts"

/**
 * What is sent. All fields are optional.
 *
 * @category options
 * @since 0.3.0
 */
export interface Options extends KeepAlive {
  /**
   * What a client gets of each chunk: a JSON value, or `undefined` to leave the chunk out. Default: the whole chunk, as
   * `StreamingChunk.FromJsonString` encodes it, without `provider`: the name of a host may be its address.
   */
  readonly encode?: ((chunk: StreamingChunk.StreamingChunk) => unknown) | undefined
}

/**
 * What is sent while the stream has no items.
 *
 * @category options
 * @since 0.3.0
 */
export interface KeepAlive {
  /**
   * How often something is sent that readers ignore, so that proxies do not take the connection for idle; `Infinity` for never. A
   * response without a first chunk begins after that time. Less than 1 second counts as 1 second. Default: 45 seconds.
   */
  readonly keepAlive?: Duration.Input | undefined
}

/**
 * Responds with server-sent events: one `data` event with the JSON of each chunk, which `StreamingChunk.FromJsonString` decodes. The
 * last one has `isFinal`.
 *
 * **Details**
 *
 * The response begins with the first chunk that carries anything. A failure before it is a response with its status (`statusOf`)
 * and the body `{"error": …}` of `toJson`. A failure after it is an event `error` with that JSON, and the response ends; so an answer
 * without a final chunk is incomplete.
 *
 * Every 45 seconds a comment is sent. If there is no first chunk by then, because the model is being loaded, the response begins with
 * that comment, and a later failure is an event. `keepAlive` changes the time: `Infinity` keeps the status of every failure before
 * the first chunk, but many proxies give up after 60 seconds without a byte.
 *
 * When the client leaves, the answer is interrupted, and the model server stops generating.
 *
 * An invalid option fails with `InvalidRequest`, which names it. Nothing of the stream is run then.
 *
 * A defect, such as an exception in `encode`, results in the status 500 before the response begins. After that, the last event is an `error`
 * with the reason `InternalError`, and the log has the name of the exception and its place, not its message, which may quote the
 * answer.
 *
 * **Example** (a route)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { HttpRouter, HttpServerRequest } from "effect/http"
 * import { Provider } from "effect-local-llm"
 * import * as StreamResponse from "effect-local-llm/StreamResponse"
 *
 * const route = HttpRouter.add(
 *   "POST",
 *   "/chat",
 *   Effect.gen(function*() {
 *     const { stream } = yield* Provider.Provider
 *     const content = yield* (yield* HttpServerRequest.HttpServerRequest).text
 *     return yield* StreamResponse.sse(stream({ model: "llama3.2", messages: [{ role: "user", content }] }))
 *   })
 * )
 * ```
 *
 * **Example** (only the text, and the usage at the end)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Provider } from "effect-local-llm"
 * import * as StreamResponse from "effect-local-llm/StreamResponse"
 *
 * const response = Provider.Provider.use(({ stream }) =>
 *   StreamResponse.sse(stream({ model: "llama3.2", prompt: "Once upon a time" }), {
 *     encode: (chunk) => (chunk.isFinal ? { text: chunk.content, usage: chunk.usage } : { text: chunk.content })
 *   })
 * )
 * ```
 *
 * @category constructors
 * @since 0.3.0
 */
export const sse = <R = never>(
  chunks: Stream.Stream<StreamingChunk.StreamingChunk, ProviderError, R>,
  options: Options = {}
): Effect.Effect<HttpServerResponse.HttpServerResponse, ProviderError, R | Scope.Scope> =>
  respondChunks(chunks, options, formats.sse)

/**
 * Responds with lines of JSON: one for each chunk. As `sse`, but a failure after the beginning is a line `{"error": …}`, and
 * `keepAlive` sends a space, which belongs to the line after it.
 *
 * @category constructors
 * @since 0.3.0
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
 * @since 0.3.0
 */
export interface MakeOptions<A, E> extends KeepAlive {
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
 * @since 0.3.0
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
 * As `sse` and `ndjson`, for any other stream. The response begins with the first item that is sent.
 *
 * **When to use**
 *
 * For the parts of `effect/ai`, and for chunks that were mapped to something else.
 *
 * **Example** (the text of a conversation)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Chat } from "effect/ai"
 * import * as StreamResponse from "effect-local-llm/StreamResponse"
 *
 * const reply = Effect.fnUntraced(function*(prompt: string) {
 *   const chat = yield* Chat.empty
 *   return yield* StreamResponse.make(chat.streamText({ prompt }), {
 *     format: "sse",
 *     encode: (part) => part.type === "text-delta" ? { text: part.delta } : undefined,
 *     onFailure: ({ isRetryable, retryAfter }) => ({ status: isRetryable ? 503 : 500, retryAfter, error: { isRetryable } })
 *   })
 * })
 * ```
 *
 * @category constructors
 * @since 0.3.0
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
        begins: (_, json) => json !== undefined,
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
 * The status of a response for a failure. Failures that the client of your server can do nothing about, such as a wrong token or
 * address of the model server, are 502.
 *
 * | reason | status |
 * |---|---|
 * | `InvalidRequest`, `ContextOverflow`, `Unsupported` | 400 |
 * | `ModelNotAvailable` | 404 |
 * | `RateLimited` | 429 |
 * | `Timeout` | 504 |
 * | all others | 502 |
 *
 * @category accessors
 * @since 0.3.0
 */
export const statusOf = ({ reason }: ProviderError): number => {
  switch (reason._tag) {
    case "InvalidRequest":
    case "ContextOverflow":
    case "Unsupported":
      return 400
    case "ModelNotAvailable":
      return 404
    case "RateLimited":
      return 429
    case "Timeout":
      return 504
    default:
      return 502
  }
}

/**
 * What a client may know of a failure: the tag of the reason, a message, and whether the same request may succeed later.
 *
 * The message is made of the tag and of numbers, the field of the request that is wrong, and the name of the model if it is a plain
 * one. Unlike the message of the error, it has no description: that may have the address of a server, such as the one that refused
 * the connection or the target of a redirect. Log the error itself.
 *
 * @category accessors
 * @since 0.3.0
 */
export const toJson = ({
  isRetryable,
  reason
}: ProviderError): { readonly reason: string; readonly message: string; readonly isRetryable: boolean } => ({
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
  readonly begins: (item: A, json: string | undefined) => boolean
  readonly encode: (item: A) => string | undefined
  readonly onFailure: (error: E) => Failure
}

/** A text of the body; empty if an item is left out. */
interface Part {
  readonly text: string
  /** Whether the response has to begin. */
  readonly begins: boolean
}

const respond = Effect.fnUntraced(function* <A, E, R>(
  stream: Stream.Stream<A, E, R>,
  { begins, encode, format, keepAlive = "45 seconds", onFailure }: Parts<A, E>
): Effect.fn.Return<HttpServerResponse.HttpServerResponse, never, R | Scope.Scope> {
  const toPart = (item: A): Part => {
    const json = encode(item)
    return { text: json === undefined ? "" : format.item(json), begins: begins(item, json) }
  }
  const ticks = Stream.map(makeTicks(keepAlive), (): Part => ({ text: format.keepAlive, begins: true }))
  const parts = Stream.merge(Stream.map(stream, toPart), ticks, { haltStrategy: "left" })
  const context = yield* Effect.context<R>()
  const pull = yield* Channel.toPullScoped(Stream.provideContext(parts, context).channel, yield* Effect.scope)
  const first = yield* Effect.result(collectUntilBegin(pull))
  if (Result.isFailure(first)) {
    // A stream that ends without anything to send.
    return Cause.isDone(first.failure) ? HttpServerResponse.empty() : refuse(onFailure(first.failure))
  }
  const rest = Stream.map(Stream.fromPull(Effect.succeed(pull)), ({ text }) => text)
  const body = Stream.concat(Stream.fromIterable(first.success), rest).pipe(
    Stream.filter((text) => text !== ""),
    Stream.catch((error) => Stream.sync(() => format.error(JSON.stringify(onFailure(error).error ?? null)))),
    Stream.catchCause((cause) => (Cause.hasDies(cause) ? reportDefect(cause, format) : Stream.failCause(cause))),
    Stream.encodeText
  )
  // Without these headers, some proxies buffer the response.
  const headers = { "cache-control": "no-cache", "x-accel-buffering": "no" }
  return HttpServerResponse.stream(body, { contentType: format.contentType, headers })
})

/** Before the response begins, the HTTP server answers a defect with the status 500. After that, the client would see a lost connection. */
const reportDefect = (cause: Cause.Cause<never>, format: Format): Stream.Stream<string> =>
  Stream.fromEffect(
    Effect.as(Effect.logError("The rest of a response could not be sent", placeOf(cause)), format.error(defect))
  )

/** The name of an exception, and where it was thrown. Its message may quote the answer, so it stays out of the log. */
const placeOf = (cause: Cause.Cause<unknown>): string => {
  const error = Cause.squash(cause)
  if (!(error instanceof Error)) return "an exception that is no Error"
  const stack = (error.stack ?? "").replace(error.message, "").split("\n")
  return [error.name, ...stack.filter((line) => /^\s+at /.test(line))].join("\n")
}

const defect = JSON.stringify({ reason: "InternalError", message: "the server failed", isRetryable: false })

const makeTicks = (keepAlive: Duration.Input): Stream.Stream<void> =>
  Stream.drop(Stream.tick(Duration.max(Duration.fromInputUnsafe(keepAlive), Duration.seconds(1))), 1)

/** The texts up to the part with which the response begins, and of those that arrived with it. */
const collectUntilBegin = <E>(
  pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Part>, E>
): Effect.Effect<ReadonlyArray<string>, E | Cause.Done<void>> =>
  Effect.suspend(() => {
    const texts: Array<string> = []
    const collect: Effect.Effect<ReadonlyArray<string>, E | Cause.Done<void>> = Effect.flatMap(pull, (parts) => {
      for (const { text } of parts) if (text !== "") texts.push(text)
      return parts.some(({ begins }) => begins) ? Effect.succeed(texts) : collect
    })
    return collect
  })

const refuse = ({ error, retryAfter, status }: Failure): HttpServerResponse.HttpServerResponse => {
  const seconds = retryAfter === undefined ? Infinity : Math.ceil(Duration.toSeconds(retryAfter))
  const headers = Number.isFinite(seconds) ? { "retry-after": String(seconds) } : {}
  return HttpServerResponse.jsonUnsafe({ error: error ?? null }, { status, headers })
}
