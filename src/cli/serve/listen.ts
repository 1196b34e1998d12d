/** Where a gateway listens, and how clients reach it. */
import * as Effect from "effect/Effect"
import * as Failure from "../failure.ts"

/** The port after Ollama's, so that both run on one machine. */
export const defaultPort = 11435

export interface Address {
  readonly host: string
  readonly port: number
}

/** Reads `HOST`, `HOST:PORT` or `PORT`. An IPv6 address stands in brackets. */
export const parse = (text: string, source: string): Effect.Effect<Address, Failure.CommandFailed> => {
  const [whole, bracketed, name = "", digits] =
    /^(?:\[([\da-f:.]+)\]|([\w.-]*))(?::(\d{1,5}))?$/i.exec(text.trim()) ?? []
  const isPort = digits === undefined && /^\d{1,5}$/.test(name)
  const port = Number(isPort ? name : (digits ?? defaultPort))
  return whole === undefined || whole === "" || port > 65535
    ? Failure.fail(`${source} is HOST, HOST:PORT or PORT, such as 0.0.0.0:${defaultPort}`)
    : Effect.succeed({ host: (isPort ? "" : (bracketed ?? name)) || "127.0.0.1", port })
}

/** Whether only programs on this machine reach it. */
export const isLoopback = ({ host }: Address): boolean => /^(127\.\d+\.\d+\.\d+|::1|localhost)$/i.test(host)

/** The URL for clients. An address of all interfaces is reached from this machine by the one of the machine itself. */
export const toUrl = ({ host, port }: Address): string => {
  const reachable = host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host
  return `http://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`
}
