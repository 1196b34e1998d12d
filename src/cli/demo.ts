/** The built-in fake server, for trying the program without a model. */
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stdio from "effect/Stdio"
import * as LmStudio from "../LmStudio.ts"
import type { ProviderError } from "../ProviderError.ts"
import * as Servers from "../servers/servers.ts"
import type { Selected } from "./discovery.ts"
import * as Output from "./output.ts"

/**
 * Whether a fake answer cannot be mistaken for a real one: a person reads it on a terminal, or started the program by
 * `npm start` in the repository. A script that redirects the output gets an error instead.
 */
export const isAllowed = Effect.gen(function* () {
  const stdio = yield* Stdio.Stdio
  const script = yield* Config.option(Config.String("npm_lifecycle_event"))
  const project = yield* Config.option(Config.String("npm_package_name"))
  const isNpmStart = Option.contains(script, "start") && Option.contains(project, "effect-local-llm")
  return isNpmStart || (yield* stdio.stdoutIsTerminal)
})

const text =
  `This is the built-in fake server, not a model. No ${Servers.localNames.slice(0, -1).join(", ")} or ${Servers.localNames.at(-1)} is running on this machine. ` +
  "Start one of them, get a model, and ask again. Its answer will stream like these words."

/** Starts the fake server. */
export const start = Effect.gen(function* (): Effect.fn.Return<
  Selected,
  ProviderError,
  HttpClient.HttpClient | Scope.Scope
> {
  yield* Output.note("No model server is running. The answer comes from the built-in FAKE server, not from a model.")
  const { FakeServer } = yield* Effect.promise(() => import("../testing/index.ts"))
  const context = yield* Layer.build(FakeServer.layer({ text, delay: { between: "50 millis" } }))
  const { url } = Context.get(context, FakeServer.FakeServer)
  // With this protocol the program measures the speed itself. With Ollama's, the server would report an invented one.
  return { provider: { ...(yield* LmStudio.make({ baseUrl: url })), name: "the fake server" }, model: "no-model" }
})
