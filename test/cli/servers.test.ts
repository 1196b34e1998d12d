/** Which server answers, and when the built-in fake server does. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Http from "node:http"
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
    {
      args: ["--url", CommandLine.nowhere],
      message: "tried Ollama, llama-server and LM Studio: nothing listens on 127.0.0.1:1; is the server running?"
    },
    {
      args: ["--url", "http://no-such-host.invalid"],
      message: "tried Ollama, llama-server and LM Studio (http://no-such-host.invalid): the connection failed"
    },
    { args: ["--provider", "lmstudio"], message: "LM Studio (http://127.0.0.1:1234): the connection failed" },
    { env: { LLAMA_SERVER_URL: CommandLine.nowhere }, message: "ECONNREFUSED" },
    {
      args: ["--provider", "openai"],
      env: { OPENAI_BASE_URL: CommandLine.nowhere },
      message: "OpenAI-compatible server (http://127.0.0.1:1)"
    },
    { args: ["--provider", "openai", "--url", CommandLine.nowhere], message: "the connection failed" },
    { args: ["--model", "m"], message: "no model server is running" }
  ])("does not answer when something is configured: $args $env", ({ args = [], env, message }) =>
    Effect.gen(function* () {
      const result = yield* CommandLine.run([...args, "Why?"], { env: { ...npmStart, ...env } })
      expect(result).toMatchObject({ code: 1, stdout: "" })
      expect(result.stderr).toMatch(/^local-llm: [^\n]+\n$/)
      expect(result.stderr).toContain(message)
    })
  )

  describe("answers when another program listens on the port of llama-server, which", () => {
    it.live.each<{ does: string; answer: (request: Http.IncomingMessage, response: Http.ServerResponse) => void }>([
      {
        does: "sends HTML",
        answer: (_, response) => response.setHeader("content-type", "text/html").end("<!doctype html><title>x</title>")
      },
      {
        does: "reports its health in the same JSON",
        answer: (_, response) => response.setHeader("content-type", "application/json").end('{"status":"ok"}')
      },
      { does: "refuses with 503", answer: (_, response) => response.writeHead(503).end() },
      { does: "is silent", answer: () => undefined }
    ])("$does", ({ answer }) =>
      Effect.gen(function* () {
        const url = yield* serve(Http.createServer(answer))
        const { code, stdout } = yield* CommandLine.run(["Why?"], { env: npmStart, usualPorts: { 8080: url } })
        expect(code).toBe(0)
        expect(stdout).toMatch(isFake)
        const piped = yield* CommandLine.run(["Why?"], { usualPorts: { 8080: url } })
        expect(piped).toMatchObject({ code: 1, stdout: "" })
        expect(piped.stderr).toContain("llama-server: no such server answers on 127.0.0.1:8080")
      })
    )
  })

  it.live("answers when only a server is configured that may be a cloud service", () =>
    Effect.gen(function* () {
      const env = { ...npmStart, OPENAI_API_KEY: "key", OPENAI_BASE_URL: CommandLine.nowhere }
      expect((yield* CommandLine.run(["Why?"], { env })).stdout).toMatch(isFake)
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
      expect(stderr).toMatch(/^local-llm: Ollama [^\n ]+: there is no model to chat with[^\n]*\n$/)
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
  it.live("is used although another program listens on the port of llama-server, without a line about that", () =>
    Effect.gen(function* () {
      const other = yield* serve(Http.createServer((_, response) => response.end("<!doctype html>")))
      const server = yield* FakeServer.make({ text: "Rayleigh." })
      const options = { usualPorts: { 8080: other, 1234: server.url } }
      const { code, stderr, stdout } = yield* CommandLine.run(["Why?"], options)
      expect({ code, stdout }).toEqual({ code: 0, stdout: "Rayleigh.\n" })
      expect(stderr).toMatch(/^fake:latest on LM Studio · [^\n]*\n$/)
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

describe("a server on the usual port of another kind", () => {
  it.live("is recognised, and listed once", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(({ path }): FakeServer.Answer =>
        path.startsWith("/api/") || path === "/lmstudio-greeting"
          ? { status: 404, headers: llamaHeaders }
          : path === "/health"
            ? { status: 200, headers: llamaHeaders, body: { status: "ok" } }
            : { text: "Rayleigh." }
      )
      const options = { env: { LLAMA_SERVER_URL: server.url }, usualPorts: { 11434: server.url } }
      const { code, stderr, stdout } = yield* CommandLine.run(["Why?"], { usualPorts: { 11434: server.url } })
      expect({ code, stdout }).toEqual({ code: 0, stdout: "Rayleigh.\n" })
      expect(stderr).toMatch(/^fake:latest on llama-server · [^\n]*\n$/)
      const models = yield* CommandLine.run(["models", "--url", server.url], options)
      expect(models.stdout).toBe("llama-server\tfake:latest\t\t\t\t\n")
    })
  )
})

describe("llama-server while it loads its model", () => {
  it.live.each<{ found: string; args?: ReadonlyArray<string>; at: (url: string) => CommandLine.Options }>([
    { found: "on its usual port", at: (url) => ({ usualPorts: { 8080: url } }) },
    { found: "by its variable", at: (url) => ({ env: { LLAMA_SERVER_URL: url } }) },
    {
      found: "by its kind and model",
      args: ["--provider", "llama-server", "--model", "fake:latest"],
      at: (url) => ({ env: { LLAMA_SERVER_URL: url } })
    }
  ])("is waited for, which one line reports, found $found", ({ args = [], at }) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(loading)
      const command = yield* CommandLine.start([...args, "Why?"], at(server.url))
      yield* command.until(({ stderr }) => stderr === `${waiting}\n`)
      yield* server.setScript(loaded)
      const { code, stderr, stdout } = yield* command.result
      expect({ code, stdout }).toEqual({ code: 0, stdout: "Rayleigh.\n" })
      expect(stderr).toMatch(new RegExp(`^${waiting}\nfake:latest on llama-server · [^\n]*\n$`))
    })
  )

  it.live("is waited for at an address without a kind, where it also answers as LM Studio does", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(loading)
      const command = yield* CommandLine.start(["--url", server.url, "Why?"])
      yield* command.until(({ stderr }) => stderr.includes(waiting))
      yield* server.setScript(loaded)
      const { code, stderr } = yield* command.result
      expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining("fake:latest on llama-server") })
    })
  )

  it.live("is not assumed of another server that always answers 503", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ status: 503, body: { error: "busy" } })
      const { code, stderr } = yield* CommandLine.run(["--url", server.url, "Why?"])
      expect(code).toBe(1)
      expect(stderr).toMatch(/^local-llm: [^\n]*status 503[^\n]*\n$/)
    })
  )
})

describe("a server at an address without a kind", () => {
  it.live("lists its models once, though several protocols list them", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({}, { models: ["a:latest"] })
      const { code, stderr, stdout } = yield* CommandLine.run(["models", "--url", server.url])
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
      expect(stdout).toMatch(/^Ollama\ta:latest\t[^\n]*\n$/)
    })
  )
})

const waiting = "local-llm: waiting until llama-server has loaded its model"
const llamaHeaders = { server: "llama.cpp" }

/** As a llama.cpp server answers every request while it loads its model. */
const loading: FakeServer.Script = {
  status: 503,
  headers: llamaHeaders,
  body: { error: { code: 503, message: "Loading model", type: "unavailable_error" } }
}

const loaded: FakeServer.Script = ({ path }) =>
  path === "/health" ? { status: 200, headers: llamaHeaders, body: { status: "ok" } } : { text: "Rayleigh." }

/** A server that does with each connection what the handler does. */
const listen = (onConnection: (socket: Net.Socket) => void) => serve(Net.createServer(onConnection))

/** The address of a server, which is closed with all its connections at the end of the scope. */
const serve = (server: Net.Server) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly sockets: ReadonlySet<Net.Socket>; readonly url: string }>((resume) => {
      const sockets = new Set<Net.Socket>()
      server.on("connection", (socket) => sockets.add(socket.on("error", () => undefined)))
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const port = typeof address === "object" ? address?.port : undefined
        resume(Effect.succeed({ sockets, url: `http://127.0.0.1:${port}` }))
      })
    }),
    ({ sockets }) =>
      Effect.sync(() => {
        for (const socket of sockets) socket.destroy()
        server.close()
      })
  ).pipe(Effect.map(({ url }) => url))
