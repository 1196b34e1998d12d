/** The routes of Anthropic's API for messages: completions, and the number of tokens of a prompt. */
import * as Result from "effect/Result"
import type { ChatRequest } from "../../CompletionRequest.ts"
import type { TokenCount } from "../../TokenCount.ts"
import type { JsonObject } from "../../values/json.ts"
import type { CompletionRoute, Decode } from "../served.ts"
import * as Message from "./message.ts"
import * as Request from "./request.ts"

/** `POST /v1/messages`. */
export const messages: CompletionRoute = {
  path: "/v1/messages",
  framing: Message.framing,
  decode: (body) =>
    Result.map(Request.decode(body), (received) => ({
      ...received,
      isThinkOptional: true,
      makeWriter: Message.makeWriter,
      encode: Message.encode
    }))
}

/** `POST /v1/messages/count_tokens`: the request whose tokens are to be counted. */
export const decodeCount: Decode<ChatRequest> = (body) => Result.map(Request.decode(body), ({ request }) => request)

export const encodeCount = ({ tokens }: TokenCount): JsonObject => ({ input_tokens: tokens })
