/**
 * From the bytes of a body to text. What is held is bounded by the bytes, however small or large the pieces are: small pieces
 * of an unfinished line are collected before they become text, and large ones are cut.
 */
import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type { ProviderErrorReason } from "../ProviderError.ts"
import { LineTooLong } from "../ProviderError.ts"

export interface Options<E> {
  /** The most bytes of a line, or of the body if `unit` is `body`. More fail with `LineTooLong`. */
  readonly maxBytes: number
  readonly unit: "line" | "body"
  /** What it means that the body broke. */
  readonly toReason: (failure: E) => ProviderErrorReason
}

/** All of a body. */
export const whole = <E>(
  body: Stream.Stream<Uint8Array, E>,
  options: Omit<Options<E>, "unit">
): Effect.Effect<string, ProviderErrorReason> => Stream.mkString(make(body, { ...options, unit: "body" }))

const LF = 10
const CR = 13

/** As much is given at once, and held before it becomes text. */
const maxBlock = 64 * 1024

/** After each carriage return, `Stream.splitLines` searches the rest of the text for a line feed. */
const maxBlockWithCr = 4 * 1024

/**
 * Text as soon as it ends a line, or in large blocks. A failure comes after all text before it. A character that is cut off at
 * the end becomes U+FFFD.
 */
export const make = <E>(
  body: Stream.Stream<Uint8Array, E>,
  { maxBytes, toReason, unit }: Options<E>
): Stream.Stream<string, ProviderErrorReason> =>
  Stream.transformPull(body, (pull) =>
    Effect.sync(() => {
      type TextPull = Pull.Pull<Arr.NonEmptyReadonlyArray<string>, ProviderErrorReason>
      const decoder = makeDecoder()
      const hasLines = unit === "line"
      // Pieces that are not read yet, from the byte `offset` of the first one on.
      let pieces: ReadonlyArray<Uint8Array> = []
      let index = 0
      let offset = 0
      // Bytes since the last line end; with whole bodies, since the start.
      let pending = 0
      // What follows the text, once that is known.
      let ending: TextPull | undefined

      const hasNext = (): boolean => index < pieces.length && ending === undefined

      /** Returns how many bytes were read. */
      const readNext = (texts: Array<string>): number => {
        const piece = pieces[index] ?? noBytes
        // Nearly every piece.
        if (hasLines && pending === 0 && offset === 0 && isWholeLine(piece) && piece.length <= maxBytes) {
          texts.push(decoder.decode(piece))
          index++
          return piece.length
        }
        const block = cutBlock(piece, offset)
        offset += block.length
        if (offset >= piece.length) {
          index++
          offset = 0
        }
        readBlock(block, texts)
        return block.length
      }

      const readBlock = (block: Uint8Array, texts: Array<string>): void => {
        const fitting = pending + block.length <= maxBytes ? block.length : countFitting(block)
        if (fitting < block.length) ending = Effect.fail(new LineTooLong({ limit: maxBytes }))
        addBlock(fitting === block.length ? block : block.subarray(0, fitting), texts)
      }

      const countFitting = (block: Uint8Array): number =>
        hasLines ? fittingBytes(block, maxBytes - pending, maxBytes) : maxBytes - pending

      const addBlock = (block: Uint8Array, texts: Array<string>): void => {
        const end = hasLines ? lastLineEnd(block) : -1
        if (end === -1) {
          pending += block.length
          decoder.hold(block, texts)
        } else {
          pending = block.length - end - 1
          decoder.flush(texts)
          texts.push(decoder.decode(block))
        }
      }

      const next: TextPull = Effect.suspend(() => {
        if (hasNext()) return give()
        return ending ?? Effect.matchEffect(pull, { onSuccess: start, onFailure: end })
      })

      const start = (pulled: ReadonlyArray<Uint8Array>): TextPull => {
        pieces = pulled
        index = 0
        return give()
      }

      const give = (): TextPull => {
        const texts: Array<string> = []
        for (let room = maxBlock; room > 0 && hasNext();) room -= readNext(texts)
        if (ending !== undefined) decoder.flush(texts)
        return toPull(texts)
      }

      const end = (failure: E | Cause.Done<void>): TextPull => {
        ending = Cause.isDone(failure) ? Effect.fail(failure) : Effect.fail(toReason(failure))
        const texts: Array<string> = []
        decoder.end(texts)
        return toPull(texts)
      }

      const toPull = (texts: Array<string>): TextPull => (isNonEmpty(texts) ? Effect.succeed(texts) : next)

      return next
    })
  )

const noBytes = new Uint8Array(0)

const isNonEmpty = (texts: Array<string>): texts is [string, ...Array<string>] => texts.length > 0

/** Whether a piece is short and ends with a line end. */
const isWholeLine = (piece: Uint8Array): boolean => piece.length <= maxBlockWithCr && piece[piece.length - 1] === LF

/** The next bytes of a piece that are read at once. */
const cutBlock = (piece: Uint8Array, offset: number): Uint8Array => {
  if (piece.length <= maxBlockWithCr) return piece
  const block = piece.subarray(offset, offset + maxBlock)
  return block.includes(CR) ? block.subarray(0, maxBlockWithCr) : block
}

/** A text decoder that can hold bytes back. */
const makeDecoder = () => {
  const decoder = new TextDecoder()
  const streaming = { stream: true }
  let held = noBytes
  let length = 0

  const decode = (bytes: Uint8Array): string => decoder.decode(bytes, streaming)

  const flush = (texts: Array<string>): void => {
    if (length === 0) return
    texts.push(decode(held.subarray(0, length)))
    length = 0
  }

  return {
    /** Nothing may be held. */
    decode,
    flush,
    /** Holds bytes, at most `maxBlock` at once. Those before become text if there is no room for both. */
    hold: (bytes: Uint8Array, texts: Array<string>): void => {
      if (length + bytes.length > maxBlock) flush(texts)
      if (length + bytes.length > held.length) held = enlarge(held, length, length + bytes.length)
      held.set(bytes, length)
      length += bytes.length
    },
    /** The rest, as text. */
    end: (texts: Array<string>): void => {
      flush(texts)
      const rest = decoder.decode()
      if (rest !== "") texts.push(rest)
    }
  }
}

/** The first `length` bytes in an array with room for `needed`. It doubles, so that each byte is copied once on average. */
const enlarge = (bytes: Uint8Array, length: number, needed: number): Uint8Array<ArrayBuffer> => {
  const larger = new Uint8Array(Math.min(maxBlock, Math.max(256, 2 * needed)))
  larger.set(bytes.subarray(0, length))
  return larger
}

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
