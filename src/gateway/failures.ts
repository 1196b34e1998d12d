/** Failures before a response begins, in the form of a protocol. */
import * as Effect from "effect/Effect"
import type * as Cause from "effect/Cause"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Respond from "../http/respond.ts"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { isProviderError, ProviderError, StreamError } from "../ProviderError.ts"
import * as Text from "../values/text.ts"
import { Refusal } from "./access.ts"
import type { Protocol } from "./gateway.ts"
import * as View from "./view.ts"

/** A bare reason is one of ours: of a request that could not be read, or of a limit of the caller. The client gets its message. */
export type Failure = ProviderError | ProviderErrorReason | Refusal

/** Of a request that still runs when the gateway ends. */
export const halted = new ProviderError({
  provider: "gateway",
  reason: new StreamError({ description: "the gateway is stopping" })
})

/** Clients retry a request that meets a server that is being restarted. */
const stopping = new Refusal({ status: 503, message: "The gateway is stopping", headers: { "retry-after": "1" } })

/** The response for a failure. */
export const toResponse = (protocol: Protocol, failure: Failure): HttpServerResponse.HttpServerResponse => {
  if (failure instanceof Refusal) return refuse(protocol, failure)
  if (failure === halted) return refuse(protocol, stopping)
  if (failure === View.forbidden) {
    return refuse(protocol, new Refusal({ status: 403, message: "This model is not for the key of the request" }))
  }
  const isOfProvider = isProviderError(failure)
  const reason = isOfProvider ? failure.reason : failure
  const { body, status } = protocol.fail(reason, isOfProvider ? undefined : reason.message)
  const retryAfter = "retryAfter" in reason ? reason.retryAfter : undefined
  return HttpServerResponse.jsonUnsafe(body, { status, headers: Respond.retryAfter(retryAfter) })
}

const refuse = (protocol: Protocol, { headers, message, status }: Refusal): HttpServerResponse.HttpServerResponse =>
  HttpServerResponse.jsonUnsafe(protocol.refuse(status, message), {
    status,
    headers: { ...(status === 401 && { "www-authenticate": "Bearer" }), ...headers }
  })

/** A defect is logged without its message, which may quote a prompt. */
export const onDefect = (protocol: Protocol, cause: Cause.Cause<unknown>) =>
  Effect.as(
    Effect.logError("A request could not be served", Text.placeOf(cause)),
    refuse(protocol, new Refusal({ status: 500, message: "The gateway failed" }))
  )
