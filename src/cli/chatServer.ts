/** The server and the model of a chat: a server, a pool of hosts, or else the built-in fake server. */
import * as Effect from "effect/Effect"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as LmStudio from "../LmStudio.ts"
import * as Pool from "../Pool.ts"
import * as Fake from "./fake.ts"
import * as Output from "./output.ts"
import * as Selection from "./selection.ts"

export interface Selected extends Selection.Selected {
  /** Whether the request waits for a host. Default: never. */
  readonly isQueued?: Effect.Effect<boolean>
  /** Whether it is the built-in fake server. */
  readonly isFake?: boolean
}

export const select = Effect.fnUntraced(function* (input: Selection.Named) {
  const { hosts } = input
  if (hosts !== undefined) return yield* selectHosts(input, hosts)
  const found: Selected = yield* Effect.catchTag(
    Selection.findModel(input),
    "NotRunning",
    Effect.fnUntraced(function* (error) {
      return input.model === undefined && (yield* Fake.isAllowed) ? yield* startFake : yield* error
    })
  )
  return found
})

/** Several hosts become a pool. */
const selectHosts = Effect.fnUntraced(function* (input: Selection.Named, addresses: ReadonlyArray<string>) {
  const hosts = yield* Selection.forEachHost(addresses, (url) =>
    Effect.map(Selection.findModel({ ...input, hosts: undefined, url }), (selected) => ({ ...selected, name: url }))
  )
  const [first, ...others] = hosts
  if (others.length === 0) return { model: first.model, provider: first.provider }
  const provider = yield* Pool.make({ hosts: hosts.map(({ name, provider }) => ({ name, provider })) })
  const isQueued = Effect.map(SubscriptionRef.get(provider.state), ({ waiting }) => waiting > 0)
  const pool: Selected = { model: input.model ?? first.model, provider, isQueued }
  return pool
})

const startFake = Effect.gen(function* () {
  yield* Output.note("No model server is running. The answer comes from the built-in FAKE server, not from a model.")
  const url = yield* Fake.start("Its answer will stream like these words.")
  // With this protocol the program measures the speed itself. With Ollama's, the server would report an invented one.
  return {
    provider: { ...(yield* LmStudio.make({ baseUrl: url })), name: "the fake server" },
    model: Fake.model,
    isFake: true
  }
})
