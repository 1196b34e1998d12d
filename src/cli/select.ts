/** The server and the model of a chat. */
import * as Effect from "effect/Effect"
import * as Pool from "../Pool.ts"
import * as Demo from "./demo.ts"
import * as Discovery from "./discovery.ts"

export interface Input extends Discovery.Selection {
  readonly hosts: ReadonlyArray<string>
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
    return { model, provider: hosts.length === 1 && hosts[0] ? hosts[0].provider : yield* Pool.make({ hosts }) }
  }
  return yield* Effect.catchTag(
    Discovery.findModel(input),
    "NoServerRunning",
    Effect.fnUntraced(function* (error) {
      return (yield* Demo.isAllowed) && input.model === undefined ? yield* Demo.start : yield* error
    })
  )
})
