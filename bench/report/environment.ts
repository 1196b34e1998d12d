import { readFileSync } from "node:fs"
import { cpus, release, totalmem, type } from "node:os"
import { entryOf, everySubject } from "../subjects/catalogue.ts"

const peers = [...new Set(everySubject.flatMap((name) => entryOf(name).packages ?? []))]
const packageFiles = [
  "../package.json",
  ...["effect", "@effect/platform-node", "undici"].map((name) => `../node_modules/${name}/package.json`),
  ...peers.map((name) => `node_modules/${name}/package.json`)
]

/** The machine and the versions in one line. */
export function describeEnvironment(): string {
  const processors = cpus()
  const machine = `${processors.length} cores (${processors[0]?.model ?? "unknown"}), ${Math.round(totalmem() / 1e9)} GB`
  const versions = [`Node's fetch (undici) ${process.versions.undici}`, ...packageFiles.map(versionIn)]
  return `Node ${process.version} on ${type()} ${release()}, ${machine}. ${versions.join(", ")}.`
}

function versionIn(path: string): string {
  const file = readFileSync(new URL(`../${path}`, import.meta.url), "utf8")
  const { name, version } = JSON.parse(file) as { readonly name: string; readonly version: string }
  return `${name} ${version}`
}
