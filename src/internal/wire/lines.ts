/**
 * From the bytes of a body to decoded values in three stages: bounded text, lines, records. Each stage works on whole arrays.
 * The stages communicate through elements and errors, and `onComplete` tells the transport when the answer is complete.
 */
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type { ProviderErrorReason } from "../../ProviderError.ts"
import { LineTooLong, StreamTruncated } from "../../ProviderError.ts"
import type { Progress, RecordDecoder } from "./endpoint.ts"
import type { Framing } from "./framing.ts"
import * as Json from "./json.ts"
import * as TimeLimit from "./timeLimit.ts"

export interface Options<E, Out> {
  /** What it means that the body broke. */
  readonly toReason: (failure: E) => ProviderErrorReason
  readonly framing: Framing
  readonly decoder: RecordDecoder<Out>
  /** A record of more bytes fails; no more than that is ever kept. */
  readonly maxLineBytes: number
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
): Stream.Stream<Out, ProviderErrorReason> =>
  boundedText(body, options).pipe(Stream.splitLines, (lines) => records(lines, options))

/** How long the end of a body is awaited where it decides what a bad line means. */
const lookAhead = Duration.millis(50)

const LF = 10
const CR = 13

/** Bytes to text. The bound stops an endless line (or body) before a later stage collects it. */
const boundedText = <E>(
  body: Stream.Stream<Uint8Array, E>,
  {
    framing: { unit },
    maxLineBytes: maxBytes,
    toReason
  }: Pick<Options<E, never>, "framing" | "maxLineBytes" | "toReason">
): Stream.Stream<string, ProviderErrorReason> =>
  Stream.transformPull(body, (pull) =>
    Effect.sync(() => {
      const decoder = new TextDecoder()
      const streaming = { stream: true }
      // Bytes since the last line end; with whole bodies, since the start.
      let pending = 0
      let isTooLong = false
      let isEnded = false

      const countBytes = (bytes: Uint8Array): number => {
        const end = unit === "body" ? -1 : lastLineEnd(bytes)
        return end === -1 ? pending + bytes.length : bytes.length - end - 1
      }

      const read = (pieces: ReadonlyArray<Uint8Array>): Array<string> => {
        const texts: Array<string> = []
        for (const bytes of pieces) {
          if (pending + bytes.length > maxBytes) {
            const fitting = unit === "body" ? 0 : fittingBytes(bytes, maxBytes - pending, maxBytes)
            if (fitting < bytes.length) {
              isTooLong = true
              if (fitting > 0) texts.push(decoder.decode(bytes.subarray(0, fitting), streaming))
              return texts
            }
          }
          pending = countBytes(bytes)
          texts.push(decoder.decode(bytes, streaming))
        }
        return texts
      }

      const next: Pull.Pull<Arr.NonEmptyReadonlyArray<string>, ProviderErrorReason> = Effect.suspend(() => {
        if (isTooLong) return Effect.fail(new LineTooLong({ limit: maxBytes }))
        return isEnded ? Cause.done() : Effect.matchEffect(pull, { onSuccess: give, onFailure: end })
      })

      const give = (pieces: ReadonlyArray<Uint8Array>): typeof next => {
        const texts = read(pieces)
        return Arr.isArrayNonEmpty(texts) ? Effect.succeed(texts) : next
      }

      // A character that is cut off at the end becomes U+FFFD.
      const end = (failure: E | Cause.Done<void>): typeof next => {
        isEnded = true
        if (!Cause.isDone(failure)) return Effect.fail(toReason(failure))
        const rest = decoder.decode()
        return rest === "" ? Effect.fail(failure) : Effect.succeed([rest])
      }

      return next
    })
  )

const lastLineEnd = (bytes: Uint8Array): number => {
  const lf = bytes.lastIndexOf(LF)
  return lf === bytes.length - 1 ? lf : Math.max(lf, bytes.lastIndexOf(CR))
}

/** How many bytes of a piece precede the first line that is too long. `room` is what is left for its first line. */
const fittingBytes = (bytes: Uint8Array, room: number, maxBytes: number): number => {
  let start = 0
  for (let i = 0; i < bytes.length; i++) {
    if (bytes[i] === LF || bytes[i] === CR) {
      start = i + 1
      room = maxBytes
    } else if (room-- === 0) return start
  }
  return bytes.length
}

/** Lines to values. The decoder decides how the stream ends. */
const records = <Out>(
  lines: Stream.Stream<string, ProviderErrorReason>,
  { decoder, framing, onComplete }: Pick<Options<never, Out>, "decoder" | "framing" | "onComplete">
): Stream.Stream<Out, ProviderErrorReason> =>
  Stream.transformPull(lines, (pull) =>
    Effect.sync(() => {
      type OutPull = Pull.Pull<Arr.NonEmptyReadonlyArray<Out>, ProviderErrorReason>
      // What follows the last value, once that is known.
      let ending: OutPull | undefined

      const give = (out: Array<Out>): OutPull => (Arr.isArrayNonEmpty(out) ? Effect.succeed(out) : next)

      const settle = (progress: Progress, data: string, isLast: boolean): void => {
        if (progress === "complete") ending = complete()
        else if (progress !== "open")
          ending = isLast && isCutOff(progress, data) ? truncatedOr(progress) : Effect.fail(progress)
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

      const end = (failure: ProviderErrorReason | Cause.Done<void>): OutPull => {
        if (!Cause.isDone(failure)) return Effect.fail(failure)
        const out: Array<Out> = []
        const rest = framing.end()
        let progress: Progress = rest === undefined ? "open" : decoder.record(rest, out)
        if (
          framing.unit === "event" &&
          typeof progress === "object" &&
          rest !== undefined &&
          isCutOff(progress, rest.data)
        )
          progress = "open"
        if (progress === "open") progress = decoder.end?.(out) ?? "open"
        ending =
          progress === "complete" ? complete() : Effect.fail(progress === "open" ? new StreamTruncated() : progress)
        return give(out)
      }

      const next: OutPull = Effect.suspend(
        () => ending ?? Effect.matchEffect(pull, { onSuccess: read, onFailure: end })
      )
      return next
    })
  )

const isCutOff = (reason: ProviderErrorReason, data: string): boolean =>
  reason._tag === "ParseError" && Json.parse(data) === undefined
