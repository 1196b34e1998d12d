/** Tools of answers that do not end well, on sockets: none of them runs. */
import { describe, expect, it } from "@effect/vitest"
import * as Chat from "effect/ai/Chat"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as EffectAi from "../../../src/EffectAi.ts"
import * as Provider from "../../../src/Provider.ts"
import type { FakeServer } from "../../../src/testing/index.ts"
import { read } from "../../support/streamParts.ts"
import { serverNames, start } from "../../support/setups.ts"

const toolkit = Toolkit.make(
  Tool.make("delete_file", { parameters: Schema.Struct({ path: Schema.String }), success: Schema.String })
)

const call = (path: string): FakeServer.Piece => ({
  toolCall: { id: `id_${path}`, name: "delete_file", arguments: { path } }
})

/** What follows the first call. */
const continuations: ReadonlyArray<readonly [string, ReadonlyArray<FakeServer.Piece>]> = [
  ["nothing", []],
  ["text", ["Deleted", " it."]],
  ["thinking", [{ thinking: "Hm" }]],
  ["another call", [call("b")]],
  ["text and another call", ["And", call("b"), "."]]
]

const failures: ReadonlyArray<readonly [string, (pieces: ReadonlyArray<FakeServer.Piece>) => FakeServer.Completion]> = [
  ["a limit", (pieces) => ({ pieces, finishReason: "length" })],
  ["an error record", (pieces) => ({ pieces: [...pieces, { error: "out of memory" }] })],
  ["a bad record", (pieces) => ({ pieces: [...pieces, { record: '{"mess' }] })],
  ["a closed socket", (pieces) => ({ pieces, cut: { how: "close" } })],
  ["a reset socket", (pieces) => ({ pieces, cut: { how: "reset" } })],
  ["a body without end marker", (pieces) => ({ pieces, cut: { how: "end" } })]
]

const wait: FakeServer.Piece = { wait: 30 }

describe.each(serverNames)("%s", (server) => {
  /** Runs an effect on a server with a script, and tells which files were deleted. */
  const run = <A, E>(
    script: FakeServer.Completion,
    use: Effect.Effect<A, E, LanguageModel.LanguageModel | Tool.HandlersFor<typeof toolkit.tools>>
  ) =>
    Effect.gen(function* () {
      const deleted: Array<string> = []
      const handlers = toolkit.toLayer({
        delete_file: ({ path }) => Effect.sync(() => `deleted ${deleted.push(path)}`)
      })
      const { provider } = yield* start({ provider: server, client: "undici" }, script)
      const model = Layer.provide(
        EffectAi.layerLanguageModel({ model: "m" }),
        Layer.succeed(Provider.Provider, provider)
      )
      const result = yield* Effect.result(Effect.provide(use, Layer.merge(model, handlers)))
      return { deleted, result }
    })

  const streamed = Effect.suspend(() => {
    const parts: Array<{ readonly type: string }> = []
    return LanguageModel.streamText({ prompt: "Delete a", toolkit }).pipe(
      Stream.runForEach((part) => Effect.sync(() => parts.push(part))),
      Effect.as(parts),
      Effect.mapError((error) => ({ error, parts }))
    )
  })

  for (const [what, pieces] of continuations) {
    it.live.each(failures)(`a call, ${what}, and %s: no tool runs`, ([, fail]) =>
      Effect.gen(function* () {
        const script = fail([call("a"), wait, ...pieces, wait])
        const { deleted, result } = yield* run(script, streamed)
        expect(deleted).toEqual([])
        const isSuccess = script.finishReason !== undefined
        expect(Result.isSuccess(result)).toBe(isSuccess)
        const parts = Result.isSuccess(result) ? result.success : result.failure.parts
        // A call would make a reader of the parts run its tool.
        if (!isSuccess) expect(parts.map(({ type }) => type)).not.toContain("tool-call")
        expect((yield* run(script, LanguageModel.generateText({ prompt: "Delete a", toolkit }))).deleted).toEqual([])
      })
    )

    it.live(`a call, ${what}, and the end: each tool runs once`, () =>
      Effect.gen(function* () {
        const script = { pieces: [call("a"), wait, ...pieces, wait] }
        const { deleted, result } = yield* run(script, streamed)
        const expected = what.includes("another call") ? ["a", "b"] : ["a"]
        expect(deleted).toEqual(expected)
        const parts = Result.getOrThrow(result)
        expect(read(parts.filter(({ type }) => type !== "tool-result")).calls.map(({ params }) => params)).toEqual(
          expected.map((path) => ({ path }))
        )
        expect(parts.filter(({ type }) => type === "tool-result").length).toBe(expected.length)
      })
    )
  }

  it.live("a conversation keeps no call of an answer that failed", () =>
    Effect.gen(function* () {
      const script = { pieces: [call("a"), wait, "text"], cut: { how: "close" } } as const
      const history = Effect.gen(function* () {
        const chat = yield* Chat.empty
        yield* Effect.ignore(Stream.runDrain(chat.streamText({ prompt: "Delete a", toolkit })))
        return yield* chat.exportJson
      })
      const { deleted, result } = yield* run(script, history)
      expect(deleted).toEqual([])
      expect(Result.getOrThrow(result)).not.toContain("tool-call")
    })
  )
})
