import { Ollama } from "ollama"
import { messages, type Connect } from "./Subject.ts"

export const connect: Connect = async (serverUrl, protocol) => {
  const client = new Ollama({ host: serverUrl })
  return {
    protocol,
    read: async (scenario, onText, signal) => {
      const answer = await client.chat({ model: scenario, messages, stream: true })
      signal?.addEventListener("abort", () => answer.abort())
      for await (const part of answer) onText(part.message.content)
    }
  }
}
