/** An Ollama that needs no time of its own: a token each `millis`, from its parameter, and as many as the request asks for. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { serve } from "./process.ts"

const [, , millis = "50"] = process.argv

const line = (content: string, done: object) =>
  `${JSON.stringify({ model: "m", created_at: new Date().toISOString(), message: { role: "assistant", content }, done: false, ...done })}\n`

const server = createServer(async (request, response) => {
  if (request.url === "/api/tags") return response.end(JSON.stringify({ models: [{ name: "m", model: "m" }] }))
  if (request.url !== "/api/chat") return response.end(JSON.stringify({ capabilities: ["completion"] }))
  const { options } = JSON.parse(Buffer.concat(await request.toArray()).toString())
  const tokens = options.num_predict
  response.setHeader("content-type", "application/x-ndjson")
  let sent = 0
  const timer = setInterval(() => {
    response.write(line(" word", {}))
    if (++sent < tokens) return
    clearInterval(timer)
    response.end(line("", { done: true, done_reason: "stop", prompt_eval_count: 10, eval_count: tokens }))
  }, Number(millis))
  return response.once("close", () => clearInterval(timer))
})
server.listen(0, "127.0.0.1", 1024, () => serve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
