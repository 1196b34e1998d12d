/** Whether a server dropped a part of the prompt, from the tokens that it counted and the size of the prompt. */
import type { CompletionRequest } from "../CompletionRequest.ts"
import type { Usage } from "../StreamingChunk.ts"
import * as Content from "./content.ts"

/** No tokenizer has more characters in a token on average, once repeated characters are left out. */
const maxCharactersPerToken = 12

/** What the template of a model adds to each message at most, in tokens. */
const tokensPerMessage = 64

/** Whether the texts of a prompt have more characters than the tokens that a server counted can stand for. */
const isMoreThan = (texts: ReadonlyArray<string>, counted: number): boolean => {
  const limit = counted * maxCharactersPerToken
  // Most prompts are shorter, which the lengths alone show.
  return (
    texts.reduce((sum, text) => sum + text.length, 0) > limit &&
    texts.reduce((sum, text) => sum + text.replaceAll(/(.)\1{2,}/gsu, "$1$1").length, 0) > limit
  )
}

const textsOf = ({ messages = [], prompt }: CompletionRequest): ReadonlyArray<string> =>
  prompt === undefined ? messages.map(Content.toText) : [prompt]

/**
 * For a server that may drop a part of a prompt although the request does not allow it: whether the tokens that it counted show
 * that it did. Servers that report usage with every chunk repeat the count, so only a new one is compared.
 */
export const makeCheck = (request: CompletionRequest): ((usage: Usage) => boolean) => {
  let last = 0
  let isCut = false
  return ({ promptTokens = 0 }) => {
    // Some servers report 0 for what they did not count.
    if (request.overflow === "truncate" || promptTokens === 0) return false
    if (promptTokens !== last) isCut = isMoreThan(textsOf(request), promptTokens)
    last = promptTokens
    return isCut
  }
}

/**
 * `true` if the server counted fewer tokens than the prompt must have, or as many as the context has. `false` if the prompt is
 * so short that it fits in any case. `undefined` if neither is certain.
 */
export const find = (request: CompletionRequest, usage: Usage | undefined): boolean | undefined => {
  const { contextLength } = request
  const counted = usage?.promptTokens
  if (counted === undefined) return undefined
  const texts = textsOf(request)
  if (isMoreThan(texts, counted)) return true
  if (contextLength === undefined) return undefined
  if (counted >= contextLength) return true
  // Images, tools and calls are tokens as well, of unknown number.
  if (!hasOnlyTexts(request)) return undefined
  // A token has one byte or more.
  const bytes = texts.reduce((sum, text) => sum + text.length * 3, 0)
  return bytes + texts.length * tokensPerMessage < contextLength ? false : undefined
}

const hasOnlyTexts = ({ images = [], messages = [], tools = [] }: CompletionRequest): boolean =>
  images.length === 0 &&
  tools.length === 0 &&
  messages.every(
    (message) =>
      message.thinking === undefined && message.toolCalls === undefined && Content.toImages(message).length === 0
  )
