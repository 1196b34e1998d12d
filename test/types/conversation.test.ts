/** Conversations that are trimmed to the context of their model. */
import { describe, expect, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ChatRequest, Message } from "../../src/CompletionRequest.ts"
import * as CompletionRequest from "../../src/CompletionRequest.ts"
import * as Conversation from "../../src/Conversation.ts"
import * as Provider from "../../src/Provider.ts"
import { ContextOverflow, ProviderError } from "../../src/ProviderError.ts"
import type { ModelInfo } from "../../src/ModelInfo.ts"

const contentOf = ({ content }: Message): string => (typeof content === "string" ? content : "")

/** One token for each character, and four for each message. */
const sizeOf = (messages: ReadonlyArray<Message>): number =>
  messages.reduce((sum, message) => sum + contentOf(message).length + 4, 0)

const makeProvider = (info?: Omit<ModelInfo, "id">) => {
  const counted: Array<ReadonlyArray<Message>> = []
  const provider = Provider.make({
    name: "p",
    stream: () => Stream.empty,
    listModels: Effect.succeed([{ id: "m", ...info }]),
    countTokens: ({ messages = [] }) =>
      Effect.sync(() => {
        counted.push(messages)
        return { tokens: sizeOf(messages), exact: true }
      })
  })
  return { counted, provider }
}

const trim = (request: ChatRequest, options?: Conversation.TrimOptions, { counted, provider } = makeProvider()) =>
  Effect.map(
    Effect.provideService(Effect.result(Conversation.trim(request, options)), Provider.Provider, provider),
    (result) => ({ result, calls: counted.length })
  )

/** What a generated conversation consists of. */
const Step = Schema.Union([
  Schema.Struct({ kind: Schema.Literals(["user", "assistant", "system"]), length: Schema.Literals([0, 1, 7, 40]) }),
  Schema.Struct({
    kind: Schema.Literal("calls"),
    length: Schema.Literals([0, 5]),
    results: Schema.Array(Schema.Literals(["id", "name"])).check(Schema.isMaxLength(3)),
    /** How many other messages come before the results. */
    delay: Schema.Literals([0, 0, 0, 1, 3])
  })
])

const Conversations = Schema.Array(Step).check(Schema.isMinLength(1), Schema.isMaxLength(24))

interface Delayed {
  readonly due: number
  readonly messages: ReadonlyArray<Message>
}

const toMessages = (steps: typeof Conversations.Type): ReadonlyArray<Message> => {
  const messages: Array<Message> = []
  let delayed: Array<Delayed> = []
  steps.forEach((step, i) => {
    const content = "x".repeat(step.length)
    if (step.kind === "calls") {
      const toolCalls = step.results.map((_, j) => ({ id: `c${i % 3}_${j}`, name: `f${i}_${j}`, arguments: {} }))
      messages.push({ role: "assistant", content, toolCalls })
      const results = step.results.map((by, j): Message => ({
        role: "tool",
        content: "result",
        ...(by === "id" ? { toolCallId: `c${i % 3}_${j}` } : { toolName: `f${i}_${j}` })
      }))
      delayed.push({ due: step.delay, messages: results })
    } else {
      messages.push({ role: step.kind, content })
    }
    messages.push(...delayed.filter(({ due }) => due <= 0).flatMap((each) => each.messages))
    delayed = delayed.flatMap(({ due, messages }) => (due > 0 ? [{ due: due - 1, messages }] : []))
  })
  return [...messages, ...delayed.flatMap((each) => each.messages)]
}

/** The calls and results of a conversation, by identity. */
const pairsOf = (messages: ReadonlyArray<Message>): ReadonlyArray<readonly [call: Message, result: Message]> =>
  messages.flatMap((result, i) => {
    if (result.role !== "tool") return []
    const call = messages
      .slice(0, i)
      .findLast(({ toolCalls = [] }) =>
        toolCalls.some(({ id, name }) =>
          result.toolCallId === undefined ? name === result.toolName : id === result.toolCallId
        )
      )
    return call === undefined ? [] : [[call, result] as const]
  })

describe("a trimmed conversation", () => {
  it.effect.prop(
    "is valid, fits, keeps what has to stay, and is found with few counts",
    {
      steps: Arbitrary.schema(Conversations),
      context: Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 300 })))
    },
    ({ context, steps }) =>
      Effect.gen(function* () {
        const messages = toMessages(steps)
        const request: ChatRequest = { model: "m", messages }
        expect(Result.isSuccess(CompletionRequest.validate(request))).toBe(true)
        const { calls, result } = yield* trim(request, { contextLength: context, reserve: 0 })
        expect(calls).toBeLessThanOrEqual(3 + Math.ceil(Math.log2(messages.length)))
        if (Result.isFailure(result)) {
          expect(result.failure.reason._tag).toBe("ContextOverflow")
          expect(sizeOf(messages)).toBeGreaterThan(context)
          return
        }
        const kept = result.success.messages
        expect(sizeOf(kept)).toBeLessThanOrEqual(context)
        if (sizeOf(messages) <= context) {
          expect(result.success).toBe(request)
          expect(calls).toBe(1)
        }
        expect(Result.isSuccess(CompletionRequest.validate(result.success))).toBe(true)
        const isKept = (message: Message) => kept.includes(message)
        expect(messages.filter(isKept)).toEqual(kept)
        const lastUser = messages.findLast(({ role }) => role === "user")
        const mayGo = messages.filter((message) => message.role !== "system" && message !== lastUser)
        // Of the rest, a suffix stays.
        expect(mayGo.slice(mayGo.findIndex(isKept)).every((m) => (mayGo.some(isKept) ? isKept(m) : true))).toBe(true)
        expect(messages.filter((message) => !mayGo.includes(message)).every(isKept)).toBe(true)
        for (const [call, answer] of pairsOf(messages)) expect(isKept(call)).toBe(isKept(answer))
        const again = yield* trim(result.success, { contextLength: context, reserve: 0 })
        expect(again.result).toMatchObject({ success: result.success })
      }),
    { arbitrary: { runs: 300 } }
  )

  it.effect("of a thousand turns needs 12 counts", () =>
    Effect.gen(function* () {
      const messages = Array.from({ length: 1000 }, (_, i) => [
        { role: "user" as const, content: `question ${i}` },
        { role: "assistant" as const, content: `answer ${i}` }
      ]).flat()
      const { calls, result } = yield* trim({ model: "m", messages }, { contextLength: 500, reserve: 0 })
      expect(calls).toBeLessThanOrEqual(12)
      const kept = Result.getOrThrow(result).messages
      expect(kept[0]).toMatchObject({ role: "user" })
      // No turn more would fit.
      expect(sizeOf(kept)).toBeGreaterThan(500 - 40)
    })
  )

  it.effect("of one long turn keeps the question and the latest rounds", () =>
    Effect.gen(function* () {
      const round = (i: number): ReadonlyArray<Message> => [
        { role: "assistant", content: "", toolCalls: [{ id: `c${i}`, name: "f", arguments: {} }] },
        { role: "tool", toolCallId: `c${i}`, content: "result" }
      ]
      const question: Message = { role: "user", content: "question" }
      const system: Message = { role: "system", content: "be brief" }
      const rounds = Array.from({ length: 9 }, (_, i) => round(i))
      const messages = [system, { role: "user", content: "before" } as const, question, ...rounds.flat()]
      const { result } = yield* trim({ model: "m", messages }, { contextLength: 60, reserve: 0 })
      expect(Result.getOrThrow(result).messages).toEqual([system, question, ...rounds.slice(-2).flat()])
      const least = yield* trim({ model: "m", messages }, { contextLength: 30, reserve: 0 })
      expect(least.result).toMatchObject({
        failure: { reason: { _tag: "ContextOverflow", promptTokens: 38, contextLength: 30 } }
      })
    })
  )
})

describe("the budget", () => {
  const messages: ReadonlyArray<Message> = [
    { role: "user", content: "x".repeat(36) },
    { role: "assistant", content: "x".repeat(36) },
    { role: "user", content: "x".repeat(16) }
  ]
  const kept = (
    request: Partial<ChatRequest>,
    options: Conversation.TrimOptions | undefined,
    info?: Omit<ModelInfo, "id">
  ) =>
    Effect.map(trim({ model: "m", messages, ...request }, options, makeProvider(info)), ({ result }) =>
      Result.match(result, { onSuccess: ({ messages }) => messages.length, onFailure: ({ reason }) => reason._tag })
    )

  it.effect.each<
    readonly [
      Partial<ChatRequest>,
      Conversation.TrimOptions | undefined,
      Omit<ModelInfo, "id"> | undefined,
      number | string
    ]
  >([
    // 100 tokens in all, 20 in the last turn.
    [{}, { contextLength: 100, reserve: 0 }, undefined, 3],
    [{}, { contextLength: 99, reserve: 0 }, undefined, 1],
    [{ contextLength: 100 }, { reserve: 0 }, undefined, 3],
    [{ contextLength: 99 }, { contextLength: 100, reserve: 0 }, undefined, 3],
    [{ contextLength: 110, maxTokens: 10 }, undefined, undefined, 3],
    [{ contextLength: 110, maxTokens: 11 }, undefined, undefined, 1],
    [{ contextLength: 110, maxTokens: 11 }, { reserve: 10 }, undefined, 3],
    [{ contextLength: 136 }, undefined, undefined, 3],
    [{ contextLength: 132 }, undefined, undefined, 1],
    [{}, { reserve: 0 }, { contextLength: 100 }, 3],
    [{}, { reserve: 0 }, { contextLength: 4096, loadedContextLength: 99 }, 1],
    [{ contextLength: 100 }, { reserve: 0 }, { loadedContextLength: 50 }, 3],
    [{}, { reserve: 0 }, {}, "InvalidRequest"],
    [{ model: undefined }, { reserve: 0 }, { contextLength: 100 }, "InvalidRequest"],
    [{ model: undefined }, { contextLength: 100, reserve: 0 }, {}, 3],
    [{ model: "other" }, { reserve: 0 }, { contextLength: 100 }, "ModelNotAvailable"],
    [{ contextLength: 100, maxTokens: 100 }, undefined, undefined, "InvalidRequest"],
    [{ contextLength: 100 }, { reserve: -1 }, undefined, "InvalidRequest"],
    [{ contextLength: 100 }, { reserve: Number.NaN }, undefined, "InvalidRequest"]
  ])("of %o with %o and %o", ([request, options, info, expected]) =>
    Effect.map(kept(request, options, info), (actual) => expect(actual).toBe(expected))
  )
})

it.effect("the defaults of a layer are those of the request", () =>
  Effect.gen(function* () {
    const { counted, provider } = makeProvider({ contextLength: 100 })
    const optionsOf: Provider.Provider["optionsOf"] = (request) => ({ model: "m", maxTokens: 80, ...request })
    const messages: ReadonlyArray<Message> = [
      { role: "user", content: "x".repeat(20) },
      { role: "user", content: "y" }
    ]
    const { result } = yield* trim({ messages }, {}, { counted, provider: Provider.make({ ...provider, optionsOf }) })
    expect(Result.getOrThrow(result).messages).toEqual(messages.slice(-1))
  })
)

it.effect("a server that refuses to count a prompt that is too long", () =>
  Effect.gen(function* () {
    const { provider } = makeProvider()
    const refusing = Provider.make({
      ...provider,
      countTokens: (request) =>
        request.messages !== undefined && request.messages.length > 1
          ? Effect.fail(new ProviderError({ provider: "p", reason: new ContextOverflow({}) }))
          : provider.countTokens(request)
    })
    const messages: ReadonlyArray<Message> = [
      { role: "user", content: "a" },
      { role: "assistant", content: "b" },
      { role: "user", content: "c" }
    ]
    const { result } = yield* trim({ messages }, { contextLength: 100 }, { counted: [], provider: refusing })
    expect(Result.getOrThrow(result).messages).toEqual(messages.slice(-1))
  })
)

it.effect("an invalid request or option is a failure", () =>
  Effect.gen(function* () {
    const { provider } = makeProvider({ contextLength: 100 })
    const valid = { model: "m", messages: [{ role: "user", content: "x".repeat(200) }] }
    const faults: ReadonlyArray<readonly [string | undefined, unknown, unknown?]> = [
      [undefined, null],
      ["messages", { model: "m", prompt: "x".repeat(200) }],
      ["messages[0]", { model: "m", messages: [null] }],
      ["options", valid, null],
      ["contextLength", valid, { contextLength: "8192" }],
      ["contextLength", valid, { contextLength: Number.NaN }],
      ["reserved", valid, { reserved: 10 }]
    ]
    for (const [field, request, options] of faults) {
      const result = yield* Conversation.trim(request as ChatRequest, options as Conversation.TrimOptions).pipe(
        Effect.provideService(Provider.Provider, provider),
        Effect.flip
      )
      expect(result.reason).toMatchObject({ _tag: "InvalidRequest", field })
    }
  })
)
