/** A project of a user in an empty folder, and programs in it. */
import * as Effect from "effect/Effect"
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { inject } from "vitest"
import type { Command, Tool, ToolName } from "./tools.ts"

export interface Result {
  /** Not 0 if it failed or did not start. */
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface Project {
  readonly folder: string
  readonly write: (file: string, text: string) => void
  /** Runs a program to its end, without input. */
  readonly attempt: (command: Command, env?: Readonly<Record<string, string>>) => Effect.Effect<Result>
  /** Dies with what it printed if it fails, and returns its standard output otherwise. */
  readonly run: (command: Command, env?: Readonly<Record<string, string>>) => Effect.Effect<string>
}

/** Makes one. The name is that of its folder. */
export const make = (name: string, type: "commonjs" | "module" = "module"): Project => {
  const folder = Path.join(inject("projects"), name)
  Fs.mkdirSync(folder)
  const write: Project["write"] = (file, text) => Fs.writeFileSync(Path.join(folder, file), text)
  write("package.json", JSON.stringify({ private: true, type }))
  const attempt: Project["attempt"] = ([file, ...args], env) =>
    Effect.callback((resume, signal) => {
      const options = { cwd: folder, env: { ...inject("environment"), ...env }, signal }
      const child = execFile(file, args, options, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1
        const reason = error === null || stderr !== "" ? stderr : error.message
        resume(Effect.succeed({ code, stdout, stderr: reason }))
      })
      child.stdin?.end()
    })
  const run: Project["run"] = (command, env) =>
    Effect.flatMap(attempt(command, env), ({ code, stderr, stdout }) =>
      code === 0 ? Effect.succeed(stdout) : Effect.die(new Error(`${command.join(" ")}\n${stdout}${stderr}`))
    )
  return { folder, write, attempt, run }
}

/** The source of a program of `programs/`. */
export const program = (name: string): string =>
  Fs.readFileSync(Path.join(import.meta.dirname, "programs", name), "utf8")

/** The program that `check-package` compiles and runs, too. */
export const consumer = Fs.readFileSync(Path.join(import.meta.dirname, "../../scripts/support/consumer.ts"), "utf8")

/** In the version that this repository itself is tested with. */
export const tested = (dependency: string): string => `${dependency}@${devDependencies[dependency]}`

const { devDependencies }: { readonly devDependencies: Readonly<Record<string, string>> } = JSON.parse(
  Fs.readFileSync(Path.join(import.meta.dirname, "../../package.json"), "utf8")
)

/** Only for tests that are skipped where `isMissing` is true. */
export const tool = (name: ToolName): Tool => {
  const found = inject("tools")[name]
  if ("missing" in found) throw new Error(`${name}: ${found.missing}`)
  return found
}

export const isMissing = (...names: ReadonlyArray<ToolName>): boolean =>
  names.some((name) => "missing" in inject("tools")[name])
