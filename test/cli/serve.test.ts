/** A gateway for the hosts of several kinds: how it starts, changes and stops. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"
import * as Answers from "../support/gateway.ts"
import * as Gateway from "../support/serve.ts"
import { vi } from "vitest"

// Each of them starts programs, on a machine that may be busy.
vi.setConfig({ testTimeout: 90_000 })

const npmStart = { npm_lifecycle_event: "start", npm_package_name: "effect-local-llm" }

const makeFolder = (): string => Fs.mkdtempSync(Path.join(Os.tmpdir(), "local-llm-"))

const modelsOf = ({ get }: Gateway.Gateway) =>
  Effect.map(get("/v1/models"), ({ text }): ReadonlyArray<string> =>
    JSON.parse(text).data.map(({ id }: { readonly id: string }) => id)
  )

describe("the hosts", () => {
  it.live("are those of --host, recognised, with the models of all and aliases", () =>
    Effect.gen(function* () {
      const first = yield* FakeServer.make({ text: "One" }, { models: ["one:latest"] })
      const second = yield* FakeServer.make({ text: "Two" }, { models: ["two:latest"] })
      const gateway = yield* Gateway.serve(["--host", first.url, "--host", second.url, "--alias", "gpt-4o-mini=two"])
      expect(yield* modelsOf(gateway)).toEqual(expect.arrayContaining(["one:latest", "two:latest", "gpt-4o-mini"]))
      const { text } = yield* gateway.post("/v1/chat/completions", Gateway.chat("gpt-4o-mini"))
      expect(JSON.parse(text).choices[0].message.content).toBe("Two")
      const ollama = yield* gateway.post("/api/chat", Gateway.chat("one", { stream: false }))
      expect(JSON.parse(ollama.text).message.content).toBe("One")
      const { stdout } = yield* gateway.output
      expect(stdout).toBe(
        `OLLAMA_HOST=${gateway.url}\nOPENAI_BASE_URL=${gateway.url}/v1\nANTHROPIC_BASE_URL=${gateway.url}\n`
      )
    })
  )

  it.live("are those of OLLAMA_HOSTS, or those that run on this machine", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ text: "Yes" }, { models: ["m:latest"] })
      const listed = yield* Gateway.serve([], { env: { OLLAMA_HOSTS: server.url } })
      expect(yield* modelsOf(listed)).toEqual(["m:latest"])
      const found = yield* Gateway.serve([], { usualPorts: { 11434: server.url } })
      expect(yield* modelsOf(found)).toEqual(["m:latest"])
    })
  )

  it.live("may start later than the gateway", () =>
    Effect.gen(function* () {
      const { url } = yield* Effect.scoped(FakeServer.make())
      const gateway = yield* Gateway.serve(["--host", url])
      expect((yield* gateway.output).stderr).toContain(`${url}: no server is recognised there yet`)
      expect((yield* gateway.get("/health")).status).toBe(503)
      const { text } = yield* gateway.get("/status")
      expect(JSON.parse(text).hosts).toMatchObject([{ name: url, status: "missing" }])
      // A gateway is a server as well.
      const server = yield* FakeServer.make({ text: "Yes" }, { models: ["m:latest"] })
      yield* Gateway.serve(["--host", server.url, "--listen", new URL(url).port])
      while ((yield* gateway.get("/health")).status !== 200) yield* Effect.sleep("100 millis")
      const { text: answer } = yield* gateway.post("/api/chat", Gateway.chat("m", { stream: false }))
      expect(JSON.parse(answer).message.content).toBe("Yes")
    })
  )

  it.live("none: a demonstration for npm start, an error for a script", () =>
    Effect.gen(function* () {
      const gateway = yield* Gateway.serve([], { env: npmStart })
      expect((yield* gateway.output).stderr).toContain("DEMONSTRATION: the answers come from the built-in FAKE server")
      const { text } = yield* gateway.post("/api/chat", Gateway.chat("no-model"))
      const lines = text.trim().split("\n")
      expect(lines.length).toBeGreaterThan(10)
      expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ done: true })
      expect(text).toContain("fake")
      const result = yield* CommandLine.run(["serve", "--listen", "0"])
      expect(result).toMatchObject({ code: 1, stdout: "" })
      expect(result.stderr).toMatch(/^local-llm: no model server is running; [^\n]*--host, OLLAMA_HOSTS or --config\n$/)
    })
  )
})

describe("the address", () => {
  it.live.each<[args: ReadonlyArray<string>, message: RegExp]>([
    [["--listen", "0.0.0.0:0"], /0\.0\.0\.0 is reached by other machines.*"local-llm keys add NAME".*--no-keys/],
    [["--listen", "[::]:0"], /:: is reached by other machines/],
    [["--listen", "127.0.0.1:99999"], /--listen is HOST, HOST:PORT or PORT/],
    [["--listen", "a b"], /--listen is HOST, HOST:PORT or PORT/],
    [["--listen", "192.0.2.1:0", "--no-keys"], /this machine has no address 192\.0\.2\.1/],
    [["--alias", "x"], /--alias is NAME=MODEL/],
    [["--permits", "0"], /--permits is a whole number, 1 or more/],
    [["--stop-timeout", "soon"], /--stop-timeout is a time such as 90s/],
    [["--host", "ftp://a"], /--host "ftp:\/\/a": Expected an http or https address/],
    [["--host", "gpu-1", "--host", "localhost:99999"], /--host "localhost:99999": Expected an address such as/],
    [["--host", "http//gpu-1"], /--host "http\/\/gpu-1": Expected an address such as/],
    [["--host", "http://ann:secret@gpu-1"], /--host: Expected no user name or password/],
    [["--config", "/no/such.json"], /the file of --config cannot be read: there is no such file/],
    [["--keys", "/no/such.json"], /the file of --keys cannot be read: there is no such file/],
    [["--keys", "k.json", "--no-keys"], /--no-keys and a file of keys exclude each other/]
  ])("%j is an error of one line", ([args, message]) =>
    Effect.gen(function* () {
      const { url } = yield* FakeServer.make()
      const named = args.includes("--host") || args.includes("--config") ? args : [...args, "--host", url]
      const { code, stderr, stdout } = yield* CommandLine.run(["serve", ...named])
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
      expect(stderr).toMatch(/^local-llm: [^\n]+\n$/)
      expect(stderr).toMatch(message)
      expect(stderr).not.toContain("secret")
    })
  )

  it.live("may be one of all interfaces without keys if the user says so; hosts are told apart, and typos named", () =>
    Effect.gen(function* () {
      const { url } = yield* FakeServer.make()
      const hosts = [url, `${url}/`, "gpu.invalid"].flatMap((host) => ["--host", host])
      const gateway = yield* Gateway.serve([...hosts, "--listen", "0.0.0.0:0", "--no-keys"])
      expect((yield* gateway.get("/api/version")).status).toBe(200)
      const { stderr } = yield* gateway.output
      expect(stderr).toContain("local-llm serves 1 host at")
      expect(stderr).toContain("gpu.invalid: no server is recognised there yet (the name gpu.invalid is not found);")
    })
  )

  it.live("that is in use is an error that says what to do", () =>
    Effect.gen(function* () {
      const { url } = yield* FakeServer.make()
      const { port } = new URL(url)
      const { stderr } = yield* CommandLine.run(["serve", "--host", url, "--listen", port])
      expect(stderr).toBe(
        `local-llm: port ${port} of 127.0.0.1 is in use; name another one with --listen 127.0.0.1:PORT\n`
      )
    })
  )
})

describe("SIGHUP", () => {
  it.live("reads the file again, and cuts no stream", () =>
    Effect.gen(function* () {
      const slow = yield* FakeServer.make(
        { text: "a b c d e f g h", delay: { between: "150 millis" } },
        { models: ["slow:latest"] }
      )
      const other = yield* FakeServer.make({ text: "Other" }, { models: ["other:latest"] })
      const file = Path.join(makeFolder(), "gateway.json")
      const write = (config: unknown) => Effect.sync(() => Fs.writeFileSync(file, JSON.stringify(config)))
      yield* write({ hosts: [{ url: slow.url, name: "slow" }], aliases: { a: "slow" } })
      const gateway = yield* Gateway.serve(["--config", file])
      const answer = yield* Effect.forkChild(gateway.post("/api/chat", Gateway.chat("a")))
      yield* slow.until(({ requests }) => requests.some(({ path }) => path === "/api/chat"))

      yield* write({ hosts: [{ url: other.url, name: "other" }], aliases: { b: "other" } })
      yield* gateway.kill("SIGHUP")
      yield* gateway.until(({ stderr }) => stderr.includes("the settings were read again"))
      expect(yield* modelsOf(gateway)).toEqual(expect.arrayContaining(["other:latest", "b"]))
      const { text } = yield* Fiber.join(answer)
      expect(JSON.parse(text.trim().split("\n").at(-1) ?? "")).toMatchObject({ done: true })
      yield* Effect.sleep("300 millis")
      expect(yield* modelsOf(gateway)).toEqual(expect.not.arrayContaining(["slow:latest"]))
    })
  )

  it.live("keeps the settings while the file has mistakes, and shows each of them", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ text: "Yes" }, { models: ["m:latest"] })
      const file = Path.join(makeFolder(), "gateway.json")
      Fs.writeFileSync(file, JSON.stringify({ hosts: [{ url: server.url }] }))
      const gateway = yield* Gateway.serve(["--config", file])
      Fs.writeFileSync(file, JSON.stringify({ hosts: [{ url: "ftp://a" }], permits: 0 }))
      yield* gateway.kill("SIGHUP")
      yield* gateway.until(({ stderr }) => stderr.includes("stay as they were"))
      const { stderr } = yield* gateway.output
      expect(stderr).toContain(`${file}: hosts[0].url: Expected an http or https address\n`)
      expect(stderr).toContain(`${file}: permits: Expected a whole number, 1 or more\n`)
      expect(stderr).toContain(`${file} has 2 mistakes; the settings stay as they were\n`)
      expect(yield* modelsOf(gateway)).toEqual(["m:latest"])
    })
  )
})

describe("SIGTERM", () => {
  const startAnswer = Effect.fnUntraced(function* (args: ReadonlyArray<string>, text: string) {
    const server = yield* FakeServer.make({ text, delay: { between: "100 millis" } }, { models: ["m:latest"] })
    const gateway = yield* Gateway.serve(["--host", server.url, ...args])
    const answer = yield* Effect.forkChild(Effect.exit(gateway.post("/api/chat", Gateway.chat("m"))))
    yield* server.until(({ requests }) =>
      requests.some(({ bytesWritten, path }) => path === "/api/chat" && bytesWritten > 0)
    )
    yield* gateway.kill("SIGTERM")
    return { answer, gateway }
  })

  it.live("lets answers end, takes no new requests, and exits with 0", () =>
    Effect.gen(function* () {
      const { answer, gateway } = yield* startAnswer([], "a b c d e f g h i j")
      yield* gateway.until(({ stderr }) => stderr.includes("stopping: 1 running"))
      const refused = yield* Effect.promise(() =>
        fetch(`${gateway.url}/api/version`)
          .then(({ status }) => status)
          .catch(() => 0)
      )
      expect([0, 503]).toContain(refused)
      const exit = yield* Fiber.join(answer)
      expect(JSON.stringify(exit)).toContain('\\"done\\":true')
      expect((yield* gateway.result).code).toBe(0)
    })
  )

  it.live(
    "after the limit, ends answers with the last record of a failure, and with a status where none has begun",
    () =>
      Effect.gen(function* () {
        const server = yield* FakeServer.make(
          { text: "word ".repeat(1000), delay: { between: "100 millis" } },
          { models: ["m:latest"] }
        )
        const gateway = yield* Gateway.serve(["--host", server.url, "--permits", "7", "--stop-timeout", "300ms"])
        const rows = Object.values(Answers.rows)
        const streams = rows.map(({ body, path }) => Answers.send(gateway.url + path, { ...body, stream: true }))
        yield* Effect.promise(() => Promise.all(streams.map(({ until }) => until((text) => text.includes("word")))))
        // The first one is generated, and the others wait for a permit.
        const wholes = rows.map(({ body, path }) => Answers.send(gateway.url + path, { ...body, stream: false }))
        yield* server.until(({ requests }) => requests.filter(({ path }) => path === "/api/chat").length >= 6)
        // A page that shows the status does not hold the gateway up.
        const page = Answers.send(`${gateway.url}/status`, undefined, { headers: { accept: "text/event-stream" } })
        yield* Effect.promise(() => page.until((text) => text.includes("data:")))
        yield* gateway.kill("SIGTERM")
        const ended = yield* Effect.promise(() => Promise.all(streams.map(({ seen }) => seen)))
        for (const [i, { end, failure }] of rows.entries()) {
          const { isWhole, text } = ended[i] ?? {}
          expect(isWhole).toBe(true)
          expect(text).toMatch(failure)
          expect(text).not.toContain(end)
        }
        const refused = yield* Effect.promise(() => Promise.all(wholes.map(({ seen }) => seen)))
        expect(refused.map(({ headers, status }) => [status, headers["retry-after"]])).toEqual(
          rows.map(() => [503, "1"])
        )
        const errors = refused.map(({ text }): unknown => JSON.parse(text).error)
        expect(errors.slice(0, 2)).toEqual(["The gateway is stopping", "The gateway is stopping"])
        for (const error of errors.slice(2)) expect(error).toMatchObject({ message: "The gateway is stopping" })
        expect((yield* Effect.promise(() => page.seen)).isWhole).toBe(true)
        expect((yield* gateway.result).code).toBe(0)
      })
  )

  it.live("ends answers at once the second time", () =>
    Effect.gen(function* () {
      const { answer, gateway } = yield* startAnswer([], "a ".repeat(1000))
      yield* gateway.until(({ stderr }) => stderr.includes("stopping"))
      yield* gateway.kill("SIGTERM")
      expect((yield* gateway.result).code).toBe(0)
      expect(JSON.stringify(yield* Fiber.join(answer))).toContain('\\"error\\":')
    })
  )
})
