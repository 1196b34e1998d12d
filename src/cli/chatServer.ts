/** The server and the model of a chat: a server, a pool of hosts, or else the built-in fake server. */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stdio from "effect/Stdio"
import * as SubscriptionRef from "effect/SubscriptionRef"
import * as LmStudio from "../LmStudio.ts"
import * as Pool from "../Pool.ts"
import * as Servers from "../servers/servers.ts"
import * as Failure from "./failure.ts"
import * as Output from "./output.ts"
import * as Selection from "./selection.ts"

interface Input extends Selection.Named {
  readonly hosts: ReadonlyArray<string>
}

export interface Selected extends Selection.Selected {
  /** Whether the request waits for a host. Default: never. */
  readonly isQueued?: Effect.Effect<boolean>
}

export const select = Effect.fnUntraced(function* (input: Input) {
  if (input.hosts.length > 0) return yield* selectHosts(input)
  const found: Selected = yield* Effect.catchTag(
    Selection.findModel(input),
    "NotRunning",
    Effect.fnUntraced(function* (error) {
      return input.model === undefined && (yield* isFakeAllowed) ? yield* startFake : yield* error
    })
  )
  return found
})

/** Several hosts become a pool. A host that does not answer is reported, and the others are used. */
const selectHosts = Effect.fnUntraced(function* (input: Input) {
  const [hosts, failures] = yield* Effect.partition(
    input.hosts,
    (url) => Effect.map(Selection.findModel({ ...input, url }), (selected) => ({ ...selected, name: url })),
    { concurrency: "unbounded" }
  )
  const [first, ...others] = hosts
  const messages = failures.map((failure) => Failure.describe(failure))
  if (first === undefined) return yield* Failure.fail(messages.join("; "))
  yield* Effect.forEach(messages, Output.dimNote, { discard: true })
  if (others.length === 0) return { model: first.model, provider: first.provider }
  const provider = yield* Pool.make({ hosts: hosts.map(({ name, provider }) => ({ name, provider })) })
  const isQueued = Effect.map(SubscriptionRef.get(provider.state), ({ waiting }) => waiting > 0)
  const pool: Selected = { model: input.model ?? first.model, provider, isQueued }
  return pool
})

/**
 * Whether a fake answer cannot be mistaken for a real one: a person reads it on a terminal, or started the program by
 * `npm start` in the repository. A script that redirects the output gets an error instead.
 */
const isFakeAllowed = Effect.gen(function* () {
  const { stdoutIsTerminal } = yield* Stdio.Stdio
  const script = yield* Config.option(Config.String("npm_lifecycle_event"))
  const project = yield* Config.option(Config.String("npm_package_name"))
  const isNpmStart = Option.contains(script, "start") && Option.contains(project, "effect-local-llm")
  return isNpmStart || (yield* stdoutIsTerminal)
})

const { localNames } = Servers

const fakeText =
  `This is the built-in fake server, not a model. No ${localNames.slice(0, -1).join(", ")} or ${localNames.at(-1)} is running on this machine. ` +
  "Start one of them, get a model, and ask again. Its answer will stream like these words."

const startFake = Effect.gen(function* () {
  yield* Output.note("No model server is running. The answer comes from the built-in FAKE server, not from a model.")
  const { FakeServer } = yield* Effect.promise(() => import("../testing/index.ts"))
  const context = yield* Layer.build(FakeServer.layer({ text: fakeText, delay: { between: "50 millis" } }))
  const { url } = Context.get(context, FakeServer.FakeServer)
  // With this protocol the program measures the speed itself. With Ollama's, the server would report an invented one.
  return { provider: { ...(yield* LmStudio.make({ baseUrl: url })), name: "the fake server" }, model: "no-model" }
})
