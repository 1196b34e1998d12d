import { fork } from "node:child_process"
import { once } from "node:events"

export interface Server {
  readonly url: string
  readonly stop: () => void
}

/** Starts the server in a process of its own. */
export async function startServer(): Promise<Server> {
  const child = fork(new URL("main.ts", import.meta.url))
  const [url] = await once(child, "message")
  return { url: String(url), stop: () => child.kill() }
}
