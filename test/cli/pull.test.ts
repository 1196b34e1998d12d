/** Downloads: bars on a terminal, lines elsewhere, and what remains after a stop. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"

const digest = (letter: string): string => `sha256:${letter.repeat(64)}`
const layer = (letter: string, completed: number, total = 2e9) => ({
  status: `pulling ${letter.repeat(12)}`,
  digest: digest(letter),
  total,
  completed
})
const manifest = { status: "pulling manifest" }

/** Two layers are transferred at a time. */
const reports = [
  manifest,
  layer("a", 0),
  layer("b", 0, 1e9),
  layer("a", 1e9),
  layer("b", 5e8, 1e9),
  layer("a", 2e9),
  layer("b", 1e9, 1e9),
  { status: "verifying sha256 digest" },
  { status: "success" }
]

const toLines = (values: ReadonlyArray<object>): string => values.map((value) => `${JSON.stringify(value)}\n`).join("")

const ndjson = (values: ReadonlyArray<object>, more: Partial<FakeServer.Reply> = {}): FakeServer.Reply => ({
  status: 200,
  headers: { "content-type": "application/x-ndjson" },
  body: toLines(values),
  ...more
})

const pulls =
  (reply: FakeServer.Answer): FakeServer.Script =>
  ({ path }) =>
    path === "/api/pull" ? reply : { text: "" }

const lines = (text: string): ReadonlyArray<string> => text.split("\n").filter((line) => line !== "")

/** A visible mark for the beginning of a control sequence. */
const marked = (output: string): string => output.replaceAll("\u001B[", "⟦")

/** What a terminal of some columns shows: only line ends, "up n lines" and "clear to the end" are understood. */
const screen = (output: string): ReadonlyArray<string> => {
  const rows: Array<string> = [""]
  let row = 0
  for (const [token] of marked(output).matchAll(/\r\n|\r|⟦\d*[A-Z]|[^\r\n⟦]+/g)) {
    if (token === "\r\n") rows[++row] ??= ""
    else if (token === "⟦J") rows.splice(row, rows.length, "")
    else if (token.startsWith("⟦")) row -= Number(token.slice(1, -1))
    else if (token !== "\r") rows[row] += token
  }
  return rows.filter((text) => text !== "")
}

describe("pull into a pipe", () => {
  it.live("prints each step and each layer once, and the total on standard output", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(pulls(ndjson(reports)))
      const result = yield* CommandLine.run(["pull", "m"], { env: { OLLAMA_HOST: server.url } })
      expect(result).toEqual({
        code: 0,
        stdout: "pulled m, 3.0 GB\n",
        stderr:
          "pulling manifest\nlayer aaaaaaaaaaaa: 2.0 GB\nlayer bbbbbbbbbbbb: 1.0 GB\nverifying sha256 digest\nsuccess\n"
      })
    })
  )

  it.live("--json prints each report as a line, and nothing else", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(pulls(ndjson(reports)))
      const { stderr, stdout } = yield* CommandLine.run(["pull", "m", "--json"], { env: { OLLAMA_HOST: server.url } })
      const values: ReadonlyArray<unknown> = lines(stdout).map((line) => JSON.parse(line))
      expect(stderr).toBe("")
      expect(values[0]).toMatchObject({ status: "pulling manifest", isFinal: false })
      expect(values.at(-1)).toMatchObject({ isFinal: true, completedBytes: 3e9, totalBytes: 3e9 })
    })
  )
})

describe.skipIf(!CommandLine.hasTerminals)("pull on a terminal", () => {
  const run = Effect.fnUntraced(function* (
    values: ReadonlyArray<object>,
    {
      columns = 80,
      rows = 24,
      env = {}
    }: { columns?: number; rows?: number; env?: Readonly<Record<string, string>> } = {}
  ) {
    const server = yield* FakeServer.make(pulls(ndjson(values)))
    const command = `stty cols ${columns} rows ${rows}; exec ${CommandLine.shellCommand(["pull", "m"])}`
    const script = `script -qec '${command.replaceAll("'", `'\\''`)}' /dev/null`
    return yield* CommandLine.runShell(script, { env: { OLLAMA_HOST: server.url, TERM: "xterm", ...env } })
  })

  it.live("draws a line for each layer, in place, also if the layers take turns", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* run(reports)
      expect(code).toBe(0)
      expect(screen(stdout)).toEqual([
        "pulling manifest",
        `layer aaaaaaaaaaaa ${"█".repeat(24)} 100 %, 2.0 GB of 2.0 GB`,
        `layer bbbbbbbbbbbb ${"█".repeat(24)} 100 %, 1.0 GB of 1.0 GB`,
        "verifying sha256 digest",
        "success",
        "pulled m, 3.0 GB"
      ])
      expect(stdout).toContain(`layer aaaaaaaaaaaa ${"█".repeat(12)}${"░".repeat(12)}  50 %, 1.0 GB of 2.0 GB`)
    })
  )

  it.live("ends at 100 % where the server does not report the last bytes", () =>
    Effect.gen(function* () {
      const { stdout } = yield* run([manifest, layer("a", 1.9e9), layer("b", 0, 1e9), { status: "success" }])
      expect(screen(stdout)).toEqual([
        "pulling manifest",
        `layer aaaaaaaaaaaa ${"█".repeat(24)} 100 %, 2.0 GB of 2.0 GB`,
        `layer bbbbbbbbbbbb ${"█".repeat(24)} 100 %, 1.0 GB of 1.0 GB`,
        "success",
        "pulled m, 3.0 GB"
      ])
    })
  )

  it.live("cuts lines to a narrow terminal, and draws no more lines than it has", () =>
    Effect.gen(function* () {
      const letters = Array.from("0123456789abcdef")
      const many = [
        manifest,
        ...letters.map((letter) => layer(letter, 1e9)),
        ...letters.map((letter) => layer(letter, 2e9))
      ]
      const { stdout } = yield* run([...many, { status: "success" }], { columns: 30, rows: 8 })
      expect(stdout).toContain("and 10 more layers")
      expect(stdout).toContain("layer 000000000000  50 %")
      for (const line of marked(stdout).split(/[\r\n]+/))
        expect(line.replace(/^(⟦\d*[A-Z])*/, "").length).toBeLessThan(30)
      for (const [, up] of marked(stdout).matchAll(/⟦(\d+)A/g)) expect(Number(up)).toBeLessThanOrEqual(7)
      expect(screen(stdout).at(-1)).toBe("pulled m, 32.0 GB")
    })
  )

  it.live("distinguishes layers whose digests begin alike", () =>
    Effect.gen(function* () {
      const alike = (last: string) => ({ ...layer("a", 1e9), digest: `${digest("a").slice(0, -1)}${last}` })
      const { stdout } = yield* run([alike("0"), alike("1"), { status: "success" }])
      expect(screen(stdout)).toHaveLength(4)
    })
  )

  it.live("keeps up with thousands of layers", () =>
    Effect.gen(function* () {
      const many = Array.from({ length: 3000 }, (_, index) => ({
        ...layer("a", 2e9),
        digest: `sha256:${String(index).padStart(64, "0")}`
      }))
      const { code, stdout } = yield* run([...many, { status: "success" }], { rows: 5 })
      expect({ code, last: screen(stdout).at(-1) }).toEqual({ code: 0, last: "pulled m, 6000.0 GB" })
    })
  )

  it.live("prints lines on a terminal that cannot move its cursor", () =>
    Effect.gen(function* () {
      const { stdout } = yield* run(reports, { env: { TERM: "dumb" } })
      expect(stdout).not.toContain("\u001B")
      expect(lines(stdout.replaceAll("\r", ""))).toContain("layer bbbbbbbbbbbb: 1.0 GB")
    })
  )

  it.live("writes no control characters of the server", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* run([{ status: "\u001B[2Jevil\nline" }, { status: "success" }])
      expect(code).toBe(0)
      expect(screen(stdout)).toEqual(["␛[2Jevil line", "success", "pulled m"])
    })
  )
})

describe("a registry without valid TLS", () => {
  it.live("is an error that names the flag, and --insecure reaches it", () =>
    Effect.gen(function* () {
      const refused = ndjson([manifest, { error: "http: server gave HTTP response to HTTPS client" }])
      const server = yield* FakeServer.make(({ body, path }) =>
        path !== "/api/pull"
          ? { text: "" }
          : JSON.stringify(body).includes('"insecure":true')
            ? ndjson(reports)
            : refused
      )
      const env = { OLLAMA_HOST: server.url }
      const { code, stderr } = yield* CommandLine.run(["pull", "m"], { env })
      expect(code).toBe(1)
      expect(stderr).toMatch(/the registry has no valid TLS: add --insecure/)
      expect(stderr).not.toContain("insecure: true")
      expect(yield* CommandLine.run(["pull", "m", "--insecure"], { env })).toMatchObject({ code: 0 })
    })
  )

  it.live("is not possible on LM Studio", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make()
      const args = ["pull", "m", "--insecure", "--provider", "lmstudio", "--url", server.url]
      const { code, stderr } = yield* CommandLine.run(args)
      expect({ code, stderr }).toEqual({
        code: 1,
        stderr: "local-llm: LM Studio: --insecure has no effect there; leave it out\n"
      })
    })
  )
})

describe("a pull that does not succeed", () => {
  it.live("Ctrl-C: the connection is closed, a line says how to resume, and the next pull goes on", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(pulls(ndjson(reports.slice(0, 4), { holdOpen: true })))
      const env = { OLLAMA_HOST: server.url }
      const running = yield* CommandLine.start(["pull", "m"], { env })
      yield* running.until(({ stderr }) => stderr.includes("layer b"))
      yield* running.kill("SIGINT")
      const { code, stderr, stdout } = yield* running.result
      expect({ code, stdout }).toEqual({ code: 130, stdout: "" })
      expect(lines(stderr).at(-1)).toBe('local-llm: stopped; "local-llm pull m" resumes it')
      yield* server.until(({ requests }) => requests.at(-1)?.outcome === "cut-by-client")
      yield* server.setScript(pulls(ndjson([manifest, layer("a", 1e9), layer("a", 2e9), { status: "success" }])))
      expect(yield* CommandLine.run(["pull", "m"], { env })).toMatchObject({ code: 0, stdout: "pulled m, 2.0 GB\n" })
    })
  )

  it.live.each<[values: ReadonlyArray<object>, line: RegExp]>([
    [reports.slice(0, 4), /^local-llm: Ollama [^\n]*incomplete[^\n]*; "local-llm pull m" resumes it$/],
    [
      [manifest, { error: "max retries exceeded: dial tcp: i/o timeout" }],
      /^local-llm: Ollama [^\n]*cannot reach the registry[^\n]*; "local-llm pull m" resumes it$/
    ],
    [
      [manifest, { error: "pull model manifest: file does not exist" }],
      /^local-llm: Ollama [^\n]*"m"[^\n]*registry does not have it[^\n]*; check its name and its tag$/
    ]
  ])("%j fails with a line that says what to do", ([values, line]) =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make(pulls(ndjson(values)))
      const { code, stderr, stdout } = yield* CommandLine.run(["pull", "m"], { env: { OLLAMA_HOST: server.url } })
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
      expect(lines(stderr).at(-1)).toMatch(line)
    })
  )
})
