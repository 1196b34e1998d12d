// The other clients. Each is imported when it is connected, so that a process loads only the one it measures.
import type { LanguageModel } from "ai"
import { messages } from "../server/scenarios.ts"
import * as AiModels from "./aiModels.ts"
import type { Connect, Read } from "./catalogue.ts"

export const ollama: Connect = async (serverUrl) => {
  const { Ollama } = await import("ollama")
  const client = new Ollama({ host: serverUrl })
  return async (scenario, onText, signal) => {
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

export const aiOllama: Connect = async (serverUrl) => readWithAi(await AiModels.ollama(serverUrl))

export const aiOpenAiCompatible: Connect = async (serverUrl) => readWithAi(await AiModels.openAiCompatible(serverUrl))

/** The `ai` package with one of its providers. */
async function readWithAi(languageModel: (scenario: string) => LanguageModel): Promise<Read> {
  const { streamText } = await import("ai")
  return async (scenario, onText, signal) => {
    const answer = streamText({
      model: languageModel(scenario),
      messages,
      maxRetries: 0,
      ...(signal && { abortSignal: signal }),
      // The default prints errors; a failed answer is detected by its missing tokens.
      onError: () => {}
    })
    for await (const text of answer.textStream) onText(text)
  }
}
