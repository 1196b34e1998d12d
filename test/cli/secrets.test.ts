/** Servers quote the headers of a request in their errors. No message shows the values of the user. */
import { expect, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FakeServer from "../../src/testing/FakeServer.ts"
import * as CommandLine from "../support/commandLine.ts"

// Each test starts processes.
vi.setConfig({ testTimeout: 60_000 })

const values = ["Basic c2VjcmV0OnBhc3M=", 'team "search"', "t0ken"]
const flags = ["--header", `Authorization: ${values[0]}`, `--header=X-Team: ${values[1]}`]
const env = { LOCAL_LLM_HEADERS: "X-Key: first-key\nX-Other: other-key", OLLAMA_API_KEY: "t0ken" }
const secrets = ["c2VjcmV0", "search", "first-key", "other-key", "t0ken"]

const quoted = (headers: object) => `not for ${JSON.stringify(headers)} nor ${values.join(", ")}, first-key, other-key`

const answers: ReadonlyArray<readonly [string, (headers: object) => FakeServer.Answer]> = [
  ["400", (headers) => ({ status: 400, body: { error: quoted(headers) } })],
  ["401", (headers) => ({ status: 401, body: { error: quoted(headers) } })],
  ["500, no JSON", (headers) => ({ status: 500, body: quoted(headers) })],
  ["an error in the answer", (headers) => ({ pieces: ["Hi", { error: quoted(headers) }] })],
  ...[285, 295].map((length): readonly [string, (headers: object) => FakeServer.Answer] => [
    `a text that is cut within a secret, after ${length} characters`,
    () => ({ status: 400, body: { error: `${"x".repeat(length)}${values[0]} and more` } })
  ])
]

it.live.each(answers)("%s", ([, answer]) =>
  Effect.gen(function* () {
    const script: FakeServer.Script = ({ headers, path }) => (path === "/api/chat" ? answer(headers) : { text: "" })
    const server = yield* FakeServer.make(script, { models: ["m:latest"] })
    for (const more of [[], ["--json"]]) {
      const { code, stderr } = yield* CommandLine.run(["hi", ...flags, ...more], {
        env: { ...env, OLLAMA_HOST: server.url }
      })
      expect(code).toBe(1)
      expect(stderr).toContain("<redacted>")
      for (const secret of secrets) expect(stderr).not.toContain(secret)
    }
  })
)
