/**
 * The package, installed by its name into an empty project with each package manager. All programs run on Node 24, also
 * in what Bun and Deno installed; `runtimes.test.ts` has the runtimes.
 */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Path from "node:path"
import * as Project from "./project.ts"
import type { Command, ToolName } from "./tools.ts"

interface Manager {
  readonly name: string
  readonly tool: ToolName
  readonly add: ReadonlyArray<string>
  readonly env?: Readonly<Record<string, string>>
  /** Runs a program of the project, such as `tsc`; its name follows. Default: the file in `node_modules/.bin` runs. */
  readonly execute?: ReadonlyArray<string>
  /** How it starts the command line, without installing anything; arguments follow. Bun and Deno run it themselves. */
  readonly start: ReadonlyArray<string>
  /** Whether it installs missing peers by itself. The others warn. */
  readonly installsPeers: boolean
  /** Installs this compiler in the project. Default: one from outside compiles. */
  readonly typescript?: string
}

const managers: ReadonlyArray<Manager> = [
  {
    name: "npm",
    tool: "npm",
    add: ["install", "--no-audit", "--no-fund"],
    start: ["exec", "--no", "--", "local-llm"],
    installsPeers: true
  },
  { name: "pnpm", tool: "pnpm", add: ["add"], execute: ["exec"], start: ["exec", "local-llm"], installsPeers: true },
  { name: "Yarn 1", tool: "Yarn 1", add: ["add"], start: ["--silent", "run", "local-llm"], installsPeers: false },
  {
    name: "Yarn 4 with node_modules",
    tool: "Yarn 4",
    add: ["add"],
    env: { YARN_NODE_LINKER: "node-modules" },
    start: ["run", "local-llm"],
    installsPeers: false
  },
  {
    name: "Yarn 4 with Plug'n'Play",
    tool: "Yarn 4",
    add: ["add"],
    env: { YARN_NODE_LINKER: "pnp" },
    execute: ["exec"],
    start: ["run", "local-llm"],
    installsPeers: false,
    // Only a compiler that Yarn has patched finds packages there, and it does not patch version 7.
    typescript: "typescript@6.0.3"
  },
  { name: "Bun", tool: "Bun", add: ["add"], start: ["x", "--bun", "--no-install", "local-llm"], installsPeers: true },
  {
    name: "Deno",
    tool: "Deno",
    add: ["add", "--npm"],
    start: ["run", "--allow-all", "npm:effect-local-llm/local-llm"],
    installsPeers: true
  }
]

/** An empty project of a manager. */
const makeProject = ({ add, env = {}, execute, name, start, tool, typescript }: Manager) => {
  const project = Project.make(name.replaceAll(/\W+/g, "-"))
  // Without it, Yarn 4 looks for a project in the folders above.
  project.write("yarn.lock", "")
  const manager = (...args: ReadonlyArray<string>): Command => [...Project.tool(tool).command, ...args]
  const command = (program: string, args: ReadonlyArray<string>): Command => {
    if (execute !== undefined) return manager(...execute, program, ...args)
    return [program === "node" ? program : Path.join(project.folder, "node_modules", ".bin", program), ...args]
  }
  return {
    write: project.write,
    add: (...packages: ReadonlyArray<string>) => project.run(manager(...add, ...packages), env),
    compile: (...args: ReadonlyArray<string>) => {
      const outside: Command = [...Project.tool("TypeScript 7.0").command, ...args]
      return project.run(typescript === undefined ? outside : command("tsc", args), env)
    },
    start: (...args: ReadonlyArray<string>) => project.run(manager(...start, ...args), env),
    run: (program: string, ...args: ReadonlyArray<string>) => project.run(command(program, args), env),
    attempt: (program: string, ...args: ReadonlyArray<string>) => project.attempt(command(program, args), env)
  }
}

const printedVersion = /^local-llm v\d+\.\d+\.\d+\n$/

const namesMissing = (name: string) => ({
  code: 1,
  stdout: "",
  stderr: expect.stringMatching(new RegExp(`^local-llm: the package ${name} is missing[^\\n]*\\n$`))
})

const compilerOptions = "--noEmit --strict --module nodenext --target es2023 --types node --skipLibCheck".split(" ")

describe.for(managers)("$name", (manager) => {
  const { installsPeers, tool, typescript } = manager
  it.live.skipIf(Project.isMissing(tool))("installs it; missing peers are named; types and programs work", () =>
    Effect.gen(function* () {
      const project = makeProject(manager)

      yield* project.add("effect-local-llm")
      project.write("load.mjs", 'import { Provider } from "effect-local-llm"\nconsole.log(typeof Provider.make)\n')
      const loaded = yield* project.attempt("node", "load.mjs")
      if (installsPeers) expect(loaded).toMatchObject({ code: 0, stdout: "function\n" })
      else expect(loaded.stderr).toMatch(/Cannot find package 'effect'|tried to access effect /)
      expect(yield* project.attempt("local-llm", "--version")).toEqual(namesMissing("@effect/platform-node"))

      yield* project.add(Project.tested("@effect/platform-node"))
      const version = yield* project.attempt("local-llm", "--version")
      if (installsPeers) expect(version).toMatchObject({ code: 0 })
      else expect(version).toEqual(namesMissing("effect"))

      // `redis` is a peer of `@effect/platform-node`.
      const others = [...(installsPeers ? [] : ["redis@^6"]), ...(typescript === undefined ? [] : [typescript])]
      yield* project.add(Project.tested("effect"), Project.tested("@types/node"), ...others)
      expect(yield* project.start("--version")).toMatch(printedVersion)
      project.write("consumer.ts", Project.consumer)
      yield* project.compile(...compilerOptions, "consumer.ts")
      expect(yield* project.run("node", "consumer.ts")).toBe("Rayleigh scattering.\n".repeat(3))
    })
  )
})

it.live.skipIf(Project.isMissing("npm"))("npm does not install it beside an older effect", () =>
  Effect.gen(function* () {
    const { attempt } = Project.make("older-effect")
    const { code, stderr } = yield* attempt(["npm", "install", "effect-local-llm", "effect@4.0.6"])
    expect(code).toBe(1)
    expect(stderr).toMatch(/ERESOLVE[^]*peer effect@"\^4\.1\.0" from effect-local-llm/)
  })
)

it.live.skipIf(Project.isMissing("npm"))("npx starts the command line without a project", () =>
  Effect.gen(function* () {
    const { attempt, run } = Project.make("npx")
    const npx = ["npm", "exec", "--yes"] as const
    expect(yield* attempt([...npx, "effect-local-llm", "--", "--version"])).toEqual(
      namesMissing("@effect/platform-node")
    )
    const packages = ["--package", "effect-local-llm", "--package", Project.tested("@effect/platform-node")]
    expect(yield* run([...npx, ...packages, "--", "local-llm", "--version"])).toMatch(printedVersion)
  })
)
