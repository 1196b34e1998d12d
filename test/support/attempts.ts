/** Scripts that fail at any place, and what may be delivered of them. */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import { networkError } from "../../src/http/networkError.ts"
import * as MockProvider from "../../src/MockProvider.ts"
import type { ProviderError, ProviderErrorReason } from "../../src/ProviderError.ts"
import {
  ApiError,
  ContextOverflow,
  InvalidRequest,
  ModelNotAvailable,
  RateLimited,
  StreamError
} from "../../src/ProviderError.ts"
import type { StreamingChunk } from "../../src/StreamingChunk.ts"

export const closed = networkError({ code: "ECONNRESET" })
export const refused = networkError({ code: "ECONNREFUSED" })

const failures: { readonly [name: string]: ProviderErrorReason } = {
  refused,
  closed,
  busy: new RateLimited({}),
  broken: new ApiError({ status: 500 }),
  stopped: new StreamError({}),
  missing: new ModelNotAvailable({ model: "m" }),
  overflow: new ContextOverflow({}),
  invalid: new InvalidRequest({})
}

const silent = ["nothing", "empty", "progress", "pause"]
const Steps = Schema.Array(
  Schema.Literals([...silent, "content", "thinking", "delta", "call", ...Object.keys(failures)])
).check(Schema.isMaxLength(5))

/** What each attempt does, step by step. */
export const Attempts = Schema.Array(Steps).check(Schema.isMinLength(1), Schema.isMaxLength(5))

type Steps = typeof Steps.Type

/** Every chunk that carries anything has a text that no other chunk has. */
const label = (attempt: number, step: number): string => `${attempt}.${step} `

export const toScript = (steps: Steps, attempt: number): MockProvider.Script =>
  steps.map((step, i): MockProvider.Step => {
    const failure = failures[step]
    if (failure !== undefined) return MockProvider.fail(failure)
    if (step === "pause") return MockProvider.wait("3 seconds")
    if (step === "empty") return { thinking: "", toolCallDeltas: [], toolCalls: [] }
    if (step === "progress") return { promptProgress: { processed: i, total: 10 } }
    if (step === "thinking") return { thinking: label(attempt, i) }
    if (step === "call") return { toolCalls: [{ id: label(attempt, i), name: "f", arguments: label(attempt, i) }] }
    if (step === "delta") return { toolCallDeltas: [{ index: 0, argumentsDelta: label(attempt, i) }] }
    return step === "nothing" ? "" : label(attempt, i)
  })

/** What the attempt delivers before it ends or fails, how, and how many seconds pass until it commits or fails. */
export const expected = (steps: Steps, attempt: number) => {
  const end = steps.findIndex((step) => step in failures)
  const delivered = end === -1 ? steps : steps.slice(0, end)
  const texts = delivered.map((step, i) => (silent.includes(step) ? "" : label(attempt, i)))
  const failure = failures[steps[end] ?? ""]
  const begin = texts.findIndex((text) => text !== "")
  const before = begin === -1 ? delivered : delivered.slice(0, begin)
  return {
    text: texts.join(""),
    reason: failure?._tag,
    isRetryable: failure?.isRetryable === true,
    commits: begin !== -1 || failure === undefined,
    seconds: 3 * before.filter((step) => step === "pause").length
  }
}

export interface Received {
  readonly text: string
  readonly finals: number
  readonly error: ProviderError | undefined
  readonly chunks: ReadonlyArray<StreamingChunk>
}

export const receive = (stream: Stream.Stream<StreamingChunk, ProviderError>): Effect.Effect<Received> =>
  Effect.gen(function* () {
    const chunks: Array<StreamingChunk> = []
    const run = Stream.runForEach(stream, (chunk) => Effect.sync(() => chunks.push(chunk)))
    const error = yield* Effect.match(run, { onFailure: (error) => error, onSuccess: () => undefined })
    const texts = chunks.map(
      ({ content, thinking = "", toolCallDeltas = [], toolCalls = [] }) =>
        content +
        thinking +
        toolCallDeltas.map(({ argumentsDelta }) => argumentsDelta).join("") +
        toolCalls.map((call) => String(call.arguments)).join("")
    )
    return { text: texts.join(""), finals: chunks.filter(({ isFinal }) => isFinal).length, error, chunks }
  })

/** Lets an hour pass. */
export const settle = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect, { startImmediately: true })
    yield* TestClock.adjust("1 hour")
    return yield* Fiber.join(fiber)
  })
