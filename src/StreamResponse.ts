/**
 * Answers of a model as responses of an HTTP server: server-sent events, or lines of JSON.
 *
 * It imports `effect/http`, so it has its own import: `effect-local-llm/StreamResponse`.
 *
 * @since 0.3.0
 */
import type * as Arr from "effect/Array"
import * as Channel from "effect/Channel"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Commit from "./internal/commit.ts"
import { isProviderError, type ProviderError } from "./ProviderError.ts"
import * as StreamingChunk from "./StreamingChunk.ts"

/**
 * What is sent. All fields are optional.
 *
 * @since 0.3.0
 */
export interface Options {
  /**
   * What a client gets of each chunk: a JSON value, or `undefined` to leave the chunk out. Default: the whole chunk, as
   * `StreamingChunk.FromJsonString` encodes it.
   */
  readonly encode?: ((chunk: StreamingChunk.StreamingChunk) => unknown) | undefined
  /**
   * How often something is sent that readers ignore, so that proxies do not take the connection for idle; 1 second or more, or
   * `Infinity` for never. A response without a first chunk begins after that time. Default: 15 seconds.
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
 * Every 15 seconds a comment is sent. If there is no first chunk by then, because the model is being loaded, the response begins with
 * that comment, and a later failure is an event. `keepAlive` changes the time: `Infinity` keeps the status of every failure before
 * the first chunk, but many proxies give up after 60 seconds without a byte.
 *
 * When the client leaves, the answer is interrupted, and the model server stops generating.
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
 * @since 0.3.0
 */
export const sse = <R = never>(
  chunks: Stream.Stream<StreamingChunk.StreamingChunk, ProviderError, R>,
  options: Options = {}
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R | Scope.Scope> =>
  respond(chunks, options, {
    contentType: "text/event-stream",
    chunk: (json) => `data: ${json}\n\n`,
    error: (json) => `event: error\ndata: ${json}\n\n`,
    keepAlive: ": keep-alive\n\n"
  })

/**
 * Responds with lines of JSON: one for each chunk. As `sse`, but a failure after the beginning is a line `{"error": …}`, and
 * `keepAlive` sends a space, which belongs to the line after it.
 *
 * @since 0.3.0
 */
export const ndjson = <R = never>(
  chunks: Stream.Stream<StreamingChunk.StreamingChunk, ProviderError, R>,
  options: Options = {}
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R | Scope.Scope> =>
  respond(chunks, options, {
    contentType: "application/x-ndjson",
    chunk: (json) => `${json}\n`,
    error: (json) => `{"error":${json}}\n`,
    keepAlive: " "
  })

/**
 * The status that says of a failure what a client of your server has to know. The credentials and the address of the model server
 * are yours, so their failures are 502.
 *
 * | reason | status |
 * |---|---|
 * | `InvalidRequest`, `ContextOverflow`, `Unsupported` | 400 |
 * | `ModelNotAvailable` | 404 |
 * | `RateLimited` | 429 |
 * | `Timeout` | 504 |
 * | all others | 502 |
 *
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
 * What a client may know of a failure: the tag of the reason, its message, which does not quote servers or prompts, and whether the
 * same request may succeed later. The name and the address of the model server are left out.
 *
 * @since 0.3.0
 */
export const toJson = ({
  isRetryable,
  reason
}: ProviderError): { readonly reason: string; readonly message: string; readonly isRetryable: boolean } => ({
  reason: reason._tag,
  message: reason.message,
  isRetryable
})

interface Format {
  readonly contentType: string
  readonly chunk: (json: string) => string
  readonly error: (json: string) => string
  readonly keepAlive: string
}

const encodeChunk = Schema.encodeSync(StreamingChunk.FromJsonString)

/** Nothing arrived for so long that the response has to begin. */
const tick = Symbol()

type Item = StreamingChunk.StreamingChunk | typeof tick

type ItemPull = Pull.Pull<Arr.NonEmptyReadonlyArray<Item>, ProviderError>

const respond = Effect.fnUntraced(function* <R>(
  chunks: Stream.Stream<StreamingChunk.StreamingChunk, ProviderError, R>,
  { encode, keepAlive = "15 seconds" }: Options,
  format: Format
): Effect.fn.Return<HttpServerResponse.HttpServerResponse, never, R | Scope.Scope> {
  const items = Stream.merge(chunks, ticks(keepAlive), { haltStrategy: "left" })
  const context = yield* Effect.context<R>()
  const pull = yield* Channel.toPullScoped(Stream.provideContext(items, context).channel, yield* Effect.scope)
  const first = yield* Effect.result(untilBeginning(pull))
  // A stream of a provider does not end without a final chunk, so the failure is an error.
  if (Result.isFailure(first))
    return isProviderError(first.failure) ? refuse(first.failure) : HttpServerResponse.empty()

  const toJsonText = (chunk: StreamingChunk.StreamingChunk): string | undefined =>
    encode === undefined ? encodeChunk(chunk) : JSON.stringify(encode(chunk))
  const toText = (item: Item): string => {
    if (item === tick) return format.keepAlive
    const json = toJsonText(item)
    return json === undefined ? "" : format.chunk(json)
  }
  const body = Stream.concat(Stream.fromIterable(first.success), Stream.fromPull(Effect.succeed(pull))).pipe(
    Stream.map(toText),
    Stream.filter((text) => text !== ""),
    Stream.catch((error) => Stream.succeed(format.error(JSON.stringify(toJson(error))))),
    Stream.encodeText
  )
  // Some proxies collect what is not marked so.
  const headers = { "cache-control": "no-cache", "x-accel-buffering": "no" }
  return HttpServerResponse.stream(body, { contentType: format.contentType, headers })
})

const ticks = (interval: Duration.Input): Stream.Stream<typeof tick> =>
  Stream.tick(Duration.max(Duration.fromInputUnsafe(interval), Duration.seconds(1))).pipe(
    Stream.drop(1),
    Stream.map((): typeof tick => tick)
  )

/** The items up to the one with which the response begins. */
const untilBeginning = (pull: ItemPull) =>
  Effect.suspend(() => {
    const all: Array<Item> = []
    const collect: Effect.Effect<typeof all, Effect.Error<ItemPull>> = Effect.flatMap(pull, (items) => {
      all.push(...items)
      return items.some((item) => item === tick || Commit.commits([item])) ? Effect.succeed(all) : collect
    })
    return collect
  })

const refuse = (error: ProviderError): HttpServerResponse.HttpServerResponse => {
  const { retryAfter } = error
  const headers = retryAfter === undefined ? {} : { "retry-after": String(Math.ceil(Duration.toSeconds(retryAfter))) }
  return HttpServerResponse.jsonUnsafe({ error: toJson(error) }, { status: statusOf(error), headers })
}
