/** Where a gateway listens, and how clients reach it. */
import * as Effect from "effect/Effect"
import * as Kinds from "../../servers/kinds.ts"
import * as Failure from "../failure.ts"
import * as Output from "../output.ts"
import * as Table from "../table.ts"
import type { Accounts } from "./accounts.ts"
import type { Hosts } from "./hosts.ts"

/** The port after Ollama's, so that both run on one machine. */
export const defaultPort = 11435

/** Where a gateway on this machine is, by default. */
export const defaultUrl = `http://127.0.0.1:${defaultPort}`

export interface Address {
  readonly host: string
  readonly port: number
}

/** Reads `HOST`, `HOST:PORT` or `PORT`. An IPv6 address stands in brackets. */
export const parse = (
  text: string,
  source: string,
  otherwise = defaultPort
): Effect.Effect<Address, Failure.CommandFailed> => {
  const [whole, bracketed, name = "", digits] =
    /^(?:\[([\da-f:.]+)\]|([\w.-]*))(?::(\d{1,5}))?$/i.exec(text.trim()) ?? []
  const isPort = digits === undefined && /^\d{1,5}$/.test(name)
  const port = Number(isPort ? name : (digits ?? otherwise))
  return whole === undefined || whole === "" || port > 65535
    ? Failure.fail(`${source} is HOST, HOST:PORT or PORT, such as 0.0.0.0:${otherwise}`)
    : Effect.succeed({ host: (isPort ? "" : (bracketed ?? name)) || "127.0.0.1", port })
}

/** Whether only programs on this machine reach it. */
export const isLoopback = ({ host }: Address): boolean => /^(127\.\d+\.\d+\.\d+|::1|localhost)$/i.test(host)

/** Whether it stands for all addresses of the machine, none of which it names to others. */
export const isWildcard = ({ host }: Address): boolean => host === "0.0.0.0" || host === "::"

/** The URL for clients. An address of all interfaces is reached from this machine by the one of the machine itself. */
export const toUrl = ({ host, port }: Address): string => {
  const reachable = isWildcard({ host, port }) ? "127.0.0.1" : host
  return `http://${reachable.includes(":") ? `[${reachable}]` : reachable}:${port}`
}

interface Greeting {
  readonly accounts: Accounts
  readonly address: Address
  readonly hosts: Hosts
  readonly isDemonstration: boolean
  /** Whether it is one object for a program. */
  readonly json: boolean
}

/** What a gateway says when it listens. The settings of clients are lines that a shell reads. */
export const greet = Effect.fnUntraced(function* ({ accounts, address, hosts, isDemonstration, json }: Greeting) {
  const url = toUrl(address)
  const members = hosts.members().map(({ name, service }) => ({ name, kind: Kinds.identify(service.kind).name }))
  const keys = accounts.count()
  const suffix = url === defaultUrl ? "" : ` --url ${url}`
  if (json) return yield* Output.writeJson({ url, hosts: members, isDemonstration, keys: keys ?? null })
  if (isDemonstration) {
    yield* Output.note(
      "No model server is running. This is a DEMONSTRATION: the answers come from the built-in FAKE server, not from a model."
    )
  }
  const hostLines = Table.align(members.map(({ kind, name }) => ["", name, kind]))
  yield* Output.note(`local-llm serves ${members.length === 1 ? "1 host" : `${members.length} hosts`} at ${url}`)
  yield* Effect.forEach(hostLines, (line) => Output.note(`  ${line.trimStart()}`), { discard: true })
  yield* Output.note(
    keys === undefined ? "It needs no keys." : `It needs a key; there ${keys === 1 ? "is 1" : `are ${keys}`}.`
  )
  yield* Output.note("Point clients at it:")
  yield* Output.write(
    [`OLLAMA_HOST=${url}`, `OPENAI_BASE_URL=${url}/v1`, `ANTHROPIC_BASE_URL=${url}`].map((line) => `${line}\n`).join("")
  )
  yield* Output.note(`Look at it: ${url}/ in a browser, or local-llm top${suffix}. Ctrl-C stops it.`)
})
