import OpenAI from "openai"
import { messages, type Connect } from "./Subject.ts"

export const connect: Connect = async (serverUrl, protocol) => {
  const client = new OpenAI({ baseURL: `${serverUrl}/v1`, apiKey: "none" })
  return {
    protocol,
    read: async (scenario, onText, signal) => {
      const answer = await client.chat.completions.create({ model: scenario, messages, stream: true }, { signal })
      for await (const chunk of answer) onText(chunk.choices[0]?.delta.content ?? "")
    }
  }
}
