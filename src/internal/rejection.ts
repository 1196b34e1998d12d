/** Answers that are not read at all: statuses, redirects, pages, encoded bodies, and requests that got no answer. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Headers from "effect/http/Headers"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { ApiError, InvalidRequest, StreamTruncated } from "../ProviderError.ts"
import * as ErrorReport from "./errorReport.ts"
import { networkError } from "./networkError.ts"
import * as BoundedText from "./wire/boundedText.ts"
import type { Endpoint } from "./wire/endpoint.ts"
import * as Json from "./wire/json.ts"
import { abortAfter } from "./wire/timeLimit.ts"

/** The bytes of a response; also what fails before they are decoded. */
export type Body = Stream.Stream<Uint8Array, HttpClientError.HttpClientError | ProviderErrorReason>

interface Context {
  readonly model: string
  readonly endpoint: string
  readonly missingModelHint?: string | undefined
  readonly framing: Endpoint<never, unknown>["framing"]
  readonly baseUrl: string
  /** Makes reading the body fail. */
  readonly abort: Effect.Effect<void>
}

/** Error bodies are read for their message only. */
const maxErrorBytes = 64 * 1024
const maxErrorTime = Duration.seconds(3)

/** The body of a response if it is an answer; fails with the reason why it is not. */
export const accept = (
  response: HttpClientResponse.HttpClientResponse,
  body: Body,
  context: Context
): Effect.Effect<Body, ProviderErrorReason, Scope.Scope> => {
  const { headers, status } = response
  if (status === 0 || (status >= 300 && status < 400)) return Effect.fail(ofRedirect(response, context.baseUrl))
  if (status < 200 || status >= 300) {
    const retryAfter = ErrorReport.retryAfter(headers)
    return Effect.flatMap(readBeginning(body, context.abort), (text) =>
      Effect.fail(ErrorReport.toReason({ ...context, status, retryAfter, report: ErrorReport.readBody(text) }))
    )
  }
  if (hasType(headers, "text/html")) {
    const description = "an HTML page instead of an answer; check baseUrl and the proxy in front of the server"
    return Effect.flatMap(readBeginning(body, context.abort), (text) =>
      Effect.fail(new ApiError({ status, description, detail: ErrorReport.toDetail(ErrorReport.readBody(text).body) }))
    )
  }
  const text = checkEncoding(response, body)
  return context.framing === "sse" && hasType(headers, "application/json")
    ? acceptEvents(status, text, context)
    : Effect.succeed(text)
}

const hasType = (headers: Headers.Headers, type: string): boolean =>
  (headers["content-type"] ?? "").toLowerCase().startsWith(type)

/** Some servers send events as `application/json`. A JSON value instead of events is an error, or a whole answer. */
const acceptEvents = (
  status: number,
  body: Body,
  context: Context
): Effect.Effect<Body, ProviderErrorReason, Scope.Scope> =>
  Effect.gen(function* () {
    const pull = yield* Stream.toPull(body)
    const first = yield* Effect.catchIf(pull, Cause.isDone, () => Effect.succeed([])).pipe(Effect.mapError(toReason))
    const whole = Stream.concat(Stream.fromIterable(first), Stream.fromPull(Effect.succeed(pull)))
    if (!/^\s*[{[]/.test(new TextDecoder().decode(first[0]))) return whole
    const text = yield* readBeginning(whole, context.abort)
    const value = Json.parse(text)
    if (ErrorReport.isError(value)) {
      return yield* Effect.fail(ErrorReport.toReason({ ...context, report: ErrorReport.readBody(text) }))
    }
    const description = "JSON instead of a stream; a proxy in front of the server may ignore `stream`"
    return yield* Effect.fail(new ApiError({ status, description }))
  })

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
    detail: ErrorReport.toDetail(target?.origin ?? "")
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
    default:
      return networkError(reason.cause)
  }
}
