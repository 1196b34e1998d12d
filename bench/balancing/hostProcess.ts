// A process that answers as Ollama does, with the times of a simulated host. It is off by refusing connections.
import type { IncomingMessage, ServerResponse } from "node:http"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { json } from "node:stream/consumers"
import type { Settings } from "./host.ts"
import { countTokens, tokensOf } from "./host.ts"
import * as SimulatedHost from "./simulatedHost.ts"
import { fastTime } from "./time.ts"

export interface HostOptions {
  readonly settings: Settings
  /** How many times as fast as real hosts it is. */
  readonly speed: number
}

process.once("disconnect", () => process.exit())
process.once("message", ({ settings, speed }: HostOptions) => {
  const time = fastTime(speed)
  const running = SimulatedHost.run(settings, time)
  const describe = (name: string) => ({ name, details: {} })
  const descriptions: Readonly<Record<string, () => unknown>> = {
    "/api/tags": () => ({ models: settings.models.map(describe) }),
    "/api/ps": () => ({ models: settings.models.filter((name) => running.current().isLoaded(name)).map(describe) }),
    "/api/show": () => ({ details: {}, capabilities: ["completion"], model_info: {} })
  }
  const server = createServer({ noDelay: true }, (request, response) => {
    const description = descriptions[request.url ?? ""]
    if (description === undefined) void chat(running, request, response)
    else response.end(JSON.stringify(description()))
  })
  server.keepAliveTimeout = 0
  server.on("connection", (socket) => socket.on("error", () => {}))
  server.listen(0, "127.0.0.1", () => {
    const { port } = server.address() as AddressInfo
    process.send?.(`http://127.0.0.1:${port}`)
    if (settings.off === undefined) return
    const [from, until] = settings.off
    time.after(from - time.now(), () => {
      server.close()
      server.closeAllConnections()
    })
    time.after(until - time.now(), () => server.listen(port, "127.0.0.1"))
  })
})

interface Body {
  readonly model: string
  readonly messages: ReadonlyArray<{ readonly content: string }>
  readonly answer: string
}

/** Answers `POST /api/chat`. */
async function chat(running: SimulatedHost.RunningHost, request: IncomingMessage, response: ServerResponse) {
  const { answer, messages, model } = (await json(request)) as Body
  const cancel = running.send({ model, answer, prompt: messages.map(({ content }) => content) }, (job) => {
    if (job.state === "failed") return void response.destroy()
    const isFinal = job.state === "ended"
    const usage = {
      done_reason: "stop",
      prompt_eval_count: countTokens(job.prompt),
      prompt_eval_cached_count: job.cachedTokens,
      eval_count: tokensOf(answer)
    }
    const message = { role: "assistant", content: isFinal ? answer.slice(4) : answer.slice(0, 4) }
    const record = { model, created_at: new Date().toISOString(), message, done: isFinal, ...(isFinal && usage) }
    response.write(`${JSON.stringify(record)}\n`)
    if (isFinal) response.end()
  })
  response.once("close", cancel)
}
