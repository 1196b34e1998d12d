/** An Ollama in a process of its own, so that it can be stopped: `node hostProgram.ts PORT`. `/seen` has what it saw. */
import * as Http from "node:http"
import type { Seen } from "./shared.ts"

const [port = "0"] = process.argv.slice(2)
const seen: Array<Seen> = []
let running = 0
let attempts = 0

const line = (content: string, end?: object): string =>
  `${JSON.stringify({ model: "m", message: { role: "assistant", content }, done: end !== undefined, ...end })}\n`

/** The prompt has the id of the request and the number of words. Each word has the id, the attempt and its own number. */
const complete = (body: string, response: Http.ServerResponse): void => {
  const [, id = "", words = "0"] = /request (\S+): (\d+) words/.exec(body) ?? []
  const attempt = `${port}-${attempts++}`
  const note = (change: 1 | -1) => {
    running += change
    seen.push({ at: Date.now(), id, change, running })
  }
  note(1)
  let i = 0
  const timer = setInterval(() => {
    if (i < Number(words)) return void response.write(line(`<${id}/${attempt}/${i++}>`))
    clearInterval(timer)
    response.end(line("", { done_reason: "stop", prompt_eval_count: 10, eval_count: i }))
  }, 40)
  response.once("close", () => {
    clearInterval(timer)
    note(-1)
  })
}

const server = Http.createServer((request, response) => {
  let body = ""
  request.setEncoding("utf8").on("data", (text: string) => (body += text))
  request.on("end", () => {
    if (request.url === "/api/chat") return complete(body, response)
    if (request.url === "/seen") return response.end(JSON.stringify(seen))
    const models = [{ name: "m", model: "m" }]
    response.end(
      JSON.stringify(request.url === "/api/tags" || request.url === "/api/ps" ? { models } : { version: "0.6.4" })
    )
  })
})
server.listen(Number(port), "127.0.0.1", () => process.stdout.write("listens\n"))
