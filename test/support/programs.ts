/** The programs of `examples/`, as a user runs them, beside a fake server. The files that import this have one each. */
import { afterAll, beforeAll } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { FakeServer } from "../../src/testing/index.ts"

export const folder = new URL("../../examples/", import.meta.url)

const scope = Scope.makeUnsafe()
export let server: FakeServer.FakeServer["Service"]
beforeAll(() =>
  Effect.runPromise(Scope.provide(FakeServer.make(), scope)).then((running) => {
    server = running
  })
)
afterAll(() => Effect.runPromise(Scope.close(scope, Exit.void)))

/** The command of a program, with its arguments. */
export const commandOf = (name: string): readonly [string, ...Array<string>] => [
  process.execPath,
  "--conditions=effect-local-llm:source",
  fileURLToPath(new URL(`${name}.ts`, folder))
]

export const start = (
  name: string,
  args: ReadonlyArray<string>,
  environment: Readonly<Record<string, string>> = {}
) => {
  const [program, ...options] = commandOf(name)
  const child = spawn(program, [...options, ...args], {
    env: { ...process.env, OLLAMA_HOST: server.url, MODEL: "m", EMBEDDING_MODEL: "m", NO_COLOR: "1", ...environment }
  })
  const output = { stdout: "", stderr: "" }
  child.stdout.setEncoding("utf8").on("data", (text: string) => (output.stdout += text))
  child.stderr.setEncoding("utf8").on("data", (text: string) => (output.stderr += text))
  return { child, output }
}

export const run = (name: string, environment: Readonly<Record<string, string>> = {}, ...args: ReadonlyArray<string>) =>
  new Promise<{ readonly stdout: string; readonly stderr: string; readonly code: number | null }>((resolve) => {
    const { child, output } = start(name, args, environment)
    child.once("close", (code) => resolve({ ...output, code }))
  })

/** Starts a server on a free port, and waits until it listens. */
export const startServer = async (name: string, environment: Readonly<Record<string, string>> = {}) => {
  const { child, output } = start(name, [], { PORT: "0", ...environment })
  const port = await new Promise<string>((resolve, reject) => {
    child.once("close", () => reject(new Error(output.stderr)))
    child.stdout.on("data", () => {
      const port = /:(\d+)"?\s*$/.exec(output.stdout.trim())?.[1]
      if (port !== undefined) resolve(port)
    })
  })
  return { child, port }
}

/** The messages of a request. */
export const messagesOf = (body: unknown): ReadonlyArray<{ readonly role?: unknown; readonly content?: unknown }> =>
  Predicate.hasProperty(body, "messages") && Array.isArray(body.messages) ? body.messages : []

export const setScript = (script: FakeServer.Script) => Effect.runPromise(server.setScript(script))
