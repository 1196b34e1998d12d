/**
 * How many tokens a prompt has: counted by the server, or estimated from its size.
 *
 * @category Core
 * @since 0.3.0
 */
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Struct from "effect/Struct"
import type { CompletionRequest, Message } from "./CompletionRequest.ts"
import { InvalidRequest } from "./ProviderError.ts"
import * as Json from "./values/json.ts"
import * as Text from "./values/text.ts"

/**
 * The number of tokens of a prompt, as `Provider.countTokens` returns it.
 *
 * @category models
 */
export interface TokenCount {
  /** The tokens of messages, tools and the chat template together. The completion is not part of it. */
  readonly tokens: number
  /**
   * Whether the server counted them. Otherwise it is an estimate, which is above the real number for most prompts, but no bound:
   * digits and texts without meaning may take up to a token for each byte.
   */
  readonly exact: boolean
}

/**
 * How to estimate. All fields are optional.
 *
 * @category options
 */
export interface EstimateOptions {
  /** The tokens of each byte of JSON. Default: 1/3. Tokenizers of current models need 1/5 to 1/3.5 for English and code, and up to 1/3 for most other languages. */
  readonly tokensPerByte?: number | undefined
}

/** The most that an image takes in Anthropic's API. */
const tokensPerImage = 1600

/**
 * Estimates the tokens of a request from its size: so many for each byte of its messages, tools and format as JSON, and
 * 1600 for each image. Fails with `InvalidRequest` if arguments of calls are nested too deeply, or the option is invalid.
 *
 * @category constructors
 */
export const estimate = (
  request: CompletionRequest,
  { tokensPerByte = 1 / 3 }: EstimateOptions = {}
): Result.Result<TokenCount, InvalidRequest> => {
  if (!(Number.isFinite(tokensPerByte) && tokensPerByte > 0)) {
    return Result.fail(new InvalidRequest({ field: "tokensPerByte", description: "Expected a number above 0" }))
  }
  const { format, images = [], messages, prompt, tools } = request
  const texts = messages?.map(withoutImages)
  const json = Json.stringify({ format, messages: texts, prompt, tools }, resolveSchema)
  if (json === undefined) {
    return Result.fail(new InvalidRequest({ field: "messages", description: "they are nested too deeply" }))
  }
  const imageCount = (messages ?? []).reduce((sum, message) => sum + countImages(message), images.length)
  const tokens = Math.ceil(Text.utf8Length(json) * tokensPerByte) + imageCount * tokensPerImage
  return Result.succeed({ tokens, exact: false })
}

const withoutImages = (message: Message) => ({
  ...Struct.omit(message, ["images"]),
  content: typeof message.content === "string" ? message.content : message.content.filter(({ type }) => type === "text")
})

const countImages = ({ content, images = [] }: Message): number =>
  images.length + (typeof content === "string" ? 0 : content.filter(({ type }) => type === "image").length)

/** A `Schema` is sent as its JSON Schema. One that has none fails when the request is sent. */
const resolveSchema = (_: string, value: unknown): unknown =>
  Schema.isSchema(value) ? Result.getOrElse(Json.toSchema(value), () => ({})) : value
