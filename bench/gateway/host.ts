/** An Ollama that needs no time of its own: a token each `millis`, from its parameter, and as many as the request asks for. */
import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import { serve } from "./process.ts"

const [, , millis = "50"] = process.argv

const line = (content: string, done: object) =>
  `${JSON.stringify({ model: "m", created_at: new Date().toISOString(), message: { role: "assistant", content }, done: false, ...done })}\n`
const end = (tokens: number) => line("", { done: true, done_reason: "stop", prompt_eval_count: 10, eval_count: tokens })

/** 32 kB of text. */
const vector = JSON.stringify(Array.from({ length: 3200 }, (_, index) => Math.round(Math.sin(index) * 1e7) / 1e7))

const readJson = async (request: IncomingMessage) => JSON.parse(Buffer.concat(await request.toArray()).toString())

const server = createServer(async (request, response) => {
  if (request.url === "/api/tags") return response.end(JSON.stringify({ models: [{ name: "m", model: "m" }] }))
  if (request.url === "/api/embed") {
    const { input } = await readJson(request)
    return response.end(`{"model":"m","embeddings":[${input.map(() => vector).join(",")}],"prompt_eval_count":3000}`)
  }
  if (request.url !== "/api/chat") return response.end(JSON.stringify({ capabilities: ["completion", "embedding"] }))
  const tokens: number = (await readJson(request)).options.num_predict
  response.setHeader("content-type", "application/x-ndjson")
  if (millis === "0") return response.end(line(" word", {}).repeat(tokens) + end(tokens))
  let sent = 0
  const timer = setInterval(() => {
    response.write(line(" word", {}))
    if (++sent < tokens) return
    clearInterval(timer)
    response.end(end(tokens))
  }, Number(millis))
  return response.once("close", () => clearInterval(timer))
})
server.listen(0, "127.0.0.1", 1024, () => serve(`http://127.0.0.1:${(server.address() as AddressInfo).port}`))
