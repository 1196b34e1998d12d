/** A real llama.cpp server, as a service. */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { describe, inject } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type { ChildProcess } from "node:child_process"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import * as LmStudio from "../../src/LmStudio.ts"
import type { ProviderError } from "../../src/ProviderError.ts"
import type * as Provider from "../../src/Provider.ts"

export interface Options {
  /** One of the scripted models. */
  readonly model: string
  /** Parameters by the names that llama.cpp has for them. */
  readonly parameters?: Readonly<Record<string, unknown>> | undefined
}

export class LlamaServer extends Context.Service<
  LlamaServer,
  {
    readonly url: string
    /** Waits until it is generating so many answers, as it reports itself. Returns how many milliseconds that took. */
    readonly untilGenerating: (count: number) => Effect.Effect<number>
    /** Kills the process. */
    readonly kill: Effect.Effect<void>
  }
>()("test/LlamaServer") {}

/** Where it is installed, or why it is not. */
export const installed = inject("llamaServer")

/** Tests that need it. */
export const describeLlamaServer = (name: string, tests: () => void): void => {
  if ("missing" in installed) describe.skip(`${name} (skipped: ${installed.missing})`, tests)
  else describe(name, tests)
}

export const start = Effect.fnUntraced(function* ({
  model,
  parameters
}: Options): Effect.fn.Return<LlamaServer["Service"], never, Scope.Scope> {
  if ("missing" in installed) return yield* Effect.die(installed.missing)
  const { models, python } = installed
  const settings = {
    model: `${models}/${model}.gguf`,
    model_alias: [model],
    n_ctx: 16_384,
    n_parallel: 1,
    ...parameters
  }
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(python, [fileURLToPath(new URL("server.py", import.meta.url)), JSON.stringify(settings)], {
        stdio: ["pipe", "pipe", "ignore"]
      })
    ),
    kill
  )
  const url = yield* firstLine(child)
  const http = yield* Layer.build(NodeHttpClient.layerUndici)
  const generating = HttpClient.get(`${url}/slots`).pipe(
    Effect.flatMap(HttpClientResponse.schemaBodyJson(Slots)),
    Effect.map((slots) => slots.filter((slot) => slot.is_processing).length),
    Effect.provide(http),
    Effect.orDie
  )
  return LlamaServer.of({
    url,
    untilGenerating: (count) =>
      Effect.repeat(Effect.delay(generating, 5), { until: (now) => now === count }).pipe(
        orDieAfterHalfAMinute(`the server does not come to generate ${count} answers`),
        Effect.timed,
        Effect.map(([time]) => Duration.toMillis(time))
      ),
    kill: kill(child)
  })
})

export const layer = (options: Options): Layer.Layer<LlamaServer> => Layer.effect(LlamaServer, start(options))

/** The LM Studio provider on it. */
export const providerLayer = (
  options: LmStudio.Options = {}
): Layer.Layer<Provider.Provider | LmStudio.LmStudio, ProviderError, LlamaServer> =>
  Layer.unwrap(Effect.map(LlamaServer, ({ url }) => LmStudio.layer({ baseUrl: url, ...options }))).pipe(
    Layer.provide(NodeHttpClient.layerUndici)
  )

/** A server, and the LM Studio provider on it. */
export const layerWithProvider = (
  options: Options
): Layer.Layer<LlamaServer | Provider.Provider | LmStudio.LmStudio, ProviderError> =>
  Layer.provideMerge(providerLayer(), layer(options))

const Slots = Schema.Array(Schema.Struct({ is_processing: Schema.Boolean }))

const kill = (child: ChildProcess): Effect.Effect<void> =>
  Effect.callback((resume) => {
    if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
    child.once("exit", () => resume(Effect.void))
    child.kill("SIGKILL")
    return undefined
  })

/** It prints its address once the model is loaded. */
const firstLine = (child: ChildProcess): Effect.Effect<string> =>
  Effect.callback<string>((resume) => {
    let text = ""
    child.stdout?.setEncoding("utf8").on("data", (piece: string) => {
      text += piece
      if (text.includes("\n")) resume(Effect.succeed(text.trim()))
    })
    child.once("exit", (code) => resume(Effect.die(`the server ended with ${code}`)))
    child.once("error", (error) => resume(Effect.die(error)))
  }).pipe(orDieAfterHalfAMinute("the server does not start"))

const orDieAfterHalfAMinute =
  (defect: string) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.timeoutOrElse(self, { duration: Duration.seconds(30), orElse: () => Effect.die(defect) })
