// Imports point downward only, and modules of the same layer do not import each other.
import { readFileSync } from "node:fs"
import { join, posix } from "node:path"
import { listFiles, root } from "./support/repository.ts"

/** From the top down. A module is a folder, or some files that may import each other. */
const layers: Readonly<Record<string, ReadonlyArray<string>>> = {
  index: ["index"],
  program: ["cli/"],
  edges: ["EffectAi", "Discovery", "StreamResponse", "testing/"],
  translation: ["internal/effectAi/"],
  policies: ["Thinking", "Retry", "Fallback", "Hedge", "Pool", "Telemetry"],
  hosts: ["internal/pool/"],
  attempts: ["internal/commit", "internal/budget"],
  providers: ["Ollama", "LmStudio", "LlamaServer", "OpenAiCompatible", "MockProvider"],
  server: ["internal/server"],
  calls: ["internal/capabilities", "internal/embeddings", "internal/transferSpeed", "internal/options"],
  contract: ["Provider Deadlines internal/guard"],
  answers: ["internal/typedAnswer", "internal/publicMessage", "internal/carries"],
  transport: ["internal/transport internal/rejection internal/baseUrl internal/places internal/probe"],
  protocols: ["internal/ollama/", "internal/openai/"],
  errors: [
    "internal/errorReport internal/knownErrors internal/networkError internal/jsonEndpoint internal/embeddingErrors"
  ],
  wire: ["internal/wire/"],
  content: ["internal/content internal/promptTruncation"],
  types: [
    "StreamingChunk Completion CompletionRequest Embedding ModelInfo ModelProgress ProviderError internal/messages internal/requestFault"
  ],
  values: ["internal/values", "internal/letters", "internal/genAi", "internal/monotonic"]
}

const layersWithHttp = new Set(["program", "edges", "transport"])
const layersWithHttpTypes = new Set(["policies", "providers", "server"])
const modulesOnNode = new Set(["cli/", "testing/"])

interface Place {
  /** The top is 0. */
  readonly level: number
  readonly layer: string
  readonly module: string
}

interface Import {
  readonly specifier: string
  readonly isType: boolean
}

const findPlace = (file: string): Place | undefined => {
  for (const [level, [layer, modules]] of Object.entries(layers).entries()) {
    const module = modules.find((module) =>
      module.endsWith("/") ? file.startsWith(module) : module.split(/\s+/).includes(file)
    )
    if (module !== undefined) return { level, layer, module }
  }
  return undefined
}

/** Import statements begin their line and the formatter leaves double quotes only, so this needs no parser. */
const findImports = (text: string): ReadonlyArray<Import> => [
  ...Array.from(
    text.matchAll(/^(?:import|export)\s+(type\s)?(?:[\w\s$*{},]*?\bfrom\s+)?"([^"]+)"/gm),
    ([, type, specifier = ""]) => ({ specifier, isType: type !== undefined })
  ),
  ...Array.from(text.matchAll(/\bimport\(\s*"([^"]+)"/g), ([, specifier = ""]) => ({ specifier, isType: false }))
]

const checkFile = (from: Place, file: string, specifier: string): string | undefined => {
  const to = findPlace(posix.join(posix.dirname(file), specifier).replace(/\.ts$/, ""))
  if (to === undefined) return "is in no layer"
  if (to.level < from.level) return `points upward: ${from.layer} may not import ${to.layer}`
  if (to.level > from.level || to.module === from.module) return undefined
  return `is in the same layer: modules of the layer "${to.layer}" do not import each other`
}

const checkPackage = (from: Place, { isType, specifier }: Import): string | undefined => {
  const [, name, path] = /^((?:@[^/]+\/)?[^/]+)(?:\/(.+))?$/.exec(specifier) ?? []
  if (specifier.startsWith("node:") || name === "@effect/platform-node") {
    if (!modulesOnNode.has(from.module)) return `needs Node; only ${[...modulesOnNode].join(" and ")} may import it`
  } else if (name !== "effect") return "is not a dependency"
  if (specifier.startsWith("node:")) return undefined
  if (path === undefined || !/^[A-Z]/.test(posix.basename(path))) return "is a barrel, which is slow to load"
  if (!path.startsWith("http/") || layersWithHttp.has(from.layer)) return undefined
  if (isType && layersWithHttpTypes.has(from.layer)) return undefined
  return `is HTTP, which the layer "${from.layer}" may not use`
}

const check = (path: string): ReadonlyArray<string> => {
  const file = path.replace(/\.ts$/, "")
  const place = findPlace(file)
  if (place === undefined) return [`src/${path} is in no layer; add it in scripts/check-layers.ts`]
  return findImports(readFileSync(join(root, "src", path), "utf8")).flatMap((each) => {
    const problem = each.specifier.startsWith(".") ? checkFile(place, file, each.specifier) : checkPackage(place, each)
    return problem === undefined ? [] : [`src/${path}: "${each.specifier}" ${problem}`]
  })
}

const problems = listFiles("src", ".ts").flatMap(check)
for (const problem of problems) console.error(problem)
if (problems.length > 0) process.exitCode = 1
