/**
 * From the bytes of a body to decoded values in three stages: bounded text, lines, records. Each stage works on whole arrays.
 * The stages communicate through elements and errors, and `onComplete` tells the transport when the answer is complete.
 */
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
import type { Progress, RecordDecoder } from "../protocol/endpoint.ts"
import type { Framing } from "./framing.ts"
import * as Json from "../values/json.ts"
import * as TimeLimit from "./timeLimit.ts"

export interface Options<E, Out> {
  /** What it means that the body broke. */
  readonly toReason: (failure: E) => ProviderErrorReason
  readonly framing: Framing
  readonly decoder: RecordDecoder<Out>
  /** A record of more bytes fails; no more than that is ever kept. */
  readonly maxLineBytes: number
  /** Whether the body was aborted from outside, for example by a deadline. */
  readonly isAborted: () => boolean
  /** Called once the answer is complete, even if its last value is not consumed yet. The rest of the body is not read here. */
  readonly onComplete: () => void
}

/**
 * Decodes one body. Fails with what broke the body, or with what is wrong in it, after all values that came before. Succeeds
 * only after the decoder reported that the answer is complete.
 */
export const decode = <E, Out>(
  body: Stream.Stream<Uint8Array, E>,
  options: Options<E, Out>
): Stream.Stream<Out, ProviderErrorReason> => records(toLines(body, options), options)

const toLines = <E>(
  body: Stream.Stream<Uint8Array, E>,
  { framing: { unit }, maxLineBytes: maxBytes, toReason }: Options<E, never>
): Stream.Stream<string, ProviderErrorReason> =>
  unit === "body"
    ? Stream.fromEffect(BoundedText.whole(body, { maxBytes, toReason }))
    : Stream.splitLines(BoundedText.make(body, { maxBytes, unit: "line", toReason }))

/** How long the end of a body is awaited where it decides what a bad line means. */
const lookAhead = Duration.millis(50)

/** How long an end marker is awaited after everything else, since some servers send none and leave the body open. */
const grace = Duration.seconds(3)

/** Lines to values. The decoder decides how the stream ends. */
const records = <Out>(
  lines: Stream.Stream<string, ProviderErrorReason>,
  { decoder, framing, isAborted, onComplete }: Omit<Options<never, Out>, "maxLineBytes" | "toReason">
): Stream.Stream<Out, ProviderErrorReason> =>
  Stream.transformPull(lines, (pull) =>
    Effect.sync(() => {
      type OutPull = Pull.Pull<Arr.NonEmptyReadonlyArray<Out>, ProviderErrorReason>
      // What follows the last value, once that is known.
      let ending: OutPull | undefined
      // Limits the wait for the next lines, while only the end marker may be missing.
      let withinGrace: ReturnType<typeof TimeLimit.withinTotal> | undefined

      const give = (out: Array<Out>): OutPull => (Arr.isArrayNonEmpty(out) ? Effect.succeed(out) : next)

      const settle = (progress: Progress, data: string, isLast: boolean): void => {
        if (progress === "open") withinGrace = undefined
        else if (progress === "ending") withinGrace ??= TimeLimit.withinTotal(grace)
        else if (progress === "complete") ending = complete()
        else ending = isLast && isCutOff(progress, data) ? truncatedOr(progress) : Effect.fail(progress)
      }

      const complete = (): OutPull => {
        onComplete()
        return Cause.done()
      }

      // A line that is not JSON and ends the body is the beginning of a record that was cut off.
      const truncatedOr = (reason: ProviderErrorReason): OutPull =>
        Effect.matchEffect(TimeLimit.within(pull, lookAhead), {
          onFailure: (failure) => Effect.fail(Cause.isDone(failure) ? new StreamTruncated() : reason),
          onSuccess: () => Effect.fail(reason)
        })

      const read = (lines: Arr.NonEmptyReadonlyArray<string>): OutPull => {
        const out: Array<Out> = []
        for (let i = 0; i < lines.length; i++) {
          const line = lines[i] ?? ""
          const record = framing.line(line)
          if (record === undefined) continue
          const isLast = i === lines.length - 1
          if ("_tag" in record) settle(record, line, isLast)
          else settle(decoder.record(record, out), record.data, isLast && framing.unit === "line")
          if (ending !== undefined) break
        }
        return give(out)
      }

      const end = (failure: ProviderErrorReason | Cause.Done<void>): OutPull =>
        Cause.isDone(failure) ? finish() : Effect.fail(failure)

      // Nothing follows the lines that were read.
      const finish = (): OutPull => {
        const out: Array<Out> = []
        const rest = framing.end()
        let progress: Progress = rest === undefined ? "open" : "_tag" in rest ? rest : decoder.record(rest, out)
        if (rest !== undefined && "data" in rest && typeof progress === "object" && isCutOff(progress, rest.data)) {
          // The beginning of an object may be a part of the answer. Anything else, such as half an end marker, is none.
          progress = rest.data.trimStart().startsWith("{") ? new StreamTruncated() : "open"
        }
        if (progress === "open" || progress === "ending") progress = decoder.end?.(out) ?? "open"
        if (progress === "complete") ending = complete()
        else ending = Effect.fail(typeof progress === "string" ? new StreamTruncated() : progress)
        return give(out)
      }

      const whenOpen: OutPull = Effect.matchEffect(pull, { onSuccess: read, onFailure: end })
      const whenEnding = (within: NonNullable<typeof withinGrace>): OutPull =>
        Effect.matchEffect(within(pull), {
          onSuccess: Option.match({ onNone: finish, onSome: read }),
          // A deadline that passes within the grace ends the grace: the answer itself was in time.
          onFailure: (failure) => (isAborted() ? finish() : end(failure))
        })

      const next: OutPull = Effect.suspend(
        () => ending ?? (withinGrace === undefined ? whenOpen : whenEnding(withinGrace))
      )
      return next
    })
  )

const isCutOff = (reason: ProviderErrorReason, data: string): boolean =>
  reason._tag === "ParseError" && Json.parse(data) === undefined
