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

const run = Effect.fnUntraced(function* (args: ReadonlyArray<string>, options: FakeServer.Script = script) {
  const server = yield* FakeServer.make(options, { models: ["m:latest", "n:latest"] })
  const result = yield* CommandLine.run(args, { env: { OLLAMA_HOST: server.url } })
  const { requests } = yield* server.state
  return { ...result, requests }
})

describe("commands", () => {
  it.live.each<[args: ReadonlyArray<string>, stdout: string | RegExp, method?: string, path?: string, body?: object]>([
    [["rm", "m"], "deleted m\n", "DELETE", "/api/delete", { model: "m" }],
    [["cp", "m", "n"], "created n\n", "POST", "/api/copy", { source: "m", destination: "n" }],
    [["load", "m"], "loaded m\n", "POST", "/api/generate", { model: "m" }],
    [["unload", "m"], "unloaded m\n", "POST", "/api/generate", { model: "m", keep_alive: 0 }],
    [["rm", "m", "--json"], '{"model":"m","status":"deleted"}\n'],
    [["ps"], /^Ollama {2}m:latest {2}4\.0 GB {2}8192 tokens\n$/],
    [["show", "m"], /^server +Ollama\n.*family +llama\n.*license +MIT\n$/s],
    [["pull", "m"], `pulling manifest\nlayer sha256:aaaaaaaaaaaa: 2.0 GB\nverifying sha256 digest\nsuccess\n`],
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
    [
      ["pull", "x"],
      ndjson([{ status: "pulling manifest" }, { error: "pull model manifest: file does not exist" }]),
      '"x"'
    ],
    [["pull", "x"], ndjson(reports.slice(0, 3)), "incomplete"],
    [["rm"], script, "model"],
    [["show", "me", "the", "way"], script, "put -- before it"]
  ])("%j fails with one line and exit code 1", ([args, script, message]) =>
    Effect.gen(function* () {
      const { code, stderr } = yield* run(args, ({ path, ...request }) =>
        path === "/api/tags" || path === "/api/version"
          ? { text: "" }
          : typeof script === "function"
            ? script({ path, ...request })
            : script
      )
      expect(code).toBe(1)
      expect(stderr).toContain(message)
      expect(stderr.trim().split("\n").length).toBe(1)
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

  it.live("an interrupted pull closes its connection", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(({ path }) =>
        path === "/api/pull" ? { ...ndjson(reports.slice(0, 3)), holdOpen: true } : { text: "" }
      )
      const running = yield* CommandLine.start(["pull", "m"], { env: { OLLAMA_HOST: server.url } })
      yield* running.until(({ stdout }) => stdout.includes("layer"))
      yield* running.kill("SIGINT")
      expect((yield* running.result).code).toBe(130)
      yield* server.until(({ requests }) => requests.at(-1)?.outcome === "cut-by-client")
    })
  )

  it.live.skipIf(!CommandLine.hasTerminals)(
    "a pull has a bar on a terminal, without control sequences of the server",
    () =>
      Effect.gen(function* () {
        const server = yield* FakeServer.make(({ path }) =>
          path === "/api/pull" ? ndjson([{ status: "\u001B[2Jevil" }, ...reports]) : { text: "" }
        )
        const { code, stdout } = yield* CommandLine.runOnTerminal(["pull", "m"], { env: { OLLAMA_HOST: server.url } })
        expect(code).toBe(0)
        expect(stdout).toContain("█".repeat(24))
        expect(stdout).toContain("100 %, 2.0 GB of 2.0 GB")
        expect(stdout).not.toContain("\u001B[2J")
      })
  )
})
