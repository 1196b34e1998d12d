/** The routes of Anthropic's API for messages: completions, and the number of tokens of a prompt. */
import * as Result from "effect/Result"
import type { ChatRequest } from "../../CompletionRequest.ts"
import type { JsonObject } from "../../values/json.ts"
import * as Json from "../../values/json.ts"
import * as Text from "../../values/text.ts"
import type { Read } from "../receivedBody.ts"
import * as Body from "../receivedBody.ts"
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

/** Bytes of text for each token. Tokenizers of current models need 3.5 to 5 for English and code, and 3 or more for most other languages. */
const bytesPerToken = 3

/** The most that an image takes in Anthropic's API. */
const tokensPerImage = 1600

/**
 * `POST /v1/messages/count_tokens`: an estimate that is above the number of tokens of most prompts, but no bound. A server counts only while it
 * generates, and each model counts differently. Digits and texts without meaning may take up to a token for each byte.
 */
export const countTokens: Decode<JsonObject> = (body) =>
  Result.map(
    Result.flatMap(Request.decode(body), ({ request }) => estimate(request)),
    (input_tokens) => ({ input_tokens })
  )

const estimate = ({ format, messages, tools }: ChatRequest): Read<number> => {
  let images = 0
  const json = Json.stringify({ format, messages, tools }, (_, value) => {
    if (!isImage(value)) return value
    images++
    return undefined
  })
  if (json === undefined) return Body.invalid("messages", "they are nested too deeply")
  return Result.succeed(Math.ceil(Text.utf8Length(json) / bytesPerToken) + images * tokensPerImage)
}

const isImage = (value: unknown): boolean =>
  typeof value === "object" && value !== null && "image" in value && "type" in value && value.type === "image"
