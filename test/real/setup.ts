/**
 * What the tests against real servers need: a llama.cpp server, installed here with Python's own tools into `.cache`, and the
 * servers that the user names. Says what is missing; the tests of it are skipped then.
 *
 * - `OLLAMA_MODEL`, and `OLLAMA_HOST` where Ollama is not at its usual place, name a model to run the common tests on.
 * - `LMSTUDIO_MODEL`, and `LMSTUDIO_BASE_URL`, likewise.
 */
import { spawnSync } from "node:child_process"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import { fileURLToPath } from "node:url"
import * as Zlib from "node:zlib"
import type { TestProject } from "vitest/node"

export interface LlamaServer {
  /** The Python that has it. */
  readonly python: string
  /** The folder of the unpacked models. */
  readonly models: string
}

export interface OwnServer {
  readonly model: string
  /** Options that the server rejects. Default: none. */
  readonly lacks?: ReadonlyArray<"keepAlive"> | undefined
}

export interface Missing {
  readonly missing: string
}

declare module "vitest" {
  export interface ProvidedContext {
    llamaServer: LlamaServer | Missing
    ollama: OwnServer | Missing
    lmStudio: OwnServer | Missing
  }
}

export default function setup(project: TestProject): void {
  const parts = {
    llamaServer: installLlamaServer(),
    ollama: findOwnServer("OLLAMA_HOST", "OLLAMA_MODEL"),
    lmStudio: findOwnServer("LMSTUDIO_BASE_URL", "LMSTUDIO_MODEL")
  }
  project.provide("llamaServer", parts.llamaServer)
  project.provide("ollama", parts.ollama)
  project.provide("lmStudio", parts.lmStudio)

  const names = { llamaServer: "llama.cpp's server", ollama: "your Ollama", lmStudio: "your LM Studio" }
  for (const key of ["llamaServer", "ollama", "lmStudio"] as const) {
    const part = parts[key]
    say(`${names[key]}: ${"missing" in part ? `SKIPPED, ${part.missing}` : "tested"}`)
  }
}

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const findOwnServer = (address: string, modelName: string): OwnServer | Missing => {
  const model = process.env[modelName]
  if (model !== undefined && model !== "") return { model }
  const where = process.env[address] === undefined ? `${address} and ${modelName} are` : `${modelName} is`
  return { missing: `${where} not set` }
}

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url))

/** Installed once, and again when the requirements change. */
const installLlamaServer = (): LlamaServer | Missing => {
  const requirements = here("requirements.txt")
  const hash = Crypto.createHash("sha256").update(Fs.readFileSync(requirements)).digest("hex").slice(0, 8)
  const folder = here(`../../.cache/llama-server-${hash}`)
  const python = `${folder}/${process.platform === "win32" ? "Scripts/python.exe" : "bin/python"}`

  if (run(python, ["-c", "import xllamacpp"]) !== undefined) {
    if (run("python3", ["--version"]) !== undefined) return { missing: "there is no python3" }
    say("installing llama.cpp's server …")
    Fs.rmSync(folder, { recursive: true, force: true })
    const failure =
      run("python3", ["-m", "venv", folder]) ??
      run(python, ["-m", "pip", "install", "--only-binary", ":all:", "--quiet", "-r", requirements]) ??
      run(python, ["-c", "import xllamacpp"])
    if (failure !== undefined) return { missing: `it could not be installed: ${failure}` }
  }
  return { python, models: unpackModels() }
}

/** Why it failed, if it did. */
const run = (command: string, args: ReadonlyArray<string>): string | undefined => {
  const { error, status, stderr } = spawnSync(command, args, { encoding: "utf8" })
  if (error === undefined && status === 0) return undefined
  return error?.message ?? stderr.trim().split("\n").at(-1) ?? `${command} ended with ${status}`
}

const unpackModels = (): string => {
  const packed = here("models")
  const unpacked = here("../../.cache/models")
  Fs.mkdirSync(unpacked, { recursive: true })
  for (const file of Fs.readdirSync(packed).filter((name) => name.endsWith(".gz"))) {
    Fs.writeFileSync(
      `${unpacked}/${file.slice(0, -".gz".length)}`,
      Zlib.gunzipSync(Fs.readFileSync(`${packed}/${file}`))
    )
  }
  return unpacked
}
