import type { Protocol } from "../server/wire.ts"

/** A client that is measured, made as bare as all others. */
export interface Subject {
  readonly protocol: Protocol
  /** Reads one answer to its end and hands over each piece of text; an aborted signal should close the connection. */
  readonly read: (scenario: string, onText: (text: string) => void, signal?: AbortSignal) => Promise<void>
}

/** What every file of this folder exports. */
export type Connect = (serverUrl: string, protocol: Protocol) => Promise<Subject>

export const messages = [{ role: "user" as const, content: "Why is the sky blue?" }]
