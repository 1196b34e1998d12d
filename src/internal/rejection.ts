/** Answers that are not read at all: statuses, redirects, pages, encoded bodies, and requests that got no answer. */
import * as Effect from "effect/Effect"
import type * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Stream from "effect/Stream"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { ApiError, InvalidRequest, StreamTruncated } from "../ProviderError.ts"
import * as ErrorReport from "./errorReport.ts"
import { networkError } from "./networkError.ts"
import { abortAfter } from "./wire/timeLimit.ts"

type Body = Stream.Stream<Uint8Array, ProviderErrorReason>

interface Context {
  readonly model: string
  readonly endpoint: string
  readonly missingModelHint?: string | undefined
  readonly baseUrl: string
  /** Makes reading the body fail. */
  readonly abort: Effect.Effect<void>
}

/** Error bodies are read for their message only. */
const maxErrorBytes = 64 * 1024
const maxErrorTime = "3 seconds"

/** Why the body of a response is not an answer, if that is so. */
export const find = (
  response: HttpClientResponse.HttpClientResponse,
  body: Body,
  context: Context
): Effect.Effect<ProviderErrorReason | undefined> => {
  const { headers, status } = response
  if (status === 0 || (status >= 300 && status < 400)) return Effect.succeed(ofRedirect(response, context.baseUrl))
  const isSuccess = status >= 200 && status < 300
  if (isSuccess && !(headers["content-type"] ?? "").toLowerCase().startsWith("text/html")) {
    return Effect.succeed(undefined)
  }
  return Effect.map(readBeginning(body, context.abort), (text) => {
    const report = ErrorReport.readBody(text)
    if (isSuccess) {
      const description = "an HTML page instead of an answer; check baseUrl and the proxy in front of the server"
      return new ApiError({ status, description, detail: ErrorReport.toDetail(report.body) })
    }
    return ErrorReport.toReason({ ...context, status, retryAfter: ErrorReport.retryAfter(headers), report })
  })
}

/** A part of an error body is better than none. If it does not come in time, the status decides. */
const readBeginning = (body: Body, abort: Effect.Effect<void>): Effect.Effect<string> =>
  Effect.suspend(() => {
    let room = maxErrorBytes
    const decoder = new TextDecoder()
    let text = ""
    const read = Stream.runForEachWhile(body, (bytes) =>
      Effect.sync(() => {
        text += decoder.decode(bytes.subarray(0, room), { stream: true })
        room -= bytes.length
        return room > 0
      })
    )
    return Effect.map(Effect.ignore(abortAfter(read, maxErrorTime, abort)), () => text)
  })

/** The prompt is sent to the configured server only. Browsers hide a redirect behind the status 0. */
const ofRedirect = (
  { headers, status }: HttpClientResponse.HttpClientResponse,
  baseUrl: string
): ProviderErrorReason => {
  const location = headers["location"]
  if (status !== 0 && location === undefined) return new ApiError({ status })
  const target = URL.parse(location ?? "", baseUrl)
  const isSameHost = target !== null && location !== undefined && target.hostname === URL.parse(baseUrl)?.hostname
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
export const checkEncoding = (response: HttpClientResponse.HttpClientResponse, body: Body): Body => {
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
export const ofHttpError = ({ reason }: HttpClientError.HttpClientError): ProviderErrorReason => {
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
