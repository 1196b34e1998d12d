/** Completions in the form of a protocol: as they are generated, or whole. */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Respond from "../http/respond.ts"
import * as Delivered from "../protocol/delivered.ts"
import type { CompletionRoute, ReceivedCompletion } from "../protocol/served.ts"
import { toRequest } from "../protocol/served.ts"
import type { Completion } from "../Completion.ts"
import * as Provider from "../Provider.ts"
import type { ProviderError, ProviderErrorReason } from "../ProviderError.ts"
import { StreamError } from "../ProviderError.ts"
import type { StreamingChunk, Usage } from "../StreamingChunk.ts"
import type { JsonObject } from "../values/json.ts"
import type { Caller } from "./access.ts"
import * as Failures from "./failures.ts"
import type { Protocol, Running } from "./gateway.ts"

/** What it takes to respond to one request. */
export interface Exchange {
  readonly protocol: Protocol
  readonly gateway: Running
  readonly caller: Caller
  readonly keepAlive: Duration.Duration
  /** The request, whose connection is closed after a response that broke off. */
  readonly http: Pick<HttpServerRequest, "source">
}

/** Responds to a request for a completion. A bare reason is a fault of the request. */
export const respond = Effect.fnUntraced(function* (
  { decode, framing }: CompletionRoute,
  body: JsonObject,
  exchange: Exchange
): Effect.fn.Return<HttpServerResponse.HttpServerResponse, ProviderError | ProviderErrorReason, Scope.Scope> {
  const { caller, gateway, protocol } = exchange
  const received = yield* Effect.fromResult(decode(body))
  const request = yield* Effect.fromResult(toRequest(received, protocol.kinds.includes(gateway.provider.kind ?? "")))
  const model = request.model ?? ""
  yield* caller.admit
  const context = gateway.contextOf(model)
  const provider = received.isThinkOptional === true ? withOptionalThinking(gateway.provider) : gateway.provider
  if (received.unloads === true) {
    yield* provider.unload?.(model) ?? Effect.void
    return yield* toJson(received.encode(empty(model), context))
  }
  if (received.isStream) {
    return yield* stream(provider.stream(request), received.makeWriter(context), framing, exchange)
  }
  const completion = yield* provider.complete(request)
  yield* caller.onUsage(completion.usage ?? {})
  return yield* toJson(received.encode(completion, context))
})

const empty = (model: string): Completion => ({ content: "", toolCalls: [], model, finishReason: "stop" })

/** A value from a model may be nested so deeply that it has no JSON text; then this is a defect, which the core reports. */
export const toJson = (body: JsonObject): Effect.Effect<HttpServerResponse.HttpServerResponse> =>
  Effect.sync(() => HttpServerResponse.jsonUnsafe(body))

/** A model that cannot think gets the request without `think`. No chunk comes before that failure. */
const withOptionalThinking = (provider: Provider.Provider): Provider.Provider =>
  Provider.make({
    ...provider,
    stream: (request) => {
      if (request.messages === undefined || request.think === undefined) return provider.stream(request)
      return Stream.catchIf(
        provider.stream(request),
        ({ reason }) => reason._tag === "Unsupported" && reason.feature === "thinking",
        () => provider.stream({ ...request, think: undefined })
      )
    }
  })

const stream = (
  chunks: Stream.Stream<StreamingChunk, ProviderError>,
  writer: ReturnType<ReceivedCompletion["makeWriter"]>,
  framing: CompletionRoute["framing"],
  { caller, gateway, http, keepAlive, protocol }: Exchange
) =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const usage = yield* countTokens(caller)
    const { isOver } = writer
    return yield* Respond.make(isOver === undefined ? chunks : Stream.takeUntil(chunks, isOver), {
      contentType: framing.contentType,
      encode: (chunk) => {
        usage.add(chunk)
        return writer.chunk(chunk)
      },
      begins: Delivered.carries,
      keepAlive: { text: framing.keepAlive, after: keepAlive },
      refuse: (error) => Failures.toResponse(protocol, error),
      until: gateway.halted,
      fail: (error) => writer.failure(error.reason),
      defect: () => writer.failure(new StreamError({})),
      onBroken: Effect.provideService(closeAfter(http), Scope.Scope, scope)
    })
  })

/**
 * Closes the connection when the scope of the request ends, after what has been written. Headers cannot say so any more when the response
 * has begun. Only a server on Node with HTTP/1 lets a program do it.
 */
const closeAfter = ({ source }: Pick<HttpServerRequest, "source">): Effect.Effect<void, never, Scope.Scope> => {
  const socket = Predicate.hasProperty(source, "socket") ? source.socket : undefined
  const isHttp1 = Predicate.hasProperty(source, "httpVersionMajor") && source.httpVersionMajor === 1
  if (!isHttp1 || !Predicate.hasProperty(socket, "destroySoon")) return Effect.void
  const { destroySoon } = socket
  return Predicate.isFunction(destroySoon)
    ? Effect.addFinalizer(() => Effect.sync(() => destroySoon.call(socket)))
    : Effect.void
}

/** Reports the tokens when the scope ends: those that the server counted, or else as many as chunks have come, if the client left. */
const countTokens = Effect.fnUntraced(function* ({ onUsage }: Caller) {
  let usage: Usage | undefined
  let chunks = 0
  yield* Effect.addFinalizer(() => onUsage(usage ?? { completionTokens: chunks }))
  return {
    add: (chunk: StreamingChunk): void => {
      if (chunk.isFinal) usage = chunk.usage
      else chunks++
    }
  }
})
