/** Endless answers in a small heap: whatever their bytes and pieces are, the bound of 2 MiB ends them before the memory does. */
import * as NodeServices from "@effect/platform-node/NodeServices"
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as ChildProcess from "effect/process/ChildProcess"
import * as Result from "effect/Result"
import * as Stream from "effect/Stream"
import { createServer } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import { fileURLToPath } from "node:url"

/** Most of it is the process before any answer. */
const heap = ["--max-old-space-size=40", "--max-semi-space-size=1"]

interface Row {
  readonly provider: "Ollama" | "LM Studio"
  readonly operation?: "stream" | "models"
  readonly first?: string
  /** Sent again and again. */
  readonly repeated: string
  /** Whether each byte is an HTTP chunk of its own. Default: thousands of them are one. */
  readonly byteByByte?: boolean
}

const fragment = (fn: object): string =>
  `data: ${JSON.stringify({ choices: [{ index: 0, delta: { tool_calls: [{ index: 0, function: fn }] } }] })}\n\n`
const manyFragments = `data: ${JSON.stringify({
  choices: [{ delta: { tool_calls: Array.from({ length: 1000 }, () => ({ function: { arguments: "[" } })) } }]
})}\n\n`

const rows: Readonly<Record<string, Row>> = {
  "empty data lines": { provider: "LM Studio", repeated: "data:\n" },
  "empty data lines with CR": { provider: "LM Studio", repeated: "data:\r" },
  "data lines without a colon": { provider: "LM Studio", repeated: "data\n" },
  "short data lines": { provider: "LM Studio", repeated: "data: a\n" },
  "short data lines between comments": {
    provider: "LM Studio",
    repeated: `data: ${"a".repeat(20)}\n: ${"x".repeat(2000)}\n`
  },
  "one event line, byte by byte": { provider: "LM Studio", first: "data: ", repeated: "a", byteByByte: true },
  "one record line, byte by byte": { provider: "Ollama", repeated: "a", byteByByte: true },
  "one body, byte by byte": { provider: "Ollama", operation: "models", repeated: "a", byteByByte: true },
  "a body of line feeds": { provider: "Ollama", operation: "models", repeated: "\n" },
  "a body of carriage returns": { provider: "Ollama", operation: "models", repeated: "\r" },
  "JSON without a field, over many lines": { provider: "LM Studio", first: "[\n", repeated: "[\n" },
  "a record over many lines": { provider: "Ollama", first: "[\n", repeated: "1,\n" },
  "an error field over many lines": { provider: "LM Studio", first: "error: [\n", repeated: "1,\n" },
  "arguments of a tool call in short fragments": { provider: "LM Studio", repeated: manyFragments },
  "a name of a tool in short fragments": {
    provider: "LM Studio",
    repeated: fragment({ name: "a" }) + fragment({ name: "b" })
  }
}

/** Writes as fast as the client reads. */
const start = ({ byteByByte = false, first = "", repeated }: Row) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly close: () => void }>((resume) => {
      const encode = (text: string): string =>
        byteByByte
          ? Array.from(text, (byte) => `1\r\n${byte}\r\n`).join("")
          : `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`
      const piece = encode(repeated.repeat(Math.ceil(10_000 / repeated.length)))
      const send = (socket: Socket): void => {
        while (!socket.destroyed && socket.write(piece));
      }
      const server = createServer((_, response) => {
        const { socket } = response
        if (socket === null) return
        socket.on("error", () => undefined).on("drain", () => send(socket))
        socket.write(`HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${first === "" ? "" : encode(first)}`)
        send(socket)
      }).listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        resume(
          Effect.succeed({
            url: `http://127.0.0.1:${port}`,
            close: () => {
              server.closeAllConnections()
              server.close()
            }
          })
        )
      })
    }),
    ({ close }) => Effect.sync(close)
  )

const readAnswer = Effect.fnUntraced(function* (row: Row) {
  const { url } = yield* start(row)
  const program = fileURLToPath(new URL("../support/readHostile.ts", import.meta.url))
  const child = yield* ChildProcess.make(process.execPath, [
    ...heap,
    program,
    row.provider,
    row.operation ?? "stream",
    url
  ])
  return yield* Effect.all(
    {
      exit: Effect.result(child.exitCode),
      stdout: Stream.mkString(Stream.decodeText(child.stdout)),
      stderr: Stream.mkString(Stream.decodeText(child.stderr))
    },
    { concurrency: "unbounded" }
  )
}, Effect.provide(NodeServices.layer))

describe("an endless answer in a heap of 40 MB fails at the bound:", () => {
  it.live.each(Object.entries(rows))(
    "%s",
    ([, row]) =>
      Effect.gen(function* () {
        const { exit, stderr, stdout } = yield* readAnswer(row)
        expect({ stdout, stderr, exit }).toEqual({ stdout: "LineTooLong", stderr: "", exit: Result.succeed(0) })
      }),
    120_000
  )
})
