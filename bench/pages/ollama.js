import ollama from "ollama/browser"

const answer = await ollama.chat({ model: "m", messages: [{ role: "user", content: "Why?" }], stream: true })
for await (const { message } of answer) document.body.append(message.content)
