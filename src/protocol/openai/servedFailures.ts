/**
 * Failures in OpenAI's form: `{"error": {message, type, param, code}}`. Its SDKs choose an exception by the status, and programs compare the
 * code. Facts: OpenAI's list of error codes, and what the server of llama.cpp adds to a prompt that does not fit.
 */
import * as Text from "effect/String"
import { ChatRequest, PromptRequest } from "../../CompletionRequest.ts"
import { EmbeddingRequest } from "../../Embedding.ts"
import type { ProviderErrorReason } from "../../ProviderError.ts"
import { InvalidRequest } from "../../ProviderError.ts"
import type { JsonObject } from "../../values/json.ts"
import * as PublicMessage from "../publicMessage.ts"
import type { FailureResponse } from "../served.ts"
import { statusOf } from "../served.ts"

/** A failure before the response begins. `message`: its text, if it is safe to send. Default: the public one. */
export const fail = (reason: ProviderErrorReason, message?: string): FailureResponse => ({
  status: statusOf(reason),
  body: { error: toError(reason, message) }
})

/** The event of a failure after the beginning. Our own client reads `status`, since that of the response has been sent already. */
export const toEvent = (reason: ProviderErrorReason): string =>
  `data: ${JSON.stringify({ error: { ...toError(reason), status: statusOf(reason) } })}\n\n`

const toError = (reason: ProviderErrorReason, message?: string): JsonObject => {
  const param = toParam(reason, message !== undefined)
  const isRequest = statusOf(reason) < 500
  const error = {
    message:
      reason._tag === "InvalidRequest" ? describe(reason, param, message) : (message ?? PublicMessage.make(reason)),
    type: reason._tag === "RateLimited" ? "requests" : isRequest ? "invalid_request_error" : "server_error",
    param: param ?? null,
    code: toCode(reason)
  }
  if (reason._tag !== "ContextOverflow") return error
  return { ...error, n_prompt_tokens: reason.promptTokens, n_ctx: reason.contextLength }
}

/** OpenAI has codes for what the client can do something about. The others are the tag of the reason. */
const toCode = ({ _tag }: ProviderErrorReason): string | null => {
  switch (_tag) {
    case "InvalidRequest":
      return null
    case "Unsupported":
      return "unsupported_parameter"
    case "ContextOverflow":
      return "context_length_exceeded"
    case "ModelNotAvailable":
      return "model_not_found"
    case "RateLimited":
      return "rate_limit_exceeded"
    default:
      return Text.pascalToSnake(_tag)
  }
}

/** With a message, the texts of the reason are safe. */
const describe = ({ description }: InvalidRequest, param: string | undefined, message: string | undefined): string => {
  const what = param === undefined ? "Invalid request" : `Invalid value of '${param}'`
  return message === undefined || !description ? what : `${what}: ${description}`
}

/** Fields of a request. Others are options of the program, which are no business of a client. */
const requestFields: ReadonlySet<string> = new Set(
  Object.keys({ ...ChatRequest.fields, ...PromptRequest.fields, ...EmbeddingRequest.fields })
)

/** The field, as this protocol names it. A fault that was found in a body has that name already. */
const toParam = (reason: ProviderErrorReason, isOfBody: boolean): string | undefined => {
  switch (reason._tag) {
    case "InvalidRequest": {
      const { field = "" } = reason
      if (isOfBody) return field || undefined
      const [name = ""] = /^\w+/.exec(field) ?? []
      return requestFields.has(name) ? toWireField(field) : undefined
    }
    case "Unsupported":
      return isOfBody && /^\w+$/.test(reason.feature) ? reason.feature : undefined
    case "ModelNotAvailable":
      return "model"
    case "ContextOverflow":
      return reason.index === undefined ? "messages" : `input[${reason.index}]`
    default:
      return undefined
  }
}

/** The fault of a request, with the names of this protocol. */
export const toWire = ({ description, field }: InvalidRequest): InvalidRequest =>
  new InvalidRequest({
    field: field === undefined ? undefined : toWireField(field),
    description: description?.replace(/\b[a-z]+(?:[A-Z][a-z]+)+\b/g, Text.camelToSnake)
  })

/** The path of a field as this protocol names it, such as `messages[0].tool_calls[0].function.name`. */
export const toWireField = (field: string): string =>
  field
    .replace(
      /^(toolChoice|tools\[\d+\]|messages\[\d+\]\.toolCalls\[\d+\])\.(?=name|description|parameters|arguments)/,
      "$1.function."
    )
    .replace(/[a-z]+(?:[A-Z][a-z]*)*/g, (name) => wireNames.get(name) ?? Text.camelToSnake(name))

/** Those that are not the same name in snake case. */
const wireNames: ReadonlyMap<string, string> = new Map([
  ["format", "response_format"],
  ["think", "reasoning_effort"],
  ["thinking", "reasoning_content"],
  ["image", "image_url"],
  ["keepAlive", "ttl"]
])

/** What the gateway itself refuses: the body of a response with that status. */
export const refuse = (status: number, message: string): JsonObject => ({
  error: { message, type: "invalid_request_error", param: null, code: refusals[status] ?? null }
})

const refusals: { readonly [status: number]: string } = { 401: "invalid_api_key", 403: "permission_denied" }
