/** One prompt with all flags, and the forms of its answer. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"

const folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "local-llm-"))
const file = (name: string, content: string | Uint8Array): string => {
  const path = Path.join(folder, name)
  Fs.writeFileSync(path, content)
  return path
}

const run = Effect.fnUntraced(function* (
  script: FakeServer.Script,
  args: ReadonlyArray<string>,
  options: CommandLine.Options = {}
) {
  const server = yield* FakeServer.make(script, { models: ["m"] })
  const result = yield* CommandLine.run(args, { ...options, env: { OLLAMA_HOST: server.url, ...options.env } })
  const { requests } = yield* server.state
  return { ...result, body: requests.find(({ path }) => path === "/api/chat")?.body, requests }
})

const image = file("a.png", new Uint8Array([0x89, 0x50, 0x4e, 0x47]))
const city = file(
  "city.json",
  JSON.stringify({
    type: "object",
    properties: { city: { type: "string" }, celsius: { type: "integer" } },
    required: ["city", "celsius"],
    additionalProperties: false
  })
)

describe("flags", () => {
  it.live("become options of the request", () =>
    Effect.gen(function* () {
      const flags = ["-m", "m", "-s", "Be brief.", "--image", image, "--think", "low", "--context", "4096"]
      const more = ["--temperature", "0.5", "--max-tokens", "9", "--stop", "X", "--stop", "Y", "--seed", "7"]
      // A server that does not report what its model can do.
      const script: FakeServer.Script = ({ path }) => (path === "/api/show" ? { status: 404 } : { text: "Yes" })
      const { body, code, stderr } = yield* run(script, ["What", "is", ...flags, ...more, "this?"])
      expect({ code, stderr }).toEqual({ code: 0, stderr: expect.stringContaining("m on Ollama") })
      expect(body).toMatchObject({
        model: "m",
        messages: [
          { role: "system", content: "Be brief." },
          { role: "user", content: "What is this?", images: ["iVBORw=="] }
        ],
        think: "low",
        options: { num_ctx: 4096, temperature: 0.5, num_predict: 9, stop: ["X", "Y"], seed: 7 }
      })
    })
  )

  it.live.each<[args: ReadonlyArray<string>, message: string]>([
    [["x", "--json", "--jsonl"], "--json and --jsonl exclude each other"],
    [["x", "--host", "a", "--url", "b"], "--host and --url exclude each other"],
    [["x", "--image", "/no/such/file.png"], "/no/such/file.png"],
    [["x", "--schema", "/no/such/file.json"], "/no/such/file.json"],
    [["x", "--schema", image], "cannot be used"],
    [["x", "--image", folder], "--image cannot be read"],
    [["x", "--think", "much"], "think"]
  ])("%j is an error of one line", ([args, message]) =>
    Effect.gen(function* () {
      const { code, requests, stderr, stdout } = yield* run({ text: "Yes" }, args)
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
      expect(stderr).toContain(message)
      expect(stderr.trim().split("\n").length).toBe(1)
      expect(requests.filter(({ path }) => path === "/api/chat")).toEqual([])
    })
  )
})

describe("answers", () => {
  it.live("--quiet prints the answer only", () =>
    Effect.gen(function* () {
      const { stderr, stdout } = yield* run({ thinking: "Hm", text: "Yes, it is." }, ["x", "--quiet"])
      expect({ stderr, stdout }).toEqual({ stderr: "", stdout: "Yes, it is.\n" })
    })
  )

  it.live("--json prints one object", () =>
    Effect.gen(function* () {
      const { code, stdout } = yield* run({ thinking: "Hm", text: "Yes" }, ["x", "--json"])
      expect(code).toBe(0)
      expect(stdout.split("\n").length).toBe(2)
      expect(JSON.parse(stdout)).toMatchObject({ content: "Yes", thinking: "Hm", finishReason: "stop", toolCalls: [] })
    })
  )

  it.live("--jsonl prints each chunk as it arrives, and an error after them", () =>
    Effect.gen(function* () {
      const server = yield* FakeServer.make({ pieces: ["Yes", ", it", { wait: Infinity }] }, { models: ["m"] })
      const running = yield* CommandLine.start(["x", "--jsonl"], { env: { OLLAMA_HOST: server.url } })
      yield* running.until(({ stdout }) => stdout.split("\n").length > 2)
      yield* running.kill("SIGINT")
      const { code, stdout } = yield* running.result
      expect(code).toBe(130)
      const chunks = stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).content)
      expect(chunks).toEqual(["Yes", ", it"])
    })
  )

  it.live("--schema prints a value that matches, with exit code 0", () =>
    Effect.gen(function* () {
      const text = '```json\n{ "city": "Paris", "celsius": 21 }\n```'
      const { body, code, stdout } = yield* run({ text }, ["Where?", "--schema", city])
      expect({ code, stdout }).toEqual({ code: 0, stdout: '{"city":"Paris","celsius":21}\n' })
      expect(body).toMatchObject({ format: { required: ["city", "celsius"] } })
    })
  )

  it.live.each([
    '{"city":"Paris"}',
    '{"city":"Paris","celsius":"warm"}',
    "Paris",
    '{"city":"Paris","celsius":21.5}',
    ""
  ])("%j does not match the schema: exit code 1, nothing on standard output", (text) =>
    Effect.gen(function* () {
      const { code, stderr, stdout } = yield* run({ text: text === "" ? " " : text }, ["Where?", "--schema", city])
      expect({ code, stdout }).toEqual({ code: 1, stdout: "" })
      expect(stderr).toContain("does not match the schema")
    })
  )

  it.live.each<[schema: object, matching: string, other: string]>([
    [{ properties: { a: { $ref: "#/definitions/x" } }, definitions: { x: { type: "integer", minimum: 3 } } }, "5", "1"],
    [{ properties: { a: { $ref: "#/$defs/x" } }, $defs: { x: { type: "integer", minimum: 3 } } }, "5", "1"],
    [{ properties: { a: { type: "integer" } }, additionalProperties: false }, "1", '1,"b":2'],
    [{ properties: { a: { type: "integer" } } }, '1,"b":2', '"x"'],
    [{ properties: { a: { type: "string", pattern: "^\\d+$" } } }, '"12"', '"x"']
  ])("%j", ([schema, matching, other]) =>
    Effect.gen(function* () {
      const path = file("s.json", JSON.stringify({ type: "object", required: ["a"], ...schema }))
      const codes = yield* Effect.forEach([matching, other], (value) =>
        Effect.map(run({ text: `{"a":${value}}` }, ["x", "--schema", path]), ({ code }) => code)
      )
      expect(codes).toEqual([0, 1])
    })
  )

  it.live("an answer that was cut is no value", () =>
    Effect.gen(function* () {
      const answer = { text: '{"city":"Paris","celsius":21}', finishReason: "length" } as const
      const { code, stderr } = yield* run({ ...answer, text: '{"city":"Pa' }, ["Where?", "--schema", city])
      expect(code).toBe(1)
      expect(stderr).toContain("truncated")
      expect(stderr).toContain("a larger --max-tokens lets the model finish")
    })
  )
})

it.live("several hosts are a pool: one that is broken does not stop the other", () =>
  Effect.gen(function* () {
    const a = yield* FakeServer.make({ text: "A" }, { models: ["m"] })
    const b = yield* FakeServer.make({ text: "A" }, { models: ["m"] })
    const { code, stdout } = yield* CommandLine.run(["x", "--host", a.url, "--host", b.url, "-m", "m", "-q"])
    expect({ code, stdout }).toEqual({ code: 0, stdout: "A\n" })
    const requests = [...(yield* a.state).requests, ...(yield* b.state).requests]
    expect(requests.filter(({ path }) => path === "/api/chat").length).toBe(1)
  })
)

it.live("a host of a pool that is not there is reported, and the others answer", () =>
  Effect.gen(function* () {
    const server = yield* FakeServer.make({ text: "A" }, { models: ["m"] })
    const args = ["x", "--host", CommandLine.nowhere, "--host", server.url, "-q"]
    const { code, stderr, stdout } = yield* CommandLine.run(args)
    expect({ code, stdout }).toEqual({ code: 0, stdout: "A\n" })
    expect(stderr).toBe(
      "tried Ollama, llama-server and LM Studio: nothing listens on 127.0.0.1:1; is the server running?\n"
    )
    const none = yield* CommandLine.run(["x", "--host", CommandLine.nowhere, "--host", "http://127.0.0.1:2"])
    expect(none).toMatchObject({ code: 1, stdout: "" })
    expect(none.stderr).toMatch(/^local-llm: [^\n]*127\.0\.0\.1:1;[^\n]*127\.0\.0\.1:2;[^\n]*\n$/)
  })
)

it.live("several hosts of a kind that is named", () =>
  Effect.gen(function* () {
    const servers = yield* Effect.forEach([1, 2], () => FakeServer.make({ text: "A" }, { models: ["m"] }))
    const args = ["x", "--provider", "lmstudio", ...servers.flatMap(({ url }) => ["--host", url]), "-m", "m", "-q"]
    expect(yield* CommandLine.run(args)).toEqual({ code: 0, stdout: "A\n", stderr: "" })
    const states = yield* Effect.forEach(servers, ({ state }) => state)
    const paths = states.flatMap(({ requests }) => requests.map(({ path }) => path))
    expect(paths.filter((path) => path === "/v1/chat/completions")).toHaveLength(1)
    expect(paths).not.toContain("/api/chat")
  })
)

it.live("a schema may come from a command", () =>
  Effect.gen(function* () {
    const server = yield* FakeServer.make({ text: '{"city":"Paris","celsius":21}' }, { models: ["m"] })
    const command = `${CommandLine.shellCommand(["x", "--schema"])} <(cat '${city}')`
    const script = `exec bash -c "${command.replaceAll('"', '\\"')}"`
    const { code, stdout } = yield* CommandLine.runShell(script, { env: { OLLAMA_HOST: server.url } })
    expect({ code, stdout }).toEqual({ code: 0, stdout: '{"city":"Paris","celsius":21}\n' })
  })
)

it.live("an error names at most ten models", () =>
  Effect.gen(function* () {
    const models = Array.from({ length: 10_000 }, (_, index) => `m${index}`)
    const server = yield* FakeServer.make({}, { models })
    const { stderr } = yield* CommandLine.run(["x", "-m", "nope"], { env: { OLLAMA_HOST: server.url } })
    expect(stderr).toBe(
      `local-llm: Ollama (${server.url}): there is no model "nope"; ` +
        "it has m0, m1, m2, m3, m4, m5, m6, m7, m8, m9 and 9990 more\n"
    )
  })
)
