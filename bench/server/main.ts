// The server process. It sends prepared bytes in the formats of Ollama and LM Studio, so that it needs little CPU.
import { createServer, type ServerResponse } from "node:http"
import { Readable } from "node:stream"
import { json } from "node:stream/consumers"
import { pipeline } from "node:stream/promises"
import { listen } from "../process.ts"
import { makePacer, takeLateness } from "./pacer.ts"
import { listedModels, parseScenario, statusPath } from "./scenarios.ts"
import { packet, plainToken, sendPacket, wires, type Wire } from "./wire.ts"

const tokensPerBlock = 512
/** Also the number of busy sockets: each answer has its own. */
let openAnswers = 0

/** Returns a function that sends answers in one format. */
function answerIn(wire: Wire) {
  const pacers = new Map([
    ["paced", makePacer(wire, 20)],
    ["slow", makePacer(wire, 50)]
  ])
  const token = packet(wire.token(plainToken))
  const block = Buffer.from(wire.token(plainToken).repeat(tokensPerBlock))
  const blocks = function* (tokens: number) {
    let left = tokens
    for (; left >= tokensPerBlock; left -= tokensPerBlock) yield block
    yield block.subarray(0, (block.length / tokensPerBlock) * left)
    yield Buffer.from(wire.ending)
  }
  return (response: ServerResponse, { model }: Body) => {
    openAnswers++
    response.once("close", () => openAnswers--)
    const { kind, amount, seconds } = parseScenario(model)
    response.writeHead(200, { "content-type": wire.contentType })
    response.flushHeaders()
    const sendPaced = pacers.get(kind)
    if (sendPaced !== undefined) return sendPaced(response, amount, seconds)
    // The pipeline rejects if the client disconnects early, which is expected.
    if (kind === "bulk") return pipeline(Readable.from(blocks(amount)), response).catch(() => {})
    for (let sent = 0; sent < amount; sent++) sendPacket(response, token)
    if (kind !== "stalled") response.end(wire.ending)
  }
}

interface Body {
  readonly model: string
  /** The texts to embed. */
  readonly input?: ReadonlyArray<string>
}

/** 32 kB of text. */
const vector = JSON.stringify(Array.from({ length: 3200 }, (_, index) => Math.round(Math.sin(index) * 1e7) / 1e7))

/** What a gateway asks of an Ollama, and the status, which clients of the benchmark ask for. */
const descriptions: Readonly<Record<string, () => object>> = {
  [statusPath]: () => ({ lateness: takeLateness(), busySockets: openAnswers }),
  "/api/version": () => ({ version: "0.12.0" }),
  "/api/tags": () => ({ models: listedModels.map((model) => ({ name: model, model })) }),
  "/api/ps": () => ({ models: [] }),
  "/api/show": () => ({ capabilities: ["completion", "embedding"] })
}
const answers = new Map([
  ...Object.values(wires).map((wire) => [wire.path, answerIn(wire)] as const),
  [
    "/api/embed",
    (response: ServerResponse, { input = [], model }: Body) => {
      response.end(`{"model":"${model}","embeddings":[${input.map(() => vector).join(",")}],"prompt_eval_count":3000}`)
    }
  ]
])

const server = createServer({ noDelay: true }, async (request, response) => {
  const { url = "" } = request
  const description = descriptions[url]
  if (description !== undefined) return response.end(JSON.stringify(description()))
  const answer = answers.get(url)
  if (answer === undefined) return response.writeHead(404).end()
  // A client may disconnect before its request is complete.
  const body = (await json(request).catch(() => undefined)) as Body | undefined
  if (body !== undefined) answer(response, body)
})
// A client that is slow to send its next request must not lose its connection.
server.keepAliveTimeout = 0
// Cancelled streams reset their connections, which is expected.
server.on("connection", (socket) => socket.on("error", () => {}))
listen(server)
