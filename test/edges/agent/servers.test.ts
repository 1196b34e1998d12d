/** Agents on sockets, with each kind of server. */
import { describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as Agent from "../../../src/Agent.ts"
import * as EffectAi from "../../../src/EffectAi.ts"
import * as Provider from "../../../src/Provider.ts"
import type { FakeServer } from "../../../src/testing/index.ts"
import * as Json from "../../../src/values/json.ts"
import { handlers, toolkit } from "../../support/agent.ts"
import { serverNames, start } from "../../support/setups.ts"

/** How many results of tools the model reads. */
const countResults = (body: unknown): number => {
  const messages = Json.get(body, "messages")
  return Array.isArray(messages) ? messages.filter((message) => Json.get(message, "role") === "tool").length : 0
}

/** One answer for each round. */
const rounds =
  (...answers: ReadonlyArray<FakeServer.Completion>): FakeServer.Script =>
  ({ body, method }) =>
    method === "POST" ? (answers[countResults(body)] ?? { text: "Done." }) : {}

const call = (name: string, input: unknown): FakeServer.Completion => ({
  toolCalls: [{ id: "call_1", name, arguments: input }]
})

describe.each(serverNames)("%s", (server) => {
  const open = Effect.fnUntraced(function* (script: FakeServer.Script) {
    const started = yield* start({ provider: server, client: "undici" }, script)
    const provider = Layer.succeed(Provider.Provider, started.provider)
    return {
      ...started,
      live: Layer.merge(handlers, Layer.provide(EffectAi.layerLanguageModel({ model: "m" }), provider))
    }
  })

  it.live("a turn with an invented tool, wrong arguments and a tool that runs", () =>
    Effect.gen(function* () {
      const { live } = yield* open(
        rounds(
          { text: "Let me see.", ...call("fly", { to: "Paris" }) },
          call("get_weather", { town: "Paris" }),
          call("get_weather", { city: "Paris" })
        )
      )
      const answer = yield* Effect.provide(Agent.complete({ prompt: "Weather?", toolkit }), live)
      expect(answer).toMatchObject({ text: "Done.", rounds: 4, finishReason: "stop" })
      expect(answer.calls.map(({ isFailure }) => isFailure)).toEqual([true, true, false])
    })
  )

  it.live("the consumer closes the connection of the second round by stopping", () =>
    Effect.gen(function* () {
      const endless = { pieces: Array.from({ length: 10_000 }, () => "word "), delay: { between: 5 } }
      const { live, server: fake } = yield* open(rounds(call("now", {}), endless))
      const parts = yield* Agent.stream({ prompt: "Now?", toolkit }).pipe(
        Stream.rechunk(1),
        Stream.takeUntil(({ _tag }) => _tag === "Text"),
        Stream.runCollect,
        Effect.provide(live)
      )
      expect(parts.map(({ _tag }) => _tag)).toEqual(["ToolCalled", "ToolRunning", "ToolResult", "Text"])
      yield* fake.until(({ requests }) => requests.at(-1)?.outcome === "cut-by-client")
    })
  )
})
