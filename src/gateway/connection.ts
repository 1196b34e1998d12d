/** The connection of a request. */
import * as Effect from "effect/Effect"
import type { HttpServerRequest } from "effect/http/HttpServerRequest"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"

/**
 * Closes the connection when the scope of the request ends, after what has been written. Headers cannot say so any more when the response
 * has begun. Only a server on Node with HTTP/1 lets a program do it.
 */
export const closeAfter = ({ source }: Pick<HttpServerRequest, "source">): Effect.Effect<void, never, Scope.Scope> => {
  const socket = Predicate.hasProperty(source, "socket") ? source.socket : undefined
  const isHttp1 = Predicate.hasProperty(source, "httpVersionMajor") && source.httpVersionMajor === 1
  if (!isHttp1 || !Predicate.hasProperty(socket, "destroySoon")) return Effect.void
  const { destroySoon } = socket
  return Predicate.isFunction(destroySoon)
    ? Effect.addFinalizer(() => Effect.sync(() => destroySoon.call(socket)))
    : Effect.void
}
