/** What a gateway says when it listens: which hosts it serves, and how to point clients at it. */
import * as Effect from "effect/Effect"
import * as Servers from "../../servers/servers.ts"
import * as Output from "../output.ts"
import * as Table from "../table.ts"
import type { Accounts } from "./accounts.ts"
import type { Hosts } from "./hosts.ts"
import * as Listen from "./listen.ts"
import type { Input } from "./sources.ts"

interface Parts {
  readonly accounts: Accounts
  readonly address: Listen.Address
  readonly hosts: Hosts
  readonly input: Input
  readonly isDemonstration: boolean
}

/** The settings are lines that a shell reads. With `--json` it is one object. */
export const print = Effect.fnUntraced(function* ({ accounts, address, hosts, input, isDemonstration }: Parts) {
  const url = Listen.toUrl(address)
  const members = hosts.members().map(({ name, service }) => ({ name, kind: Servers.definitions[service.kind].name }))
  const keys = accounts.count()
  if (input.json) return yield* Output.writeJson({ url, hosts: members, isDemonstration, keys: keys ?? null })
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
  yield* Output.note(`Look at it: ${url}/ in a browser, or local-llm top${suffixFor(address)}. Ctrl-C stops it.`)
})

const suffixFor = (address: Listen.Address): string =>
  Listen.toUrl(address) === Listen.toUrl({ host: "127.0.0.1", port: Listen.defaultPort })
    ? ""
    : ` --url ${Listen.toUrl(address)}`
