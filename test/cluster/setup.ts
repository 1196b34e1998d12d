/**
 * What the tests of several gateways need: nginx, Redis and PostgreSQL. Those that are not installed are unpacked from Debian's packages
 * into `.cache`, without root. Says what is missing; the tests that need it are skipped then.
 */
import { execFile } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { promisify } from "node:util"
import type { TestProject } from "vitest/node"

/** Where the executables of a program are, and the libraries that they need. */
export interface Program {
  readonly folder: string
  /** For `LD_LIBRARY_PATH`. */
  readonly libraries: string
}

export interface Missing {
  readonly missing: string
}

declare module "vitest" {
  export interface ProvidedContext {
    nginx: Program | Missing
    redis: Program | Missing
    postgres: Program | Missing
  }
}

const programs = {
  nginx: { debian: "nginx", executables: ["nginx"] },
  redis: { debian: "redis-server", executables: ["redis-server"] },
  postgres: { debian: "postgresql", executables: ["postgres", "initdb"] }
} as const

type Name = keyof typeof programs

export default async function setup(project: TestProject): Promise<void> {
  for (const name of ["nginx", "redis", "postgres"] as const) {
    const found = findProgram(name) ?? (await install(name))
    project.provide(name, found)
    say(`${name}: ${"missing" in found ? `SKIPPED, ${found.missing}` : `tested, ${found.folder}`}`)
  }
}

const say = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const cache = Path.join(import.meta.dirname, "../../.cache/debian")

/** A program that is installed, or was unpacked before. */
export const findProgram = (name: Name): Program | undefined =>
  search(name, [...(process.env["PATH"] ?? "").split(":"), ...foldersBelow("/")]) ?? searchUnpacked(name)

const searchUnpacked = (name: Name): Program | undefined => {
  const root = Path.join(cache, name, "root")
  return search(name, foldersBelow(root), libraryFoldersBelow(root))
}

/** Debian has some executables outside of the usual `PATH`. */
const foldersBelow = (root: string): ReadonlyArray<string> => {
  const postgres = Path.join(root, "usr/lib/postgresql")
  const versions = Fs.existsSync(postgres) ? Fs.readdirSync(postgres) : []
  return [
    ...["usr/bin", "usr/sbin", "bin", "sbin"].map((folder) => Path.join(root, folder)),
    ...versions.map((version) => Path.join(postgres, version, "bin"))
  ]
}

const search = (name: Name, folders: ReadonlyArray<string>, libraries = ""): Program | undefined => {
  const isThere = (folder: string) =>
    programs[name].executables.every((executable) => Fs.existsSync(Path.join(folder, executable)))
  const folder = folders.find((folder) => folder !== "" && isThere(folder))
  return folder === undefined ? undefined : { folder, libraries }
}

const libraryFoldersBelow = (root: string): string => {
  if (!Fs.existsSync(root)) return ""
  const files = Fs.readdirSync(root, { recursive: true, encoding: "utf8" }).filter((file) => /\.so(\.\d+)*$/.test(file))
  return [...new Set(files.map((file) => Path.join(root, Path.dirname(file))))].join(":")
}

/** From the packages that apt would install. Its state is a folder of its own, so it needs no root. */
const install = async (name: Name): Promise<Program | Missing> => {
  const folder = Path.join(cache, name)
  const root = Path.join(folder, "root")
  try {
    say(`installing ${name} …`)
    Fs.rmSync(folder, { recursive: true, force: true })
    Fs.mkdirSync(root, { recursive: true })
    await updateLists()
    const planned = await apt(folder, "--simulate", "--no-install-recommends", "install", programs[name].debian)
    // The compiler of PostgreSQL's queries is large, and starts without it.
    const packages = [...planned.matchAll(/^Inst (\S+)/gm)].flatMap(([, found = ""]) =>
      found.startsWith("libllvm") ? [] : [found]
    )
    await apt(folder, "download", ...packages)
    for (const file of Fs.readdirSync(folder).filter((file) => file.endsWith(".deb"))) {
      await run("dpkg-deb", ["-x", Path.join(folder, file), root], folder)
      Fs.rmSync(Path.join(folder, file))
    }
    return searchUnpacked(name) ?? { missing: `the package ${programs[name].debian} lacks its executables` }
  } catch (error) {
    return { missing: `it is not installed, and its package could not be unpacked: ${explain(error)}` }
  }
}

/** Once in a run. */
let updated: Promise<unknown> | undefined

const updateLists = (): Promise<unknown> => {
  for (const folder of ["lists/partial", "archives/partial"])
    Fs.mkdirSync(Path.join(cache, folder), { recursive: true })
  updated ??= apt(cache, "update")
  return updated
}

const apt = (folder: string, ...args: ReadonlyArray<string>): Promise<string> => {
  const settings = {
    "Dir::State::lists": Path.join(cache, "lists"),
    "Dir::Cache": cache,
    "APT::Sandbox::User": "root",
    "Acquire::Retries": "1",
    "Acquire::http::Timeout": "20"
  }
  return run(
    "apt-get",
    [...Object.entries(settings).flatMap(([key, value]) => ["-o", `${key}=${value}`]), ...args],
    folder
  )
}

const run = async (command: string, args: ReadonlyArray<string>, cwd: string): Promise<string> => {
  const env = { ...process.env, LC_ALL: "C" }
  return (await promisify(execFile)(command, args, { cwd, env, encoding: "utf8", timeout: 300_000 })).stdout
}

const explain = (error: unknown): string => {
  const { code, stderr = "" } = error as { readonly code?: unknown; readonly stderr?: string }
  return code === "ENOENT" ? "there is no apt-get" : (stderr.trim().split("\n").at(-1) ?? String(error))
}
