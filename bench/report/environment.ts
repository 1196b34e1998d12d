import { readFileSync } from "node:fs"
import { cpus, release, totalmem, type } from "node:os"

export interface Environment {
  readonly node: string
  readonly system: string
  readonly cpu: string
  readonly cores: number
  readonly memoryGigabytes: number
  readonly packages: Readonly<Record<string, string>>
}

const packageFiles = [
  "../package.json",
  "../node_modules/effect/package.json",
  "../node_modules/@effect/platform-node/package.json",
  "../node_modules/undici/package.json",
  "node_modules/ollama/package.json",
  "node_modules/openai/package.json",
  "node_modules/ai/package.json",
  "node_modules/ai-sdk-ollama/package.json",
  "node_modules/@ai-sdk/openai-compatible/package.json"
]

export function readEnvironment(): Environment {
  const processors = cpus()
  return {
    node: process.version,
    system: `${type()} ${release()}`,
    cpu: processors[0]?.model ?? "unknown",
    cores: processors.length,
    memoryGigabytes: Math.round(totalmem() / 1e9),
    packages: { "Node's fetch (undici)": process.versions.undici ?? "unknown", ...readVersions() }
  }
}

function readVersions(): Record<string, string> {
  const found = packageFiles.map((path) => {
    const file = readFileSync(new URL(`../${path}`, import.meta.url), "utf8")
    const { name, version } = JSON.parse(file) as { readonly name: string; readonly version: string }
    return [name, version] as const
  })
  return Object.fromEntries(found)
}
