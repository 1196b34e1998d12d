/** The installed package on each runtime, with each HttpClient of Effect, beside a fake server in this process. */
import { beforeAll, describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Path from "node:path"
import { FakeServer } from "../../src/testing/index.ts"
import * as Project from "./project.ts"
import type { Command, ToolName } from "./tools.ts"

interface Runtime {
  readonly name: ToolName
  /** The words between the program and the file that it runs. */
  readonly args: ReadonlyArray<string>
}

const runtimes: ReadonlyArray<Runtime> = [
  { name: "Node 22.19", args: [] },
  { name: "Node 24", args: [] },
  { name: "Bun", args: [] },
  { name: "Deno", args: ["run", "--allow-all"] }
]

const clients = ["FetchHttpClient.layer", "NodeHttpClient.layerUndici", "NodeHttpClient.layerNodeHttp"]

/** The prompt of `programs/smoke.ts` says what happens. */
const script = ({ body }: FakeServer.ReceivedRequest): FakeServer.Answer => {
  const text = JSON.stringify(body ?? null)
  if (text.includes('"endless"')) return { pieces: FakeServer.endless("again ") }
  if (text.includes('"missing"')) return { status: 404, body: { error: "model 'any' not found" } }
  if (text.includes('"reset"')) return { text: "Rayleigh scattering.", cut: { how: "reset" } }
  return { text: "Rayleigh scattering." }
}

const withServer = <A>(use: (server: FakeServer.FakeServer["Service"]) => Effect.Effect<A>): Effect.Effect<A> =>
  Effect.scoped(Effect.flatMap(FakeServer.make(script), use))

describe.skipIf(Project.isMissing("npm"))("the installed package", () => {
  let project: Project.Project
  beforeAll(async () => {
    project = Project.make("runtimes")
    for (const file of ["smoke.ts", "fakeServer.ts", "require.cjs"]) project.write(file, Project.program(file))
    const packages = ["effect-local-llm", Project.tested("effect"), Project.tested("@effect/platform-node")]
    await Effect.runPromise(project.run(["npm", "install", "--no-audit", "--no-fund", ...packages]))
  })

  describe.for(runtimes)("$name", ({ args, name }) => {
    const run = (...words: ReadonlyArray<string>): Command => {
      const [file, ...rest] = Project.tool(name).command
      return [file, ...rest, ...args, ...words]
    }
    const localLlm = (...words: ReadonlyArray<string>) =>
      run(Path.join("node_modules", "effect-local-llm", "dist", "cli", "main.js"), ...words)

    for (const client of clients) {
      if (name === "Bun" && client === "NodeHttpClient.layerUndici") continue
      it.live.skipIf(Project.isMissing(name))(`streams, stops and fails with ${client}`, () =>
        withServer((server) =>
          Effect.gen(function* () {
            const output = yield* project.run(run("smoke.ts", client, server.url))
            expect(JSON.parse(output)).toEqual({
              beginning: ["again ", "again ", "again "],
              ollama: "Rayleigh scattering.",
              lmStudio: "Rayleigh scattering.",
              mock: "Rayleigh scattering.",
              effectAi: "Rayleigh scattering.",
              missingModel: "ModelNotAvailable",
              reset: "NetworkError"
            })
            const { requests } = yield* server.state
            // All before the reset, in the order of the program.
            expect(requests.slice(0, 4).map(({ outcome }) => outcome)).toEqual([
              "cut-by-client",
              "completed",
              "completed",
              "completed"
            ])
          })
        )
      )
    }

    it.live.skipIf(Project.isMissing(name))("has a fake server for tests", () =>
      Effect.gen(function* () {
        expect(yield* project.run(run("fakeServer.ts"))).toBe("1\n")
      })
    )

    it.live.skipIf(Project.isMissing(name))("loads it by require", () =>
      Effect.gen(function* () {
        expect(yield* project.run(run("require.cjs"))).toBe("Rayleigh scattering. function\n")
      })
    )

    it.live.skipIf(Project.isMissing(name))("runs the command line", () =>
      withServer(({ url }) =>
        Effect.gen(function* () {
          expect(yield* project.run(localLlm("--version"))).toMatch(/^local-llm v\d+\.\d+\.\d+\n$/)
          expect(yield* project.run(localLlm("--url", url, "--quiet", "short"))).toBe("Rayleigh scattering.\n")
          expect(yield* project.attempt(localLlm("--provider", "ollama", "--url", url, "--quiet", "missing"))).toEqual({
            code: 1,
            stdout: "",
            stderr: expect.stringMatching(/^local-llm: [^\n]*the model "[^\n]+" is not available[^\n]*\n$/)
          })
        })
      )
    )
  })

  // Bun has a module of its own in place of undici, which lacks what this layer uses.
  it.live.skipIf(Project.isMissing("Bun"))("fails with a typed error on Bun with NodeHttpClient.layerUndici", () =>
    withServer(({ url }) =>
      Effect.gen(function* () {
        const smoke = [...Project.tool("Bun").command, "smoke.ts", "NodeHttpClient.layerUndici", url] as const
        const { code, stderr } = yield* project.attempt(smoke)
        expect(code).toBe(1)
        expect(stderr).toMatch(/Ollama \([^)]*\): the connection failed[^]*_tag: "NetworkError"/)
      })
    )
  )
})
