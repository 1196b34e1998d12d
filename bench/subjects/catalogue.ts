import type { Protocol } from "../server/wire.ts"
import type { Variant } from "./ours.ts"
import type { Connect, Subject } from "./Subject.ts"

interface Entry {
  readonly protocol: Protocol
  /** A process loads only the subject it measures. */
  readonly load: () => Promise<{ readonly connect: Connect }>
}

const floor = () => import("./floor.ts")
const buffered = () => import("./buffered.ts")
const ours = (variant: Variant) => async () => ({ connect: (await import("./ours.ts")).connectWith(variant) })
const oursWithSchemaJit = () => import("./oursWithSchemaJit.ts")

const catalogue = {
  "floor, NDJSON": { protocol: "ndjson", load: floor },
  "floor, SSE": { protocol: "sse", load: floor },
  "buffered, NDJSON": { protocol: "ndjson", load: buffered },
  "buffered, SSE": { protocol: "sse", load: buffered },
  "ours, NDJSON": { protocol: "ndjson", load: ours({}) },
  "ours, NDJSON, no deadlines": { protocol: "ndjson", load: ours({ deadlines: false }) },
  "ours, NDJSON, node:http": { protocol: "ndjson", load: ours({ httpClient: "nodeHttp" }) },
  "ours, NDJSON, fetch": { protocol: "ndjson", load: ours({ httpClient: "fetch" }) },
  "ours, NDJSON, Schema JIT": { protocol: "ndjson", load: oursWithSchemaJit },
  "ours, SSE": { protocol: "sse", load: ours({}) },
  "ours, SSE, no deadlines": { protocol: "sse", load: ours({ deadlines: false }) },
  "ours, SSE, node:http": { protocol: "sse", load: ours({ httpClient: "nodeHttp" }) },
  "ours, SSE, fetch": { protocol: "sse", load: ours({ httpClient: "fetch" }) },
  "ours, SSE, Schema JIT": { protocol: "sse", load: oursWithSchemaJit },
  ollama: { protocol: "ndjson", load: () => import("./ollama.ts") },
  openai: { protocol: "sse", load: () => import("./openai.ts") },
  "ai + ai-sdk-ollama": { protocol: "ndjson", load: () => import("./aiOllama.ts") },
  "ai + @ai-sdk/openai-compatible": { protocol: "sse", load: () => import("./aiOpenAiCompatible.ts") }
} as const satisfies Record<string, Entry>

export type SubjectName = keyof typeof catalogue

export const floors: ReadonlyArray<SubjectName> = ["floor, NDJSON", "floor, SSE"]
export const bufferedWays: ReadonlyArray<SubjectName> = ["buffered, NDJSON", "buffered, SSE"]
export const ourselves: ReadonlyArray<SubjectName> = ["ours, NDJSON", "ours, SSE"]
export const aiSdks: ReadonlyArray<SubjectName> = ["ai + ai-sdk-ollama", "ai + @ai-sdk/openai-compatible"]
export const peers: ReadonlyArray<SubjectName> = ["ollama", "openai", ...aiSdks]
export const everySubject = Object.keys(catalogue) as ReadonlyArray<SubjectName>
export const everyStreaming = everySubject.filter((name) => !bufferedWays.includes(name))

/** Among these is every file that a subject is made of. */
export const everyModule: ReadonlyArray<SubjectName> = [
  "floor, NDJSON",
  "buffered, NDJSON",
  "ours, NDJSON",
  "ours, NDJSON, Schema JIT",
  ...peers
]

export function protocolOf(name: SubjectName): Protocol {
  return catalogue[name].protocol
}

export async function connectSubject(name: SubjectName, serverUrl: string): Promise<Subject> {
  const { protocol, load } = catalogue[name]
  const { connect } = await load()
  return connect(serverUrl, protocol)
}
