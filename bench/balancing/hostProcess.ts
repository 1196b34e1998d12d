// A process that answers as Ollama does, with the times of a simulated host. It is off by refusing connections.
import type { IncomingMessage, ServerResponse } from "node:http"
import { createServer } from "node:http"
import { json } from "node:stream/consumers"
import type { Job, Settings } from "./host.ts"
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
  const answers: Readonly<Record<string, () => unknown>> = {
    "/api/tags": () => ({ models: settings.models.map(describe) }),
    "/api/ps": () => ({ models: settings.models.filter((name) => running.current().isLoaded(name)).map(describe) }),
    "/api/show": () => ({ details: {}, capabilities: ["completion"], model_info: {} })
  }
  const server = createServer({ noDelay: true }, async (request, response) => {
    const answer = answers[request.url ?? ""]
    if (answer !== undefined) return response.end(JSON.stringify(answer()))
    const cancel = await chat(running, request, response)
    response.once("close", cancel)
  })
  server.keepAliveTimeout = 0
  server.on("connection", (socket) => socket.on("error", () => {}))
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    if (address === null || typeof address === "string") return
    process.send?.(`http://127.0.0.1:${address.port}`)
    if (settings.off === undefined) return
    const [from, until] = settings.off
    time.after(from - time.now(), () => {
      server.close()
      server.closeAllConnections()
    })
    time.after(until - time.now(), () => server.listen(address.port, "127.0.0.1"))
  })
})

interface Body {
  readonly model: string
  readonly messages: ReadonlyArray<{ readonly content: string }>
  readonly answer: string
}

/** Answers `POST /api/chat`. Returns what cancels it. */
async function chat(running: SimulatedHost.RunningHost, request: IncomingMessage, response: ServerResponse) {
  const { answer, messages, model } = (await json(request)) as Body
  const write = (record: object): void =>
    void response.write(`${JSON.stringify({ model, created_at: new Date().toISOString(), ...record })}\n`)
  return running.send({ model, answer, prompt: messages.map(({ content }) => content) }, (job: Job) => {
    if (job.state === "failed") return void response.destroy()
    const isFinal = job.state === "ended"
    const content = isFinal ? answer.slice(4) : answer.slice(0, 4)
    const usage = {
      done_reason: "stop",
      prompt_eval_count: countTokens(job.prompt),
      prompt_eval_cached_count: job.cachedTokens,
      eval_count: tokensOf(answer)
    }
    write({ message: { role: "assistant", content }, done: isFinal, ...(isFinal ? usage : {}) })
    if (isFinal) response.end()
  })
}
