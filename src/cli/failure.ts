/** Failures in words, with advice for what the user can do. */
import type { ProviderErrorReason } from "../ProviderError.ts"
import { isProviderError } from "../ProviderError.ts"

const advice: { readonly [Tag in ProviderErrorReason["_tag"]]?: string } = {
  NetworkError: "check that the server is running and that its address is right",
  AuthenticationError: "set OLLAMA_API_KEY or LM_API_TOKEN",
  ModelNotAvailable: '"local-llm models" lists the models'
}

export const describe = (error: Error): string => {
  const more = isProviderError(error) ? advice[error.reason._tag] : undefined
  return more === undefined ? error.message : `${error.message}; ${more}`
}
