// What a client process asks of the server besides answers.
import { get, type IncomingMessage } from "node:http"
import { json } from "node:stream/consumers"

export const controlPaths = { lateness: "/lateness", busySockets: "/busy-sockets" } as const

/** How late the server itself was with 99 % of its paced tokens since it was asked last, in milliseconds. */
export function takeServerLateness(serverUrl: string): Promise<number> {
  return ask(serverUrl + controlPaths.lateness)
}

/** The sockets on which an answer is still being given; those that a pool keeps for the next one do not count. */
export function countBusySockets(serverUrl: string): Promise<number> {
  return ask(serverUrl + controlPaths.busySockets)
}

async function ask(url: string): Promise<number> {
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    // A socket of its own, closed afterwards.
    get(url, { agent: false }, resolve).on("error", reject)
  })
  return Number(await json(response))
}
