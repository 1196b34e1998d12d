/** The commands for the models of a server. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"

const digest = `sha256:${"a".repeat(64)}`
const reports = [
  { status: "pulling manifest" },
  { status: `pulling ${digest}`, digest, total: 2e9 },
  { status: `pulling ${digest}`, digest, total: 2e9, completed: 1e9 },
  { status: `pulling ${digest}`, digest, total: 2e9, completed: 2e9 },
  { status: "verifying sha256 digest" },
  { status: "success" }
]
const ndjson = (values: ReadonlyArray<object>): FakeServer.Reply => ({
  status: 200,
  headers: { "content-type": "application/x-ndjson" },
  body: values.map((value) => `${JSON.stringify(value)}\n`).join("")
})

const running = {
  models: [{ name: "m:latest", size: 4e9, size_vram: 4e9, context_length: 8192, expires_at: "2999-01-01T00:00:00Z" }]
}
const shown = {
  details: { family: "llama", parameter_size: "8.0B", quantization_level: "Q4_K_M" },
  capabilities: ["completion", "tools"],
  model_info: { "llama.context_length": 131_072 },
  template: "{{ .Prompt }}",
  license: "MIT"
}

const missing = { status: 404, body: { error: "model 'x' not found" } }

const script: FakeServer.Script = ({ path }) => {
  if (path === "/api/pull") return ndjson(reports)
  if (path === "/api/ps") return { status: 200, body: running }
  if (path === "/api/show") return { status: 200, body: shown }
  if (path === "/api/generate") return { status: 200, body: { done: true } }
  if (path === "/api/delete" || path === "/api/copy") return { status: 200, body: {} }
  return { text: "Yes" }
}

/** What `ps` shows of a model that is unloaded at a time. */
const expiries: ReadonlyArray<readonly [expires_at: string, cell: RegExp]> = [
  ["2318-07-05T12:20:30.123456789Z", /\talways\n$/],
  ["2318-07-05T12:20:30.123456789+02:00", /\talways\n$/],
  [new Date(Date.now() + 250_000).toISOString(), /\tfor (?:4m|3m)[^\t]*\n$/],
  ["0001-01-01T00:00:00Z", /tokens\t\n$/],
  ["soon", /tokens\t\n$/]
]

const run = Effect.fnUntraced(function* (args: ReadonlyArray<string>, options: FakeServer.Script = script) {
  const server = yield* FakeServer.make(options, { models: ["m:latest", "n:latest"] })
  const result = yield* CommandLine.run(args, { env: { OLLAMA_HOST: server.url } })
  const { requests } = yield* server.state
  return { ...result, requests }
})

describe("commands", () => {
  it.live.each(expiries)("ps shows until when a model is kept: %s", ([expires_at, cell]) =>
    Effect.gen(function* () {
      const models = [{ name: "m:latest", context_length: 8192, expires_at }]
      const { stdout } = yield* run(["ps"], ({ path }) =>
        path === "/api/ps" ? { status: 200, body: { models } } : { text: "" }
      )
      expect(stdout).toMatch(cell)
    })
  )

  it.live.each<[args: ReadonlyArray<string>, stdout: string | RegExp, method?: string, path?: string, body?: object]>([
    [["rm", "m"], "deleted m\n", "DELETE", "/api/delete", { model: "m" }],
    [["load", "m"], "loaded m\n", "POST", "/api/generate", { model: "m" }],
    [["unload", "m"], "unloaded m\n", "POST", "/api/generate", { model: "m", keep_alive: 0 }],
    [["rm", "m", "--json"], '{"model":"m","status":"deleted"}\n'],
    [["rm", "m", "n"], "deleted m\ndeleted n\n", "DELETE", "/api/delete", { model: "m" }],
    [["cp", "m", "x"], "created x\n", "POST", "/api/copy", { source: "m", destination: "x" }],
    [["cp", "m", "n", "--force"], "created n\n", "POST", "/api/copy", { source: "m", destination: "n" }],
    [
      ["load", "m", "--context", "4096", "--keep-alive", "90s"],
      "loaded m\n",
      "POST",
      "/api/generate",
      { model: "m", keep_alive: 90, options: { num_ctx: 4096 } }
    ],
    [["load", "m", "--keep-alive", "always"], "loaded m\n", "POST", "/api/generate", { model: "m", keep_alive: -1 }],
    [["ps"], /^Ollama\tm:latest\t4\.0 GB\t8192 tokens\talways\n$/],
    [["show", "m"], /^server\tOllama\n.*family\tllama\n.*license\tMIT\n$/s],
    [["embed", "-m", "m", "abc"], /^\[[\d.,]+\]\n$/]
  ])("%j", ([args, stdout, method, path, body]) =>
    Effect.gen(function* () {
      const result = yield* run(args)
      expect(result.stderr).toBe("")
      expect(result.stdout).toMatch(stdout)
      expect(result.code).toBe(0)
      if (body !== undefined) {
        expect(result.requests.find((request) => request.path === path)).toMatchObject({ method, body })
      }
    })
  )

  it.live("print JSON", () =>
    Effect.gen(function* () {
      const parse = (args: ReadonlyArray<string>) => Effect.map(run(args), ({ stdout }): unknown => JSON.parse(stdout))
      expect(yield* parse(["ps", "--json"])).toMatchObject([{ provider: "Ollama", id: "m:latest", memoryBytes: 4e9 }])
      expect(yield* parse(["show", "m", "--json"])).toMatchObject({ license: "MIT", contextLength: 131_072 })
      expect(yield* parse(["models", "--json"])).toMatchObject([{ id: "m:latest" }, { id: "n:latest" }])
      expect(yield* parse(["embed", "-m", "m", "--json", "a"])).toMatchObject({ vectors: [expect.any(Array)] })
      const { stdout } = yield* run(["pull", "m", "--json"])
      const lines = stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
      expect(lines.at(-1)).toMatchObject({ isFinal: true, completedBytes: 2e9, totalBytes: 2e9 })
    })
  )

  it.live.each<[args: ReadonlyArray<string>, script: FakeServer.Script, message: string]>([
    [["show", "x"], ({ path }) => (path === "/api/show" ? missing : { text: "" }), '"x"'],
    [["rm"], script, "model"],
    [["rm", "m", "x", "y"], script, 'there is no model "x", "y"; nothing was deleted; "local-llm models"'],
    [["rm", "x"], script, 'there is no model "x"; "local-llm models"'],
    [["cp", "m", "n"], script, 'there is a model "n" already; --force replaces it'],
    [["cp", "x", "y"], ({ path }) => (path === "/api/copy" ? missing : { text: "" }), '"x"'],
    [["load", "m", "--keep-alive", "soon"], script, "--keep-alive is a time such as 90s, 10m or 2h, or always"],
    [["load", "m", "--keep-alive", "-1"], script, "--keep-alive is a time"],
    [["load", "m", "--context", "0"], script, "invalid --context"],
    [["embed"], script, 'for example: local-llm embed "'],
    [["embed", "--lines", "-m", "m", "x"], script, "--lines reads the texts from standard input"],
    [["show", "me", "the", "way"], script, "put -- before it"]
  ])("%j fails with one line and exit code 1", ([args, script, message]) =>
    Effect.gen(function* () {
      const { code, requests, stderr } = yield* run(args, ({ path, ...request }) =>
        path === "/api/tags" || path === "/api/version"
          ? { text: "" }
          : typeof script === "function"
            ? script({ path, ...request })
            : script
      )
      expect(code).toBe(1)
      expect(stderr).toContain(message)
      expect(stderr.trim().split("\n").length).toBe(1)
      expect(requests.filter(({ method }) => method === "DELETE")).toEqual([])
    })
  )

  it.live("a server that cannot do it is named", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make()
      const env = { LMSTUDIO_BASE_URL: server.url }
      const { code, stderr } = yield* CommandLine.run(["rm", "m", "--provider", "lmstudio"], { env })
      expect(code).toBe(1)
      expect(stderr).toBe("local-llm: LM Studio: cannot delete models; name another server with --provider or --url\n")
    })
  )

  it.live.each<[args: ReadonlyArray<string>]>([[["ps"]], [["rm", "m"]], [["show", "m"]], [["models"]]])(
    "%j: a server that fails is reported once",
    ([args]) =>
      Effect.gen(function* () {
        const broken = yield* FakeServer.make({ status: 500, body: { error: "out of order" } })
        const server = yield* FakeServer.make(script, { models: ["m:latest"] })
        const env = { OLLAMA_HOST: server.url, LMSTUDIO_BASE_URL: broken.url }
        const { code, stderr } = yield* CommandLine.run([...args, "--json"], { env })
        expect(code).toBe(0)
        expect(stderr).toMatch(/^LM Studio [^\n]*out of order\n$/)
      })
  )

  it.live.each<[kind: string, variable: string, script: FakeServer.Script]>([
    [
      "llama-server",
      "LLAMA_SERVER_URL",
      ({ path }) => {
        if (path === "/health") return { status: 200, headers: { server: "llama.cpp" }, body: { status: "ok" } }
        if (path === "/v1/models") return { status: 200, body: { data: [{ id: "/models/m.gguf", aliases: ["m"] }] } }
        return { status: 200, body: { default_generation_settings: { n_ctx: 512 } } }
      }
    ],
    [
      "lmstudio",
      "LMSTUDIO_BASE_URL",
      ({ path }) => {
        if (path === "/lmstudio-greeting") return { status: 200, body: { lmstudio: true } }
        if (path === "/v1/models") return { status: 200, body: { data: [{ id: "m" }, { id: "n" }] } }
        const loaded = { id: "m", config: { context_length: 512 } }
        const models = [
          { type: "llm", key: "m", loaded_instances: [loaded] },
          { type: "llm", key: "n", loaded_instances: [] }
        ]
        return { status: 200, body: { models } }
      }
    ]
  ])("%s: ps and show agree on what is in memory, and a model that is not there is an error", ([, variable, script]) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(script)
      const run = (...args: ReadonlyArray<string>) => CommandLine.run(args, { env: { [variable]: server.url } })
      const ps = yield* run("ps")
      expect(ps.stdout).toMatch(/^[^\t\n]*\t[^\t]*\bm(?:\.gguf)?\t\t512 tokens\t\n$/)
      expect((yield* run("show", "m")).stdout).toMatch(/isLoaded\s+true\n/)
      const missing = yield* run("show", "whatever")
      expect(missing.code).toBe(1)
      expect(missing.stdout).toBe("")
      expect(missing.stderr).toContain('the model "whatever" is not available')
    })
  )

  it.live("the servers are searched once for several names", () =>
    Effect.gen(function* () {
      const { requests } = yield* run(["rm", "m", "n"])
      expect(requests.filter(({ path }) => path === "/api/tags")).toHaveLength(1)
    })
  )

  it.live.each<[args: ReadonlyArray<string>, variable: string, message: string]>([
    [["load", "m", "--keep-alive", "5m"], "LMSTUDIO_BASE_URL", "LM Studio: --keep-alive has no effect there"],
    [["load", "m", "--context", "5"], "LLAMA_SERVER_URL", "llama-server: --context has no effect there"]
  ])("%j: a flag that a server ignores is an error", ([args, variable, message]) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make()
      const { code, stderr } = yield* CommandLine.run(args, { env: { [variable]: server.url } })
      expect({ code, stderr }).toEqual({ code: 1, stderr: `local-llm: ${message}; leave it out\n` })
    })
  )
})

describe("embed", () => {
  it.live("takes the text from standard input as one, with the words before it", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({}, { models: ["m:latest"] })
      const options = { env: { OLLAMA_HOST: server.url }, input: "a\nb\n" }
      const { stdout } = yield* CommandLine.run(["embed", "-m", "m", "first"], options)
      expect(JSON.parse(stdout)).toHaveLength(26)
      expect((yield* server.state).requests.at(-1)?.body).toMatchObject({ input: ["first\n\na\nb\n"] })
    })
  )

  it.live("--lines: a vector for each line that is not blank, in their order, in requests of limited size", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({}, { models: ["m:latest"] })
      const texts = Array.from({ length: 70 }, (_, index) => "a".repeat(index + 1))
      const options = { env: { OLLAMA_HOST: server.url }, input: texts.join("\n\n") }
      const { code, stdout } = yield* CommandLine.run(["embed", "-m", "m", "--lines"], options)
      expect(code).toBe(0)
      const lines = stdout.trim().split("\n")
      expect(lines).toHaveLength(70)
      for (const line of lines) expect(JSON.parse(line)).toHaveLength(26)
      const { requests } = yield* server.state
      expect(requests.filter(({ path }) => path === "/api/embed")).toHaveLength(3)
      const json = yield* CommandLine.run(["embed", "-m", "m", "--lines", "--json"], { ...options, input: "b\r\nc" })
      const values: ReadonlyArray<unknown> = json.stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
      expect(values).toMatchObject([{ text: "b" }, { text: "c" }])
    })
  )

  it.live("--lines needs text in UTF-8", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({}, { models: ["m:latest"] })
      const script = `printf 'a\\n\\377\\n' | ${CommandLine.shellCommand(["embed", "-m", "m", "--lines"])}`
      const { code, stderr } = yield* CommandLine.runShell(script, { env: { OLLAMA_HOST: server.url } })
      expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining("no text in UTF-8") })
    })
  )

  it.live("--json prints the vectors and the number of tokens", () =>
    Effect.gen(function* () {
      const { stdout } = yield* run(["embed", "-m", "m", "--json", "a"], { text: "" })
      expect(JSON.parse(stdout)).toMatchObject({ vectors: [expect.any(Array)], promptTokens: 1 })
    })
  )
})
