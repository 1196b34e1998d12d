/** The server and the model of a chat. */
import * as Effect from "effect/Effect"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as Pool from "../Pool.ts"
import * as Demo from "./demo.ts"
import * as Discovery from "./discovery.ts"
import * as Failure from "./failure.ts"
import * as Output from "./output.ts"

export interface Input extends Discovery.Selection {
  readonly hosts: ReadonlyArray<string>
}

export interface Selected extends Discovery.Selected {
  /** Whether the request waits for a host. Default: never. */
  readonly isQueued?: Effect.Effect<boolean>
}

/** Several hosts become a pool. */
export const select = Effect.fnUntraced(function* (input: Input) {
  if (input.hosts.length > 0) return yield* selectHosts(input)
  const found: Selected = yield* Effect.catchTag(
    Discovery.findModel(input),
    "NoServerRunning",
    Effect.fnUntraced(function* (error) {
      return (yield* Demo.isAllowed) && input.model === undefined ? yield* Demo.start : yield* error
    })
  )
  return found
})

/** A host that does not answer is reported, and the others are used. */
const selectHosts = Effect.fnUntraced(function* (input: Input) {
  const [hosts, failures] = yield* Effect.partition(
    input.hosts,
    (url) => Effect.map(Discovery.findModel({ ...input, url }), (selected) => ({ ...selected, name: url })),
    { concurrency: "unbounded" }
  )
  const [first, ...others] = hosts
  const messages = failures.map((failure) => Failure.describe(failure))
  if (first === undefined) return yield* new Discovery.NothingFound({ message: messages.join("; ") })
  yield* Effect.forEach(messages, Output.dimNote, { discard: true })
  if (others.length === 0) return { model: first.model, provider: first.provider }
  const provider = yield* Pool.make({ hosts: hosts.map(({ name, provider }) => ({ name, provider })) })
  const isQueued = Effect.map(SubscriptionRef.get(provider.state), ({ waiting }) => waiting > 0)
  const pool: Selected = { model: input.model ?? first.model, provider, isQueued }
  return pool
})
