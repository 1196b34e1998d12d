/** The requests and connections of a fake server, and the waits for them. */
import * as Effect from "effect/Effect"
import type * as Http from "node:http"
import type { ReceivedRequest } from "./answer.ts"
import { isPreflight } from "./cors.ts"

/**
 * The requests and connections so far.
 *
 * @category models
 * @since 0.1.0
 */
export interface State {
  /** The requests, in the order in which they came, without the preflights. */
  readonly requests: ReadonlyArray<ReceivedRequest>
  /** The preflights: what browsers asked before they sent a request of a page of another origin. */
  readonly preflights: ReadonlyArray<ReceivedRequest>
  /** Connections that are open now, those included that a client keeps for its next request. */
  readonly openConnections: number
  /** Connections that were ever opened. */
  readonly connections: number
}

export type Entry = { -readonly [K in keyof ReceivedRequest]: ReceivedRequest[K] }

export const make = () => {
  const requests: Array<Entry> = []
  const preflights: Array<Entry> = []
  const waiting = new Set<() => void>()
  let openConnections = 0
  let connections = 0
  let isClosed = false

  const changed = (): void => {
    for (const check of waiting) check()
  }
  const state = (): State => ({
    requests: requests.map((entry) => ({ ...entry })),
    preflights: preflights.map((entry) => ({ ...entry })),
    openConnections,
    connections
  })

  return {
    state,
    isClosed: () => isClosed,
    close: () => {
      isClosed = true
    },
    begin: (request: Http.IncomingMessage, body: unknown): Entry => {
      const entry: Entry = {
        index: requests.length,
        method: request.method ?? "",
        path: request.url ?? "",
        headers: Object.fromEntries(Object.entries(request.headers).map(([name, value]) => [name, String(value)])),
        body,
        outcome: "answering",
        bytesWritten: 0
      }
      const entries = isPreflight(request) ? preflights : requests
      entries.push(entry)
      changed()
      return entry
    },
    update: (entry: Entry, fields: Partial<Pick<Entry, "outcome" | "bytesWritten">>): void => {
      Object.assign(entry, fields)
      changed()
    },
    connect: () => {
      openConnections++
      connections++
      changed()
    },
    disconnect: () => {
      openConnections--
      changed()
    },
    until: (predicate: (state: State) => boolean): Effect.Effect<State> =>
      Effect.callback((resume) => {
        const check = (): void => {
          const seen = state()
          try {
            if (!predicate(seen)) return
            resume(Effect.succeed(seen))
          } catch (defect) {
            resume(Effect.die(defect))
          }
          waiting.delete(check)
        }
        waiting.add(check)
        check()
        return Effect.sync(() => waiting.delete(check))
      })
  }
}
