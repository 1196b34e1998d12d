// Starting the server and reading its status.
import { fork } from "node:child_process"
import { once } from "node:events"

export const statusPath = "/status"

export interface ServerStatus {
  /** The 99th percentile of the server's own lateness with paced tokens since the last request, in milliseconds. */
  readonly lateness: number
  /** The sockets on which an answer is still being sent; idle sockets in a client's pool do not count. */
  readonly busySockets: number
}

/** Starts the server in its own process. */
export async function startServer(): Promise<{ readonly url: string; readonly stop: () => void }> {
  const child = fork(new URL("main.ts", import.meta.url))
  const [url] = await once(child, "message")
  return { url: String(url), stop: () => child.kill() }
}

export async function readStatus(serverUrl: string): Promise<ServerStatus> {
  const response = await fetch(serverUrl + statusPath)
  return (await response.json()) as ServerStatus
}
