// Every client that is measured. To add one, add an entry here; measures select subjects by kind.
import type { Target } from "../measures/Measure.ts"
import type { Protocol } from "../server/wire.ts"
import type * as Peers from "./peers.ts"
import type * as Plain from "./plain.ts"
import type { Variant } from "./ours.ts"

/** Reads one answer to its end and passes on each text; an aborted signal should close the connection. */
export type Read = (scenario: string, onText: (text: string) => void, signal?: AbortSignal) => Promise<void>

/** A client that is measured, with its defaults and no further layers. */
export interface Subject {
  readonly protocol: Protocol
  readonly read: Read
}

export type Connect = (serverUrl: string, protocol: Protocol) => Promise<Read>

/** A `variant` is this library with one setting changed. */
export type Kind = "floor" | "buffered" | "ours" | "variant" | "peer"

interface Entry {
  readonly kind: Kind
  readonly protocol: Protocol
  /** Imports its client itself, so that a process loads only the subject it measures. */
  readonly connect: Connect
  /** What a user of this client imports. */
  readonly packages?: ReadonlyArray<string>
  /** Over ten times slower than the others (the `ai` package), so it gets smaller loads. */
  readonly slow?: boolean
}

const plain = (kind: keyof typeof Plain, protocol: Protocol): Entry => ({
  kind,
  protocol,
  connect: async (...server) => (await import("./plain.ts"))[kind](...server)
})
const ours = (protocol: Protocol, variant?: Variant): Entry => ({
  kind: variant === undefined ? "ours" : "variant",
  protocol,
  connect: async (...server) => (await import("./ours.ts")).connectWith(variant ?? {})(...server)
})
const peer = (protocol: Protocol, name: keyof typeof Peers, ...packages: Array<string>): Entry => ({
  kind: "peer",
  protocol,
  packages,
  connect: async (...server) => (await import("./peers.ts"))[name](...server),
  slow: packages.includes("ai")
})

const catalogue = {
  "floor, NDJSON": plain("floor", "ndjson"),
  "floor, SSE": plain("floor", "sse"),
  "buffered, NDJSON": plain("buffered", "ndjson"),
  "buffered, SSE": plain("buffered", "sse"),
  "ours, NDJSON": ours("ndjson"),
  "ours, NDJSON, no deadlines": ours("ndjson", { deadlines: false }),
  "ours, NDJSON, node:http": ours("ndjson", { httpClient: "layerNodeHttp" }),
  "ours, NDJSON, fetch": ours("ndjson", { httpClient: "layerFetch" }),
  "ours, NDJSON, policies": ours("ndjson", { policies: true }),
  "ours, NDJSON, effect/ai": ours("ndjson", { effectAi: true }),
  "ours, SSE": ours("sse"),
  "ours, SSE, no deadlines": ours("sse", { deadlines: false }),
  "ours, SSE, node:http": ours("sse", { httpClient: "layerNodeHttp" }),
  "ours, SSE, fetch": ours("sse", { httpClient: "layerFetch" }),
  "ours, SSE, effect/ai": ours("sse", { effectAi: true }),
  ollama: peer("ndjson", "ollama", "ollama"),
  openai: peer("sse", "openai", "openai"),
  "ai + ai-sdk-ollama": peer("ndjson", "aiOllama", "ai", "ai-sdk-ollama"),
  "ai + @ai-sdk/openai-compatible": peer("sse", "aiOpenAiCompatible", "ai", "@ai-sdk/openai-compatible")
} as const satisfies Record<string, Entry>

export type SubjectName = keyof typeof catalogue
export const everySubject = Object.keys(catalogue) as ReadonlyArray<SubjectName>

export const entryOf = (name: SubjectName): Entry => catalogue[name]

export function subjectsOf(...kinds: ReadonlyArray<Kind>): ReadonlyArray<SubjectName> {
  return everySubject.filter((name) => kinds.includes(catalogue[name].kind))
}

/** This library below `effect/ai` has to cost less than the `ai` package with its providers. */
export const againstAi = (figure: string): ReadonlyArray<Target> => [
  { level: "must", subject: "ours, NDJSON, effect/ai", figure, atMost: 1, times: "ai + ai-sdk-ollama" },
  { level: "must", subject: "ours, SSE, effect/ai", figure, atMost: 1, times: "ai + @ai-sdk/openai-compatible" }
]

export async function connectSubject(name: SubjectName, serverUrl: string): Promise<Subject> {
  const { protocol, connect } = catalogue[name]
  return { protocol, read: await connect(serverUrl, protocol) }
}
