import { OpenAI } from "openai"

const client = new OpenAI({ baseURL: "http://127.0.0.1:1234/v1", apiKey: "none", dangerouslyAllowBrowser: true })
const messages = [{ role: "user", content: "Why?" }]
const answer = await client.chat.completions.create({ model: "m", messages, stream: true })
for await (const { choices } of answer) document.body.append(choices[0]?.delta.content ?? "")
