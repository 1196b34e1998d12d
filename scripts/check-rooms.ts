// Holds the plan of the house: imports only go down, and rooms of one floor do not import each other.
import { readFileSync } from "node:fs"
import { join, posix } from "node:path"
import { listFiles, root } from "./support/repository.ts"

/** From the roof down. A room is a folder, or some files that may import each other. */
const floors: Readonly<Record<string, ReadonlyArray<string>>> = {
  door: ["index"],
  program: ["cli/"],
  edges: ["EffectAi", "Gateway", "testing/"],
  policies: ["Retry", "Fallback", "Pool"],
  providers: ["Ollama", "LmStudio", "LlamaServer", "MockProvider"],
  contract: ["Provider Deadlines"],
  transport: ["internal/exchange"],
  wire: [
    `internal/protocol internal/ollamaProtocol internal/openAiProtocol internal/toolCallAssembly
     internal/requestBody internal/serverFailure internal/lines internal/sse internal/json internal/baseUrl`
  ],
  words: ["StreamingChunk CompletionRequest ModelInfo ProviderError"]
}

const floorsThatSeeHttp = new Set(["program", "edges", "transport"])
const floorsThatNameHttpTypes = new Set(["providers"])
const roomsOnNode = new Set(["cli/", "testing/"])

interface Place {
  /** The roof is 0. */
  readonly level: number
  readonly floor: string
  readonly room: string
}

interface Import {
  readonly specifier: string
  readonly isType: boolean
}

const findPlace = (module: string): Place | undefined => {
  for (const [level, [floor, rooms]] of Object.entries(floors).entries()) {
    const room = rooms.find((room) =>
      room.endsWith("/") ? module.startsWith(room) : room.split(/\s+/).includes(module)
    )
    if (room !== undefined) return { level, floor, room }
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

const complainAboutFile = (from: Place, module: string, specifier: string): string | undefined => {
  const to = findPlace(posix.join(posix.dirname(module), specifier).replace(/\.ts$/, ""))
  if (to === undefined) return "is in no room"
  if (to.level < from.level) return `is up the stairs: ${from.floor} may not import ${to.floor}`
  if (to.level > from.level || to.room === from.room) return undefined
  return `is next door: rooms of the floor "${to.floor}" do not import each other`
}

const complainAboutPackage = (from: Place, { isType, specifier }: Import): string | undefined => {
  const [, name, path] = /^((?:@[^/]+\/)?[^/]+)(?:\/(.+))?$/.exec(specifier) ?? []
  if (specifier.startsWith("node:") || name === "@effect/platform-node") {
    if (!roomsOnNode.has(from.room)) return `is for Node alone; only ${[...roomsOnNode].join(" and ")} may import it`
  } else if (name !== "effect") return "is not a dependency"
  if (specifier.startsWith("node:")) return undefined
  if (path === undefined || !/^[A-Z]/.test(posix.basename(path))) return "is a barrel and slow to load"
  if (!path.startsWith("http/") || floorsThatSeeHttp.has(from.floor)) return undefined
  if (isType && floorsThatNameHttpTypes.has(from.floor)) return undefined
  return `is HTTP, which the floor "${from.floor}" does not see`
}

const check = (file: string): ReadonlyArray<string> => {
  const module = file.replace(/\.ts$/, "")
  const place = findPlace(module)
  if (place === undefined) return [`src/${file} is in no room; give it one in scripts/check-rooms.ts`]
  return findImports(readFileSync(join(root, "src", file), "utf8")).flatMap((each) => {
    const complaint = each.specifier.startsWith(".")
      ? complainAboutFile(place, module, each.specifier)
      : complainAboutPackage(place, each)
    return complaint === undefined ? [] : [`src/${file}: "${each.specifier}" ${complaint}`]
  })
}

const complaints = listFiles("src", ".ts").flatMap(check)
for (const complaint of complaints) console.error(complaint)
if (complaints.length > 0) process.exitCode = 1
