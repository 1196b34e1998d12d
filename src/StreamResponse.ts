/**
 * Answers of a model as responses of an HTTP server: server-sent events, or lines of JSON.
 *
 * It imports `effect/http`, so it has its own import: `effect-local-llm/StreamResponse`.
 *
 * @since 0.3.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Commit from "./internal/commit.ts"
import { isProviderError, type ProviderError } from "./ProviderError.ts"
import * as StreamingChunk from "./StreamingChunk.ts"

/**
 * Responds with server-sent events: one `data` event with the JSON of each chunk, which `StreamingChunk.FromJsonString` decodes. The
 * last one has `isFinal`.
 *
 * **Details**
 *
 * The response begins with the first chunk that carries anything. A failure before it is a response with its status (`statusOf`)
 * and the body of `toJson`. A failure after it is an event `error` with that body, and the response ends; so an answer without a
 * final chunk is incomplete.
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
 * @since 0.3.0
 */
export const sse = (
  chunks: Stream.Stream<StreamingChunk.StreamingChunk, ProviderError>
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, Scope.Scope> =>
  respond(chunks, {
    contentType: "text/event-stream",
    chunk: (json) => `data: ${json}\n\n`,
    error: (json) => `event: error\ndata: ${json}\n\n`
  })

/**
 * Responds with lines of JSON: one for each chunk. As `sse`, but a failure after the beginning is a line `{"error": …}`.
 *
 * @since 0.3.0
 */
export const ndjson = (
  chunks: Stream.Stream<StreamingChunk.StreamingChunk, ProviderError>
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, Scope.Scope> =>
  respond(chunks, {
    contentType: "application/x-ndjson",
    chunk: (json) => `${json}\n`,
    error: (json) => `{"error":${json}}\n`
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
}

const encodeChunk = Schema.encodeSync(StreamingChunk.FromJsonString)

const respond = Effect.fnUntraced(function* (
  chunks: Stream.Stream<StreamingChunk.StreamingChunk, ProviderError>,
  format: Format
): Effect.fn.Return<HttpServerResponse.HttpServerResponse, never, Scope.Scope> {
  const { pull } = yield* Commit.start(chunks, yield* Effect.scope)
  const first = yield* Effect.result(untilCommit(pull))
  // A stream of a provider does not end without a final chunk, so the failure is an error.
  if (Result.isFailure(first))
    return isProviderError(first.failure) ? refuse(first.failure) : HttpServerResponse.empty()
  const body = Stream.concat(Stream.fromIterable(first.success), Stream.fromPull(Effect.succeed(pull))).pipe(
    Stream.map((chunk) => format.chunk(encodeChunk(chunk))),
    Stream.catch((error) => Stream.succeed(format.error(JSON.stringify(toJson(error))))),
    Stream.encodeText
  )
  // Some proxies collect what is not marked so.
  const headers = { "cache-control": "no-cache", "x-accel-buffering": "no" }
  return HttpServerResponse.stream(body, { contentType: format.contentType, headers })
})

/** The chunks up to the one that commits the answer. */
const untilCommit = (pull: Commit.ChunkPull) =>
  Effect.suspend(() => {
    const all: Array<StreamingChunk.StreamingChunk> = []
    const collect: Effect.Effect<typeof all, Effect.Error<Commit.ChunkPull>> = Effect.flatMap(pull, (chunks) => {
      all.push(...chunks)
      return Commit.commits(chunks) ? Effect.succeed(all) : collect
    })
    return collect
  })

const refuse = (error: ProviderError): HttpServerResponse.HttpServerResponse => {
  const { retryAfter } = error
  const headers = retryAfter === undefined ? {} : { "retry-after": String(Math.ceil(Duration.toSeconds(retryAfter))) }
  return HttpServerResponse.jsonUnsafe({ error: toJson(error) }, { status: statusOf(error), headers })
}
