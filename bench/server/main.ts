// The server process. It sends prepared bytes in the formats of Ollama and LM Studio, so that it costs little CPU itself.
import { createServer, type ServerResponse } from "node:http"
import { Readable } from "node:stream"
import { json } from "node:stream/consumers"
import { pipeline } from "node:stream/promises"
import { controlPaths } from "./control.ts"
import { Pacer } from "./Pacer.ts"
import { parseScenario } from "./scenarios.ts"
import { packet, plainToken, sendPacket, wires, type Wire } from "./wire.ts"

const tokensPerBlock = 512

/** Also the number of busy sockets: each answer has its own. */
let openAnswers = 0

class Answers {
  readonly pacer: Pacer
  readonly wire: Wire
  readonly #token: Buffer
  readonly #block: Buffer

  constructor(wire: Wire) {
    const token = wire.token(plainToken)
    this.wire = wire
    this.pacer = new Pacer(wire)
    this.#token = packet(token)
    this.#block = Buffer.from(token.repeat(tokensPerBlock))
  }

  send(response: ServerResponse, model: string): void {
    openAnswers++
    response.once("close", () => openAnswers--)
    const { kind, amount, seconds } = parseScenario(model)
    response.writeHead(200, { "content-type": this.wire.contentType })
    response.flushHeaders()
    if (kind === "bulk") return this.#sendBulk(response, amount)
    if (kind === "paced") return this.pacer.answer(response, amount, seconds)
    for (let sent = 0; sent < amount; sent++) sendPacket(response, this.#token)
    if (kind !== "stalled") response.end(this.wire.ending)
  }

  #sendBulk(response: ServerResponse, tokens: number): void {
    // It rejects if the client disconnects early, which is expected.
    pipeline(Readable.from(this.#blocks(tokens)), response).catch(() => {})
  }

  *#blocks(tokens: number): Generator<Buffer> {
    let left = tokens
    for (; left >= tokensPerBlock; left -= tokensPerBlock) yield this.#block
    yield this.#block.subarray(0, (this.#block.length / tokensPerBlock) * left)
    yield Buffer.from(this.wire.ending)
  }
}

const answers = [new Answers(wires.ndjson), new Answers(wires.sse)]

const server = createServer({ noDelay: true }, async (request, response) => {
  if (request.url === controlPaths.lateness) return response.end(String(takeLateness()))
  if (request.url === controlPaths.busySockets) return response.end(String(openAnswers))
  const chosen = answers.find(({ wire }) => wire.path === request.url)
  if (chosen === undefined) return response.writeHead(404).end()
  // A client may disconnect before its request is complete.
  const body = (await json(request).catch(() => undefined)) as { readonly model: string } | undefined
  if (body !== undefined) chosen.send(response, body.model)
})

function takeLateness(): number {
  return answers.map(({ pacer }) => pacer.takeLateness()).find((late) => !Number.isNaN(late)) ?? 0
}

server.on("connection", (socket) => {
  // Cancelled streams reset their connections, which is expected.
  socket.on("error", () => {})
})

server.listen({ port: 0, host: "127.0.0.1", backlog: 10_000 }, () => {
  const address = server.address()
  if (address !== null && typeof address === "object") process.send?.(`http://127.0.0.1:${address.port}`)
})
process.once("disconnect", () => process.exit())
