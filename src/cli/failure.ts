/** Failures in words: the message, the server's own text, and advice for what the user can do. */
import * as Redacted from "effect/Redacted"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { isProviderError } from "../ProviderError.ts"

const advice: { readonly [Tag in ProviderErrorReason["_tag"]]?: string } = {
  AuthenticationError: "set the token, for example in OLLAMA_API_KEY or LM_API_TOKEN",
  ModelNotAvailable: '"local-llm models" lists the models'
}

/** The most of a server's text that one line shows, in characters. */
const maxDetail = 300

/** The text of the server may quote the prompt. Here the reader is the user, so it is shown. */
export const describe = (error: Error): string => {
  if (!isProviderError(error)) return error.message
  const { reason } = error
  const detail = "detail" in reason && reason.detail !== undefined ? Redacted.value(reason.detail) : ""
  const shown = reason._tag === "NetworkError" ? "" : shorten(detail)
  return [error.message, shown, advice[reason._tag]].filter((text) => text).join("; ")
}

const shorten = (text: string): string => (text.length > maxDetail ? `${text.slice(0, maxDetail)}…` : text)
