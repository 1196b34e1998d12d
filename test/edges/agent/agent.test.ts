/** Agents: rounds, their limits, and what the model reads of calls that cannot run. */
import { describe, expect, it } from "@effect/vitest"
import * as Chat from "effect/ai/Chat"
import * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import * as Agent from "../../../src/Agent.ts"
import * as MockProvider from "../../../src/MockProvider.ts"
import { StreamTruncated } from "../../../src/ProviderError.ts"
import type { UiPart } from "../../../src/UiPart.ts"
import { call, handlers, rounds, toolkit } from "../../support/agent.ts"

const prompt = "Weather?"

const slow = Toolkit.make(
  Tool.make("wait", { parameters: Schema.Struct({ millis: Schema.Int }), success: Schema.String })
)

const messages = Effect.map(
  Effect.flatMap(MockProvider.MockProvider, ({ requests }) => requests),
  (requests) => requests.map(({ messages = [] }) => messages)
)

describe("agent", () => {
  it.effect("emits the parts of all rounds, and an end", () =>
    Effect.gen(function* () {
      const parts = yield* Stream.runCollect(Agent.stream({ prompt, toolkit }))
      expect(parts).toEqual([
        { _tag: "Thinking", text: "Hm" },
        { _tag: "Text", text: "Wait." },
        { _tag: "ToolCalled", id: "id_get_weather", name: "get_weather" },
        { _tag: "ToolRunning", id: "id_get_weather", name: "get_weather", arguments: { city: "Paris" } },
        { _tag: "ToolResult", id: "id_get_weather", name: "get_weather", result: { celsius: 5 } },
        { _tag: "Text", text: "5 " },
        { _tag: "Text", text: "degrees." },
        {
          _tag: "End",
          finishReason: "stop",
          model: "m",
          rounds: 2,
          usage: { promptTokens: 7, completionTokens: 3, totalTokens: 10 }
        }
      ])
      const [, second] = yield* messages
      expect(second).toMatchObject([
        { role: "user", content: prompt },
        { role: "assistant", content: "Wait.", thinking: "Hm", toolCalls: [{ name: "get_weather" }] },
        { role: "tool", content: '{"celsius":5}', isError: false }
      ])
    }).pipe(
      Effect.provide([
        rounds(
          [
            { thinking: "Hm" },
            "Wait.",
            call("get_weather", { city: "Paris" }),
            { isFinal: true, usage: { promptTokens: 3, completionTokens: 1, cachedTokens: 2 } }
          ],
          ["5 ", "degrees.", { isFinal: true, usage: { promptTokens: 4, completionTokens: 2 } }]
        ),
        handlers
      ])
    )
  )

  it.effect.each([
    ["a tool that does not exist", "fly", {}, 'There is no tool "fly". The tools are: get_weather, now.'],
    ["a tool named as a property of objects", "constructor", {}, 'There is no tool "constructor". The tools are'],
    ["a field that is missing", "get_weather", {}, "The arguments are invalid. city: Missing key."],
    [
      "two wrong fields",
      "get_weather",
      { city: 5, days: "x" },
      "city: Expected string. days: Expected number | undefined."
    ],
    ["arguments that are no object", "get_weather", ["Paris"], "The arguments are invalid. Expected object."],
    ["arguments that are a text", "get_weather", "Paris", "The arguments are invalid. Expected object."],
    ["unsafe arguments in a text", "get_weather", '{"__proto__":1}', "The arguments are invalid. Expected object."],
    ["no arguments", "get_weather", null, "The arguments are invalid. city: Missing key."],
    ["a failure of the tool", "get_weather", { city: "Oslo" }, "no city Oslo"]
  ] as const)("the model reads what is wrong, and goes on: %s", ([, name, input, text]) =>
    Effect.gen(function* () {
      const { calls, text: answer } = yield* Agent.complete({ prompt, toolkit })
      expect(answer).toBe("Done.")
      expect(calls).toMatchObject([{ name, isFailure: true, result: expect.stringContaining(text) }])
      const [, second = []] = yield* messages
      expect(second.at(-1)).toMatchObject({ role: "tool", isError: true, content: expect.stringContaining(text) })
      // Servers accept an object only.
      expect(second.at(-2)?.toolCalls?.[0]?.arguments).toBeTypeOf("object")
      expect(Array.isArray(second.at(-2)?.toolCalls?.[0]?.arguments)).toBe(false)
    }).pipe(Effect.provide([rounds([call(name, input)]), handlers]))
  )

  it.effect.each(['{"city":"Paris"}', ' {"city":"Paris"}\n'])("arguments that are JSON text are parsed: %j", (input) =>
    Effect.gen(function* () {
      const { calls } = yield* Agent.complete({ prompt, toolkit })
      expect(calls).toMatchObject([{ arguments: { city: "Paris" }, result: { celsius: 5 }, isFailure: false }])
    }).pipe(Effect.provide([rounds([call("get_weather", input)]), handlers]))
  )

  it.effect.each(["", "  ", null, {}])(
    "a tool without parameters runs, whatever the model writes for none: %j",
    (input) =>
      Effect.gen(function* () {
        const { calls } = yield* Agent.complete({ prompt, toolkit })
        expect(calls).toMatchObject([{ name: "now", arguments: {}, result: "noon" }])
      }).pipe(Effect.provide([rounds([call("now", input)]), handlers]))
  )

  it.effect("what the model reads is short, however long its call is", () =>
    Effect.gen(function* () {
      const { calls } = yield* Agent.complete({ prompt, toolkit })
      for (const { result } of calls) expect(String(result).length).toBeLessThan(3000)
      expect(calls.length).toBe(2)
    }).pipe(
      Effect.provide([
        rounds([call("x".repeat(100_000), {}, "a"), call("get_weather", { city: ["x".repeat(100_000)] }, "b")]),
        handlers
      ])
    )
  )

  it.effect("a model that calls for ever ends with the last round, which has no tools", () =>
    Effect.gen(function* () {
      const answer = yield* Agent.complete({ prompt, toolkit, maxRounds: 4 })
      expect(answer).toMatchObject({ rounds: 4, stoppedBy: "maxRounds", finishReason: "tool-calls" })
      // The server repeats its ids.
      expect(new Set(answer.calls.map(({ id }) => id)).size).toBe(4)
      // The call of the last round has an outcome too.
      expect(answer.calls.map(({ isFailure }) => isFailure)).toEqual([false, false, false, true])
      const requests = yield* (yield* MockProvider.MockProvider).requests
      expect(requests.map(({ toolChoice }) => toolChoice)).toEqual(["auto", "auto", "auto", "none"])
    }).pipe(
      Effect.provide([rounds(...["a", "bb", "ccc", "dddd"].map((city) => [call("get_weather", { city })])), handlers])
    )
  )

  it.effect("a model that repeats a call gets no tools then", () =>
    Effect.gen(function* () {
      const again = [call("get_weather", { city: "Paris" })]
      const run = (options: object) =>
        Agent.complete({ prompt, toolkit, ...options }).pipe(
          Effect.provide(rounds(again, again, again, again, again, again))
        )
      expect(yield* run({})).toMatchObject({ rounds: 4, stoppedBy: "maxRepeats" })
      expect(yield* run({ maxRepeats: 1 })).toMatchObject({ rounds: 2, stoppedBy: "maxRepeats" })
      expect(yield* run({ maxRepeats: Infinity })).toMatchObject({ rounds: 7, text: "Done." })
    }).pipe(Effect.provide(handlers))
  )

  it.effect.each<
    readonly [string, ReadonlyArray<MockProvider.Script>, Agent.Options<typeof toolkit.tools>["maxRounds"], string]
  >([
    [
      "calls a tool in the last round",
      [
        ["Wait. ", call("now", {})],
        ["It is ", "noon.", call("now", {})]
      ],
      2,
      "It is noon."
    ],
    [
      "is cut within a call",
      [["It is noon.", call("now", {}), { isFinal: true, finishReason: "length" }]],
      10,
      "It is noon."
    ],
    ["writes nothing at last", [["Wait. ", call("now", {})], []], 10, ""],
    ["only thinks at last", [["Wait. ", call("now", {})], [{ thinking: "Hm" }]], 10, ""]
  ])("the text is that of the last round of a model that %s", ([, scripts, maxRounds, text]) =>
    Effect.map(Agent.complete({ prompt, toolkit, maxRounds }), (answer) => expect(answer.text).toBe(text)).pipe(
      Effect.provide([rounds(...scripts), handlers])
    )
  )

  it.effect("stopWhen ends the turn after the tools of a round", () =>
    Effect.gen(function* () {
      const seen: Array<Agent.Round> = []
      const answer = yield* Agent.complete({
        prompt,
        toolkit,
        stopWhen: (round) => Effect.sync(() => seen.push(round) === 2)
      })
      expect(answer).toMatchObject({ rounds: 2, stoppedBy: "stopWhen", finishReason: "tool-calls", text: "" })
      expect(seen).toMatchObject([
        { round: 1, repeats: 1, calls: [{ name: "now", arguments: {}, result: "noon", isFailure: false }] },
        { round: 2, repeats: 2 }
      ])
    }).pipe(Effect.provide([rounds([call("now", {})], [call("now", {})]), handlers]))
  )

  it.effect("tools run at the same time, and their results go back in the order of the calls", () =>
    Effect.gen(function* () {
      const ends: Array<string> = []
      const hasResult = yield* Deferred.make<void>()
      const live = slow.toLayer({
        wait: ({ millis }) => Effect.as(millis === 30 ? Deferred.await(hasResult) : Effect.void, `${millis}`)
      })
      yield* Agent.stream({ prompt, toolkit: slow }).pipe(
        Stream.filter((part) => part._tag === "ToolResult"),
        Stream.runForEach(({ result }) => (ends.push(String(result)), Deferred.succeed(hasResult, undefined))),
        Effect.provide(live)
      )
      expect(ends).toEqual(["1", "30"])
      const [, results = []] = yield* messages
      expect(results.slice(-2).map(({ content }) => content)).toEqual(["30", "1"])
    }).pipe(Effect.provide(rounds([call("wait", { millis: 30 }, "a"), call("wait", { millis: 1 }, "b")])))
  )

  it.effect("a call of a completion that was cut does not run", () =>
    Effect.gen(function* () {
      const answer = yield* Agent.complete({ prompt, toolkit })
      expect(answer).toMatchObject({ finishReason: "length", rounds: 1 })
      expect(answer.calls).toMatchObject([{ isFailure: true, result: "The call did not run: the answer was cut." }])
    }).pipe(
      Effect.provide([
        rounds([call("get_weather", { city: "Paris" }), { isFinal: true, finishReason: "length" }]),
        handlers
      ])
    )
  )
})

describe("approval", () => {
  const guarded = Toolkit.make(
    Tool.make("delete_file", {
      parameters: Schema.Struct({ path: Schema.String }),
      success: Schema.String,
      needsApproval: ({ path }) => path !== "tmp"
    })
  )
  const decision = (approved: boolean): Prompt.Prompt =>
    Prompt.fromMessages([
      Prompt.makeMessage("tool", {
        content: [Prompt.makePart("tool-approval-response", { approvalId: "approval_a", approved })]
      })
    ])

  it.effect.each([
    ["approved", decision(true), ["tmp", "a"], "deleted a"],
    ["denied", decision(false), ["tmp"], "The call was denied."],
    ["not decided", "Another question", ["tmp"], "The call was not approved."]
  ] as const)(
    "a call that waits ends the turn, and the next turn runs it if it was approved: %s",
    ([, next, paths, text]) =>
      Effect.gen(function* () {
        const deleted: Array<string> = []
        const live = guarded.toLayer({
          delete_file: ({ path }) => Effect.sync(() => (deleted.push(path), `deleted ${path}`))
        })
        yield* Effect.gen(function* () {
          const chat = yield* Chat.empty
          const first = yield* Agent.complete({ prompt: "Delete", toolkit: guarded, chat })
          expect(first).toMatchObject({ stoppedBy: "approval", approvals: [{ id: "a", approvalId: "approval_a" }] })
          expect(deleted).toEqual(["tmp"])
          const second = yield* Agent.complete({ prompt: next, toolkit: guarded, chat })
          expect(second.text).toBe("Done.")
          expect(deleted).toEqual(paths)
          // Once only, also in the turns after.
          yield* Agent.complete({ prompt: "And now?", toolkit: guarded, chat })
          expect(deleted).toEqual(paths)
          const last = (yield* messages).at(-1)
          expect(last?.filter(({ role }) => role === "tool").map(({ content }) => content)).toEqual([
            "deleted tmp",
            text
          ])
        }).pipe(
          Effect.provide([
            live,
            rounds([call("delete_file", { path: "a" }, "a"), call("delete_file", { path: "tmp" }, "b")])
          ])
        )
      })
  )

  it.effect.each(["fails", "is interrupted"] as const)("an approval is for one run, also of one that %s", (how) =>
    Effect.gen(function* () {
      const chat = yield* Chat.empty
      const started = yield* Deferred.make<void>()
      let runs = 0
      const live = guarded.toLayer({
        delete_file: () =>
          Effect.suspend(() => {
            runs++
            const run = Effect.andThen(Deferred.succeed(started, undefined), Effect.never)
            return how === "fails" ? Effect.die("no disk") : run
          })
      })
      const turn = (prompt: Prompt.RawInput) => Effect.exit(Agent.complete({ prompt, toolkit: guarded, chat }))
      yield* Effect.gen(function* () {
        yield* turn("Delete")
        const fiber = yield* Effect.forkChild(turn(decision(true)))
        if (how === "is interrupted") yield* Effect.andThen(Deferred.await(started), Fiber.interrupt(fiber))
        yield* Fiber.await(fiber)
        expect(yield* turn("Another question")).toMatchObject({ value: { text: "Done." } })
        expect(runs).toBe(1)
        // The result is beside its call.
        const [, second = []] = yield* messages
        expect(second.map(({ content, role }) => [role, content])).toEqual([
          ["user", "Delete"],
          ["assistant", ""],
          ["tool", "The turn ended before the result of this call."],
          ["user", "Another question"]
        ])
      }).pipe(Effect.provide([live, rounds([call("delete_file", { path: "a" }, "a")])]))
    })
  )

  it.effect("the result of a call without a decision comes before the next question", () =>
    Effect.gen(function* () {
      const chat = yield* Chat.empty
      yield* Agent.complete({ prompt: "Delete", toolkit: guarded, chat })
      yield* Agent.complete({ prompt: "Another question", toolkit: guarded, chat })
      const [, second = []] = yield* messages
      expect(second.map(({ role }) => role)).toEqual(["user", "assistant", "tool", "user"])
      expect((yield* Ref.get(chat.history)).content.map(({ role }) => role)).toEqual([
        "user",
        "assistant",
        "tool",
        "user",
        "assistant"
      ])
    }).pipe(
      Effect.provide([
        guarded.toLayer({ delete_file: () => Effect.succeed("") }),
        rounds([call("delete_file", { path: "a" }, "a")])
      ])
    )
  )
})

describe("failures", () => {
  it.effect("interruption ends the tools that run, and the history has a result for each call", () =>
    Effect.gen(function* () {
      const chat = yield* Chat.empty
      const ended: Array<number> = []
      const started = yield* Deferred.make<void>()
      const hasResult = yield* Deferred.make<void>()
      const live = slow.toLayer({
        wait: ({ millis }) =>
          millis === 1
            ? Effect.succeed("1")
            : Effect.onInterrupt(Effect.andThen(Deferred.succeed(started, undefined), Effect.never), () =>
                Effect.sync(() => ended.push(millis))
              )
      })
      const fiber = yield* Agent.stream({ prompt, toolkit: slow, chat }).pipe(
        Stream.filter(({ _tag }) => _tag === "ToolResult"),
        Stream.runForEach(() => Deferred.succeed(hasResult, undefined)),
        Effect.provide(live),
        Effect.forkChild
      )
      yield* Deferred.await(started)
      yield* Deferred.await(hasResult)
      yield* Fiber.interrupt(fiber)
      expect(ended).toEqual([2])
      const { content } = yield* Ref.get(chat.history)
      expect(content.map(({ role }) => role)).toEqual(["user", "assistant", "tool"])
      expect(content.at(-1)?.content).toMatchObject([
        { id: "b", isFailure: true, result: "The turn ended before the result of this call." },
        { id: "a", isFailure: false, result: "1" }
      ])
    }).pipe(Effect.provide(rounds([call("wait", { millis: 2 }, "b"), call("wait", { millis: 1 }, "a")])))
  )

  it.effect("the consumer stops the model by stopping", () =>
    Effect.gen(function* () {
      const parts = yield* Agent.stream({ prompt, toolkit }).pipe(Stream.take(1), Stream.runCollect)
      expect(parts).toEqual([{ _tag: "Text", text: "One" }])
    }).pipe(Effect.provide([rounds(["One", MockProvider.hang]), handlers]))
  )

  it.effect("a failure of the model fails the turn after the text before it, and no tool runs", () =>
    Effect.gen(function* () {
      const chat = yield* Chat.empty
      const parts: Array<UiPart> = []
      const error = yield* Agent.stream({ prompt, toolkit, chat }).pipe(
        Stream.runForEach((part) => Effect.sync(() => parts.push(part))),
        Effect.flip
      )
      expect(error).toMatchObject({ reason: { _tag: "InternalProviderError" } })
      expect(parts.map(({ _tag }) => _tag)).toEqual(["Text"])
      // What was there is kept, as `Chat` does.
      const { content } = yield* Ref.get(chat.history)
      expect(content.map(({ role }) => role)).toEqual(["user", "assistant"])
    }).pipe(Effect.provide([rounds(["Half", call("now", {}), MockProvider.fail(new StreamTruncated())]), handlers]))
  )

  it.effect("a failure of a handler fails the turn, if the tool says so", () =>
    Effect.gen(function* () {
      const strict = Toolkit.make(Tool.make("now", { failure: Schema.Literal("broken") }))
      const error = yield* Agent.complete({ prompt, toolkit: strict }).pipe(
        Effect.flip,
        Effect.provide(strict.toLayer({ now: () => Effect.fail("broken" as const) }))
      )
      expect(error).toBe("broken")
    }).pipe(Effect.provide(rounds([call("now", {})])))
  )

  it.effect("wrong arguments do not fail the turn, also if the failures of the tool do", () =>
    Effect.gen(function* () {
      const answer = yield* Agent.complete({ prompt, toolkit: slow }).pipe(
        Effect.provide(slow.toLayer({ wait: () => Effect.succeed("") }))
      )
      expect(answer).toMatchObject({ text: "Done.", calls: [{ isFailure: true }] })
    }).pipe(Effect.provide(rounds([call("wait", { millis: "soon" })])))
  )

  it.effect("an invalid option fails, and nothing is requested", () =>
    Effect.gen(function* () {
      for (const options of [{ maxRounds: 0 }, { maxRepeats: 0 }, { concurrency: 0 }, { maxSteps: 3 }, { prompt: 5 }]) {
        const bad: object = { prompt, toolkit, ...options }
        const error = yield* Effect.flip(Agent.complete(bad as Agent.Options<typeof toolkit.tools>))
        expect(error).toMatchObject({ reason: { _tag: "InvalidRequestError", parameter: Object.keys(options)[0] } })
      }
      expect(yield* messages).toEqual([])
    }).pipe(Effect.provide([rounds(), handlers]))
  )
})

describe("privacy", () => {
  it.effect("no span and no log has the prompt, the arguments or a result", () =>
    Effect.gen(function* () {
      const written: Array<unknown> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          written.push(span.name, span.attributes)
          return span
        }
      })
      const logger = Logger.make(({ message }) => void written.push(message))
      yield* Agent.complete({ prompt: "secret question", toolkit }).pipe(
        Effect.withSpan("outer"),
        Effect.provideService(Tracer.Tracer, tracer),
        Effect.provide(Logger.layer([logger]))
      )
      const text = JSON.stringify(written, (_, value: unknown) => (value instanceof Map ? [...value] : value))
      expect(text).toContain("get_weather")
      expect(text).not.toMatch(/secret|Paris|celsius/)
    }).pipe(Effect.provide([rounds([call("get_weather", { city: "Paris" }), call("fly", "secret", "b")]), handlers]))
  )
})

describe("toolkits", () => {
  it.effect("without tools, the agent is a completion", () =>
    Effect.gen(function* () {
      const answer = yield* Agent.complete({ prompt, toolkit: Toolkit.empty })
      expect(answer).toMatchObject({ text: "Sun.", rounds: 1, calls: [], approvals: [] })
      expect(answer.stoppedBy).toBeUndefined()
    }).pipe(Effect.provide(rounds(["Sun."])))
  )

  it.effect("a toolkit may have its handlers already", () =>
    Effect.gen(function* () {
      const withHandlers = yield* toolkit.pipe(Effect.provide(handlers))
      expect(yield* Agent.complete({ prompt, toolkit: withHandlers })).toMatchObject({ calls: [{ result: "noon" }] })
    }).pipe(Effect.provide(rounds([call("now", {})])))
  )

  it.effect("preliminary results are parts while the tool runs, and the model reads the last one", () =>
    Effect.gen(function* () {
      const counter = Toolkit.make(Tool.make("count", { success: Schema.Int }))
      const live = counter.toLayer({
        count: (_, { preliminary }) => Effect.as(Effect.andThen(preliminary(1), preliminary(2)), 3)
      })
      const parts = yield* Stream.runCollect(Agent.stream({ prompt, toolkit: counter })).pipe(Effect.provide(live))
      expect(parts.flatMap((part) => ("result" in part ? [[part._tag, part.result]] : []))).toEqual([
        ["ToolProgress", 1],
        ["ToolProgress", 2],
        ["ToolResult", 3]
      ])
      const [, second = []] = yield* messages
      expect(second.at(-1)).toMatchObject({ role: "tool", content: "3" })
    }).pipe(Effect.provide(rounds([call("count", {})])))
  )
})

describe("history", () => {
  it.effect("a chat keeps the turn, and the next turn continues it", () =>
    Effect.gen(function* () {
      const chat = yield* Chat.fromPrompt([{ role: "system", content: "Be short." }])
      yield* Agent.complete({ prompt, toolkit, chat })
      yield* Agent.complete({ prompt: "And now?", toolkit, chat })
      const { content } = yield* Ref.get(chat.history)
      expect(content.map(({ role }) => role)).toEqual([
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
        "assistant"
      ])
      let saves = 0
      const persisted = { ...chat, id: "a", save: Effect.sync(() => void saves++) }
      yield* Agent.complete({ prompt, toolkit, chat: persisted })
      expect(saves).toBe(1)
      const copy = yield* Chat.fromJson(yield* chat.exportJson)
      expect((yield* Ref.get(copy.history)).content.length).toBe(9)
    }).pipe(Effect.provide([rounds([call("now", {})]), handlers]))
  )
})
