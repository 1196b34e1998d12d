/** The command line as a process: its requests, its output and its exit code. */
import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { Piece } from "../../src/testing/FakeServer.ts"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"

interface Row {
  readonly name: string
  readonly provider: string
  readonly variable: string
  readonly path: string
  /** What is requested before the answer although server and model are named. Default: nothing. */
  readonly before?: ReadonlyArray<string>
  /** What has to be named besides the address. Default: nothing. */
  readonly flags?: ReadonlyArray<string>
}

const servers: ReadonlyArray<Row> = [
  { name: "Ollama", provider: "ollama", variable: "OLLAMA_HOST", path: "/api/chat" },
  { name: "LM Studio", provider: "lmstudio", variable: "LMSTUDIO_BASE_URL", path: "/v1/chat/completions" },
  {
    name: "llama-server",
    provider: "llama-server",
    variable: "LLAMA_SERVER_URL",
    path: "/v1/chat/completions",
    before: ["GET /health"]
  },
  {
    name: "OpenAI-compatible server",
    provider: "openai",
    variable: "OPENAI_BASE_URL",
    path: "/v1/chat/completions",
    flags: ["--provider", "openai"]
  }
]

const lines = (text: string): ReadonlyArray<string> => text.split("\n").filter((line) => line !== "")

describe.for(servers)("$name", ({ before = [], flags = [], name, path, provider, variable }) => {
  it.live("is found by its variable, and its answer is printed while it arrives", () =>
    Effect.gen(function* () {
      const wasPrinted = yield* Deferred.make<void>()
      const pieces: Stream.Stream<Piece> = Stream.concat(
        Stream.make("Rayleigh "),
        Stream.fromEffect(Effect.as(Deferred.await(wasPrinted), "scattering."))
      )
      const server = yield* FakeServer.make({ pieces, delay: { between: "150 millis" } })
      const command = yield* CommandLine.start([...flags, "Why is the sky blue?"], { env: { [variable]: server.url } })
      yield* command.until(({ stdout }) => stdout === "Rayleigh ")
      yield* Deferred.succeed(wasPrinted, undefined)

      const { code, stderr, stdout } = yield* command.result
      expect(stdout).toBe("Rayleigh scattering.\n")
      expect(lines(stderr)).toHaveLength(1)
      expect(stderr).toMatch(
        new RegExp(
          `^fake:latest on ${name} · 2 tokens after 10 of the prompt · first after [\\d.]+ s · [\\d.]+ tokens/s\n$`
        )
      )
      expect(code).toBe(0)
    })
  )

  it.live("gets the values of the flags", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make()
      const flags = ["--model", "m", "--system", "Be brief.", "--temperature", "0.5", "--max-tokens", "7"]
      const args = ["chat", "--provider", provider, "--url", server.url, ...flags, "Why?"]
      const { code } = yield* CommandLine.run(args)
      expect(code).toBe(0)

      const { requests } = yield* server.state
      expect(requests.map(({ method, path }) => `${method} ${path}`)).toEqual([...before, `POST ${path}`])
      const settings =
        provider === "ollama" ? { options: { temperature: 0.5, num_predict: 7 } } : { temperature: 0.5, max_tokens: 7 }
      expect(requests.at(-1)?.body).toMatchObject({
        model: "m",
        messages: [
          { role: "system", content: "Be brief." },
          { role: "user", content: "Why?" }
        ],
        ...settings
      })
    })
  )

  it.live("keeps thinking out of the answer", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ thinking: "hm, well", text: "Rayleigh." })
      const { stderr, stdout } = yield* CommandLine.run([...flags, "Why?"], { env: { [variable]: server.url } })
      expect(stdout).toBe("Rayleigh.\n")
      expect(stderr).toMatch(/^hm, well\n\nfake:latest on /)
    })
  )

  it.live.each([
    { signal: "SIGINT", code: 130 },
    { signal: "SIGTERM", code: 143 }
  ] as const)("stops generating on $signal, exit code $code", ({ code, signal }) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ pieces: FakeServer.endless("again "), delay: { between: "5 millis" } })
      const command = yield* CommandLine.start([...flags, "Why?"], { env: { [variable]: server.url } })
      yield* command.until(({ stdout }) => stdout.startsWith("again again"))
      yield* command.kill(signal)
      yield* server.until(({ requests }) => requests.at(-1)?.outcome === "cut-by-client")
      const result = yield* command.result
      expect({ code: result.code, stderr: result.stderr }).toEqual({ code, stderr: "\n" })
    })
  )

  it.live("stops generating when the reader of the output has gone, exit code 141", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ pieces: FakeServer.endless("again "), delay: { between: "5 millis" } })
      const command = yield* CommandLine.start([...flags, "Why?"], { env: { [variable]: server.url } })
      yield* command.until(({ stdout }) => stdout.startsWith("again again"))
      yield* command.closeStdout
      yield* server.until(({ requests }) => requests.at(-1)?.outcome === "cut-by-client")
      const { code, stderr } = yield* command.result
      expect({ code, stderr }).toEqual({ code: 141, stderr: "\n" })
    })
  )

  it.live("that breaks: the text so far is printed, then one line, exit code 1", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ text: "Rayleigh scattering.", cut: { how: "end" } })
      const { code, stderr, stdout } = yield* CommandLine.run([...flags, "Why?"], { env: { [variable]: server.url } })
      expect(stdout).toBe("Rayleigh scattering.")
      expect(stderr).toMatch(
        new RegExp(`^\nlocal-llm: ${name} \\([^)]*\\): the answer ended without its end marker[^\n]*\n$`)
      )
      expect(code).toBe(1)
    })
  )

  it.live("that answers with an error status: one line, exit code 1", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(({ method }): FakeServer.Answer =>
        method === "GET" ? {} : { status: 503, body: { error: "server busy,\nplease try again" } }
      )
      const { code, stderr, stdout } = yield* CommandLine.run([...flags, "Why?"], { env: { [variable]: server.url } })
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
      expect(stderr).toMatch(
        new RegExp(`^local-llm: ${name} \\([^)]*\\): the server answered with status 503[^\n]*\n$`)
      )
    })
  )

  it.live("that is named and not there: one line that says what to do, exit code 1", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* CommandLine.run([
        "--provider",
        provider,
        "--url",
        CommandLine.nowhere,
        "Why?"
      ])
      expect(stderr).toMatch(
        new RegExp(
          `^local-llm: ${name} \\([^)]*\\): .*ECONNREFUSED 127.0.0.1:1 \\(is the server running\\?\\)[^\n]*\n$`
        )
      )
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
    })
  )
})

describe("which model", () => {
  it.live("is the first that can chat, or else one of the next server", () =>
    Effect.gen(function* () {
      const embedder = yield* FakeServer.make({}, { models: ["nomic-embed-text:latest"] })
      const server = yield* FakeServer.make(
        {},
        { models: ["text-embedding-nomic-embed-text-v1.5", "qwen3-8b", "other"] }
      )
      const env = { OLLAMA_HOST: embedder.url, LMSTUDIO_BASE_URL: server.url }
      const { stderr } = yield* CommandLine.run(["Why?"], { env })
      expect(stderr).toMatch(/^Ollama [^\n ]+: there is no model to chat with[^\n]*\nqwen3-8b on LM Studio · /)
    })
  )

  it.live("of embed is the first that is made for it, or else one of the next server", () =>
    Effect.gen(function* () {
      const chat = yield* FakeServer.make({}, { models: ["qwen3:latest"] })
      const server = yield* FakeServer.make({}, { models: ["qwen3-8b", "text-embedding-nomic-embed-text-v1.5"] })
      const env = { OLLAMA_HOST: chat.url, LMSTUDIO_BASE_URL: server.url }
      const { stderr } = yield* CommandLine.run(["embed", "a"], { env })
      expect(stderr).toBe(
        `Ollama (${chat.url}): there is no embedding model; get one there first, or name a model with --model\n`
      )
      const { requests } = yield* server.state
      const sent = requests.find(({ path }) => path === "/v1/embeddings")
      expect(sent?.body).toMatchObject({ model: "text-embedding-nomic-embed-text-v1.5" })
      expect((yield* CommandLine.run(["embed", "a"], { env: { OLLAMA_HOST: chat.url } })).code).toBe(1)
    })
  )

  it.live("is missing on the host that an error names", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ text: "Yes" })
      const empty = yield* FakeServer.make({}, { models: [] })
      const { code, stderr, stdout } = yield* CommandLine.run(["--host", server.url, "--host", empty.url, "Why?"])
      expect({ code, stdout }).toEqual({ code: 0, stdout: "Yes\n" })
      expect(stderr).toContain(`(${empty.url}): there is no model to chat with`)
    })
  )

  it.live("is the one that is named, on the server that has it", () =>
    Effect.gen(function* () {
      const ollama = yield* FakeServer.make({}, { models: ["a:latest"] })
      const lmStudio = yield* FakeServer.make({}, { models: ["b"] })
      const env = { OLLAMA_HOST: ollama.url, LMSTUDIO_BASE_URL: lmStudio.url }
      const [onLmStudio, onOllama, onNone] = yield* Effect.all(
        ["b", "a", "c"].map((model) => CommandLine.run(["--model", model, "Why?"], { env })),
        { concurrency: "unbounded" }
      )
      expect(onLmStudio?.stderr).toMatch(/\nb on LM Studio · /)
      expect(onOllama?.stderr).toMatch(/\na on Ollama · /)
      expect(onNone).toEqual({
        code: 1,
        stdout: "",
        stderr:
          `local-llm: Ollama (${ollama.url}): there is no model "c"; it has a:latest; ` +
          `LM Studio (${lmStudio.url}): there is no model "c"; it has b\n`
      })
    })
  )

  it.live("is asked of LM Studio if the server lists models on Ollama's path but reports no version", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(({ path }): FakeServer.Answer =>
        path === "/api/version" || path === "/health" ? { status: 404 } : {}
      )
      const { stderr } = yield* CommandLine.run(["--url", server.url, "Why?"])
      expect(stderr).toMatch(/^fake:latest on LM Studio · /)
    })
  )
})

describe("models", () => {
  it.live("lists the models of all servers", () =>
    Effect.gen(function* () {
      const ollama = yield* FakeServer.make({}, { models: ["llama3.2:latest", "a:latest"] })
      const lmStudio = yield* FakeServer.make({}, { models: ["qwen3-8b"] })
      const env = { OLLAMA_HOST: ollama.url, LMSTUDIO_BASE_URL: lmStudio.url }
      expect(yield* CommandLine.run(["models"], { env })).toEqual({
        code: 0,
        stdout:
          "Ollama\tllama3.2:latest\t3.2B\tQ4_K_M\t2.0 GB\t131072 tokens\n" +
          "Ollama\ta:latest\t3.2B\tQ4_K_M\t2.0 GB\t131072 tokens\n" +
          "LM Studio\tqwen3-8b\t\t\t\t\n",
        stderr: ""
      })
    })
  )

  it.live("fails without any server", () =>
    Effect.gen(function* () {
      expect(yield* CommandLine.run(["models"])).toEqual({
        code: 1,
        stdout: "",
        stderr:
          "local-llm: no model server is running (Ollama: nothing listens on 127.0.0.1:11434; " +
          "llama-server: nothing listens on 127.0.0.1:8080; LM Studio: nothing listens on 127.0.0.1:1234); start one, or name one with --url\n"
      })
    })
  )
})
