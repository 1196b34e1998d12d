/** An Ollama in this process, which numbers its words: a word that comes twice is seen. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Http from "node:http"
import * as Process from "./process.ts"

export interface Host {
  readonly url: string
  /** How many completions run. */
  readonly running: () => number
  /** How many completions were asked for. */
  readonly asked: () => number
  /** Closes all connections, and listens no more. */
  readonly kill: Effect.Effect<void>
  readonly start: Effect.Effect<void>
}

const line = (content: string, end?: object): string =>
  `${JSON.stringify({ model: "m", message: { role: "assistant", content }, done: end !== undefined, ...end })}\n`

const last = line("", { done_reason: "stop", prompt_eval_count: 10, eval_count: 20 })

/** It has the model `m`, and one of its own. A prompt with `endless` has an endless answer, one with `silent` none, and all others have a short one. */
export const make = Effect.fnUntraced(function* (own: string): Effect.fn.Return<Host, never, Scope.Scope> {
  const port = yield* Process.freePort
  let running = 0
  let asked = 0
  const complete = (body: string, response: Http.ServerResponse): void => {
    asked++
    running++
    let i = 0
    const write = () => void response.write(line(`w${i++} `))
    const timer = body.includes("endless") ? setInterval(write, 20) : undefined
    response.once("close", () => {
      running--
      clearInterval(timer)
    })
    if (timer !== undefined || body.includes("silent")) return
    for (let i = 0; i < 20; i++) response.write(line(`w${i} `))
    response.end(last)
  }
  const server = Http.createServer((request, response) => {
    let body = ""
    request.setEncoding("utf8").on("data", (text: string) => (body += text))
    request.on("end", () => {
      if (request.url === "/api/chat") return complete(body, response)
      const names = ["m", own]
      if (request.url === "/api/show" && !names.some((name) => body.includes(`"${name}"`))) {
        return response.writeHead(404).end(JSON.stringify({ error: "model not found" }))
      }
      const models = names.map((name) => ({ name, model: name }))
      response.end(JSON.stringify(request.url === "/api/tags" ? { models } : { version: "0.6.4" }))
    })
  })
  const start = Effect.callback<void>((resume) => {
    server.listen(port, "127.0.0.1", () => resume(Effect.void))
  })
  const kill = Effect.callback<void>((resume) => {
    server.close(() => resume(Effect.void))
    server.closeAllConnections()
  })
  yield* start
  yield* Effect.addFinalizer(() => kill)
  return { url: `http://127.0.0.1:${port}`, running: () => running, asked: () => asked, kill, start }
})
