/** What came out of a stream, written so that a test can compare it with one line. */
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import type { ProviderErrorReason } from "../../src/ProviderError.ts"
import { isProviderError } from "../../src/ProviderError.ts"
import type { FinalChunk, StreamingChunk, ToolCall } from "../../src/StreamingChunk.ts"

/**
 * `pieces` is chunk after chunk, separated by `|`: text as it is, (thinking), [index#id name(arguments] for a fragment of a
 * tool call. The text of the final chunk follows the last `|`.
 */
export interface Transcript {
  readonly pieces: string
  readonly calls?: ReadonlyArray<ToolCall>
  readonly final?: Final
  /** The fields of the reason. */
  readonly failure?: { readonly _tag: string; readonly [field: string]: unknown }
}

interface Final {
  readonly model: string | undefined
  readonly finishReason: string | undefined
  /** Tokens of the prompt, of the answer, of both. */
  readonly usage?: ReadonlyArray<number | undefined>
  /** Milliseconds. */
  readonly timings?: Readonly<Record<string, number>>
}

/** Runs a stream to its end, and fails as no stream of this package may: with a defect, or after a final chunk. */
export const record = <E>(stream: Stream.Stream<StreamingChunk, E>): Effect.Effect<Transcript> =>
  Effect.gen(function* () {
    const chunks: Array<StreamingChunk> = []
    const exit = yield* Effect.exit(Stream.runForEach(stream, (chunk) => Effect.sync(() => chunks.push(chunk))))
    if (Exit.isSuccess(exit)) return of(chunks)
    const error = Cause.squash(exit.cause)
    if (!isProviderError(error)) return yield* Effect.die(error)
    return { ...of(chunks), failure: fieldsOf(error.reason) }
  })

/** The fields of a reason, with the redacted texts as they are. */
export const fieldsOf = (reason: ProviderErrorReason): NonNullable<Transcript["failure"]> => ({
  ...reason,
  ...("detail" in reason && reason.detail !== undefined ? { detail: Redacted.value(reason.detail) } : {}),
  ...("signinUrl" in reason && reason.signinUrl !== undefined ? { signinUrl: Redacted.value(reason.signinUrl) } : {})
})

export const of = (chunks: ReadonlyArray<StreamingChunk>): Transcript => {
  const calls = chunks.flatMap((chunk) => chunk.toolCalls ?? [])
  const finals = chunks.filter((chunk) => chunk.isFinal)
  const final = chunks.at(-1)
  if (finals.length > 1 || (finals.length === 1 && final !== finals[0]))
    throw new Error("a final chunk that is not the last")
  return {
    pieces: chunks.map(showPiece).join(""),
    ...(calls.length === 0 ? {} : { calls }),
    ...(final?.isFinal === true ? { final: toFinal(final) } : {})
  }
}

const showPiece = ({ content, isFinal, thinking, toolCallDeltas = [] }: StreamingChunk): string => {
  const deltas = toolCallDeltas.map(
    ({ argumentsDelta, id, index, name }) =>
      `[${index}${id === undefined ? "" : `#${id}`}${name === undefined ? "" : ` ${name}`}(${argumentsDelta}]`
  )
  return `${thinking === undefined ? "" : `(${thinking})`}${content}${deltas.join("")}${isFinal ? "" : "|"}`
}

const toFinal = ({ finishReason, model, timings, usage }: FinalChunk): Final => ({
  model,
  finishReason,
  ...(usage === undefined ? {} : { usage: [usage.promptTokens, usage.completionTokens, usage.totalTokens] }),
  ...(timings === undefined
    ? {}
    : {
        timings: Object.fromEntries(
          Object.entries(timings).flatMap(([key, time]) => (time === undefined ? [] : [[key, Duration.toMillis(time)]]))
        )
      })
})
