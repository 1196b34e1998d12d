/** One request and its response over HTTP, for every endpoint. Fails with bare reasons. */
import * as Channel from "effect/Channel"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { constTrue } from "effect/Function"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Headers from "effect/http/Headers"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpTraceContext from "effect/http/HttpTraceContext"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Opened } from "../Deadlines.ts"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { InvalidRequest } from "../ProviderError.ts"
import * as Rejection from "./rejection.ts"
import type { Endpoint } from "../protocol/endpoint.ts"
import * as Lines from "./lines.ts"
import * as RequestBody from "../protocol/requestBody.ts"
import { abortAfter } from "./timeLimit.ts"

export interface Options {
  /** The address without a slash at its end. */
  readonly baseUrl: string
  /** The name of the provider. */
  readonly name?: string | undefined
  readonly token?: Redacted.Redacted<string> | undefined
  readonly headers?: HeadersInput | undefined
  readonly maxLineBytes?: number | undefined
  readonly traceHeaders?: boolean | undefined
  /** What to do if the server does not have a model. */
  readonly missingModelHint?: ((model: string) => string) | undefined
  /** What an empty 403 means, if this server answers with one where it does not accept the Host or Origin header. */
  readonly originHint?: string | undefined
}

/** Headers whose values may be redacted. */
export type HeadersInput = Headers.Input | Readonly<Record<string, string | Redacted.Redacted<string>>>

export interface Transport {
  /** Opens responses of an endpoint, which can be aborted at any time. Nothing is sent before their items are pulled. */
  readonly open: <Request, Out>(
    endpoint: Endpoint<Request, Out>
  ) => (request: Request, model?: string) => Effect.Effect<Opened<Out, ProviderErrorReason>>
}

const defaultMaxLineBytes = 8 * 1024 * 1024

/** How long the end of a body is read after the response, so that the connection can be used again. */
const drainTime = Duration.millis(50)

export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Transport, InvalidRequest, HttpClient.HttpClient> {
  const headers = yield* Effect.fromResult(makeHeaders(options))
  const base = HttpClientRequest.make("GET")(options.baseUrl).pipe(HttpClientRequest.setHeaders(headers))
  // A request is aborted when its scope is closed, before the headers as well.
  const client = HttpClient.withScope(yield* HttpClient.HttpClient)
  return {
    open: (endpoint) => {
      const prepared = base.pipe(
        HttpClientRequest.setMethod(endpoint.method),
        HttpClientRequest.appendUrl(endpoint.path),
        HttpClientRequest.setHeader("accept", mediaTypes[endpoint.framing])
      )
      const execute = (body: string | undefined) => {
        const request = body === undefined ? prepared : HttpClientRequest.bodyText(prepared, body, "application/json")
        const sent =
          options.traceHeaders === true
            ? Effect.flatMap(addTraceHeaders(request), client.execute)
            : client.execute(request)
        return Effect.mapError(withRequestOptions(sent), Rejection.toReason)
      }
      return (request, model) => openResponse(endpoint, request, model, options, execute)
    }
  }
})

const openResponse = <Request, Out>(
  endpoint: Endpoint<Request, Out>,
  request: Request,
  model: string | undefined,
  { baseUrl, maxLineBytes = defaultMaxLineBytes, missingModelHint, name, originHint }: Options,
  execute: (
    body: string | undefined
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, ProviderErrorReason, Scope.Scope>
): Effect.Effect<Opened<Out, ProviderErrorReason>> =>
  Effect.sync(() => {
    const requestScope = Scope.makeUnsafe()
    const bodyScope = Scope.makeUnsafe()
    const closeBody = Scope.close(bodyScope, Exit.void)
    let isAborted = false
    const abort = Effect.suspend(() => {
      isAborted = true
      return Scope.close(requestScope, Exit.void)
    })
    let release: Effect.Effect<unknown> = Effect.andThen(abort, closeBody)

    const context = {
      model,
      provider: name,
      endpoint: endpoint.name ?? `${endpoint.method} ${endpoint.path}`,
      maxLineBytes,
      missingModelHint: model === undefined ? undefined : missingModelHint?.(model),
      errorRules: endpoint.errorRules
    }
    const send = Effect.gen(function* () {
      const body = yield* Effect.fromResult(endpoint.encode(request))
      const response = yield* execute(yield* Effect.fromResult(RequestBody.stringify(body)))
      const pull = yield* Channel.toPullScoped(response.stream.channel, bodyScope)
      const accepted = yield* Rejection.accept(response, Stream.fromPull(Effect.succeed(pull)), {
        ...context,
        framing: endpoint.framing,
        baseUrl,
        originHint,
        abort
      })
      return Lines.decode(accepted, {
        framing: endpoint.framing,
        decoder: endpoint.decoder(context, { request, body }),
        maxLineBytes,
        toReason: Rejection.toReason,
        isAborted: () => isAborted,
        onComplete: () => {
          // The consumer need not wait for the end of the body.
          const drain = Effect.ignore(abortAfter(Effect.forever(pull), drainTime, abort))
          release = Effect.forkDetach(Effect.andThen(drain, closeBody), { startImmediately: true })
        }
      })
    })
    return {
      items: Stream.unwrap(Scope.provide(send, requestScope)),
      abort,
      release: Effect.asVoid(Effect.suspend(() => release))
    }
  })

const mediaTypes: { readonly [K in Endpoint<never, unknown>["framing"]]: string } = {
  ndjson: "application/x-ndjson",
  sse: "text/event-stream",
  json: "application/json"
}

/** The current span as `traceparent` and `b3`, for a proxy that traces. */
const addTraceHeaders = (request: HttpClientRequest.HttpClientRequest) =>
  Effect.match(Effect.currentSpan, {
    onFailure: () => request,
    onSuccess: (span) => HttpClientRequest.setHeaders(request, HttpTraceContext.toHeaders(span))
  })

/**
 * Model servers do not trace, and browsers reject headers that a server does not allow, so the client sends no trace and has
 * no span of its own. Of the clients, only `fetch` follows redirects by itself, and would send prompt and headers to another
 * host.
 */
export const withRequestOptions = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.updateContext(effect, (context: Context.Context<R>) =>
    context.pipe(
      Context.add(HttpClient.TracerDisabledWhen, constTrue),
      Context.add(FetchHttpClient.RequestInit, {
        ...Context.getOrUndefined(context, FetchHttpClient.RequestInit),
        redirect: "manual"
      })
    )
  )

/** These describe the connection or the body, which are not the caller's. */
const reservedHeaders = new Set([
  "accept-encoding",
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "expect",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
])

/** The headers of every request. What cannot be sent is rejected without quoting it: it may be a secret. */
const makeHeaders = ({ headers, token }: Options): Result.Result<Headers.Headers, InvalidRequest> =>
  Result.gen(function* () {
    const sent: Record<string, string> = { "accept-encoding": "identity" }
    for (const [name, value] of Object.entries<unknown>(reveal(headers))) {
      if (typeof value !== "string") return yield* invalidHeaders(`Expected a text as the value of "${name}"`)
      const trimmed = value.trim()
      if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name)) return yield* invalidHeaders("Expected header names without spaces")
      if (reservedHeaders.has(name)) return yield* invalidHeaders(`"${name}" is set by the client`)
      if (!/^[\t\u0020-\u007E\u0080-\u00FF]*$/.test(trimmed)) {
        return yield* invalidHeaders(`The value of "${name}" has a line end or another character that cannot be sent`)
      }
      sent[name] = trimmed
    }
    if (token !== undefined) {
      const text = revealValue(token)
      const trimmed = typeof text === "string" ? text.trim() : ""
      if (!/^[\u0020-\u007E]+$/.test(trimmed)) {
        const description = "Expected a text of ASCII characters without line ends or other controls"
        return yield* Result.fail(new InvalidRequest({ field: "token", description }))
      }
      sent["authorization"] = `Bearer ${trimmed}`
    }
    return Headers.fromInput(sent)
  })

/** The text of a secret; `""` if it was wiped. */
const revealValue = (value: unknown): unknown =>
  Redacted.isRedacted(value)
    ? Result.getOrElse(
        Result.try(() => Redacted.value(value)),
        () => ""
      )
    : value

const reveal = (headers: HeadersInput = {}): Headers.Headers => {
  const entries: Iterable<readonly [string, unknown]> = Symbol.iterator in headers ? headers : Object.entries(headers)
  const values = Array.from(entries, ([name, value]) => [name, revealValue(value)])
  return Headers.fromInput(Object.fromEntries(values))
}

const invalidHeaders = (description: string): Result.Result<never, InvalidRequest> =>
  Result.fail(new InvalidRequest({ field: "headers", description }))
