import type { Protocol } from "../server/wire.ts"

/** Reads one answer to its end and passes on each text; an aborted signal should close the connection. */
export type Read = (scenario: string, onText: (text: string) => void, signal?: AbortSignal) => Promise<void>

/** A client that is measured, with its defaults and no further layers. */
export interface Subject {
  readonly protocol: Protocol
  readonly read: Read
}

export type Connect = (serverUrl: string, protocol: Protocol) => Promise<Read>

export const messages = [{ role: "user" as const, content: "Why is the sky blue?" }]
