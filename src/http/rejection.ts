/** Responses that are not read at all: statuses, redirects, pages, encoded bodies, and requests that got no response. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Headers from "effect/http/Headers"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { ApiError, InvalidRequest, LineTooLong, StreamTruncated } from "../ProviderError.ts"
import * as Errors from "../protocol/errors.ts"
import * as NetworkError from "./networkError.ts"
import * as BoundedText from "./boundedText.ts"
import type { Endpoint } from "../protocol/endpoint.ts"
import * as Json from "../values/json.ts"
import { abortAfter } from "./timeLimit.ts"

/** The bytes of a response; also what fails before they are decoded. */
export type Body = Stream.Stream<Uint8Array, HttpClientError.HttpClientError | ProviderErrorReason>

interface Context extends Omit<Errors.Failure, "report" | "retryAfter" | "status"> {
  readonly framing: Endpoint<never, unknown>["framing"]
  readonly baseUrl: string
  /** The most bytes of a response that is one JSON value. */
  readonly maxLineBytes: number
  /** Makes reading the body fail. */
  readonly abort: Effect.Effect<void>
}

/** Error bodies are read for their message only. */
const maxErrorBytes = 64 * 1024
const maxErrorTime = Duration.seconds(3)

/** The body of a response that can be decoded; fails with the reason why it cannot. */
export const accept = (
  response: HttpClientResponse.HttpClientResponse,
  body: Body,
  context: Context
): Effect.Effect<Body, ProviderErrorReason, Scope.Scope> => {
  const { headers, status } = response
  if (status === 0 || (status >= 300 && status < 400)) return Effect.fail(ofRedirect(response, context.baseUrl))
  if (status < 200 || status >= 300) {
    const retryAfter = Errors.retryAfter(headers)
    return Effect.flatMap(readBeginning(body, context.abort), (text) =>
      Effect.fail(Errors.toReason({ ...context, status, retryAfter, report: Errors.readBody(text) }))
    )
  }
  if (hasType(headers, "text/html")) {
    const description = "an HTML page instead of an answer; check baseUrl and the proxy in front of the server"
    return Effect.flatMap(readBeginning(body, context.abort), (text) =>
      Effect.fail(new ApiError({ status, description, detail: Errors.toDetail(Errors.readBody(text).body) }))
    )
  }
  const text = checkEncoding(response, body)
  return context.framing === "sse" && !hasType(headers, "text/event-stream")
    ? acceptEvents(status, text, context)
    : Effect.succeed(text)
}

const hasType = (headers: Headers.Headers, type: string): boolean =>
  (headers["content-type"] ?? "").toLowerCase().startsWith(type)

/** Some servers send events as `application/json`. A JSON value instead of events is an error, or a whole response. */
const acceptEvents = (
  status: number,
  body: Body,
  context: Context
): Effect.Effect<Body, ProviderErrorReason, Scope.Scope> =>
  Effect.gen(function* () {
    const pull = yield* Stream.toPull(Stream.mapError(body, toReason))
    const pieces: Array<Uint8Array> = []
    const decoder = new TextDecoder()
    let text = ""
    let bytes = 0
    /** Reads on; returns whether the body goes on. */
    const read = Effect.gen(function* () {
      const more = yield* Effect.catchIf(pull, Cause.isDone, () => Effect.succeed([]))
      for (const piece of more) {
        pieces.push(piece)
        bytes += piece.length
        text += decoder.decode(piece, { stream: true })
      }
      if (bytes > context.maxLineBytes) return yield* Effect.fail(new LineTooLong({ limit: context.maxLineBytes }))
      return more.length > 0
    })
    let isOpen = true
    while (isOpen && text.trim() === "") isOpen = yield* read
    if (!/^\s*[{[]/.test(text)) {
      return Stream.concat(Stream.fromIterable(pieces), Stream.fromPull(Effect.succeed(pull)))
    }
    // An error counts at once. Another value may be the first of several lines. It is tried again when the text has doubled, so
    // that the time is linear.
    let value = Json.parse(text)
    let triedAt = bytes
    while (isOpen && !Errors.isError(value)) {
      isOpen = yield* read
      if (isOpen && bytes < 2 * triedAt) continue
      value = Json.parse(text)
      triedAt = bytes
    }
    // Lines of JSON, or a part of a value: the parser of events knows what they mean.
    if (value === undefined) return Stream.fromIterable(pieces)
    return yield* Effect.fromResult(acceptValue(value, text, status, context))
  })

/** A whole response becomes its only event. */
const acceptValue = (
  value: unknown,
  text: string,
  status: number,
  context: Context
): Result.Result<Body, ProviderErrorReason> => {
  const report = Errors.readBody(text)
  if (Errors.isError(value)) return Result.fail(Errors.toReason({ ...context, report }))
  if (Json.isObject(value) && Json.isContent(value.choices)) {
    // Line ends are only between the tokens of JSON.
    const event = `data: ${text.replaceAll(/[\r\n]+/g, " ")}\n\ndata: [DONE]\n\n`
    return Result.succeed(Stream.make(new TextEncoder().encode(event)))
  }
  const description = "JSON instead of a stream; a proxy in front of the server may ignore `stream`"
  return Result.fail(new ApiError({ status, description, detail: Errors.toDetail(text) }))
}

/** A part of an error body is better than none. If it does not come in time, the status decides. */
const readBeginning = (body: Body, abort: Effect.Effect<void>): Effect.Effect<string> =>
  Effect.suspend(() => {
    let text = ""
    const parts = BoundedText.make(body, { maxBytes: maxErrorBytes, unit: "body", toReason })
    const read = Stream.runForEach(parts, (part) =>
      Effect.sync(() => {
        text += part
      })
    )
    return Effect.map(Effect.ignore(abortAfter(read, maxErrorTime, abort)), () => text)
  })

/** The prompt is sent to the configured server only. Browsers hide a redirect behind the status 0. */
const ofRedirect = (
  { headers, status }: HttpClientResponse.HttpClientResponse,
  baseUrl: string
): ProviderErrorReason => {
  if (status === 0) return new ApiError({ status, description: "set baseUrl to the address that it redirects to" })
  const location = headers["location"]
  if (location === undefined) return new ApiError({ status })
  const target = URL.parse(location, baseUrl)
  const isSameHost = target !== null && target.hostname === URL.parse(baseUrl)?.hostname
  const to = isSameHost ? ` to ${target.origin}` : ""
  return new ApiError({
    status,
    description: `it redirects${to}; set baseUrl to the address of the server`,
    detail: Errors.toDetail(target?.origin ?? "")
  })
}

/**
 * The body as text. Some proxies compress although `identity` was requested; `fetch` decompresses then but keeps the header,
 * so the first byte decides.
 */
const checkEncoding = (response: HttpClientResponse.HttpClientResponse, body: Body): Body => {
  const encoding = (response.headers["content-encoding"] ?? "identity").trim().toLowerCase()
  if (encoding === "identity" || encoding === "") return body
  return Stream.suspend(() => {
    let isFirst = true
    return Stream.mapEffect(body, (bytes) => {
      if (!isFirst || bytes.length === 0) return Effect.succeed(bytes)
      isFirst = false
      if (startsAsText(bytes)) return Effect.succeed(bytes)
      const description =
        "the body is compressed although that was not requested; check the proxy in front of the server"
      return Effect.fail(new ApiError({ status: response.status, description }))
    })
  })
}

/** JSON, a field of an event, a comment, white space or a byte order mark. */
const startsAsText = (bytes: Uint8Array): boolean => /^[{["deir:\s\u00EF]/.test(String.fromCharCode(bytes[0] ?? 0))

/** What it means that the HTTP client failed. */
export const toReason = (failure: HttpClientError.HttpClientError | ProviderErrorReason): ProviderErrorReason => {
  if (failure._tag !== "HttpClientError") return failure
  const { reason } = failure
  switch (reason._tag) {
    case "InvalidUrlError":
      return new InvalidRequest({ field: "baseUrl", description: "not a URL" })
    case "EncodeError":
      return new InvalidRequest({ description: "the body cannot be encoded" })
    case "StatusCodeError":
      // From a client that was configured to fail on statuses.
      return new ApiError({ status: reason.response.status })
    case "EmptyBodyError":
      return new StreamTruncated()
    case "TransportError":
      return ofNoAnswer(reason.cause)
    default:
      return NetworkError.networkError(reason.cause)
  }
}

/** The server has read a request that it gives an interim response to, so the request must not be sent again. */
const ofNoAnswer = (cause: unknown): ProviderErrorReason => {
  const status = NetworkError.interimStatus(cause)
  if (status === undefined) return NetworkError.unanswered(cause)
  const description =
    "an interim answer that was not requested, which this HTTP client does not accept; use NodeHttpClient.layerNodeHttp, or check the proxy in front of the server"
  return new ApiError({ status, description })
}
