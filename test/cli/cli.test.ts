/** The command line as its users see it: a process, its output and its exit code. */
import { describe, expect, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Facts from "../../src/cli/facts.ts"
import type { Piece } from "../../src/testing/FakeServer.ts"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"

const servers = [
  { name: "Ollama", provider: "ollama", variable: "OLLAMA_HOST", path: "/api/chat" },
  { name: "LM Studio", provider: "lmstudio", variable: "LMSTUDIO_BASE_URL", path: "/v1/chat/completions" }
]

const lines = (text: string): ReadonlyArray<string> => text.split("\n").filter((line) => line !== "")

describe.for(servers)("$name", ({ name, path, provider, variable }) => {
  it.live("is found by its address, and its answer comes out as it comes in", () =>
    Effect.gen(function* () {
      const wasSeen = yield* Deferred.make<void>()
      const pieces: Stream.Stream<Piece> = Stream.concat(
        Stream.make("Rayleigh "),
        Stream.fromEffect(Effect.as(Deferred.await(wasSeen), "scattering."))
      )
      const server = yield* FakeServer.make({ pieces, delay: { between: "150 millis" } })
      const command = yield* CommandLine.start(["Why is the sky blue?"], { env: { [variable]: server.url } })
      yield* command.until(({ stdout }) => stdout === "Rayleigh ")
      yield* Deferred.succeed(wasSeen, undefined)

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

  it.live("is sent what the flags say", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make()
      const flags = ["--model", "m", "--system", "Be brief.", "--temperature", "0.5", "--max-tokens", "7"]
      const args = ["chat", "--provider", provider, "--url", server.url, ...flags, "Why?"]
      const { code } = yield* CommandLine.run(args)
      expect(code).toBe(0)

      const { requests } = yield* server.state
      expect(requests.map(({ method, path }) => `${method} ${path}`)).toEqual([`POST ${path}`])
      const settings =
        provider === "ollama" ? { options: { temperature: 0.5, num_predict: 7 } } : { temperature: 0.5, max_tokens: 7 }
      expect(requests[0]?.body).toMatchObject({
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
      const { stderr, stdout } = yield* CommandLine.run(["Why?"], { env: { [variable]: server.url } })
      expect(stdout).toBe("Rayleigh.\n")
      expect(stderr).toMatch(/^hm, well\n\nfake:latest on /)
    })
  )

  it.live("stops generating on Ctrl-C", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ pieces: FakeServer.endless("again "), delay: { between: "5 millis" } })
      const command = yield* CommandLine.start(["Why?"], { env: { [variable]: server.url } })
      yield* command.until(({ stdout }) => stdout.startsWith("again again"))
      yield* command.interrupt
      yield* server.until(({ requests }) => requests.at(-1)?.outcome === "cut-by-client")
      const { code, stderr } = yield* command.result
      expect({ code, stderr }).toEqual({ code: 130, stderr: "\n" })
    })
  )

  it.live("stops generating when nobody reads any more", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ pieces: FakeServer.endless("again "), delay: { between: "5 millis" } })
      const command = yield* CommandLine.start(["Why?"], { env: { [variable]: server.url } })
      yield* command.until(({ stdout }) => stdout.startsWith("again again"))
      yield* command.closeStdout
      yield* server.until(({ requests }) => requests.at(-1)?.outcome === "cut-by-client")
      expect((yield* command.result).code).toBe(0)
    })
  )

  it.live("that breaks leaves what came, one line and exit code 1", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ text: "Rayleigh scattering.", cut: { how: "end" } })
      const { code, stderr, stdout } = yield* CommandLine.run(["Why?"], { env: { [variable]: server.url } })
      expect(stdout).toBe("Rayleigh scattering.")
      expect(lines(stderr)).toEqual([
        `local-llm: ${name}: the answer ended without its end marker, so it is incomplete`
      ])
      expect(code).toBe(1)
    })
  )

  it.live("that refuses is described in one line", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(({ method }): FakeServer.Answer =>
        method === "GET" ? {} : { status: 503, body: { error: "server busy,\nplease try again" } }
      )
      const { code, stderr, stdout } = yield* CommandLine.run(["Why?"], { env: { [variable]: server.url } })
      expect({ code, stderr, stdout }).toEqual({
        code: 1,
        stdout: "",
        stderr: `local-llm: ${name}: the server answered with status 503: the server is busy\n`
      })
    })
  )

  it.live("that was named and is not there is an error", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* CommandLine.run(["--provider", provider, "Why?"])
      expect(stderr).toMatch(new RegExp(`^local-llm: ${name}: the connection failed: ECONNREFUSED 127.0.0.1:1 .*\n$`))
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
    })
  )
})

describe("which model", () => {
  it.live("the first that can chat, or else the next server's", () =>
    Effect.gen(function* () {
      const embedder = yield* FakeServer.make({}, { models: ["nomic-embed-text:latest"] })
      const server = yield* FakeServer.make(
        {},
        { models: ["text-embedding-nomic-embed-text-v1.5", "qwen3-8b", "other"] }
      )
      const env = { OLLAMA_HOST: embedder.url, LMSTUDIO_BASE_URL: server.url }
      const { stderr } = yield* CommandLine.run(["Why?"], { env })
      expect(stderr).toMatch(/^qwen3-8b on LM Studio · /)
    })
  )

  it.live("the one that was named, wherever it is", () =>
    Effect.gen(function* () {
      const ollama = yield* FakeServer.make({}, { models: ["a:latest"] })
      const lmStudio = yield* FakeServer.make({}, { models: ["b"] })
      const env = { OLLAMA_HOST: ollama.url, LMSTUDIO_BASE_URL: lmStudio.url }
      const [onLmStudio, onOllama, nowhere] = yield* Effect.all(
        ["b", "a", "c"].map((model) => CommandLine.run(["--model", model, "Why?"], { env })),
        { concurrency: "unbounded" }
      )
      expect(onLmStudio?.stderr).toMatch(/^b on LM Studio · /)
      expect(onOllama?.stderr).toMatch(/^a on Ollama · /)
      expect(nowhere).toEqual({
        code: 1,
        stdout: "",
        stderr: 'local-llm: Ollama: no model "c" there; it has a:latest; LM Studio: no model "c" there; it has b\n'
      })
    })
  )

  it.live("a server that lists on Ollama's path without being one is asked as LM Studio", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(({ path }): FakeServer.Answer =>
        path === "/api/version" ? { status: 404 } : {}
      )
      const { stderr } = yield* CommandLine.run(["--url", server.url, "Why?"])
      expect(stderr).toMatch(/^fake:latest on LM Studio · /)
    })
  )
})

describe("models", () => {
  it.live("lists what all servers have", () =>
    Effect.gen(function* () {
      const ollama = yield* FakeServer.make({}, { models: ["llama3.2:latest", "a:latest"] })
      const lmStudio = yield* FakeServer.make({}, { models: ["qwen3-8b"] })
      const env = { OLLAMA_HOST: ollama.url, LMSTUDIO_BASE_URL: lmStudio.url }
      expect(yield* CommandLine.run(["models"], { env })).toEqual({
        code: 0,
        stdout:
          "Ollama  llama3.2:latest  3.2B  Q4_K_M  2.0 GB  131072 tokens\n" +
          "Ollama  a:latest         3.2B  Q4_K_M  2.0 GB  131072 tokens\n" +
          "LM Studio  qwen3-8b\n",
        stderr: ""
      })
    })
  )

  it.live("is an error where no server is", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* CommandLine.run(["models"])
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
      expect(stderr).toMatch(/^local-llm: Ollama: the connection failed: .*; LM Studio: the connection failed: .*\n$/)
    })
  )
})

describe("the prompt", () => {
  it.live("comes from standard input if it is no argument", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make()
      const args = ["--url", server.url]
      expect((yield* CommandLine.run(args, { input: "Why is\nthe sky blue?\n" })).code).toBe(0)
      const { requests } = yield* server.state
      expect(requests.at(-1)?.body).toMatchObject({
        messages: [{ role: "user", content: "Why is\nthe sky blue?\n" }]
      })
    })
  )

  it.live("must not be empty", () =>
    Effect.gen(function* () {
      const { code, stderr } = yield* CommandLine.run([])
      expect({ code, stderr }).toEqual({ code: 1, stderr: "local-llm: the prompt is empty\n" })
    })
  )
})

describe("without any server", () => {
  it.live("a fake answer streams, and says what it is", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* CommandLine.run(["Why?"])
      expect(code).toBe(0)
      expect(stdout).toMatch(/^This is the built-in fake server speaking, not a model/)
      expect(lines(stderr)).toEqual([
        expect.stringMatching(
          /^No model found \(Ollama: the connection failed: .*; LM Studio: the connection failed: .*\)\.$/
        ),
        "The answer comes from the built-in FAKE server; nothing in it is a model's.",
        expect.stringMatching(/^no-model on the fake server · /)
      ])
    })
  )
})

describe("flags", () => {
  it.live("that are wrong are explained", () =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* CommandLine.run(["--nope", "Why?"])
      expect(code).toBe(1)
      expect(stdout).toContain("USAGE")
      expect(stderr).toContain("Unrecognized flag: --nope")
    })
  )
})

describe("the line of facts", () => {
  const times = { asked: 1000, first: 1250, ended: 3250 }

  it("takes the speed from our clock if the server tells no time", () => {
    const chunk = { model: "m", finishReason: "stop", usage: { promptTokens: 26, completionTokens: 101 } } as const
    expect(Facts.describe("Ollama", chunk, times)).toBe(
      "m on Ollama · 101 tokens after 26 of the prompt · first after 0.25 s · 50.0 tokens/s"
    )
  })

  it("takes the speed from the server's clock if it tells", () => {
    const timings = { completion: Duration.seconds(4) }
    const chunk = { model: "m", finishReason: "stop", usage: { completionTokens: 100 }, timings } as const
    expect(Facts.describe("Ollama", chunk, times)).toBe("m on Ollama · 100 tokens · first after 0.25 s · 25.0 tokens/s")
  })

  it("invents nothing", () => {
    expect(Facts.describe("Ollama", { model: "m", finishReason: "length" }, times)).toBe(
      "m on Ollama · first after 0.25 s · ended by length"
    )
    const tooFast = { model: "m", finishReason: "stop", usage: { completionTokens: 9 } } as const
    expect(Facts.describe("Ollama", tooFast, { ...times, ended: times.first + 2 })).toBe(
      "m on Ollama · 9 tokens · first after 0.25 s"
    )
    expect(Facts.describe("Ollama", { model: "m", finishReason: "stop" }, { ...times, first: undefined })).toBe(
      "m on Ollama"
    )
  })
})
