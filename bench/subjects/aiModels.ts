// The models of the `ai` package, by its two providers for local servers.
import type { LanguageModel } from "ai"

type Models = (model: string) => LanguageModel

export const ollama = async (url: string): Promise<Models> => {
  const { createOllama } = await import("ai-sdk-ollama")
  return createOllama({ baseURL: url })
}

export const openAiCompatible = async (url: string): Promise<Models> => {
  const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible")
  return createOpenAICompatible({ name: "lmstudio", baseURL: `${url}/v1` })
}
