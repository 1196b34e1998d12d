// Imports point downward only, and no files import each other in a circle.
import { readFileSync } from "node:fs"
import { posix, join } from "node:path"
import { listFiles, root } from "./support/repository.ts"

/** The public modules that are types. All others are services, layers and policies. */
const types: ReadonlySet<string> = new Set([
  "Completion",
  "CompletionRequest",
  "Conversation",
  "Deadlines",
  "Embedding",
  "Message",
  "ModelInfo",
  "ModelProgress",
  "PartialObject",
  "Provider",
  "ProviderError",
  "Reason",
  "StreamingChunk",
  "TokenCount"
])

/** From the bottom up. A layer is a folder, or public files: the path of a file tells its layer. */
const layers = [
  "values",
  "types",
  "protocol",
  "http",
  "servers",
  "policies",
  "ai",
  "gateway",
  "cluster",
  "modules",
  "testing",
  "cli"
] as const

type Layer = (typeof layers)[number]

const layersWithHttp = new Set<Layer>(["http", "gateway", "cluster", "modules", "cli"])
const layersWithHttpTypes = new Set<Layer>(["servers", "policies"])
const layersOnNode = new Set<Layer>(["testing", "cli"])

const findLayer = (file: string): Layer | undefined => {
  const [folder = "", ...rest] = file.split("/")
  if (rest.length > 0) return layers.find((layer) => layer === folder)
  return types.has(folder) ? "types" : "modules"
}

interface Import {
  readonly specifier: string
  readonly isType: boolean
}

/** Import statements begin their line and the formatter leaves double quotes only, so this needs no parser. */
const findImports = (text: string): ReadonlyArray<Import> => [
  ...Array.from(
    text.matchAll(/^(?:import|export)\s+(type\s)?(?:[\w\s$*{},]*?\bfrom\s+)?"([^"]+)"/gm),
    ([, type, specifier = ""]) => ({ specifier, isType: type !== undefined })
  ),
  ...Array.from(text.matchAll(/\bimport\(\s*"([^"]+)"/g), ([, specifier = ""]) => ({ specifier, isType: false }))
]

const isRelative = ({ specifier }: Import): boolean => specifier.startsWith(".")

const toFile = (from: string, { specifier }: Import): string =>
  posix.join(posix.dirname(from), specifier).replace(/\.ts$/, "")

const checkPackage = (from: Layer, { isType, specifier }: Import): string | undefined => {
  const [, name, path] = /^((?:@[^/]+\/)?[^/]+)(?:\/(.+))?$/.exec(specifier) ?? []
  if (specifier.startsWith("node:") || name === "@effect/platform-node" || name === "@effect/sql-pg") {
    if (!layersOnNode.has(from)) return `needs Node; only ${[...layersOnNode].join(" and ")} may import it`
  } else if (name !== "effect") return "is not a dependency"
  if (specifier.startsWith("node:")) return undefined
  if (path === undefined || !/^[A-Z]/.test(posix.basename(path))) return "is a barrel, which is slow to load"
  if (!path.startsWith("http/") || layersWithHttp.has(from) || layersOnNode.has(from)) return undefined
  if (isType && layersWithHttpTypes.has(from)) return undefined
  return `is HTTP, which the layer "${from}" may not use`
}

const checkImport = (file: string, from: Layer, each: Import): string | undefined => {
  if (!isRelative(each)) return checkPackage(from, each)
  const to = findLayer(toFile(file, each))
  if (to === undefined) return "is in no layer"
  return layers.indexOf(to) > layers.indexOf(from) ? `points upward: ${from} may not import ${to}` : undefined
}

const imports = new Map(
  listFiles("src", ".ts").map((path) => [
    path.replace(/\.ts$/, ""),
    findImports(readFileSync(join(root, "src", path), "utf8"))
  ])
)

const check = (file: string): ReadonlyArray<string> => {
  const layer = findLayer(file)
  if (layer === undefined) return [`src/${file}.ts is in no layer; add its folder in scripts/check-layers.ts`]
  return (imports.get(file) ?? []).flatMap((each) => {
    const problem = checkImport(file, layer, each)
    return problem === undefined ? [] : [`src/${file}.ts: "${each.specifier}" ${problem}`]
  })
}

/** The circles of imports that begin at a file. `done` has the files whose imports are known to have none. */
const findCircles = (file: string, path: ReadonlyArray<string>, done: Set<string>): ReadonlyArray<string> => {
  if (path.includes(file)) return [`a circle of imports: ${[...path.slice(path.indexOf(file)), file].join(" → ")}`]
  if (done.has(file)) return []
  const circles = (imports.get(file) ?? [])
    .filter(isRelative)
    .flatMap((each) => findCircles(toFile(file, each), path.concat(file), done))
  done.add(file)
  return circles
}

const done = new Set<string>()
const files = [...imports.keys()]
const problems = files.flatMap(check).concat(files.flatMap((file) => findCircles(file, [], done)))
console.log(layers.map((layer) => `${layer} ${files.filter((file) => findLayer(file) === layer).length}`).join(" ← "))
for (const problem of problems) console.error(problem)
if (problems.length > 0) process.exitCode = 1
