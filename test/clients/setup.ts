/**
 * Installs the clients of the gateway: those of npm into `test/clients`, those of PyPI into `.cache`. Says what is missing; the tests of
 * it are skipped then.
 */
import { execFile } from "node:child_process"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { promisify } from "node:util"
import type { TestProject } from "vitest/node"

/** The program that runs programs in this language. */
export interface Runner {
  readonly command: ReadonlyArray<string>
}

export interface Missing {
  readonly missing: string
}

declare module "vitest" {
  export interface ProvidedContext {
    npm: Runner | Missing
    pypi: Runner | Missing
  }
}

const folder = import.meta.dirname
const root = Path.join(folder, "../..")

export default async function setup(project: TestProject): Promise<void> {
  const [npm, pypi] = await Promise.all([installNpm(), installPyPi()])
  project.provide("npm", npm)
  project.provide("pypi", pypi)
  say("the clients of npm", npm)
  say("the clients of PyPI", pypi)
}

const say = (name: string, found: Runner | Missing): void => {
  process.stdout.write(`${name}: ${"missing" in found ? `SKIPPED, ${found.missing}` : "tested"}\n`)
}

/** Once, and again when the lock file changes. */
const installNpm = async (): Promise<Runner | Missing> => {
  const lock = Fs.readFileSync(Path.join(folder, "package-lock.json"), "utf8")
  const installed = Path.join(folder, "node_modules/.installed.json")
  if (!Fs.existsSync(installed) || Fs.readFileSync(installed, "utf8") !== lock) {
    const failure = await run("npm", [
      "ci",
      "--prefix",
      folder,
      "--no-audit",
      "--no-fund",
      "--loglevel",
      "error",
      "--fetch-retries",
      "1"
    ])
    if (failure !== undefined) return { missing: `they could not be installed: ${failure}` }
    Fs.writeFileSync(installed, lock)
  }
  return { command: [process.execPath, "--conditions=effect-local-llm:source", "--no-warnings"] }
}

/** Once, and again when the requirements change. */
const installPyPi = async (): Promise<Runner | Missing> => {
  const requirements = Path.join(folder, "requirements.txt")
  const hash = Crypto.createHash("sha256").update(Fs.readFileSync(requirements)).digest("hex").slice(0, 8)
  const environment = Path.join(root, `.cache/clients-${hash}`)
  const python = Path.join(environment, process.platform === "win32" ? "Scripts/python.exe" : "bin/python")
  const installed = Path.join(environment, "installed")

  if (!Fs.existsSync(installed)) {
    if ((await run("python3", ["--version"])) !== undefined) return { missing: "there is no python3" }
    Fs.rmSync(environment, { recursive: true, force: true })
    const failure =
      (await run("python3", ["-m", "venv", environment])) ??
      (await run(python, [
        "-m",
        "pip",
        "install",
        "--only-binary",
        ":all:",
        "--retries",
        "1",
        "--quiet",
        "-r",
        requirements
      ]))
    if (failure !== undefined) return { missing: `they could not be installed: ${failure}` }
    Fs.writeFileSync(installed, "")
  }
  return { command: [python] }
}

const execute = promisify(execFile)

/** Why it failed, if it did. */
const run = (command: string, args: ReadonlyArray<string>): Promise<string | undefined> =>
  execute(command, args).then(
    () => undefined,
    (error: Error & { readonly stderr?: string }) => {
      const lines = (error.stderr ?? "").trim().split("\n")
      return lines.find((line) => line.startsWith("npm error code")) ?? (lines.at(-1) || error.message)
    }
  )
