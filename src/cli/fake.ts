/** The built-in fake server, which answers if no model server runs and a fake answer cannot be mistaken for a real one. */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stdio from "effect/Stdio"
import * as Kinds from "../servers/kinds.ts"

/**
 * Whether a fake answer cannot be mistaken for a real one: a person reads it on a terminal, or started the program by
 * `npm start` in the repository. A script that redirects the output gets an error instead.
 */
export const isAllowed = Effect.gen(function* () {
  const { stdoutIsTerminal } = yield* Stdio.Stdio
  const script = yield* Config.option(Config.String("npm_lifecycle_event"))
  const project = yield* Config.option(Config.String("npm_package_name"))
  const isNpmStart = Option.contains(script, "start") && Option.contains(project, "effect-local-llm")
  return isNpmStart || (yield* stdoutIsTerminal)
})

/** The name of its model. */
export const model = "no-model"

const { localNames } = Kinds

const text =
  `This is the built-in fake server, not a model. No ${localNames.slice(0, -1).join(", ")} or ${localNames.at(-1)} is running on this machine. ` +
  "Start one of them, get a model, and ask again. "

/** Starts it, and returns its address. `end` is the end of its answers. */
export const start = Effect.fnUntraced(function* (end: string) {
  const { FakeServer } = yield* Effect.promise(() => import("../testing/index.ts"))
  const script = { text: text + end, delay: { between: "50 millis" } } as const
  const context = yield* Layer.build(FakeServer.layer(script, { models: [model] }))
  return Context.get(context, FakeServer.FakeServer).url
})
