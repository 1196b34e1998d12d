/** One request and its answer over HTTP, for all protocols. The only room that sees `effect/http` on the way in. */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import type * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Option from "effect/Option"
import type * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Deadlines } from "../CompletionRequest.ts"
import * as CompletionRequest from "../CompletionRequest.ts"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { ApiError, InvalidRequest, LineTooLong, ProviderError, StreamTruncated } from "../ProviderError.ts"
import type { StreamingChunk } from "../StreamingChunk.ts"
import * as BaseUrl from "./baseUrl.ts"
import * as Json from "./wire/json.ts"
import * as Lines from "./wire/lines.ts"
import type { Protocol } from "./wire/endpoint.ts"
import * as RequestBody from "./wire/requestBody.ts"
import * as ErrorReport from "./errorReport.ts"
import { networkError } from "./networkError.ts"

export interface ServerOptions {
  /**
   * Where the server is, such as `http://gpu-2:1234` or `https://models.example/ollama`. A missing scheme is `http`. An
   * address that is none fails the layer with `InvalidRequest`.
   */
  readonly baseUrl?: string | undefined
  /** Sent as `Authorization: Bearer`. Default: none. */
  readonly token?: Redacted.Redacted<string> | undefined
  /** Further headers, for a proxy in between. Default: none. */
  readonly headers?: Headers.Input | undefined
  /** Deadlines of every request that does not set its own. Default: 5 minutes to the first chunk, 2 minutes between chunks. */
  readonly deadlines?: Deadlines | undefined
  /** The longest line that is accepted, in bytes; the bound on memory for one answer. Default: 8 MiB. */
  readonly maxLineBytes?: number | undefined
}

export interface Exchange {
  /** An answer that can be called off, before its headers as well. */
  readonly open: (
    protocol: Protocol,
    request: CompletionRequest.CompletionRequest
  ) => Effect.Effect<Answer, never, Scope.Scope>
  readonly getJson: <A>(path: string, schema: Schema.ConstraintDecoder<A>) => Effect.Effect<A, ProviderError>
}

export interface Answer {
  readonly chunks: Stream.Stream<StreamingChunk, ProviderError>
  readonly abort: Effect.Effect<void>
}

const defaultMaxLineBytes = 8 * 1024 * 1024

/** Error bodies are for reading by people. */
const maxErrorBytes = 64 * 1024

export const make = Effect.fnUntraced(function* (
  options: ServerOptions & {
    readonly provider: string
    readonly defaultBaseUrl: string
    readonly address: BaseUrl.Defaults
  }
): Effect.fn.Return<Exchange, ProviderError, HttpClient.HttpClient> {
  const { provider, maxLineBytes = defaultMaxLineBytes } = options
  const toError = (reason: ProviderErrorReason): ProviderError => new ProviderError({ provider, reason })
  const baseUrl = yield* fromResult(BaseUrl.parse(options.baseUrl ?? options.defaultBaseUrl, options.address), toError)
  if (!Number.isInteger(maxLineBytes) || maxLineBytes < 1) {
    const description = "Expected a whole number of bytes, 1 or more"
    return yield* Effect.fail(toError(new InvalidRequest({ field: "maxLineBytes", description })))
  }
  const badDeadlines = CompletionRequest.checkDeadlines(options.deadlines)
  if (badDeadlines !== undefined) return yield* Effect.fail(toError(badDeadlines))
  // A request is aborted when its scope is closed, before headers as well.
  const client = HttpClient.withScope(yield* HttpClient.HttpClient)

  const execute = (request: HttpClientRequest.HttpClientRequest) =>
    request.pipe(
      HttpClientRequest.setHeaders(options.headers ?? {}),
      options.token === undefined ? (self) => self : HttpClientRequest.bearerToken(options.token),
      client.execute,
      // Model servers do not trace, and browsers refuse headers that a server does not name.
      Effect.provideService(HttpClient.TracerPropagationEnabled, false),
      withoutRedirects,
      Effect.mapError(toReason),
      Effect.flatMap((response) => Effect.as(refuseRedirect(baseUrl, response), response))
    )

  const open: Exchange["open"] = Effect.fnUntraced(function* (protocol, request) {
    const requestScope = yield* Scope.make()
    const abort = Scope.close(requestScope, Exit.void)
    let isReadToEnd = false
    yield* Effect.addFinalizer(() => (isReadToEnd ? Effect.void : abort))
    const onEnd = () => {
      isReadToEnd = true
    }
    const chunks = Scope.provide(send(protocol, request, onEnd), requestScope)
    return { chunks: Stream.unwrap(Effect.mapError(chunks, toError)), abort }
  })

  const send = Effect.fnUntraced(function* (
    protocol: Protocol,
    request: CompletionRequest.CompletionRequest,
    onEnd: () => void
  ) {
    const body = yield* fromResult(
      Result.flatMap(protocol.encode(request), (json) => RequestBody.stringify(json)),
      (reason) => reason
    )
    const response = yield* execute(
      HttpClientRequest.post(baseUrl + protocol.path).pipe(
        HttpClientRequest.accept(protocol.accept),
        HttpClientRequest.bodyText(body, "application/json")
      )
    )
    const failure = yield* findFailure(response, protocol, request.model)
    if (failure !== undefined) return yield* Effect.fail(failure)
    const decoder = protocol.decoder({ model: request.model, maxLineBytes })
    return Lines.decode(response.stream, { decoder, maxLineBytes, toReason, toError, onEnd })
  })

  const getJson: Exchange["getJson"] = (path, schema) =>
    Effect.gen(function* () {
      const response = yield* execute(HttpClientRequest.get(baseUrl + path).pipe(HttpClientRequest.acceptJson))
      const refusal = yield* findRefusal(response, { endpoint: `GET ${path}` })
      if (refusal !== undefined) return yield* Effect.fail(refusal)
      const text = yield* Effect.mapError(readText(response.stream, maxLineBytes + 1), toReason)
      if (text.length > maxLineBytes) return yield* Effect.fail(new LineTooLong({ limit: maxLineBytes }))
      const value = Json.parse(text)
      if (Json.isObject(value) && value.error != null) {
        const report = ErrorReport.readBody(text)
        return yield* Effect.fail(ErrorReport.toReason({ report, endpoint: `GET ${path}` }))
      }
      const result = Schema.decodeUnknownResult(schema)(value)
      return Result.isSuccess(result)
        ? result.success
        : yield* Effect.fail(Json.parseError(text, value === undefined ? "not JSON" : result.failure.message))
    }).pipe(Effect.scoped, Effect.mapError(toError))

  return { open, getJson }
})

const fromResult = <A, E, E2>(result: Result.Result<A, E>, onError: (error: E) => E2): Effect.Effect<A, E2> =>
  Effect.mapError(Effect.fromResult(result), onError)

const isSuccess = (status: number): boolean => status >= 200 && status < 300

/** What stands against reading a body at all: its status, or that it is a page made for people. */
const findRefusal = (
  response: HttpClientResponse.HttpClientResponse,
  failure: Omit<ErrorReport.Failure, "report" | "status">
): Effect.Effect<ProviderErrorReason | undefined> => {
  const { status } = response
  if (!isSuccess(status)) return readFailure(response, { ...failure, status })
  if (!hasType(response, "text/html")) return Effect.succeed(undefined)
  return readFailure(response, { ...failure, status })
}

/** Why an answer is no stream, if it is none: a refusal, or a whole JSON value where events should come. */
const findFailure = (
  response: HttpClientResponse.HttpClientResponse,
  { accept, path }: Protocol,
  model: string
): Effect.Effect<ProviderErrorReason | undefined> => {
  const endpoint = `POST ${path}`
  if (!isSuccess(response.status) || accept !== "text/event-stream" || !hasType(response, "application/json")) {
    return findRefusal(response, { endpoint, model })
  }
  return Effect.map(readWhatCame(response), (text) => {
    const value = Json.parse(text)
    const description = "JSON in place of a stream; a gateway in between may ignore `stream`"
    return Json.isObject(value) && value.error != null
      ? ErrorReport.toReason({ report: ErrorReport.readBody(text), endpoint, model })
      : new ApiError({ status: response.status, description })
  })
}

const hasType = ({ headers }: HttpClientResponse.HttpClientResponse, type: string): boolean =>
  (headers["content-type"] ?? "").toLowerCase().startsWith(type)

const readFailure = (
  response: HttpClientResponse.HttpClientResponse,
  failure: Omit<ErrorReport.Failure, "report">
): Effect.Effect<ProviderErrorReason> =>
  Effect.map(readReport(response), (report) =>
    ErrorReport.toReason({ ...failure, retryAfter: ErrorReport.retryAfter(response.headers), report })
  )

const readReport = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<ErrorReport.Report> =>
  Effect.map(readWhatCame(response), ErrorReport.readBody)

/** The beginning of an error body: half of one is better than none. */
const readWhatCame = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<string> =>
  readText(
    Stream.catch(response.stream, () => Stream.empty),
    maxErrorBytes
  )

const readText = <E>(body: Stream.Stream<Uint8Array, E>, maxBytes: number): Effect.Effect<string, E> =>
  Stream.suspend(() => {
    let room = maxBytes
    return body.pipe(
      Stream.map((bytes) => {
        const fitting = bytes.subarray(0, room)
        room -= fitting.length
        return fitting
      }),
      Stream.takeUntil(() => room === 0)
    )
  }).pipe(Stream.decodeText, Stream.mkString)

/** Of the clients, `fetch` alone follows redirects by itself, and takes prompt and headers along to another host. */
const withoutRedirects = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.serviceOption(FetchHttpClient.RequestInit), (init) =>
    Effect.provideService(self, FetchHttpClient.RequestInit, { ...Option.getOrUndefined(init), redirect: "manual" })
  )

/** The prompt goes where the caller sent it, or nowhere. Browsers hide a redirect behind the status 0. */
const refuseRedirect = (
  baseUrl: string,
  { headers, status }: HttpClientResponse.HttpClientResponse
): Effect.Effect<void, ApiError> => {
  if (status !== 0 && (status < 300 || status >= 400)) return Effect.void
  const target = URL.parse(headers["location"] ?? "", baseUrl)
  const description = `it redirects${target === null ? "" : ` to ${target.origin}`}; set baseUrl to where the server is`
  return Effect.fail(new ApiError({ status, description }))
}

const toReason = ({ reason }: HttpClientError.HttpClientError): ProviderErrorReason => {
  switch (reason._tag) {
    case "InvalidUrlError":
      return new InvalidRequest({ field: "baseUrl", description: "not a URL" })
    case "EncodeError":
      return new InvalidRequest({ description: "the body cannot be encoded" })
    case "StatusCodeError":
      // From a client that was told to fail on statuses.
      return new ApiError({ status: reason.response.status })
    case "EmptyBodyError":
      return new StreamTruncated()
    default:
      return networkError(reason.cause)
  }
}
