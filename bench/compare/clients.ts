// The clients as a careful user writes them: every error that a client reports is a failure, and every way to stop it is used.
import type { LanguageModel } from "ai"
import { messages } from "../server/scenarios.ts"
import * as AiModels from "../subjects/aiModels.ts"
import { connectSubject, type Read } from "../subjects/catalogue.ts"

/** Connects to a server. */
type Connect = (url: string) => Promise<Read>

const ollama: Connect = async (url) => {
  const { Ollama } = await import("ollama")
  const client = new Ollama({ host: url })
  return async (model, onText, signal) => {
    // Its requests take no signal.
    signal?.addEventListener("abort", () => client.abort())
    for await (const part of await client.chat({ model, messages, stream: true })) onText(part.message.content)
  }
}

const openai: Connect = async (url) => (await connectSubject("openai", url)).read

const readWithAi = async (languageModel: (model: string) => LanguageModel): Promise<Read> => {
  const { streamText } = await import("ai")
  return async (model, onText, signal) => {
    const answer = streamText({
      model: languageModel(model),
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

const aiOllama: Connect = async (url) => readWithAi(await AiModels.ollama(url))

const aiOpenAiCompatible: Connect = async (url) => readWithAi(await AiModels.openAiCompatible(url))

/** By the protocol that they speak. */
export const clients = {
  ndjson: {
    "effect-local-llm": async (url) => (await connectSubject("ours, NDJSON", url)).read,
    ollama,
    "ai + ai-sdk-ollama": aiOllama
  },
  sse: {
    "effect-local-llm": async (url) => (await connectSubject("ours, SSE", url)).read,
    openai,
    "ai + @ai-sdk/openai-compatible": aiOpenAiCompatible
  }
} satisfies Readonly<Record<string, Readonly<Record<string, Connect>>>>
