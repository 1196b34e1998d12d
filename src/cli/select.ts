/** The server and the model of a chat. */
import * as Effect from "effect/Effect"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Pool from "../Pool.ts"
import * as Demo from "./demo.ts"
import * as Discovery from "./discovery.ts"

export interface Input extends Discovery.Selection {
  readonly hosts: ReadonlyArray<string>
}

export interface Selected extends Discovery.Selected {
  /** Whether the request waits for a host. Default: never. */
  readonly isQueued?: Effect.Effect<boolean>
}

/** Several hosts become a pool. */
export const select = Effect.fnUntraced(function* (input: Input) {
  const [host, ...others] = input.hosts
  if (host !== undefined) {
    const selected = yield* Effect.forEach([host, ...others], (url) => Discovery.findModel({ ...input, url }), {
      concurrency: "unbounded"
    })
    const hosts = selected.map(({ provider }, i) => ({ provider, name: input.hosts[i] }))
    const model = input.model ?? selected[0]?.model ?? ""
    if (others.length === 0 && hosts[0] !== undefined) return { model, provider: hosts[0].provider }
    const provider = yield* Pool.make({ hosts })
    const isQueued = Effect.map(SubscriptionRef.get(provider.state), ({ waiting }) => waiting > 0)
    const pool: Selected = { model, provider, isQueued }
    return pool
  }
  const found: Selected = yield* Effect.catchTag(
    Discovery.findModel(input),
    "NoServerRunning",
    Effect.fnUntraced(function* (error) {
      return (yield* Demo.isAllowed) && input.model === undefined ? yield* Demo.start : yield* error
    })
  )
  return found
})
