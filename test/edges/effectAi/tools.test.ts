/** Models of `effect/ai`: tools and the calls of them. */
import { describe, expect, it } from "@effect/vitest"
import * as Chat from "effect/ai/Chat"
import * as IdGenerator from "effect/ai/IdGenerator"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ValidRequest } from "../../../src/CompletionRequest.ts"
import * as EffectAi from "../../../src/EffectAi.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import * as Provider from "../../../src/Provider.ts"
import { read } from "../../support/streamParts.ts"
import { layer, toolkit, handlers, callOf } from "../../support/effectAi.ts"

describe("tools", () => {
  /** Calls the tool once for each city, and answers when the last message is a result. */
  const script =
    (...cities: ReadonlyArray<string>) =>
    ({ messages = [] }: ValidRequest): MockProvider.Script =>
      messages.at(-1)?.role === "tool" ? ["Done."] : cities.map((city) => callOf(city))

  it.effect("handlers run, and failed results are marked", () =>
    Effect.gen(function* () {
      const chat = yield* Chat.empty
      const first = yield* chat.generateText({ prompt: "Weather?", toolkit })
      expect(first.toolResults.toSorted((a, b) => Number(a.isFailure) - Number(b.isFailure))).toMatchObject([
        { isFailure: false, result: { celsius: 21 } },
        { isFailure: true, result: "no city Oslo" }
      ])
      const second = yield* chat.generateText({ prompt: [], toolkit })
      expect(second.text).toBe("Done.")
      const requests = yield* (yield* MockProvider.MockProvider).requests
      // Results come as their handlers end.
      const results = requests[1]?.messages?.slice(-2).toSorted((a) => (a.isError === true ? 1 : -1))
      expect(results).toMatchObject([
        { role: "tool", content: '{"celsius":21}', isError: false },
        { role: "tool", content: "no city Oslo", isError: true }
      ])
    }).pipe(Effect.provide([layer(script("Paris", "Oslo")), handlers]))
  )

  it.effect("calls of a conversation have different ids, though the server repeats them", () =>
    Effect.gen(function* () {
      const chat = yield* Chat.empty
      for (let turn = 0; turn < 3; turn++) {
        yield* chat.streamText({ prompt: "Weather?", toolkit }).pipe(Stream.runDrain)
        yield* chat.generateText({ prompt: [], toolkit })
      }
      const requests = yield* (yield* MockProvider.MockProvider).requests
      const ids = requests.at(-1)?.messages?.flatMap(({ toolCalls = [] }) => toolCalls.map(({ id }) => id)) ?? []
      expect(ids.length).toBe(6)
      expect(new Set(ids).size).toBe(6)
      const results = requests.at(-1)?.messages?.flatMap(({ toolCallId }) => toolCallId ?? []) ?? []
      expect(results.toSorted()).toEqual(ids.toSorted())
    }).pipe(Effect.provide([layer(script("Paris", "Paris")), handlers]))
  )

  it.effect("calls of a conversation have different ids, though the generator repeats them", () =>
    Effect.gen(function* () {
      const chat = yield* Chat.empty
      for (let i = 0; i < 3; i++) yield* chat.generateText({ prompt: "Weather?", toolkit })
      const { content } = yield* Ref.get(chat.history)
      const ids = content.flatMap((message) =>
        message.role === "assistant"
          ? message.content.flatMap((part) => (part.type === "tool-call" ? [part.id] : []))
          : []
      )
      expect(ids).toEqual(["call_0", "same_0", "same_1"])
    }).pipe(
      Effect.provide([layer([callOf("Paris")]), handlers]),
      Effect.provideService(IdGenerator.IdGenerator, { generateId: () => Effect.succeed("same") })
    )
  )

  it.effect("a call that waits for approval runs after it, and its result is sent", () =>
    Effect.gen(function* () {
      const guarded = Toolkit.make(
        Tool.make("delete_file", {
          parameters: Schema.Struct({ path: Schema.String }),
          success: Schema.String,
          needsApproval: true
        })
      )
      const live = guarded.toLayer({ delete_file: ({ path }) => Effect.succeed(`deleted ${path}`) })
      for (const approved of [true, false]) {
        const script = ({ messages = [] }: ValidRequest): MockProvider.Script =>
          messages.at(-1)?.role === "tool"
            ? ["Done."]
            : [{ toolCalls: [{ id: "c1", name: "delete_file", arguments: { path: "a" } }] }]
        const requests = yield* Effect.gen(function* () {
          const chat = yield* Chat.empty
          const first = yield* chat.generateText({ prompt: "Delete a", toolkit: guarded })
          const approval = first.content.find((part) => part.type === "tool-approval-request")
          const response = Prompt.makePart("tool-approval-response", {
            approvalId: approval?.approvalId ?? "",
            approved
          })
          const second = yield* chat.generateText({
            prompt: Prompt.fromMessages([Prompt.makeMessage("tool", { content: [response] })]),
            toolkit: guarded
          })
          expect(second.text).toBe("Done.")
          return yield* (yield* MockProvider.MockProvider).requests
        }).pipe(Effect.provide([layer(script), live]))
        const [user, call, result] = requests[1]?.messages ?? []
        expect([user?.role, call?.role, result?.role]).toEqual(["user", "assistant", "tool"])
        expect(result).toMatchObject({ toolCallId: "c1", isError: !approved })
        if (approved) expect(result?.content).toBe("deleted a")
        else expect(result?.content).toContain("denied")
      }
    })
  )

  it.effect("tools of an answer that was cut do not run", () =>
    Effect.gen(function* () {
      const parts = yield* Stream.runCollect(LanguageModel.streamText({ prompt: "Weather?", toolkit }))
      expect(read(parts).finish).toBe("length")
      expect(parts.filter((part) => part.type === "tool-result")).toMatchObject([
        { isFailure: true, result: { type: "execution-interrupted" } }
      ])
    }).pipe(Effect.provide([layer([callOf("Paris"), { isFinal: true, finishReason: "length" }]), handlers]))
  )

  it.effect("a tool that the model invents is an error, unless its validation is deferred", () =>
    Effect.gen(function* () {
      const ask = { prompt: "Why?", toolkit } as const
      const reasons = [
        yield* Effect.flip(LanguageModel.generateText(ask)),
        yield* Effect.flip(Stream.runDrain(LanguageModel.streamText(ask)))
      ].map(({ isRetryable, reason }) => [reason._tag, isRetryable])
      expect(reasons).toEqual([
        ["ToolNotFoundError", true],
        ["ToolNotFoundError", true]
      ])
      const deferred = yield* LanguageModel.generateText({
        ...ask,
        disableToolCallResolution: true,
        toolCallValidation: "deferred"
      })
      expect(deferred.toolCalls).toMatchObject([{ name: "fly" }])
    }).pipe(Effect.provide([layer([{ toolCalls: [{ id: "c", name: "fly", arguments: {} }] }]), handlers]))
  )

  it.effect("what comes together with a tool that the model invents is delivered before the error", () =>
    Effect.gen(function* () {
      const call = (name: string) => ({ id: name, name, arguments: { city: "Paris" } })
      const mock = yield* MockProvider.make([])
      const provider = Provider.make({
        ...mock,
        stream: () =>
          Stream.fromIterable([
            { content: "Wait", isFinal: false },
            { content: "", isFinal: false, toolCalls: [call("get_weather"), call("fly"), call("get_weather")] },
            { content: "", isFinal: true, model: "m", finishReason: "tool-calls" }
          ])
      })
      const parts: Array<string> = []
      const error = yield* LanguageModel.streamText({ prompt: "Why?", toolkit }).pipe(
        Stream.runForEach((part) => Effect.sync(() => parts.push(part.type))),
        Effect.flip,
        Effect.provide(EffectAi.layerLanguageModel({ model: "m" })),
        Effect.provideService(Provider.Provider, provider)
      )
      expect(error.reason._tag).toBe("ToolNotFoundError")
      expect(parts).toEqual(["text-start", "text-delta", "text-end"])
    }).pipe(Effect.provide(handlers))
  )
})
