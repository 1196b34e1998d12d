/**
 * An Ollama as a program. Its parameter says what a completion is: `silent`, one that does not begin; `endless`; otherwise 20 words. Writes
 * its address, and runs until it is killed. It imports nothing of this package, so that it starts at once.
 */
import * as Http from "node:http"

const [, , behaviour] = process.argv

const toLine = (content: string, end?: object): string =>
  `${JSON.stringify({ model: "m", message: { role: "assistant", content }, response: content, done: end !== undefined, ...end })}\n`

const words = Array.from({ length: 20 }, (_, i) => toLine(`word${i} `)).join("")

const generate = (response: Http.ServerResponse): void => {
  if (behaviour === "silent") return
  if (behaviour !== "endless") return void response.end(words + toLine("", { done_reason: "stop" }))
  const timer = setInterval(() => response.write(toLine("again ")), 20)
  response.once("close", () => clearInterval(timer))
}

const server = Http.createServer(({ url }, response) => {
  if (url === "/api/chat" || url === "/api/generate") generate(response)
  else response.end(JSON.stringify(url === "/api/tags" ? { models: [{ name: "m", model: "m" }] } : {}))
})

server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  process.stdout.write(`http://127.0.0.1:${typeof address === "object" ? address?.port : 0}\n`)
})
