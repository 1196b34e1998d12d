import { streamText } from "ai"

export const show = async (model) => {
  const { textStream } = streamText({ model, messages: [{ role: "user", content: "Why?" }] })
  for await (const text of textStream) document.body.append(text)
}
