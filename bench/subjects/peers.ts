// The other clients as a careful user writes them: every error that a client reports is a failure, and every way to stop it is
// used. Each is imported when it is connected, so that a process loads only the one it measures.
import type { LanguageModel } from "ai"
import { messages } from "../server/scenarios.ts"
import type { Connect, Read } from "./catalogue.ts"

export const ollama: Connect = async (serverUrl) => {
  const { Ollama } = await import("ollama")
  const client = new Ollama({ host: serverUrl })
  return async (scenario, onText, signal) => {
    // Its requests take no signal.
    const answer = await client.chat({ model: scenario, messages, stream: true })
    signal?.addEventListener("abort", () => answer.abort())
    for await (const part of answer) onText(part.message.content)
  }
}

export const openai: Connect = async (serverUrl) => {
  const { OpenAI } = await import("openai")
  const client = new OpenAI({ baseURL: `${serverUrl}/v1`, apiKey: "none" })
  return async (scenario, onText, signal) => {
    const answer = await client.chat.completions.create({ model: scenario, messages, stream: true }, { signal })
    for await (const chunk of answer) onText(chunk.choices[0]?.delta.content ?? "")
  }
}

export const aiOllama: Connect = async (serverUrl) => {
  const { createOllama } = await import("ai-sdk-ollama")
  return readWithAi(createOllama({ baseURL: serverUrl }))
}

export const aiOpenAiCompatible: Connect = async (serverUrl) => {
  const { createOpenAICompatible } = await import("@ai-sdk/openai-compatible")
  return readWithAi(createOpenAICompatible({ name: "lmstudio", baseURL: `${serverUrl}/v1` }))
}

/** The `ai` package with one of its providers. */
async function readWithAi(languageModel: (scenario: string) => LanguageModel): Promise<Read> {
  const { streamText } = await import("ai")
  return async (scenario, onText, signal) => {
    const answer = streamText({
      model: languageModel(scenario),
      messages,
      maxRetries: 0,
      ...(signal && { abortSignal: signal }),
      // The default prints errors. They are parts of the stream too.
      onError: () => {}
    })
    for await (const part of answer.fullStream) {
      if (part.type === "text-delta") onText(part.text)
      if (part.type === "error") throw part.error
      if (part.type === "abort") throw new Error("aborted")
    }
  }
}
