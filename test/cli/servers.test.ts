/** Which server answers, and when the built-in fake server does. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Net from "node:net"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"

const isFake = /^This is the built-in fake server, not a model/
const npmStart = { npm_lifecycle_event: "start", npm_package_name: "effect-local-llm" }

const notRunning =
  "local-llm: no model server is running (Ollama: nothing listens on 127.0.0.1:11434; " +
  "llama-server: nothing listens on 127.0.0.1:8080; LM Studio: nothing listens on 127.0.0.1:1234); start one, or name one with --url\n"

describe("the fake server", () => {
  it.live("answers when the program was started by npm start and no server is running", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* CommandLine.run(["Why?"], { env: npmStart })
      expect(code).toBe(0)
      expect(stdout).toMatch(isFake)
      expect(stderr).toMatch(/^No model server is running[^\n]*FAKE[^\n]*\nno-model on the fake server · [^\n]*\n$/)
    })
  )

  it.live.skipIf(!CommandLine.hasTerminals)("answers on a terminal when no server is running", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* CommandLine.runOnTerminal(["Why?"])
      expect(code).toBe(0)
      expect(stdout).toMatch(/^No model server is running[^\n]*FAKE[^\n]*\n.*This is the built-in fake server/)
    })
  )

  it.live("does not answer into a pipe or a file", () =>
    Effect.gen(function* () {
      expect(yield* CommandLine.run(["Why?"])).toEqual({ code: 1, stdout: "", stderr: notRunning })
      const script = `${CommandLine.shellCommand(["Why?"])} > /dev/null`
      expect(yield* CommandLine.runShell(script)).toEqual({ code: 1, stdout: "", stderr: notRunning })
    })
  )

  it.live("does not answer for the start script of another package", () =>
    Effect.gen(function* () {
      const env = { ...npmStart, npm_package_name: "something-else" }
      expect(yield* CommandLine.run(["Why?"], { env })).toMatchObject({ code: 1, stdout: "" })
    })
  )

  it.live.each<{ args?: ReadonlyArray<string>; env?: Readonly<Record<string, string>>; message: string }>([
    { env: { OLLAMA_HOST: "no-such-host.invalid" }, message: "no-such-host.invalid" },
    { env: { OLLAMA_HOST: CommandLine.nowhere }, message: "ECONNREFUSED" },
    { env: { OLLAMA_API_KEY: "key" }, message: "Ollama (http://127.0.0.1:11434): the connection failed" },
    { env: { LMSTUDIO_BASE_URL: CommandLine.nowhere }, message: "ECONNREFUSED" },
    { env: { LM_API_TOKEN: "key" }, message: "LM Studio (http://127.0.0.1:1234): the connection failed" },
    { args: ["--url", CommandLine.nowhere], message: "ECONNREFUSED" },
    { args: ["--provider", "lmstudio"], message: "LM Studio (http://127.0.0.1:1234): the connection failed" },
    { env: { LLAMA_SERVER_URL: CommandLine.nowhere }, message: "ECONNREFUSED" },
    { args: ["--provider", "openai"], message: "the connection failed" },
    { args: ["--model", "m"], message: "no model server is running" }
  ])("does not answer when something is configured: $args $env", ({ args = [], env, message }) =>
    Effect.gen(function* () {
      const result = yield* CommandLine.run([...args, "Why?"], { env: { ...npmStart, ...env } })
      expect(result).toMatchObject({ code: 1, stdout: "" })
      expect(result.stderr).toMatch(/^local-llm: [^\n]+\n$/)
      expect(result.stderr).toContain(message)
    })
  )

  it.live("answers when another program listens on the port of llama-server", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({
        status: 200,
        headers: { "content-type": "text/html" },
        body: "<!doctype html><title>Another program</title>"
      })
      const { code, stdout } = yield* CommandLine.run(["Why?"], { env: npmStart, usualPorts: { 8080: server.url } })
      expect(code).toBe(0)
      expect(stdout).toMatch(isFake)
    })
  )

  it.live("answers when a variable is set but empty", () =>
    Effect.gen(function* () {
      const env = { ...npmStart, OLLAMA_HOST: "", LMSTUDIO_BASE_URL: " " }
      expect((yield* CommandLine.run(["Why?"], { env })).stdout).toMatch(isFake)
    })
  )

  it.live("does not answer in place of a server that has no model", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({}, { models: [] })
      const options = { env: npmStart, usualPorts: { 11434: server.url } }
      const { code, stderr, stdout } = yield* CommandLine.run(["Why?"], options)
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
      expect(stderr).toMatch(/^local-llm: Ollama: there is no model to chat with[^\n]*\n$/)
    })
  )

  it.live.each([11434, 1234])("does not answer in place of a slow server on port %s", (port) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(({ method }) =>
        method === "GET" ? Effect.as(Effect.sleep("2100 millis"), {}) : Effect.succeed({ text: "Rayleigh." })
      )
      const { code, stdout } = yield* CommandLine.run(["Why?"], { env: npmStart, usualPorts: { [port]: server.url } })
      expect({ code, stdout }).toEqual({ code: 0, stdout: "Rayleigh.\n" })
    })
  )

  it.live("does not answer in place of a server that accepts connections and closes them", () =>
    Effect.gen(function* () {
      const url = yield* listen((socket) => socket.destroy())
      const options = { env: npmStart, usualPorts: { 11434: url } }
      const { code, stderr, stdout } = yield* CommandLine.run(["Why?"], options)
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
      expect(stderr).toMatch(/^local-llm: Ollama [^\n]*the connection failed[^\n]*\n$/)
    })
  )
})

describe("a server that is silent", () => {
  it.live("is waited for, which a line reports, until a signal", () =>
    Effect.gen(function* () {
      const url = yield* listen(() => undefined)
      const command = yield* CommandLine.start(["Why?"], { usualPorts: { 1234: url } })
      yield* command.until(({ stderr }) => stderr === "local-llm: waiting for LM Studio to list its models\n")
      yield* command.kill("SIGTERM")
      expect(yield* command.result).toMatchObject({ code: 143, stdout: "" })
    })
  )
})

describe("a server on its usual port", () => {
  it.live("answers if it is a llama.cpp server, after it has loaded its model", () =>
    Effect.gen(function* () {
      let asked = 0
      const loading = { error: { code: 503, message: "Loading model", type: "unavailable_error" } }
      const server = yield* FakeServer.make(({ path }): FakeServer.Answer => {
        if (path !== "/health") return { text: "Rayleigh scattering." }
        return ++asked < 3 ? { status: 503, body: loading } : { status: 200, body: { status: "ok" } }
      })
      const { code, stderr, stdout } = yield* CommandLine.run(["Why?"], { usualPorts: { 8080: server.url } })
      expect({ code, stdout }).toEqual({ code: 0, stdout: "Rayleigh scattering.\n" })
      expect(stderr).toContain("on llama-server")
    })
  )

  it.live("shows the text of the server in one line when it fails", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ status: 500, body: { error: "the\nfan \u001B[31mstopped" } })
      const { code, stderr } = yield* CommandLine.run(["--url", server.url, "--provider", "lmstudio", "Why?"])
      expect(code).toBe(1)
      expect(stderr).toMatch(/^local-llm: [^\n]*status 500[^\n]*the fan [^\n]*stopped[^\n]*\n$/)
    })
  )

  it.live.each([
    { port: 11434, name: "Ollama" },
    { port: 1234, name: "LM Studio" }
  ])("answers: $name", ({ name, port }) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ text: "Rayleigh." })
      const { code, stderr, stdout } = yield* CommandLine.run(["Why?"], { usualPorts: { [port]: server.url } })
      expect({ code, stdout }).toEqual({ code: 0, stdout: "Rayleigh.\n" })
      expect(stderr).toMatch(new RegExp(`^fake:latest on ${name} · [^\\n]*\\n$`))
    })
  )

  it.live("answers when the configured one of another kind fails, which a line reports", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ text: "Rayleigh." })
      const options = { env: { OLLAMA_HOST: CommandLine.nowhere }, usualPorts: { 1234: server.url } }
      const { code, stderr, stdout } = yield* CommandLine.run(["Why?"], options)
      expect({ code, stdout }).toEqual({ code: 0, stdout: "Rayleigh.\n" })
      expect(stderr).toMatch(/^Ollama [^\n]*the connection failed[^\n]*\nfake:latest on LM Studio · [^\n]*\n$/)
    })
  )
})

/** A server that does with each connection what the handler does. */
const listen = (onConnection: (socket: Net.Socket) => void) => {
  const sockets = new Set<Net.Socket>()
  return Effect.acquireRelease(
    Effect.callback<{ readonly server: Net.Server; readonly url: string }>((resume) => {
      const server = Net.createServer((socket) => {
        sockets.add(socket.on("error", () => undefined))
        onConnection(socket)
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" ? address?.port : undefined
        resume(Effect.succeed({ server, url: `http://127.0.0.1:${port}` }))
      })
    }),
    ({ server }) =>
      Effect.sync(() => {
        for (const socket of sockets) socket.destroy()
        server.close()
      })
  ).pipe(Effect.map(({ url }) => url))
}
