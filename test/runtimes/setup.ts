/**
 * What the tests of runtimes and package managers need: the packed package in a registry, and the tools. Says what is
 * missing; the tests of it are skipped then.
 */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import type { TestProject } from "vitest/node"
import * as Registry from "./registry.ts"
import * as Tools from "./tools.ts"

declare module "vitest" {
  export interface ProvidedContext {
    tools: Tools.Tools
    /** Of all programs. Their settings and caches are in a temporary folder. */
    environment: Readonly<Record<string, string>>
    /** A temporary folder for projects. */
    projects: string
  }
}

const root = Path.join(import.meta.dirname, "../..")

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // On macOS the folder for temporary files is behind a link, which package managers resolve.
  const folder = Fs.realpathSync(Fs.mkdtempSync(Path.join(Os.tmpdir(), "effect-local-llm-")))
  const upstream = npm("config", "get", "registry")
  const tools = canReach(upstream) ? Tools.install() : Tools.none(`the registry ${upstream} does not answer`)
  for (const [name, tool] of Object.entries(tools)) {
    process.stdout.write(`${name}: ${"missing" in tool ? `SKIPPED, ${tool.missing}` : tool.version}\n`)
  }

  npm("pack", "--pack-destination", folder)
  const manifest: Registry.Manifest = JSON.parse(Fs.readFileSync(Path.join(root, "package.json"), "utf8"))
  const tarball = Path.join(folder, `${manifest.name}-${manifest.version}.tgz`)
  const registry = await Registry.start(manifest, tarball, upstream)
  project.provide("tools", tools)
  project.provide("environment", makeEnvironment(folder, registry.url))
  project.provide("projects", folder)
  return async () => {
    await registry.stop()
    Fs.rmSync(folder, { recursive: true, force: true })
  }
}

/** With the settings of the user, such as a mirror of the registry. */
const npm = (...args: ReadonlyArray<string>): string =>
  execFileSync("npm", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).trim()

const canReach = (registry: string): boolean => {
  try {
    npm("view", "effect", "version", "--registry", registry, "--fetch-retries", "0")
    return true
  } catch {
    return false
  }
}

const inherited = /^(https?_proxy|no_proxy|node_extra_ca_certs|ssl_cert_(dir|file)|systemroot|temp|tmp|tmpdir)$/i

const makeEnvironment = (folder: string, registry: string): Readonly<Record<string, string>> => {
  const home = Path.join(folder, "home")
  Fs.mkdirSync(home)
  Fs.writeFileSync(Path.join(home, ".npmrc"), `registry=${registry}/\n`)
  // Without the programs of this repository, so that a project does not find them by mistake.
  const path = (process.env["PATH"] ?? "").split(Path.delimiter).filter((entry) => !entry.includes("node_modules"))
  return {
    ...Object.fromEntries(
      Object.entries(process.env).flatMap(([name, value]) =>
        inherited.test(name) && value !== undefined ? [[name, value]] : []
      )
    ),
    PATH: [Path.dirname(process.execPath), ...path].join(Path.delimiter),
    HOME: home,
    USERPROFILE: home,
    NO_COLOR: "1",
    YARN_NPM_REGISTRY_SERVER: registry,
    YARN_UNSAFE_HTTP_WHITELIST: "127.0.0.1",
    YARN_ENABLE_TELEMETRY: "0"
  }
}
