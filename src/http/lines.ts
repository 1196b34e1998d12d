/** From the bytes of a body to decoded values in three stages, each on whole arrays: bounded text, lines, records. */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { StreamTruncated } from "../ProviderError.ts"
import * as BoundedText from "./boundedText.ts"
import type { Endpoint, Progress, RecordDecoder } from "../protocol/endpoint.ts"
import * as Json from "../values/json.ts"
import * as JsonLines from "./jsonLines.ts"
import * as Sse from "./sse.ts"
import * as TimeLimit from "./timeLimit.ts"

export interface Options<E, Out> {
  /** What it means that the body broke. */
  readonly toReason: (failure: E) => ProviderErrorReason
  readonly framing: Endpoint<never, unknown>["framing"]
  readonly decoder: RecordDecoder<Out>
  /** A record of more bytes fails; no more than that is ever kept. */
  readonly maxLineBytes: number
  /** Whether the body was aborted from outside, for example by a deadline. */
  readonly isAborted: () => boolean
  /** Called once the response is complete, even if its last value is not consumed yet. The rest of the body is not read here. */
  readonly onComplete: () => void
}

/**
 * Decodes one body. Fails with what broke the body, or with what is wrong in it, after all values that came before. Succeeds
 * only after the decoder reported that the response is complete.
 */
export const decode = <E, Out>(
  body: Stream.Stream<Uint8Array, E>,
  options: Options<E, Out>
): Stream.Stream<Out, ProviderErrorReason> => {
  const { framing, maxLineBytes: maxBytes, toReason } = options
  const lines =
    framing === "json"
      ? Stream.fromEffect(BoundedText.whole(body, { maxBytes, toReason }))
      : Stream.splitLines(BoundedText.make(body, { maxBytes, unit: "line", toReason }))
  return Stream.transformPull(lines, (pull) => Effect.sync(() => readRecords(pull, options)))
}

const makeFraming = (framing: Options<never, never>["framing"], maxBytes: number): JsonLines.Framing => {
  if (framing === "json") return JsonLines.whole
  return framing === "sse" ? Sse.make(maxBytes) : JsonLines.make(maxBytes)
}

/** How long the end of a body is awaited where it decides what a bad line means. */
const lookAhead = Duration.millis(50)

/** How long an end marker is awaited after everything else, since some servers send none and leave the body open. */
const grace = Duration.seconds(3)

type ManyPull<A> = Pull.Pull<Arr.NonEmptyReadonlyArray<A>, ProviderErrorReason>

/** Lines to values. The decoder decides how the stream ends. */
const readRecords = <Out>(
  pull: ManyPull<string>,
  { decoder, framing: kind, isAborted, maxLineBytes, onComplete }: Omit<Options<never, Out>, "toReason">
): ManyPull<Out> => {
  const framing = makeFraming(kind, maxLineBytes)
  // What follows the last value, once that is known.
  let ending: ManyPull<Out> | undefined
  // Limits the wait for the next lines, while only the end marker may be missing.
  let withinGrace: ReturnType<typeof TimeLimit.withinTotal> | undefined

  const give = (out: Array<Out>): ManyPull<Out> => (Arr.isArrayNonEmpty(out) ? Effect.succeed(out) : next)

  const settle = (progress: Progress, data: string, isLast: boolean): void => {
    if (progress === "open") withinGrace = undefined
    else if (progress === "ending") withinGrace ??= TimeLimit.withinTotal(grace)
    else if (progress === "complete") {
      onComplete()
      ending = Cause.done()
    } else ending = isLast && isCutOff(progress, data) ? truncatedOr(progress, pull) : Effect.fail(progress)
  }

  const read = (lines: Arr.NonEmptyReadonlyArray<string>): ManyPull<Out> => {
    const out: Array<Out> = []
    for (let i = 0; i < lines.length; i++) {
      const line = lines[i] ?? ""
      const record = framing.line(line)
      if (record === undefined) continue
      const isLast = i === lines.length - 1
      if ("_tag" in record) settle(record, line, isLast)
      else settle(decoder.record(record, out), record.data, isLast && kind === "ndjson")
      if (ending !== undefined) break
    }
    return give(out)
  }

  const end = (failure: ProviderErrorReason | Cause.Done<void>): ManyPull<Out> =>
    Cause.isDone(failure) ? finish() : Effect.fail(failure)

  // Nothing follows the lines that were read.
  const finish = (): ManyPull<Out> => {
    const out: Array<Out> = []
    settle(readEnd(framing, decoder, out), "", false)
    return give(out)
  }

  const whenOpen: ManyPull<Out> = Effect.matchEffect(pull, { onSuccess: read, onFailure: end })
  const whenEnding = (within: NonNullable<typeof withinGrace>): ManyPull<Out> =>
    Effect.matchEffect(within(pull), {
      onSuccess: Option.match({ onNone: finish, onSome: read }),
      // A deadline that passes within the grace ends the grace: the response itself was in time.
      onFailure: (failure) => (isAborted() ? finish() : end(failure))
    })

  const next: ManyPull<Out> = Effect.suspend(
    () => ending ?? (withinGrace === undefined ? whenOpen : whenEnding(withinGrace))
  )
  return next
}

/** A line that is not JSON and ends the body is the beginning of a record that was cut off. */
const truncatedOr = (
  reason: ProviderErrorReason,
  pull: Pull.Pull<unknown, ProviderErrorReason>
): Effect.Effect<never, ProviderErrorReason> =>
  Effect.matchEffect(TimeLimit.within(pull, lookAhead), {
    onFailure: (failure) => Effect.fail(Cause.isDone(failure) ? new StreamTruncated() : reason),
    onSuccess: () => Effect.fail(reason)
  })

/** The body ended: its last record, and what the decoder makes of the end. */
const readEnd = <Out>(
  framing: JsonLines.Framing,
  decoder: RecordDecoder<Out>,
  out: Array<Out>
): "complete" | ProviderErrorReason => {
  const rest = framing.end()
  if (rest !== undefined && "_tag" in rest) return rest
  let progress = rest === undefined ? "open" : decoder.record(rest, out)
  if (rest !== undefined && typeof progress === "object" && isCutOff(progress, rest.data)) {
    // The beginning of an object may be a part of the response. Anything else, such as half an end marker, is none.
    if (rest.data.trimStart().startsWith("{")) return new StreamTruncated()
    progress = "open"
  }
  if (progress === "open" || progress === "ending") progress = decoder.end?.(out) ?? "open"
  return progress === "open" || progress === "ending" ? new StreamTruncated() : progress
}

const isCutOff = (reason: ProviderErrorReason, data: string): boolean =>
  reason._tag === "ParseError" && Json.parse(data) === undefined
