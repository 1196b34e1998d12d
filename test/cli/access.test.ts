/** How servers are accessed: the requests before an answer, headers and timeouts. */
import { describe, expect, it } from "@effect/vitest"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Access from "../../src/cli/access.ts"
import type { Deadlines } from "../../src/CompletionRequest.ts"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"

/** The sign of each kind; all other paths are as usual. */
const kinds = {
  ollama: { path: "/api/version", body: { version: "0.33.0" }, headers: {} },
  "llama-server": { path: "/health", body: { status: "ok" }, headers: { server: "llama.cpp" } },
  lmstudio: { path: "/lmstudio-greeting", body: { lmstudio: true }, headers: {} }
} as const

const signs: ReadonlyArray<string> = Object.values(kinds).map(({ path }) => path)

const serverOf =
  (kind: keyof typeof kinds) =>
  ({ path }: { readonly path: string }): FakeServer.Answer => {
    if (path === kinds[kind].path) return { status: 200, body: kinds[kind].body, headers: kinds[kind].headers }
    return signs.includes(path) ? { status: 404, body: "404" } : { text: "Yes" }
  }

const models = ["m:latest"]

describe("the requests before the answer", () => {
  const rows: ReadonlyArray<
    readonly [
      what: string,
      kind: keyof typeof kinds,
      args: ReadonlyArray<string>,
      variable: string | undefined,
      before: ReadonlyArray<string>
    ]
  > = [
    ["Ollama in its variable", "ollama", [], "OLLAMA_HOST", ["/api/version", "/api/tags"]],
    ["and a model", "ollama", ["-m", "m"], "OLLAMA_HOST", ["/api/version", "/api/tags"]],
    ["and its kind", "ollama", ["--provider", "ollama"], "OLLAMA_HOST", ["/api/version", "/api/tags"]],
    ["and both", "ollama", ["--provider", "ollama", "-m", "m"], "OLLAMA_HOST", []],
    ["Ollama at an address", "ollama", ["--url"], undefined, ["/api/version", "/api/tags"]],
    ["Ollama as a host", "ollama", ["--host"], undefined, ["/api/version", "/api/tags"]],
    ["LM Studio in its variable", "lmstudio", [], "LMSTUDIO_BASE_URL", ["/lmstudio-greeting", "/v1/models"]],
    ["llama-server in its variable", "llama-server", [], "LLAMA_SERVER_URL", ["/health", "/health", "/v1/models"]]
  ]
  it.live.each(rows)("%s", ([, kind, args, variable, before]) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(serverOf(kind), { models })
      const flags = args.flatMap((arg) => (arg === "--url" || arg === "--host" ? [arg, server.url] : [arg]))
      const result = yield* CommandLine.run(["hi", ...flags], {
        env: variable === undefined ? {} : { [variable]: server.url }
      })
      expect(result).toMatchObject({ code: 0, stdout: "Yes\n" })
      const { requests } = yield* server.state
      expect(requests.map(({ path }) => path).slice(0, -1)).toEqual(before)
    })
  )

  it.live.skipIf(!CommandLine.hasTerminals)("are at most three on a terminal", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(serverOf("ollama"), { models })
      const { code } = yield* CommandLine.runOnTerminal(["hi"], { env: { OLLAMA_HOST: server.url, TERM: "xterm" } })
      expect(code).toBe(0)
      const { requests } = yield* server.state
      expect(requests.filter(({ path }) => path !== "/api/chat").length).toBeLessThanOrEqual(3)
      expect(requests.filter(({ path }) => path === "/api/version").length).toBe(1)
    })
  )

  it.live.each(["llama-server", "lmstudio"] as const)("%s at an address is recognised by one probe", (kind) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(serverOf(kind), { models })
      expect((yield* CommandLine.run(["hi", "--url", server.url])).code).toBe(0)
      const { requests } = yield* server.state
      for (const sign of signs.filter((path) => path !== kinds[kind].path)) {
        expect(requests.filter(({ path }) => path === sign).length).toBe(1)
      }
    })
  )
})

const readAccess = (flags: Access.Flags, env: Readonly<Record<string, string>> = {}) =>
  Access.read(flags).pipe(
    Effect.map(({ defaults, headers }) => ({
      deadlines: defaults.deadlines,
      headers: Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, Redacted.value(value)]))
    })),
    Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))
  )

describe("headers", () => {
  const basic = "Basic dXNlcjpzZWNyZXQ6eA=="

  it.effect.each<readonly [flags: ReadonlyArray<string>, variable: string, headers: Readonly<Record<string, string>>]>([
    [[], "", {}],
    [["X-A: 1", "X-B:2"], "", { "x-a": "1", "x-b": "2" }],
    [["AUTHORIZATION: Basic a:b"], "", { authorization: "Basic a:b" }],
    [[], "X-A: 1\r\n\nX-B: 2\n", { "x-a": "1", "x-b": "2" }],
    [["x-a: 3"], "X-A: 1\nX-B: 2", { "x-a": "3", "x-b": "2" }]
  ])("%j and the variable %j", ([headers, variable, expected]) =>
    Effect.gen(function* () {
      const access = yield* readAccess({ headers }, { LOCAL_LLM_HEADERS: variable })
      expect(access.headers).toEqual(expected)
    })
  )

  it.effect("have no rendering", () =>
    Effect.gen(function* () {
      const access = yield* Access.read({ headers: [`Authorization: ${basic}`] })
      expect(JSON.stringify(access) + String(access.headers["authorization"])).not.toContain("dXNl")
    })
  )

  it.live.each<readonly [what: string, args: ReadonlyArray<string>, env: Readonly<Record<string, string>>]>([
    ["a flag, at an address", ["--header", `Authorization: ${basic}`, "--url"], {}],
    ["a variable, and the kind", ["--provider", "ollama", "--url"], { LOCAL_LLM_HEADERS: `Authorization: ${basic}` }],
    ["a flag beside a token", ["--header", `Authorization: ${basic}`], { OLLAMA_API_KEY: "token" }]
  ])("open a proxy: %s", ([, args, env]) =>
    Effect.gen(function* () {
      const usual = serverOf("ollama")
      const server = yield* FakeServer.make(
        (request) =>
          request.headers["authorization"] === basic ? usual(request) : { status: 401, body: { error: "no" } },
        { models }
      )
      const address = args.at(-1) === "--url" ? [server.url] : []
      const result = yield* CommandLine.run(["hi", "-q", ...args, ...address], {
        env: { ...(address.length === 0 ? { OLLAMA_HOST: server.url } : {}), ...env }
      })
      expect(result).toEqual({ code: 0, stdout: "Yes\n", stderr: "" })
    })
  )

  it.live.each(["models", "ps", "show", "pull", "embed", "load"])("of every command: %s", (command) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({}, { models })
      const words = command === "models" || command === "ps" ? [] : ["m"]
      const headers = ["--header", "X-A: 1", "--header", "X-B: 2"]
      yield* CommandLine.run([command, ...words, "--provider", "ollama", "--url", server.url, ...headers])
      const { requests } = yield* server.state
      expect(requests.length).toBeGreaterThan(0)
      for (const { headers } of requests) expect(headers).toMatchObject({ "x-a": "1", "x-b": "2" })
    })
  )

  it.live("of an OpenAI-compatible server, in place of its token", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ text: "Yes" }, { models })
      const args = ["hi", "-q", "--provider", "openai", "--url", server.url, "--header", `Authorization: ${basic}`]
      expect((yield* CommandLine.run(args, { env: { OPENAI_API_KEY: "token" } })).code).toBe(0)
      const { requests } = yield* server.state
      for (const { headers } of requests) expect(headers["authorization"]).toBe(basic)
    })
  )

  it.live.each(["secret", ": secret", "X A: secret", "X-A: secret\u0001", "X-A: secret\nX-B: b"])(
    "that are wrong are an error that does not quote the value: %j",
    (header) =>
      Effect.gen(function* () {
        const server = yield* FakeServer.make({ text: "Yes" }, { models })
        const { code, stderr } = yield* CommandLine.run(["hi", "--url", server.url, "--header", header])
        expect(code).toBe(1)
        expect(stderr).toMatch(/^local-llm: [^\n]*header[^\n]*\n$/)
        expect(stderr).not.toContain("secret")
        const { requests } = yield* server.state
        expect(JSON.stringify(requests)).not.toContain("secret")
      })
  )
})

describe("timeouts", () => {
  it.effect("are flags, or else variables", () =>
    Effect.gen(function* () {
      const flags = { firstChunkTimeout: "300ms", idleTimeout: "0.5s", totalTimeout: "never" }
      const env = {
        LOCAL_LLM_FIRST_CHUNK_TIMEOUT: "2h",
        LOCAL_LLM_IDLE_TIMEOUT: "90s",
        LOCAL_LLM_TOTAL_TIMEOUT: "10m"
      }
      const millis = ({ firstChunk, idle, total }: Deadlines) =>
        [firstChunk, idle, total].map((time) => time && Duration.toMillis(Duration.fromInputUnsafe(time)))
      expect(millis((yield* readAccess(flags, env)).deadlines)).toEqual([300, 500, Infinity])
      expect(millis((yield* readAccess({}, env)).deadlines)).toEqual([7_200_000, 90_000, 600_000])
      expect(millis((yield* readAccess({}, { LOCAL_LLM_TOTAL_TIMEOUT: " " })).deadlines)).toEqual([
        undefined,
        undefined,
        undefined
      ])
    })
  )

  it.effect.each<readonly [flags: Access.Flags, env: Readonly<Record<string, string>>, message: string]>([
    [{ idleTimeout: "5" }, {}, '--idle-timeout is a time such as 90s, 10m or 2h, or never, not "5"'],
    [{ totalTimeout: "0s" }, {}, "--total-timeout is more than 0"],
    [{ firstChunkTimeout: "" }, {}, '--first-chunk-timeout is a time such as 90s, 10m or 2h, or never, not ""'],
    [{ idleTimeout: "-1s" }, {}, '--idle-timeout is a time such as 90s, 10m or 2h, or never, not "-1s"'],
    [
      {},
      { LOCAL_LLM_IDLE_TIMEOUT: "soon" },
      'LOCAL_LLM_IDLE_TIMEOUT is a time such as 90s, 10m or 2h, or never, not "soon"'
    ]
  ])("that have no meaning are errors: %j %j", ([flags, env, message]) =>
    Effect.gen(function* () {
      expect((yield* Effect.flip(readAccess(flags, env))).message).toBe(message)
    })
  )

  it.live.each<readonly [kind: string, answer: FakeServer.Completion]>([
    ["first-chunk", { text: "late", delay: { headers: Infinity } }],
    ["idle", { pieces: ["a", { wait: Infinity }] }],
    ["total", { pieces: FakeServer.endless("a "), delay: { between: 20 } }]
  ])("end an answer: %s", ([kind, answer]) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(({ path }) => (path === "/api/chat" ? answer : { text: "" }), { models })
      const env = { OLLAMA_HOST: server.url }
      const { code, stderr } = yield* CommandLine.run(["hi", `--${kind}-timeout`, "300ms"], { env })
      expect(code).toBe(1)
      expect(stderr).toContain(`the ${kind} deadline of 300ms passed`)
    })
  )
})

describe("an answer that only loads the model", () => {
  const load = { model: "m", message: { role: "assistant", content: "" }, done: true, done_reason: "load" }
  const script: FakeServer.Script = ({ path }) =>
    path === "/api/chat"
      ? { status: 200, headers: { "content-type": "application/x-ndjson" }, body: `${JSON.stringify(load)}\n` }
      : { text: "" }
  const note = "local-llm: the model was loaded, and nothing was generated"

  it.live.each([[[]], [["--json"]], [["--jsonl"]]])("is reported: %j", ([args = []]) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(script, { models })
      const result = yield* CommandLine.run(["hi", ...args], { env: { OLLAMA_HOST: server.url } })
      expect(result.code).toBe(0)
      expect(result.stderr.split("\n")).toContain(note)
      if (args.length === 0) expect(result.stdout).toBe("")
      else expect(JSON.parse(result.stdout)).toMatchObject({ finishReason: "other" })
    })
  )

  it.live.each(["stop", "other"] as const)("is not an answer that is empty and has usage: %s", (finishReason) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ text: "", finishReason }, { models })
      const { stderr, stdout } = yield* CommandLine.run(["hi"], { env: { OLLAMA_HOST: server.url } })
      expect(stdout).toBe("\n")
      expect(stderr).not.toContain("loaded")
    })
  )
})
