// Every client that is measured. To add one, add an entry here; measures select subjects by kind.
import type { Protocol } from "../server/wire.ts"
import type * as Peers from "./peers.ts"
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

const floor: Connect = async (...server) => (await import("./plain.ts")).floor(...server)
const buffered: Connect = async (...server) => (await import("./plain.ts")).buffered(...server)
const ours = (kind: Kind, protocol: Protocol, variant: Variant = {}): Entry => ({
  kind,
  protocol,
  connect: async (...server) => (await import("./ours.ts")).connectWith(variant)(...server)
})
const effectAi = (protocol: Protocol): Entry => ({
  kind: "variant",
  protocol,
  connect: async (...server) => (await import("./ours.ts")).connectEffectAi(...server)
})
const peer = (protocol: Protocol, name: keyof typeof Peers, ...packages: Array<string>): Entry => ({
  kind: "peer",
  protocol,
  packages,
  connect: async (...server) => (await import("./peers.ts"))[name](...server),
  slow: packages.includes("ai")
})

const catalogue = {
  "floor, NDJSON": { kind: "floor", protocol: "ndjson", connect: floor },
  "floor, SSE": { kind: "floor", protocol: "sse", connect: floor },
  "buffered, NDJSON": { kind: "buffered", protocol: "ndjson", connect: buffered },
  "buffered, SSE": { kind: "buffered", protocol: "sse", connect: buffered },
  "ours, NDJSON": ours("ours", "ndjson"),
  "ours, NDJSON, no deadlines": ours("variant", "ndjson", { deadlines: false }),
  "ours, NDJSON, node:http": ours("variant", "ndjson", { httpClient: "layerNodeHttp" }),
  "ours, NDJSON, fetch": ours("variant", "ndjson", { httpClient: "layerFetch" }),
  "ours, NDJSON, policies": ours("variant", "ndjson", { policies: true }),
  "ours, NDJSON, effect/ai": effectAi("ndjson"),
  "ours, SSE": ours("ours", "sse"),
  "ours, SSE, no deadlines": ours("variant", "sse", { deadlines: false }),
  "ours, SSE, node:http": ours("variant", "sse", { httpClient: "layerNodeHttp" }),
  "ours, SSE, fetch": ours("variant", "sse", { httpClient: "layerFetch" }),
  "ours, SSE, effect/ai": effectAi("sse"),
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
export const againstAi = (figure: string) =>
  (["NDJSON", "SSE"] as const).map((protocol) => ({
    level: "must" as const,
    subject: `ours, ${protocol}, effect/ai` as const,
    figure,
    atMost: 1,
    times: protocol === "NDJSON" ? ("ai + ai-sdk-ollama" as const) : ("ai + @ai-sdk/openai-compatible" as const)
  }))

export async function connectSubject(name: SubjectName, serverUrl: string): Promise<Subject> {
  const { protocol, connect } = catalogue[name]
  return { protocol, read: await connect(serverUrl, protocol) }
}
