/** Failures in words: the message, the server's own text, and advice for what the user can do. */
import * as Redacted from "effect/Redacted"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { isProviderError } from "../ProviderError.ts"
import * as Text from "./text.ts"

const advice: { readonly [Tag in ProviderErrorReason["_tag"]]?: string } = {
  AuthenticationError: "set the token: OLLAMA_API_KEY, LLAMA_API_KEY, LM_API_TOKEN or OPENAI_API_KEY",
  ModelNotAvailable: '"local-llm models" lists the models'
}

/** The most of a server's text that one line shows, in characters. */
const maxDetail = 300

/** The text of the server may quote the prompt. Here the reader is the user, so it is shown. */
export const describe = (error: Error, { withAdvice = true } = {}): string => {
  if (!isProviderError(error)) return error.message
  const { reason } = error
  const redacted = reason._tag === "InvalidAnswer" ? reason.text : "detail" in reason ? reason.detail : undefined
  const detail = redacted === undefined ? "" : Redacted.value(redacted)
  // What is known about a failed connection repeats the text of the platform.
  const shown =
    reason._tag === "NetworkError" && reason.description !== undefined ? "" : shorten(Text.toSingleLine(detail))
  return [error.message, shown, withAdvice ? advice[reason._tag] : ""].filter((text) => text).join("; ")
}

/** Does not divide a character. */
const shorten = (text: string): string =>
  text.length > maxDetail ? `${text.slice(0, maxDetail).replace(/[\uD800-\uDBFF]$/, "")}…` : text
