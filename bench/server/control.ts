// How the benchmark starts the server, and what it asks the server in addition to answers.
import { fork } from "node:child_process"
import { once } from "node:events"
import { get, type IncomingMessage } from "node:http"
import { json } from "node:stream/consumers"

export const controlPaths = { lateness: "/lateness", busySockets: "/busy-sockets" } as const

/** Starts the server in its own process. */
export async function startServer(): Promise<{ readonly url: string; readonly stop: () => void }> {
  const child = fork(new URL("main.ts", import.meta.url))
  const [url] = await once(child, "message")
  return { url: String(url), stop: () => child.kill() }
}

/** The 99th percentile of the server's own lateness with paced tokens since the last call, in milliseconds. */
export const takeServerLateness = (serverUrl: string): Promise<number> => ask(serverUrl + controlPaths.lateness)

/** The sockets on which an answer is still being sent; idle sockets in a client's pool do not count. */
export const countBusySockets = (serverUrl: string): Promise<number> => ask(serverUrl + controlPaths.busySockets)

async function ask(url: string): Promise<number> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    // A separate socket, closed afterwards.
    get(url, { agent: false }, resolve).on("error", reject)
  })
  return Number(await json(response))
}
