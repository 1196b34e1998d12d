// The server process. It sends prepared bytes in the formats of Ollama and LM Studio, so that it needs little CPU.
import { createServer, type ServerResponse } from "node:http"
import { Readable } from "node:stream"
import { json } from "node:stream/consumers"
import { pipeline } from "node:stream/promises"
import { statusPath } from "./control.ts"
import { makePacer, takeLateness } from "./pacer.ts"
import { parseScenario } from "./scenarios.ts"
import { packet, plainToken, sendPacket, wires, type Wire } from "./wire.ts"

const tokensPerBlock = 512
/** Also the number of busy sockets: each answer has its own. */
let openAnswers = 0

/** Returns a function that sends answers in one format. */
function answerIn(wire: Wire) {
  const sendPaced = makePacer(wire)
  const token = packet(wire.token(plainToken))
  const block = Buffer.from(wire.token(plainToken).repeat(tokensPerBlock))
  const blocks = function* (tokens: number) {
    let left = tokens
    for (; left >= tokensPerBlock; left -= tokensPerBlock) yield block
    yield block.subarray(0, (block.length / tokensPerBlock) * left)
    yield Buffer.from(wire.ending)
  }
  return (response: ServerResponse, model: string) => {
    openAnswers++
    response.once("close", () => openAnswers--)
    const { kind, amount, seconds } = parseScenario(model)
    response.writeHead(200, { "content-type": wire.contentType })
    response.flushHeaders()
    if (kind === "paced") return sendPaced(response, amount, seconds)
    // The pipeline rejects if the client disconnects early, which is expected.
    if (kind === "bulk") return pipeline(Readable.from(blocks(amount)), response).catch(() => {})
    for (let sent = 0; sent < amount; sent++) sendPacket(response, token)
    if (kind !== "stalled") response.end(wire.ending)
  }
}

const answers = new Map(Object.values(wires).map((wire) => [wire.path, answerIn(wire)]))

const server = createServer({ noDelay: true }, async (request, response) => {
  const { url = "" } = request
  if (url === statusPath) return response.end(JSON.stringify({ lateness: takeLateness(), busySockets: openAnswers }))
  const answer = answers.get(url)
  if (answer === undefined) return response.writeHead(404).end()
  // A client may disconnect before its request is complete.
  const body = (await json(request).catch(() => undefined)) as { readonly model: string } | undefined
  if (body !== undefined) answer(response, body.model)
})
// A client that is slow to send its next request must not lose its connection.
server.keepAliveTimeout = 0
// Cancelled streams reset their connections, which is expected.
server.on("connection", (socket) => socket.on("error", () => {}))
server.listen({ port: 0, host: "127.0.0.1", backlog: 10_000 }, () => {
  const address = server.address()
  if (address !== null && typeof address === "object") process.send?.(`http://127.0.0.1:${address.port}`)
})
process.once("disconnect", () => process.exit())
