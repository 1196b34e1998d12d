/** The memory of a gateway does not depend on the length of a completion: far more than its heap passes through. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ChildProcess from "effect/process/ChildProcess"
import * as Stream from "effect/Stream"
import * as Http from "node:http"
import { fileURLToPath } from "node:url"
import * as Gateway from "../support/gateway.ts"

const heap = ["--max-old-space-size=64", "--max-semi-space-size=2"]

const megabytes = Number(process.env["GATEWAY_MEGABYTES"] ?? 200)

const text = "The sky is blue. ".repeat(1000)
const lines = Math.ceil((megabytes * 1e6) / text.length)

/** Ollama, which generates as fast as it is read. */
const ollama = Effect.acquireRelease(
  Effect.callback<Http.Server>((resume) => {
    const line = `${JSON.stringify({ model: "m", message: { role: "assistant", content: text }, done: false })}\n`
    const end = `${JSON.stringify({ model: "m", message: { role: "assistant", content: "" }, done: true, done_reason: "stop" })}\n`
    const server = Http.createServer(({ url }, response) => {
      if (url === "/api/tags") return response.end(JSON.stringify({ models: [{ name: "m", model: "m" }] }))
      if (url !== "/api/chat") return response.end("{}")
      let left = lines
      const write = () => {
        while (left-- > 0) if (!response.write(line)) return response.once("drain", write)
        return response.end(end)
      }
      return write()
    })
    server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
  }),
  (server) =>
    Effect.sync(() => {
      server.closeAllConnections()
      server.close()
    })
)

/** The size of a response, its end, and the largest memory of the process that sent it. */
const download = (url: string, body: object) =>
  Effect.callback<{ readonly bytes: number; readonly end: string }>((resume) => {
    const request = Http.request(url, { method: "POST" }, (response) => {
      let bytes = 0
      let end = ""
      response.on("data", (more: Buffer) => {
        bytes += more.length
        end = (end + more.subarray(-1000).toString()).slice(-1000)
      })
      response.on("close", () => resume(Effect.succeed({ bytes, end })))
    })
    request.on("error", () => resume(Effect.succeed({ bytes: 0, end: "" })))
    request.end(JSON.stringify(body))
  })

it.live.each(["Ollama, chat", "OpenAI, chat", "Anthropic, messages"])(
  "%s",
  (name) =>
    Effect.gen(function* () {
      const server = yield* ollama
      const address = server.address()
      const port = typeof address === "object" ? address?.port : 0
      const program = fileURLToPath(new URL("../support/serveGateway.ts", import.meta.url))
      const child = yield* ChildProcess.make(process.execPath, [...heap, program, `http://127.0.0.1:${port}`])
      const url = yield* Stream.runHead(Stream.splitLines(Stream.decodeText(child.stdout))).pipe(
        Effect.flatMap(Effect.fromOption)
      )
      const row = Gateway.rows[name]
      const { bytes, end } = yield* download(`${url}${row?.path}`, { ...row?.body, stream: true })
      expect(bytes).toBeGreaterThan(megabytes * 1e6)
      expect(end).toContain(row?.end)
    }).pipe(Effect.provide(NodeServices.layer)),
  300_000
)
